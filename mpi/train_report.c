/* What a run of `train` reports: measurements, samples, held-out metrics. */
#include "mpi/signals.h"
#include "mpi/trainer.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/evaluate/evaluation_error.h"
#include "src/evaluate/evaluation_write.h"
#include "src/evaluate/sample.h"
#include "src/learn/schedule.h"
#include "src/reward/terms.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A record a turn of a dialogue. */
static status dialogue_print(const struct trainer *t, const struct experience *one, FILE *out)
{
    for (int64_t k = 0; k < one->turn_count; k++) {
        struct sample sample = sample_of_turn(one, &one->turns[k]);
        sample.tokenizer = t->run.language->tokenizer;
        sample.running = &t->run.learner->statistics;
        TRY(sample_write(out, &sample));
    }
    return NULL;
}

static bool is_sampled(const struct trainer *t, const struct experience *one)
{
    return one->dialogue % t->run.config->rollout.dialogues < 2;
}

void trainer_record_tokens(const struct trainer *t, struct experience *const *dialogues,
                           int64_t count)
{
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; is_sampled(t, dialogues[e]) && k < dialogues[e]->turn_count; k++) {
            struct experience_turn *turn = &dialogues[e]->turns[k];
            const size_t n = (size_t)turn->reply_length + 1;
            turn->credit = memory_allocate(n * sizeof *turn->credit);
            turn->ratio = memory_allocate(n * sizeof *turn->ratio);
        }
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
        if (is_sampled(t, dialogues[e])) s = dialogue_print(t, dialogues[e], stream);
    memory_stream_close(stream);
    void *all = NULL;
    const struct learner_exchange *exchange = &t->run.learner->exchange;
    if (!s) s = exchange->gather(exchange->context, mine, size, &all, &bytes);
    if (!s && t->run.world->rank == 0) {
        snprintf(path, sizeof path, "%s/samples", t->run.folder.options->folder);
        s = directory_create(path);
        snprintf(path, sizeof path, "%s/samples/step-%06lld.jsonl", t->run.folder.options->folder,
                 (long long)step);
        if (!s) s = file_write(path, all, bytes);
    }
    free(mine);
    free(all);
    return s;
}

/* rollout.interrupt: the share that was cut; means of an update that has none are left out. */
static void interrupted_measure(const struct trainer *t, const struct update_metrics *m,
                                struct metric_list *metrics)
{
    const struct reward_settings *reward = &t->settings.reward;
    if (t->run.config->rollout.interrupt == 0) return;
    metric_list_add(metrics, m->turns ? (double)m->interrupted / (double)m->turns : 0,
                    "interrupted");
    if (!m->interrupted) return;
    metric_list_add(metrics, m->reward_interrupted, "reward_interrupted");
    metric_list_add(metrics, m->reply_length_interrupted, "reply_length_interrupted");
    for (int64_t k = 0; k < reward->term_count; k++)
        metric_list_add(metrics, m->terms_interrupted[k], "%s_interrupted",
                        reward_term_name(reward, k));
}

/* pipeline.lag: how old the weights were that made the batch, and what corrects for it.  The
 * effective share of n weights w is (sum w)^2 / (n sum w^2). */
static void lag_measure(const struct trainer *t, int64_t step, const struct update_metrics *m,
                        struct metric_list *metrics)
{
    const struct step_metrics *p = &m->policy;
    const int64_t lag = t->run.config->pipeline.lag;
    if (lag == 0) return;
    metric_list_add(metrics, (double)(step < lag ? step : lag), "staleness");
    if (!t->run.learner->settings.lag_truncated || p->importance_squares == 0) return;
    metric_list_add(metrics, p->importance, "lag_weight_mean");
    metric_list_add(metrics, p->importance_most, "lag_weight_max");
    metric_list_add(metrics, p->truncated, "lag_truncated");
    metric_list_add(metrics, p->importance * p->importance / p->importance_squares,
                    "lag_effective");
}

void trainer_measure(const struct trainer *t, int64_t step, const struct update_metrics *m,
                     struct metric_list *metrics)
{
    metric_list_add(metrics, m->reward, "reward");
    metric_list_add(metrics, m->policy.kl, "kl");
    metric_list_add(metrics, m->reply_length, "reply_length");
    metric_list_add(metrics, m->policy.loss, "loss");
    metric_list_add(metrics, m->reward_scaled, "reward_scaled");
    for (int64_t k = 0; k < t->settings.reward.term_count; k++) {
        const char *term = reward_term_name(&t->settings.reward, k);
        metric_list_add(metrics, m->terms[k], "%s", term);
        metric_list_add(metrics, m->scaled[k], "%s_scaled", term);
        metric_list_add(metrics, m->within_share[k], "within_share_%s", term);
        if (reward_term_given(&t->settings.reward, k))
            metric_list_add(metrics, m->milliseconds[k], "%s_ms", term);
    }
    metric_list_add(metrics, m->reward_within_share, "within_share_reward");
    metric_list_add(metrics, m->policy.gradient_norm, "gradient_norm");
    metric_list_add(metrics, m->policy.clip_fraction, "clip_fraction");
    metric_list_add(metrics, m->skipped, "skipped");
    metric_list_add(metrics, (double)t->run.learner->skips.total, "skipped_total");
    metric_list_add(metrics, m->first_ratio_deviation, "ratio_deviation_first");
    lag_measure(t, step, m, metrics);
    metric_list_add(metrics, (double)m->rollout.computed, "rollout_tokens_computed");
    metric_list_add(metrics, (double)m->rollout.pairs, "rollout_tokens_pairs");
    metric_list_add(metrics, m->policy.tokens_computed, "learn_tokens_computed");
    metric_list_add(metrics, m->policy.tokens_pairs, "learn_tokens_pairs");
    metric_list_add(metrics, m->kl_behaviour, "kl_behaviour");
    metric_list_add(metrics, m->token_entropy, "token_entropy");
    metric_list_add(metrics, m->salient_share, "salient_share");
    metric_list_add(metrics, m->salient_empty, "salient_empty");
    if (t->run.config->history.prune) {
        metric_list_add(metrics, m->history_dropped, "history_dropped");
        metric_list_add(metrics, m->histories_pruned, "histories_pruned");
        metric_list_add(metrics, m->histories_short, "histories_short");
    }
    for (int64_t k = 0; k < m->statistics.count; k++)
        metric_list_add(metrics, m->statistics.list[k].value, "%s", m->statistics.list[k].name);
    metric_list_add(metrics, m->end_rate, "end_rate");
    interrupted_measure(t, m, metrics);
    for (int k = 0; k < 2 && m->speaker_replies; k++) {
        const char *who = k ? "others" : "asking";
        metric_list_add(metrics, m->speaker_mass[k], "speaker_mass_%s", who);
        metric_list_add(metrics, m->speaker_coverage[k], "speaker_coverage_%s", who);
    }
    if (t->run.config->group.filter)
        metric_list_add(metrics, (double)m->groups_dropped, "groups_dropped");
    if (t->run.config->reward.overlong > 0) metric_list_add(metrics, m->overlong, "overlong");
    if (t->run.config->returns.center)
        metric_list_add(metrics, t->run.learner->statistics.reward.mean, "reward_center");
    if (t->settings.reward.block) {
        metric_list_add(metrics, m->blocks, "blocks");
        metric_list_add(metrics, m->return_blocks_correlation, "return_blocks_correlation");
        metric_list_add(metrics, m->answer_missing, "answer_missing");
        for (int d = 0; t->settings.cot.deep && d < BLOCK_DEPTHS_LOGGED; d++)
            metric_list_add(metrics, m->blocks_by_depth[d], "blocks_depth_%d", d);
        if (t->settings.cot.deep) metric_list_add(metrics, m->sub_unbalanced, "sub_unbalanced");
        if (t->run.config->cot.reason_tokens)
            metric_list_add(metrics, m->answer_forced, "answer_forced");
    }
    metric_list_add(metrics, m->distinct_2, "distinct_2");
    metric_list_add(metrics, m->advantage_deviation, "advantage_deviation");
    if (t->run.learner->critic) {
        metric_list_add(metrics, m->critic.loss, "critic_loss");
        metric_list_add(metrics, m->critic.gradient_norm, "critic_gradient_norm");
        metric_list_add(metrics, m->explained_variance, "explained_variance");
    }
}

static void figure_add(struct metric_list *metrics, const char *name, const char *what,
                       const struct audit_figure *figure)
{
    if (isfinite(figure->value)) metric_list_add(metrics, figure->value, "audit_%s%s", name, what);
    if (isfinite(figure->error))
        metric_list_add(metrics, figure->error, "audit_%s%s_error", name, what);
}

/* "0.41 (0.02)", or "0.41 (-)" of too few dialogues. */
static const char *figure_text(const struct audit_figure *figure, char text[64])
{
    if (!isfinite(figure->value)) return "-";
    if (isfinite(figure->error))
        snprintf(text, 64, "%.4g (%.2g)", figure->value, figure->error);
    else
        snprintf(text, 64, "%.4g (-)", figure->value);
    return text;
}

static void audit_say(const struct audit_report *audit, const char *judge, int64_t done)
{
    char reward[64], judged[64], correlation[64];
    log_line(LOG_INFO,
             "train %lld: audit of %lld dialogues, errors in brackets: reward_scaled %s, %s %s, "
             "correlation within a turn's replies %s",
             (long long)done, (long long)audit->dialogues,
             figure_text(&audit->part[AUDIT_REWARD], reward), judge,
             figure_text(&audit->part[AUDIT_JUDGE], judged),
             figure_text(&audit->part[AUDIT_CORRELATION], correlation));
    if (audit->alarm == AUDIT_PARTED)
        log_line(LOG_WARNING,
                 "train %lld: since the first audit reward_scaled has changed by %s and %s by %s: "
                 "the policy is climbing a reward that no longer stands for %s",
                 (long long)done, figure_text(&audit->change[AUDIT_REWARD], reward), judge,
                 figure_text(&audit->change[AUDIT_JUDGE], judged), judge);
    if (audit->alarm == AUDIT_AGAINST)
        log_line(LOG_WARNING,
                 "train %lld: for the second audit in a row or more the reward ranks the replies "
                 "to a turn against %s (correlation %s): what it teaches is less of %s",
                 (long long)done, judge, figure_text(&audit->part[AUDIT_CORRELATION], correlation),
                 judge);
}

void trainer_audit(const struct trainer *t, int64_t done, struct metric_list *metrics)
{
    static const char *const names[AUDIT_PARTS] = {"reward_scaled", "judge", "correlation"};
    const struct audit_report *audit = &t->audit;
    const int64_t judge = t->run.learner->settings.audit_judge;
    for (int p = 0; p < AUDIT_PARTS; p++) figure_add(metrics, names[p], "", &audit->part[p]);
    for (int p = 0; !audit->first && p < AUDIT_PARTS; p++)
        figure_add(metrics, names[p], "_change", &audit->change[p]);
    metric_list_add(metrics, (double)audit->dialogues, "audit_dialogues");
    metric_list_add(metrics, audit->alarm != AUDIT_FINE, "audit_alarm");
    audit_say(audit, reward_term_name(&t->settings.reward, judge), done);
}

void trainer_measure_rates(const struct trainer *t, int64_t step, struct metric_list *metrics)
{
    const struct learn_settings *s = &t->run.learner->settings;
    metric_list_add(metrics, schedule_rate(s->schedule, s->policy_lr, s->warmup, step, s->updates),
                    "learning_rate");
    if (t->run.learner->critic)
        metric_list_add(metrics,
                        schedule_rate(s->schedule, s->critic_lr, s->warmup, step, s->updates),
                        "critic_learning_rate");
}

static void first_path(const struct trainer *t, char path[1200])
{
    snprintf(path, 1200, "%s/evaluation-first.json", t->run.folder.options->folder);
}

void trainer_resume_evaluations(struct trainer *t)
{
    char path[1200];
    const struct run_folder *folder = &t->run.folder;
    first_path(t, path);
    status s = evaluation_first_read(path, &t->evaluation, &t->first);
    if (s)
        log_line(LOG_WARNING, "%s; evaluations are not held against the first one",
                 status_message(s));
    status_free(s);
    /* One that was made after the checkpoint is made again. */
    if (t->first.there && t->first.step > folder->start) evaluation_first_free(&t->first);
}

/* The run's first evaluation is written down; a later one of the same dialogues is held against it:
 * changes with their errors.  A run that is older than this file has no first one. */
static status first_compare(struct trainer *t, const struct evaluation *evaluation,
                            struct metric_list *metrics)
{
    const int64_t step = t->run.world->step;
    char path[1200], lines[SHA256_HEX];
    TRY(evaluation_lines(t->run.valid, evaluation->dialogues, lines));
    if (!t->first.there && t->run.folder.evaluations.evaluated < 0) {
        evaluation_first_take(&t->first, step, evaluation, lines);
        first_path(t, path);
        return evaluation_write(path, step, &t->evaluation, &t->evaluators, evaluation,
                                t->run.valid);
    }
    if (!t->first.there || t->first.step >= step || strcmp(t->first.lines, lines) != 0 ||
        t->first.dialogues != evaluation->dialogues)
        return NULL;
    for (int64_t m = 0; m < evaluation_count(&t->evaluation); m++) {
        const char *name = evaluation_name(&t->evaluation, m);
        const struct evaluation_change change =
            evaluation_change(&t->first, evaluation, &t->evaluation, m);
        if (!isfinite(change.value) || !isfinite(change.error)) continue;
        metric_list_add(metrics, change.value, "eval_%s_change", name);
        metric_list_add(metrics, change.error, "eval_%s_change_error", name);
    }
    return NULL;
}

/* A metric and, where it is a mean over enough dialogues, its standard error. */
static void evaluation_measure(struct trainer *t, const struct evaluation *evaluation,
                               struct metric_list *metrics)
{
    if (!t->overlong_logged) evaluation_warn(evaluation, t->run.valid);
    t->overlong_logged = true;
    for (int64_t m = 0; m < evaluation_count(&t->evaluation); m++) {
        const char *name = evaluation_name(&t->evaluation, m);
        const double error = evaluation_error(evaluation, &t->evaluation, m);
        if (!isfinite(evaluation->value[m])) continue;
        metric_list_add(metrics, evaluation->value[m], "eval_%s", name);
        if (isfinite(error)) metric_list_add(metrics, error, "eval_%s_error", name);
    }
    if (t->evaluation.sampling.reward.block && isfinite(evaluation->reasoning_ms))
        metric_list_add(metrics, evaluation->reasoning_ms, "eval_reasoning_ms");
}

status trainer_evaluate(struct trainer *t, struct metric_list *metrics, bool *stopped)
{
    struct evaluation evaluation;
    const struct config *config = t->run.config;
    status s = evaluate(&t->evaluators, &t->evaluation, t->run.language, t->run.valid,
                        config->eval.dialogues, NULL, signals_stop_asked, &evaluation);
    *stopped = !s && evaluation.stopped;
    if (!s && !*stopped) {
        evaluation_measure(t, &evaluation, metrics);
        s = first_compare(t, &evaluation, metrics);
    }
    evaluation_free(&evaluation);
    return s;
}
