/* What a run of `train` tells of itself: measurements, samples, held-out metrics. */
#include "mpi/trainer.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/reward/terms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The turns of a dialogue as JSON lines. */
static status sample_print(const struct trainer *t, const struct experience *one, FILE *out)
{
    const struct tokenizer *tokenizer = t->language->tokenizer;
    status s = NULL;
    for (int64_t k = 0; !s && k < one->turn_count; k++) {
        const struct experience_turn *turn = &one->turns[k];
        char *history = NULL, *reply = NULL, number[40];
        s = tokenizer_decode(tokenizer, turn->history_tokens, turn->history_length, true, &history);
        if (!s)
            s = tokenizer_decode(tokenizer, turn->reply_tokens, turn->reply_length, true, &reply);
        if (!s) {
            json_double_text(number, turn->reward);
            fprintf(out, "{\"dialogue\":%lld,\"turn\":%d,\"candidate\":%d,",
                    (long long)one->dialogue, turn->turn + 1, turn->candidate);
            fprintf(out, "\"reward\":%s,\"history\":", number);
            json_write_text(out, history);
            fputs(",\"reply\":", out);
            json_write_text(out, reply);
            fputs("}\n", out);
        }
        free(history);
        free(reply);
    }
    return s;
}

/* The batch's first two dialogues, whichever learners have them (all learners call). */
status trainer_write_samples(const struct trainer *t, int64_t step,
                             struct experience *const *dialogues, int64_t count)
{
    char *mine = NULL, path[1200];
    size_t size = 0, bytes = 0;
    FILE *stream = memory_stream(&mine, &size);
    status s = NULL;
    for (int64_t e = 0; !s && e < count; e++)
        if (dialogues[e]->dialogue % t->config->rollout.dialogues < 2)
            s = sample_print(t, dialogues[e], stream);
    memory_stream_close(stream);
    void *all = NULL;
    const struct learner_exchange *exchange = &t->learner->exchange;
    if (!s) s = exchange->gather(exchange->context, mine, size, &all, &bytes);
    if (!s && t->world->rank == 0) {
        snprintf(path, sizeof path, "%s/samples", t->folder.options->folder);
        s = directory_create(path);
        snprintf(path, sizeof path, "%s/samples/step-%06lld.jsonl", t->folder.options->folder,
                 (long long)step);
        if (!s) s = file_write(path, all, bytes);
    }
    free(mine);
    free(all);
    return s;
}

enum { METRIC_MOST = 64 };

status trainer_report(struct trainer *t, int64_t step, double seconds,
                      const struct update_metrics *m)
{
    struct metric list[METRIC_MOST];
    char names[METRIC_MOST][64];
    int64_t n = 0;
/* text is read before n moves: it may be names[n]. */
#define ADD(text, number) (list[n] = (struct metric){text, number}, n++)
    ADD("reward", m->reward);
    ADD("kl", m->policy.kl);
    ADD("reply_length", m->reply_length);
    ADD("loss", m->policy.loss);
    ADD("reward_scaled", m->reward_scaled);
    for (int64_t k = 0; k < t->reward.term_count; k++) {
        const char *term = reward_term_name(&t->reward, k);
        snprintf(names[n], sizeof names[n], "%s", term);
        ADD(names[n], m->terms[k]);
        snprintf(names[n], sizeof names[n], "%s_scaled", term);
        ADD(names[n], m->scaled[k]);
        snprintf(names[n], sizeof names[n], "within_share_%s", term);
        ADD(names[n], m->within_share[k]);
    }
    ADD("within_share_reward", m->reward_within_share);
    ADD("gradient_norm", m->policy.gradient_norm);
    ADD("clip_fraction", m->policy.clip_fraction);
    ADD("skipped", m->policy.skipped || m->critic.skipped);
    ADD("ratio_deviation_first", m->first_ratio_deviation);
    ADD("kl_behaviour", m->kl_behaviour);
    ADD("token_entropy", m->token_entropy);
    ADD("salient_share", m->salient_share);
    ADD("salient_empty", m->salient_empty);
    ADD("sink_mass", m->special_mass);
    ADD("end_rate", m->end_rate);
    ADD("distinct_2", m->distinct_2);
    ADD("advantage_deviation", m->advantage_deviation);
    if (t->learner->critic) {
        ADD("critic_loss", m->critic.loss);
        ADD("critic_gradient_norm", m->critic.gradient_norm);
        ADD("explained_variance", m->explained_variance);
    }
#undef ADD
    return run_folder_report(&t->folder, step, seconds, (double)m->tokens, list, n);
}

/* The guard watches one of the metrics. */
status trainer_evaluate(struct trainer *t, int64_t step, bool *stop)
{
    struct evaluation evaluation;
    TRY(evaluate(t->evaluator, t->config, t->language, t->valid, t->config->eval.dialogues, NULL,
                 &evaluation));
    if (!t->overlong_told) evaluation_warn(&evaluation, t->config, t->valid);
    t->overlong_told = true;
    struct metric list[EVAL_COUNT];
    char names[EVAL_COUNT][64];
    int64_t n = 0;
    double watched = 0;
    for (int k = 0; k < EVAL_COUNT; k++) {
        if (!strcmp(evaluation_name[k], t->config->guard.metric)) watched = evaluation.value[k];
        if (!isfinite(evaluation.value[k])) continue;
        snprintf(names[n], sizeof names[n], "eval_%s", evaluation_name[k]);
        list[n] = (struct metric){names[n], evaluation.value[k]};
        n++;
    }
    TRY(run_folder_record(&t->folder, step, list, n));
    const bool lower = !strcmp(t->config->guard.metric, "perplexity");
    const double score = lower ? -watched : watched;
    *stop = run_folder_judge(&t->folder, step, score, t->config->guard.patience);
    if (*stop)
        log_line(LOG_WARNING,
                 "update %lld: held-out %s has not risen for %lld evaluations; "
                 "stopping (guard.patience), the best is step %lld",
                 (long long)step, t->config->guard.metric, (long long)t->folder.worse,
                 (long long)t->folder.best);
    return NULL;
}
