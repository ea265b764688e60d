/* Every key of the configuration.  Rows of one section stand together; the printout and the
 * help keep this order.  docs/reward.md gives the reward's defaults. */
#include "src/base/config_keys.h"

#include <string.h>

enum { MANY = 1 << 30 };

#define MEMBER(member)                                                                             \
    .offset = offsetof(struct config, member), .size = sizeof(((struct config *)0)->member)
#define INTEGER(key, member, low, high, value, resumed, words)                                     \
    {                                                                                              \
        .name = key, .type = KEY_INTEGER, MEMBER(member), .least = low, .most = high,              \
        .default_text = value, .resume = resumed, .help = words                                    \
    }
#define NUMBER(key, member, low, high, value, resumed, words)                                      \
    {                                                                                              \
        .name = key, .type = KEY_NUMBER, MEMBER(member), .least = low, .most = high,               \
        .default_text = value, .resume = resumed, .help = words                                    \
    }
#define SWITCH(key, member, value, resumed, words)                                                 \
    {                                                                                              \
        .name = key, .type = KEY_SWITCH, MEMBER(member), .default_text = value, .resume = resumed, \
        .help = words                                                                              \
    }
#define TEXT(key, member, value, resumed, words)                                                   \
    {                                                                                              \
        .name = key, .type = KEY_TEXT, MEMBER(member), .default_text = value, .resume = resumed,   \
        .help = words                                                                              \
    }
#define CHOICE(key, member, words, value, resumed, meaning)                                        \
    {                                                                                              \
        .name = key, .type = KEY_CHOICE, MEMBER(member), .choices = words, .default_text = value,  \
        .resume = resumed, .help = meaning                                                         \
    }

#define SOURCE_CHOICE(name, text) "|" #text
_Static_assert((int)SOURCE_COUNT <= (int)CONFIG_WEIGHTS_MAX, "more sources than weights");

const struct config_key config_keys[] = {
    INTEGER("seed", seed, 0, 9007199254740992.0, "1", RESUME_SAME, "of every random number"),
    INTEGER("threads", threads, 1, 4096, "1", RESUME_FREE, "threads of one rank"),
    TEXT("instructions", instructions, "auto", RESUME_FREE,
         "the processor's: avx512, avx2, c or auto, the widest; the numbers are the same"),
    CHOICE("device", device, "auto|cpu|cuda", "auto", RESUME_FREE, "where tensors live"),
    {.name = "precision",
     .type = KEY_CHOICE,
     MEMBER(precision),
     .choices = "auto|fp32|bf16",
     .default_text = "auto",
     .resume = RESUME_SAME,
     .help = "of activations and of the weights in products; auto: bf16 on CUDA, fp32 on the CPU",
     .refused = "fp16: activations overflow in fp16; take bf16"},
    CHOICE("rounding", rounding, "nearest|stochastic", "nearest", RESUME_SAME,
           "of fp32 weights to bf16 in training; stochastic: up as often as they lie above"),
    SWITCH("exact", exact, "false", RESUME_SAME,
           "on CUDA a row's bits do not depend on the rows beside it, as on the CPU"),
    SWITCH("tune", tune, "true", RESUME_FREE,
           "on CUDA the first product of a shape times several algorithms; not with exact: true"),
    CHOICE("task", task, "dialogue|single_turn", "dialogue", RESUME_SAME,
           "single_turn scores each turn on its own prompt"),
    CHOICE("scorer", scorer, "live|frozen", "live", RESUME_SAME,
           "whose attention is read: the sampling policy's or the reference's"),
    CHOICE("control", control, "none|random_salience|shuffled|length", "none", RESUME_SAME,
           "a null to hold the run against"),
    SWITCH("history_coverage", history_coverage, "true", RESUME_SAME,
           "salient tokens of the whole history; false: of the current prompt only"),
    CHOICE("advantage", advantage, "turn|gae|group", "turn", RESUME_SAME,
           "turn: return less the critic's value; gae: over turns; group: no critic"),
    TEXT("model.path", model.path, "", RESUME_FREE,
         "a model folder; empty: random weights of the shape below"),
    TEXT("model.reference_path", model.reference_path, "", RESUME_FREE,
         "the reference of KL and of scorer: frozen, a model folder; empty: as model.path"),
    TEXT("model.user_path", model.user_path, "", RESUME_FREE,
         "the user's model, for rollout.user: model"),
    TEXT("model.family", model.family, "t5", RESUME_SAME,
         "of a new model: t5, llama, mistral, qwen2 or qwen3"),
    INTEGER("model.d_model", model.d_model, 0, 65536, "0", RESUME_SAME,
            "width of a new model; 0: no new model"),
    INTEGER("model.d_ff", model.d_ff, 1, 1048576, "256", RESUME_SAME,
            "width of a new model's feed-forward layers"),
    INTEGER("model.d_kv", model.d_kv, 1, 4096, "16", RESUME_SAME, "width of a head"),
    INTEGER("model.heads", model.heads, 1, 1024, "4", RESUME_SAME, "attention heads"),
    INTEGER("model.kv_heads", model.kv_heads, 0, 1024, "0", RESUME_SAME,
            "heads of keys and values, that several attention heads share (not t5); 0: as heads"),
    INTEGER("model.context", model.context, 1, 16777216, "2048", RESUME_SAME,
            "tokens of a new model's longest sequence (not t5)"),
    INTEGER("model.encoder_layers", model.encoder_layers, 1, 1024, "2", RESUME_SAME,
            "encoder layers (t5)"),
    INTEGER("model.decoder_layers", model.decoder_layers, 1, 1024, "2", RESUME_SAME,
            "decoder layers"),
    SWITCH("model.gated", model.gated, "true", RESUME_SAME, "gated GELU; false: ReLU (t5)"),
    SWITCH("model.tied", model.tied, "false", RESUME_SAME, "the output matrix is the embedding"),
    INTEGER("model.vocabulary", model.vocabulary, 0, 16777216, "0", RESUME_SAME,
            "ids of a new model; 0: the tokenizer's"),
    INTEGER("adapter.rank", adapter.rank, 0, 1024, "0", RESUME_SAME,
            "train low-rank adapters (LoRA) of this rank, and nothing else; 0: the whole model"),
    NUMBER("adapter.alpha", adapter.alpha, 0, 1e6, "16", RESUME_SAME,
           "what an adapter adds is scaled by alpha / rank"),
    TEXT("adapter.targets", adapter.targets, "", RESUME_SAME,
         "parts of the layers that have one, q_proj,v_proj; empty: q,v of T5, else all"),
    TEXT("adapter.path", adapter.path, "", RESUME_FREE,
         "adapters to begin with, PEFT's or a checkpoint, for model.path; rank, alpha, targets are "
         "theirs"),
    TEXT("tokenizer.path", tokenizer.path, "", RESUME_FREE,
         "a folder with a tokenizer; bytes: an id for each byte; empty: the model's"),
    INTEGER("tokenizer.vocabulary", tokenizer.vocabulary, 32, 1048576, "2000", RESUME_SAME,
            "pieces of `tokenizer train`"),
    INTEGER("tokenizer.extra_ids", tokenizer.extra_ids, 0, 10000, "0", RESUME_SAME,
            "extra ids of a new tokenizer"),
    TEXT("text.user_marker", text.user_marker, "\"user: \"", RESUME_SAME,
         "put before what the user said"),
    TEXT("text.assistant_marker", text.assistant_marker, "\"assistant: \"", RESUME_SAME,
         "put before what the assistant said"),
    TEXT(
        "text.chat", text.chat, "auto", RESUME_SAME,
        "a decoder-only model's chat format, by name; auto: that of the model's chat template, the "
        "markers where it has none"),
    TEXT("text.system", text.system, "", RESUME_SAME,
         "the system message of dialogues that have none; empty: the chat format's own"),
    TEXT("data.train", data.train, "", RESUME_FREE_BUT_SYNTHETIC,
         "a JSONL file; or made: synthetic, reverse, story or slot:SEED:COUNT[:FIRST], "
         "reasoning:SEED:COUNT:LEVEL[:FIRST]"),
    TEXT("data.valid", data.valid, "", RESUME_FREE_BUT_SYNTHETIC,
         "held out, likewise; empty: no evaluation"),
    INTEGER("train.updates", train.updates, 0, MANY, "200", RESUME_UNLESS_SCHEDULE,
            "updates of `train`"),
    INTEGER("log.every", log.every, 1, MANY, "1", RESUME_FREE,
            "updates between lines on the console and in metrics.jsonl"),
    INTEGER("checkpoint.every", checkpoint.every, 0, MANY, "20", RESUME_FREE,
            "updates between checkpoints; 0: only at the end"),
    INTEGER("checkpoint.keep", checkpoint.keep, 1, MANY, "3", RESUME_FREE,
            "newest checkpoints kept, beside the best"),
    INTEGER("eval.every", eval.every, 0, MANY, "10", RESUME_UNLESS_PATIENCE,
            "updates between evaluations; 0: never"),
    INTEGER("eval.dialogues", eval.dialogues, 0, MANY, "32", RESUME_UNLESS_PATIENCE,
            "held-out dialogues evaluated; 0: all"),
    NUMBER("eval.temperature", eval.temperature, 0, 100, "0", RESUME_SAME,
           "of the replies that are evaluated; 0: greedy"),
    INTEGER("infer.batch", infer.batch, 1, 65536, "32", RESUME_FREE,
            "rows at once in score and generate; a row is one candidate"),
    INTEGER("sft.updates", sft.updates, 0, MANY, "1000", RESUME_UNLESS_SCHEDULE,
            "updates of `sft`"),
    INTEGER("sft.batch", sft.batch, 1, 1048576, "32", RESUME_SAME, "dialogue turns an update"),
    INTEGER("sft.patience", sft.patience, 0, MANY, "0", RESUME_CHANGE,
            "evaluations without a better loss before it stops; 0: off"),
    NUMBER("sft.lr", sft.lr, 0, 10, "1e-3", RESUME_CHANGE, "learning rate"),
    NUMBER("sft.label_smoothing", sft.label_smoothing, 0, 0.99, "0", RESUME_SAME,
           "probability spread over the vocabulary"),
    TEXT("sft.role", sft.role, "assistant", RESUME_SAME,
         "whose turns are learned: assistant, user"),
    INTEGER("rollout.dialogues", rollout.dialogues, 1, 1048576, "4", RESUME_SAME,
            "dialogues a batch (B)"),
    INTEGER("rollout.turns", rollout.turns, 1, 1024, "3", RESUME_SAME,
            "most turns of a dialogue (T)"),
    INTEGER("rollout.candidates", rollout.candidates, 1, 4096, "8", RESUME_SAME,
            "candidates of a turn (N)"),
    INTEGER("rollout.max_new_tokens", rollout.max_new_tokens, 1, 65536, "64", RESUME_SAME,
            "most tokens of a reply"),
    NUMBER("rollout.temperature", rollout.temperature, 0, 100, "0.8", RESUME_SAME,
           "of sampling and of log-probabilities; 0: greedy, log-probabilities at 1"),
    INTEGER("rollout.top_k", rollout.top_k, 0, 16777216, "50", RESUME_SAME,
            "sample among so many; 0: off"),
    NUMBER("rollout.top_p", rollout.top_p, 1e-6, 1, "0.9", RESUME_SAME,
           "and among so much probability; 1: off"),
    CHOICE("rollout.continue", rollout.continue_with, "each|best", "each", RESUME_SAME,
           "each: N independent dialogues; best: go on with the best candidate"),
    CHOICE("rollout.user", rollout.user, "replay|rule|model", "replay", RESUME_SAME,
           "who speaks the user's turns"),
    INTEGER(
        "rollout.cache_tokens", rollout.cache_tokens, 0, MANY, "0", RESUME_FREE,
        "tokens of decoder-only models whose keys and values are kept for later turns; never fewer "
        "than a batch of replies needs; 0: twice those"),
    INTEGER("history.max_tokens", history.max_tokens, 1, 1048576, "1024", RESUME_SAME,
            "the newest tokens stay"),
    INTEGER("attention.layers", attention.layers, 1, 1024, "1", RESUME_SAME,
            "last decoder layers read (L')"),
    SWITCH("attention.exclude_special", attention.exclude_special, "true", RESUME_SAME,
           "leave out end-of-sequence tokens and role markers"),
    SWITCH("attention.exclude_first", attention.exclude_first, "true", RESUME_SAME,
           "leave out a decoder-only model's first position, an attention sink; T5 has none"),
    CHOICE("coverage.form", coverage.form, "paper|mass|lift", "paper", RESUME_SAME,
           "paper: mass / |I|; mass: not divided; lift: mass |V| / |I|"),
    CHOICE("focus.form", focus.form, "paper|normalized", "paper", RESUME_SAME,
           "paper: minus mean entropy; normalized: each divided by log |V|"),
    CHOICE("floor.form", floor.form, "value|mix|none", "value", RESUME_SAME, "the entropy floor"),
    NUMBER("floor.delta0", floor.delta0, 0, 100, "0.5", RESUME_SAME, "floor at turn 1, nats"),
    NUMBER("floor.kappa", floor.kappa, 0, 100, "0.1", RESUME_SAME, "its growth a turn, nats"),
    INTEGER("repetition.n", repetition.n, 1, 64, "3", RESUME_SAME, "length of the n-grams"),
    NUMBER("reward.alpha", reward.alpha, -1e6, 1e6, "1", RESUME_SAME, "weight of coverage"),
    NUMBER("reward.beta", reward.beta, -1e6, 1e6, "0.5", RESUME_SAME, "weight of focus"),
    {.name = "reward.gamma",
     .type = KEY_NUMBER,
     MEMBER(reward.gamma),
     .least = -1e6,
     .most = 1e6,
     .default_text = "1",
     .single_turn = "0",
     .resume = RESUME_SAME,
     .help = "weight of repHist, taken off"},
    {.name = "reward.gamma_self",
     .type = KEY_NUMBER,
     MEMBER(reward.gamma_self),
     .least = -1e6,
     .most = 1e6,
     .default_text = "0",
     .single_turn = "1",
     .resume = RESUME_SAME,
     .help = "weight of repSelf, taken off"},
    {.name = "reward.sources",
     .type = KEY_WEIGHTS,
     MEMBER(reward.sources),
     .least = -1e6,
     .most = 1e6,
     .choices = "attention" GIVEN_SOURCES(SOURCE_CHOICE),
     .default_text = "attention:1",
     .resume = RESUME_SAME,
     .help = "who gives reward, name:weight,name:weight; a weight that is left out is 1"},
    TEXT("reward.format", reward.format, "", RESUME_SAME,
         "of the source format: a regular expression (PCRE2) that is to be found in a reply"),
    CHOICE("reward.scale", reward.scale, "none|running|within", "running", RESUME_SAME,
           "divisor of each term: 1, its running deviation, or that within candidates"),
    NUMBER("salience.idf_quantile", salience.idf_quantile, 0, 1, "0.8", RESUME_SAME,
           "words at or above this quantile of idf are salient"),
    TEXT("salience.keywords", salience.keywords, "", RESUME_FREE,
         "a file of salient words, one a line"),
    SWITCH("salience.entities", salience.entities, "true", RESUME_SAME,
           "digits and capitals inside a sentence are salient"),
    {.name = "turns.lambda",
     .type = KEY_LIST,
     MEMBER(turns.lambda),
     .count_offset = offsetof(struct config, turns.lambda_count),
     .least = -1e6,
     .most = 1e6,
     .default_text = "[]",
     .resume = RESUME_SAME,
     .help = "a turn's weight, as a list; the last goes on; empty: 1"},
    NUMBER("turns.discount", turns.discount, 0, 1, "1", RESUME_SAME, "of later turns"),
    NUMBER("gae.lambda", gae.lambda, 0, 1, "0.95", RESUME_SAME, "of advantage: gae"),
    CHOICE("group.form", group.form, "rloo|mean|grpo", "rloo", RESUME_SAME,
           "baseline of advantage: group"),
    INTEGER("ppo.epochs", ppo.epochs, 1, 1000, "3", RESUME_SAME, "optimizer steps an update"),
    NUMBER("ppo.clip", ppo.clip, 0, 10, "0.1", RESUME_CHANGE, "epsilon of the clipped ratio"),
    SWITCH("ppo.whiten", ppo.whiten, "true", RESUME_SAME, "whiten the advantages over the batch"),
    CHOICE("ppo.loss", ppo.loss, "token|sequence", "token", RESUME_SAME,
           "mean over tokens, or over each turn's tokens first"),
    NUMBER("kl.coef", kl.coef, 0, 1e6, "0.2", RESUME_CHANGE, "weight of KL to the reference"),
    CHOICE("kl.in", kl.in, "loss|reward", "loss", RESUME_SAME, "where KL is taken off"),
    CHOICE("kl.estimator", kl.estimator, "k3|k1", "k3", RESUME_SAME,
           "k1 = logp - logp_ref; k3 = exp(-k1) - 1 + k1"),
    NUMBER("kl.clamp", kl.clamp, 0, 1e6, "10", RESUME_CHANGE,
           "the most that one token's estimate may be, in nats; 0: no bound"),
    NUMBER("policy.lr", policy.lr, 0, 10, "2e-5", RESUME_CHANGE, "learning rate"),
    NUMBER("policy.clip_norm", policy.clip_norm, 0, 1e9, "1", RESUME_CHANGE,
           "norm the gradient is clipped at; 0: not"),
    INTEGER("policy.warmup", policy.warmup, 0, MANY, "0", RESUME_CHANGE,
            "updates over which learning rates rise"),
    CHOICE("policy.schedule", policy.schedule, "constant|cosine", "constant", RESUME_CHANGE,
           "of learning rates after the warm-up"),
    NUMBER("critic.lr", critic.lr, 0, 10, "1e-5", RESUME_CHANGE, "learning rate"),
    INTEGER("critic.warmup", critic.warmup, 0, MANY, "0", RESUME_SAME,
            "so many updates move only the critic"),
    CHOICE("critic.target", critic.target, "all|best", "all", RESUME_SAME,
           "every candidate's return, or the best one's"),
    INTEGER("learn.microbatches", learn.microbatches, 1, 65536, "4", RESUME_SAME,
            "a power of two and a multiple of roles.learners"),
    INTEGER("learn.reply_tokens", learn.reply_tokens, 1, MANY, "1024", RESUME_SAME,
            "most tokens of replies in one pass; a microbatch's gradient adds up over passes"),
    INTEGER("learn.history_tokens", learn.history_tokens, 1, MANY, "8192", RESUME_SAME,
            "most tokens of histories in one pass"),
    SWITCH("learn.recompute", learn.recompute, "false", RESUME_FREE,
           "keep only the layers' inputs and run each layer twice: less memory, the same numbers"),
    INTEGER("roles.learners", roles.learners, 1, 65536, "1", RESUME_FREE,
            "ranks that learn; the others generate"),
    INTEGER("pipeline.lag", pipeline.lag, 0, 1, "0", RESUME_SAME,
            "batch b is generated with the weights of update b - lag"),
    INTEGER("guard.patience", guard.patience, 0, MANY, "0", RESUME_CHANGE,
            "falling evaluations before the run stops; 0: off"),
    TEXT("guard.metric", guard.metric, "rouge_l", RESUME_CHANGE,
         "the held-out metric watched, a row of eval's table"),
    NUMBER("watchdog.seconds", watchdog.seconds, 0.1, 1e9, "600", RESUME_FREE, "no wait is longer"),
};

const int config_key_count = (int)(sizeof config_keys / sizeof config_keys[0]);

const struct config_section config_sections[] = {
    {"general", "seed, device, precision, the task, the control, the advantage"},
    {"model", "the model's folder, or the shape of a new one"},
    {"adapter", "low-rank adapters in place of all weights"},
    {"tokenizer", "the tokenizer's folder, or the size of a new one"},
    {"text", "the chat format, or markers put before what is said"},
    {"data", "what is trained on and what is held out"},
    {"train", "how long `train` runs"},
    {"log", "how often a run says how far it is"},
    {"checkpoint", "how often, and how many stay"},
    {"eval", "held-out evaluations during a run"},
    {"infer", "score and generate"},
    {"sft", "supervised fine-tuning"},
    {"rollout", "dialogues that are generated: how many, how long, how sampled"},
    {"history", "how much of a dialogue the model sees"},
    {"attention", "which attention is read"},
    {"coverage", "the form of the term coverage"},
    {"focus", "the form of the term focus"},
    {"floor", "the entropy floor of focus"},
    {"repetition", "the n-grams of rep_hist and rep_self"},
    {"reward", "who gives reward, weights, and how they are scaled"},
    {"salience", "which words of a history count as salient"},
    {"turns", "weights of a dialogue's turns"},
    {"gae", "advantage: gae"},
    {"group", "advantage: group"},
    {"ppo", "clipping, epochs, the loss's mean"},
    {"kl", "distance to the reference"},
    {"policy", "the policy's learning rate, its schedule, clipping of gradients"},
    {"critic", "the critic's learning rate and target"},
    {"learn", "microbatches and passes of an update"},
    {"roles", "which ranks learn"},
    {"pipeline", "how old the sampling weights may be"},
    {"guard", "early stop by a held-out metric"},
    {"watchdog", "the longest wait for another rank"},
};

const int config_section_count = (int)(sizeof config_sections / sizeof config_sections[0]);

const struct config_key *config_key_find(const char *name)
{
    for (int i = 0; i < config_key_count; i++)
        if (!strcmp(config_keys[i].name, name)) return &config_keys[i];
    return NULL;
}

bool config_section_exists(const char *name)
{
    const size_t length = strlen(name);
    for (int i = 0; i < config_key_count; i++)
        if (!strncmp(config_keys[i].name, name, length) && config_keys[i].name[length] == '.')
            return true;
    return false;
}
