/* The settings for people: help by topic, and what a wrong name may have meant. */
#include "src/base/config_keys.h"
#include "src/base/suggest.h"

#include <string.h>

const char *config_key_resume_words(const struct config_key *key)
{
    switch (key->resume) {
    case RESUME_CHANGE:
        return "; may change on resume by --change";
    case RESUME_UNLESS_SCHEDULE:
        return "; may change on resume, with a schedule by --change";
    case RESUME_FREE:
        return "; may change on resume";
    default:
        return "";
    }
}

void config_key_type_print(const struct config_key *key, FILE *out)
{
    if (key->type == KEY_INTEGER)
        fprintf(out, "integer %.17g..%.17g", key->least, key->most);
    else if (key->type == KEY_NUMBER)
        fprintf(out, "number %.10g..%.10g", key->least, key->most);
    else if (key->type == KEY_LIST)
        fprintf(out, "list of numbers %.10g..%.10g", key->least, key->most);
    else if (key->type == KEY_WEIGHTS)
        fprintf(out, "list of %s", key->choices);
    else if (key->type == KEY_SWITCH)
        fputs("true|false", out);
    else
        fputs(key->type == KEY_CHOICE ? key->choices : "text", out);
    fprintf(out, " [%s", *key->default_text ? key->default_text : "\"\"");
    if (key->single_turn) fprintf(out, "; in task: single_turn %s", key->single_turn);
    fputc(']', out);
}

static void key_help(FILE *out, const struct config_key *key)
{
    fprintf(out, "  %-26s ", key->name);
    config_key_type_print(key, out);
    fprintf(out, "\n      %s%s\n", key->help, config_key_resume_words(key));
}

/* A topic is a key, a section, or "general": the keys without a section. */
static bool belongs(const struct config_key *key, const char *topic)
{
    if (!topic || !strcmp(key->name, topic)) return true;
    const char *dot = strchr(key->name, '.');
    if (!dot) return !strcmp(topic, "general");
    const size_t length = (size_t)(dot - key->name);
    return strlen(topic) == length && !strncmp(key->name, topic, length);
}

bool config_help(FILE *out, const char *topic)
{
    bool any = false;
    for (int i = 0; i < config_key_count; i++) {
        if (!belongs(&config_keys[i], topic)) continue;
        key_help(out, &config_keys[i]);
        any = true;
    }
    return any;
}

void config_help_topics(FILE *out)
{
    for (int i = 0; i < config_section_count; i++)
        fprintf(out, "  %-12s %s\n", config_sections[i].name, config_sections[i].help);
}

/* Names that papers and other programs use. */
static const struct {
    const char *name, *keys;
} alias[] = {
    {"learning_rate", "policy.lr, sft.lr, rm.lr or critic.lr"},
    {"lr_scheduler_type", "policy.schedule"},
    {"lr_scheduler", "policy.schedule"},
    {"warmup_steps", "policy.warmup"},
    {"max_grad_norm", "policy.clip_norm"},
    {"grad_clip", "policy.clip_norm"},
    {"batch_size", "rollout.dialogues (train), sft.batch (sft) or rm.batch (reward)"},
    {"train_batch_size", "rollout.dialogues (train), sft.batch (sft) or rm.batch (reward)"},
    {"per_device_train_batch_size",
     "rollout.dialogues (train), sft.batch (sft) or rm.batch (reward)"},
    {"gradient_accumulation_steps", "learn.microbatches"},
    {"gradient_checkpointing", "learn.recompute"},
    {"num_generations", "rollout.candidates"},
    {"num_return_sequences", "rollout.candidates"},
    {"group_size", "rollout.candidates"},
    {"max_steps", "train.updates, sft.updates or rm.updates"},
    {"steps", "train.updates, sft.updates or rm.updates"},
    {"num_train_epochs", "train.updates, sft.updates or rm.updates"},
    {"ppo_epochs", "ppo.epochs"},
    {"cliprange", "ppo.clip"},
    {"clip_range", "ppo.clip"},
    {"epsilon", "ppo.clip"},
    {"kl_coef", "kl.coef"},
    {"kl_coeff", "kl.coef"},
    {"beta", "reward.beta (weight of focus) or kl.coef (weight of KL)"},
    {"entropy_floor", "floor.delta0"},
    {"max_length", "rollout.max_new_tokens or history.max_tokens"},
    {"max_new_tokens", "rollout.max_new_tokens"},
    {"thinking_budget", "cot.reason_tokens"},
    {"max_thinking_tokens", "cot.reason_tokens"},
    {"reencode", "cot.history (joint or reencode)"},
    {"max_prompt_length", "history.max_tokens"},
    {"max_completion_length", "rollout.max_new_tokens"},
    {"save_steps", "checkpoint.every"},
    {"save_total_limit", "checkpoint.keep"},
    {"eval_steps", "eval.every"},
    {"bert_score", "eval.encoder"},
    {"bertscore", "eval.encoder"},
    {"logging_steps", "log.every"},
    {"early_stopping_patience",
     "guard.patience (train), sft.patience (sft) or rm.patience (reward)"},
    {"center_rewards_coefficient", "rm.center"},
    {"dtype", "precision"},
    {"bf16", "precision"},
    {"fp16", "precision"},
    {"num_threads", "threads"},
    {"vocab_size", "tokenizer.vocabulary or model.vocabulary"},
    {"num_layers", "model.encoder_layers or model.decoder_layers"},
    {"num_heads", "model.heads"},
    {"dataset", "data.train"},
    {"train_file", "data.train"},
    {"validation_file", "data.valid"},
    {"model_name_or_path", "model.path"},
    {"model", "model.path"},
    {"data", "data.train"},
    {"ref_model", "model.reference_path"},
    {"ref_model_path", "model.reference_path"},
    {"lora_r", "adapter.rank"},
    {"lora_rank", "adapter.rank"},
    {"lora_alpha", "adapter.alpha"},
    {"target_modules", "adapter.targets"},
    {"lora_target_modules", "adapter.targets"},
    {"gpu", "device"},
    {"timeout", "watchdog.seconds"},
};

static bool alias_find(const char *name, char out[256])
{
    for (size_t i = 0; i < sizeof alias / sizeof *alias; i++)
        if (!strcmp(name, alias[i].name)) {
            snprintf(out, 256, "%s", alias[i].keys);
            return true;
        }
    return false;
}

/* All keys with that last part, up to five: "policy.lr, sft.lr or critic.lr". */
static bool last_part_find(const char *last, char out[256])
{
    const char *found[5];
    int count = 0;
    for (int i = 0; i < config_key_count && count < 5; i++) {
        const char *dot = strrchr(config_keys[i].name, '.');
        if (dot && !strcmp(dot + 1, last)) found[count++] = config_keys[i].name;
    }
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%s",
                                 !i               ? ""
                                 : i + 1 == count ? " or "
                                                  : ", ",
                                 found[i]);
    return count > 0;
}

/* The key most like it, also when only its last part was written; NULL when none is. */
static const char *key_nearest(const char *name, bool whole)
{
    struct nearest nearest = nearest_begin(name);
    for (int i = 0; i < config_key_count; i++) nearest_offer(&nearest, config_keys[i].name);
    if (whole) return nearest.best;
    if (nearest.best) nearest.distance--; /* a part has to be nearer than a whole */
    for (int i = 0; i < config_key_count; i++) {
        const char *dot = strchr(config_keys[i].name, '.');
        const int before = nearest.distance;
        if (dot) nearest_offer(&nearest, dot + 1);
        if (nearest.distance < before) nearest.best = config_keys[i].name;
    }
    return nearest.best;
}

bool config_suggest(const char *name, char out[256])
{
    char plain[128];
    if (strlen(name) >= sizeof plain) return false;
    strcpy(plain, name);
    for (char *at = plain; *at; at++)
        if (*at == '-') *at = '_';
    const char *dot = strrchr(plain, '.');
    if (alias_find(plain, out) || (!dot && last_part_find(plain, out))) return true;
    const char *nearest = key_nearest(plain, dot);
    if (nearest) snprintf(out, 256, "%s", nearest);
    return nearest || (dot && alias_find(dot + 1, out));
}
