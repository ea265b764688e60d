/* A whole PPO update: gathers the batch's rewards in dialogue order, computes advantages (the same
 * on every learner), then takes ppo.epochs steps on its own slice. */
#include "src/learn/update.h"

#include "src/base/memory.h"
#include "src/base/timeline.h"
#include "src/learn/credit.h"
#include "src/learn/schedule.h"
#include "src/learn/span_turns.h"
#include "src/learn/token_record.h"
#include "src/reward/blocks.h"
#include "src/reward/returns.h"
#include "src/reward/token_credit.h"
#include "src/rollout/experience_spans.h"
#include "src/rollout/speakers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Distinct bigrams over bigrams, of token ids; 1 for a reply without any. */
static double distinct_bigrams(const int32_t *tokens, int64_t count)
{
    int64_t distinct = 0;
    for (int64_t i = 0; i + 1 < count; i++) {
        bool seen = false;
        for (int64_t j = 0; j < i && !seen; j++)
            seen = tokens[j] == tokens[i] && tokens[j + 1] == tokens[i + 1];
        distinct += !seen;
    }
    return count < 2 ? 1 : (double)distinct / (double)(count - 1);
}

/* What kl.in: reward takes off a span, the tokens that were put there left out. */
static double span_kl(const struct reward_settings *reward, const struct experience_turn *turn,
                      const struct experience_span *span, const struct learn_turn *learn)
{
    double sum = 0;
    for (int32_t t = span->begin, end; t < span->end; t = end) {
        for (end = t + 1;
             end < span->end && token_forced(turn->marks, end) == token_forced(turn->marks, t);)
            end++;
        if (!token_forced(turn->marks, t))
            sum += reward_kl(reward, learn->logp_old + t, learn->logp_ref + t, end - t);
    }
    return sum;
}

/* What is of the whole reply, in each of its spans. */
static struct batch_item item_of_reply(const struct experience *experience,
                                       const struct experience_turn *turn,
                                       const struct learn_turn *learn)
{
    struct batch_item item = {
        .key = {experience->dialogue, turn->turn + 1, turn->candidate, 0},
        .reply_tokens = turn->reply_length,
        .visible = turn->visible_count,
        .dropped_tokens = turn->dropped,
        .pruned = turn->pruned > 0,
        .whole = turn->whole > 0,
        .salient = turn->salient_count,
        .token_entropy = token_mean(turn->token_entropy, turn->marks, turn->reply_length),
        .distinct_2 = distinct_bigrams(turn->reply_tokens, turn->reply_length),
        .spans = (int32_t)experience_spans(turn),
        .chosen = turn->chosen,
        .ended = turn->ended,
        .interrupted = turn->interrupted,
        .answered = turn->answered,
        .unbalanced = turn->unbalanced};
    struct speaker_attention speakers;
    if (speakers_of_turn(turn, experience->format.reward->coverage_form, &speakers))
        item.speakers = speakers_part(&speakers, item.speaker_mass, item.speaker_coverage);
    for (int32_t t = 0; t < turn->reply_length; t++) {
        item.forced += token_forced(turn->marks, t);
        if (learn->logp_ref && !token_forced(turn->marks, t))
            item.kl_sum += (double)learn->logp_old[t] - (double)learn->logp_ref[t];
    }
    return item;
}

/* What no advantage may be made of, whichever learner has it. */
static bool item_broken(const struct learn_settings *settings, const struct batch_item *item)
{
    const double most = settings->reward_max;
    const double reward = reward_combine(&settings->reward, item->terms, NULL, item->reply_tokens);
    return !isfinite(reward) || !isfinite(item->kl_sum) || !isfinite(item->token_entropy) ||
           !isfinite(item->value) || (most > 0 && fabs(reward) > most);
}

/* The reward of a span of the reply; value: the critic's before it. */
static struct batch_item item_of_span(const struct learner *l, const struct batch_item *reply,
                                      const struct experience_turn *turn, int64_t span_index,
                                      const struct learn_turn *learn, double value)
{
    const struct experience_span span = experience_span(turn, span_index);
    struct batch_item item = *reply;
    item.key.span = (int32_t)span_index;
    item.span = (struct span){.begin = span.begin, .end = span.end};
    item.value = value;
    item.answer = turn->answered && span_index + 1 == item.spans;
    item.depth = token_depth(turn->marks, span.begin);
    memcpy(item.terms, span.terms, sizeof item.terms);
    if (learn->logp_ref && l->settings.kl_in == KL_IN_REWARD)
        item.kl_reward = span_kl(&l->settings.reward, turn, &span, learn);
    item.broken = item_broken(&l->settings, &item);
    return item;
}

/* This learner's part of the batch; all arrays owned. */
struct slice {
    int64_t turn_count, item_count;
    struct learn_turn *turns;
    float *advantages;           /* what the turns' point into */
    float *refs;                 /* NULL without a reference */
    float *begun;                /* NULL without lag_truncated */
    const float **entropies;     /* [turn_count] of the replies' tokens */
    bool *dropped;               /* [item_count] by group.filter, of what the policy reads */
    int64_t *span_count;         /* [turn_count] */
    struct span_turns spans;     /* [item_count] what the critic reads */
    double *values;              /* [item_count] */
    struct batch_item *items;    /* as the spans lie */
    int64_t *begin, *span_begin; /* of microbatches: turns; spans */
};

static void slice_free(struct slice *slice)
{
    free(slice->turns);
    free(slice->advantages);
    free(slice->refs);
    free(slice->begun);
    free(slice->entropies);
    free(slice->dropped);
    free(slice->span_count);
    span_turns_free(&slice->spans);
    free(slice->values);
    free(slice->items);
    free(slice->begin);
    free(slice->span_begin);
}

/* begin and span_begin of this learner's microbatches, by the place of each experience in the
 * batch. */
static void slice_cut(const struct learner *l, struct experience *const *experiences, int64_t count,
                      int64_t dialogues, struct slice *slice)
{
    const int64_t mine = learner_microbatches(l), first = mine * l->exchange.rank;
    const int64_t all = l->settings.microbatches, base = microbatch_first(all, dialogues, first);
    int64_t turn = 0, span = 0, place = 0;
    for (int64_t i = 0; i < mine; i++) {
        const int64_t end = microbatch_first(all, dialogues, first + i + 1) - base;
        for (; place < end && place < count; place++)
            for (int64_t k = 0; k < experiences[place]->turn_count; k++)
                span += slice->span_count[turn++];
        slice->begin[i + 1] = turn;
        slice->span_begin[i + 1] = span;
    }
}

/* What the critic reads of the turns, and room for what it says. */
static void spans_open(struct experience *const *experiences, int64_t count, struct slice *slice)
{
    for (int64_t e = 0, i = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, i++) {
            slice->span_count[i] = experience_spans(&experiences[e]->turns[k]);
            slice->item_count += slice->span_count[i];
        }
    const size_t n = (size_t)slice->item_count + 1;
    int32_t *begin = memory_allocate(n * sizeof *begin);
    for (int64_t e = 0, at = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++)
            for (int64_t s = 0; s < experience_spans(&experiences[e]->turns[k]); s++)
                begin[at++] = experience_span(&experiences[e]->turns[k], s).begin;
    span_turns_make(&slice->spans, slice->turns, slice->turn_count, slice->span_count, begin);
    free(begin);
    slice->values = memory_allocate(n * sizeof *slice->values);
    slice->items = memory_allocate(n * sizeof *slice->items);
    slice->dropped = memory_allocate(n * sizeof *slice->dropped);
}

/* The experiences as turns; references, values and items are still to be made. */
static void slice_open(const struct learner *l, struct experience *const *experiences,
                       int64_t count, int64_t dialogues, struct slice *slice)
{
    int64_t turn_count = 0, tokens = 0;
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, turn_count++)
            tokens += experiences[e]->turns[k].reply_length;
    const size_t n = (size_t)turn_count + 1, bytes = (size_t)tokens * sizeof(float) + 4;
    const size_t begins = (size_t)learner_microbatches(l) + 1;
    *slice = (struct slice){.turn_count = turn_count,
                            .turns = memory_allocate(n * sizeof *slice->turns),
                            .advantages = memory_allocate(bytes),
                            .refs = l->reference ? memory_allocate(bytes) : NULL,
                            .begun = l->settings.lag_truncated ? memory_allocate(bytes) : NULL,
                            .entropies = memory_allocate(n * sizeof *slice->entropies),
                            .span_count = memory_allocate(n * sizeof *slice->span_count),
                            .begin = memory_allocate(begins * sizeof *slice->begin),
                            .span_begin = memory_allocate(begins * sizeof *slice->span_begin)};
    int64_t i = 0, at = 0;
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, i++) {
            const struct experience_turn *turn = &experiences[e]->turns[k];
            slice->entropies[i] = turn->token_entropy;
            slice->turns[i] =
                (struct learn_turn){.history = turn->history_tokens,
                                    .reply = turn->reply_tokens,
                                    .history_count = turn->history_length,
                                    .cuts = turn->cuts,
                                    .cut_count = turn->cut_count,
                                    .reply_count = turn->reply_length,
                                    .logp_old = turn->logp,
                                    .logp_ref = slice->refs ? slice->refs + at : NULL,
                                    .logp_begun = slice->begun ? slice->begun + at : NULL,
                                    .marks = turn->marks,
                                    .advantage = slice->advantages + at};
            at += turn->reply_length;
        }
    spans_open(experiences, count, slice);
    slice_cut(l, experiences, count, dialogues, slice);
}

/* Every dialogue has the terms that are summed here. */
static status terms_check(const struct reward_settings *reward,
                          struct experience *const *experiences, int64_t count)
{
    for (int64_t e = 0; e < count; e++)
        if (experiences[e]->format.reward->term_count != reward->term_count)
            FAIL(STATUS_INTERNAL, "dialogue %lld has %lld terms, %lld are summed here",
                 (long long)experiences[e]->dialogue,
                 (long long)experiences[e]->format.reward->term_count,
                 (long long)reward->term_count);
    return NULL;
}

/* What the policy reads: turns, or their spans. */
static struct learn_turn *policy_turns(const struct learner *l, const struct slice *slice,
                                       int64_t *count)
{
    *count = l->settings.reencode ? slice->spans.count : slice->turn_count;
    return l->settings.reencode ? slice->spans.turns : slice->turns;
}

static status references_read(struct learner *l, const struct slice *slice)
{
    int64_t count;
    const struct learn_turn *turns = policy_turns(l, slice, &count);
    float **logp = memory_allocate(((size_t)count + 1) * sizeof *logp);
    for (int64_t i = 0; i < count; i++) logp[i] = turns[i].logp_ref;
    status s = learner_logp(l, l->reference_run, turns, count, logp);
    free(logp);
    return s;
}

/* What the reference and the critic say of the turns, and the items made of it. */
static status slice_read(struct learner *l, struct experience *const *experiences, int64_t count,
                         struct slice *slice)
{
    TRY(terms_check(&l->settings.reward, experiences, count));
    timeline_begin(TIME_READ);
    status s = slice->refs ? references_read(l, slice) : NULL;
    if (!s && l->critic)
        s = learner_values(l, slice->spans.turns, slice->spans.count, slice->values);
    timeline_end();
    TRY(s);
    int64_t i = 0, at = 0;
    for (int64_t e = 0; e < count; e++)
        for (int64_t k = 0; k < experiences[e]->turn_count; k++, i++) {
            const struct experience_turn *turn = &experiences[e]->turns[k];
            const struct batch_item reply = item_of_reply(experiences[e], turn, &slice->turns[i]);
            for (int64_t span = 0; span < slice->span_count[i]; span++, at++)
                slice->items[at] =
                    item_of_span(l, &reply, turn, span, &slice->turns[i], slice->values[at]);
        }
    return NULL;
}

/* credit.form: each token's part of its reply's advantage. */
static void advantages_weigh(const struct learn_settings *settings, const struct turn_key *reply,
                             const float *entropy, const uint8_t *marks, int64_t count,
                             float *advantages)
{
    if (settings->credit_form == CREDIT_UNIFORM) return;
    double *weights = memory_allocate(((size_t)count + 1) * sizeof *weights);
    token_credit(settings->credit_form, settings->seed, reply, entropy, marks, count, weights);
    for (int64_t t = 0; t < count; t++) advantages[t] = (float)((double)advantages[t] * weights[t]);
    free(weights);
}

/* Advantages of my turns and targets of their spans from all learners' items, among which mine lie
 * together and in the same order. */
static status slice_credit(const struct learn_settings *settings, struct slice *slice,
                           const struct batch_item *all, int64_t count)
{
    int64_t from = 0, at = 0;
    while (slice->item_count && from < count &&
           !turn_key_same_reply(&all[from].key, &slice->items[0].key))
        from++;
    struct span *spans = memory_allocate(((size_t)slice->item_count + 1) * sizeof *spans);
    float *advantages = slice->advantages;
    status s = NULL;
    for (int64_t i = 0; !s && i < slice->turn_count; i++) {
        const struct batch_item *first = &all[from + at];
        const int64_t tokens = slice->turns[i].reply_count;
        for (int64_t k = 0; k < slice->span_count[i]; k++, at++) {
            spans[k] = all[from + at].span;
            slice->spans.turns[at].target = all[from + at].target;
            slice->dropped[settings->reencode ? at : i] = first->dropped;
        }
        s = spans_expand(spans, slice->span_count[i], tokens, advantages);
        if (!s)
            advantages_weigh(settings, &first->key, slice->entropies[i], slice->turns[i].marks,
                             tokens, advantages);
        advantages += tokens;
    }
    free(spans);
    return s;
}

/* Takes out of the policy's microbatches, which begin at `begin`, what group.filter drops; returns
 * what is left.  Nothing else reads the turns after this. */
static int64_t turns_filter(struct learn_turn *turns, const bool *dropped, int64_t *begin,
                            int64_t microbatches)
{
    int64_t kept = 0, at = 0;
    for (int64_t m = 0; m < microbatches; m++) {
        for (; at < begin[m + 1]; at++)
            if (!dropped[at]) turns[kept++] = turns[at];
        begin[m + 1] = kept;
    }
    return kept;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What the policy learns from; the critic, where there is one, drops nothing. */
static struct learn_batch policy_batch(const struct learner *l, struct slice *slice,
                                       const struct update_metrics *metrics)
{
    int64_t count;
    struct learn_batch batch = {.turns = policy_turns(l, slice, &count),
                                .begin = l->settings.reencode ? slice->span_begin : slice->begin,
                                .all_tokens = larger(metrics->learned_tokens, 1),
                                .all_turns = larger(metrics->learned_turns, 1)};
    batch.turn_count = count;
    if (!l->settings.group_filter) return batch;
    int64_t *begin = l->settings.reencode ? slice->span_begin : slice->begin;
    batch.turn_count = turns_filter(batch.turns, slice->dropped, begin, learner_microbatches(l));
    return batch;
}

static status epochs_run(struct learner *l, struct learn_batch *batch,
                         const struct learn_batch *critic_batch, int64_t step,
                         struct update_metrics *out)
{
    const struct learn_settings *s = &l->settings;
    const double policy_lr = schedule_rate(s->schedule, s->policy_lr, s->warmup, step, s->updates);
    const double critic_lr = schedule_rate(s->schedule, s->critic_lr, s->warmup, step, s->updates);
    /* A gradient of nothing would still move the weights, by what earlier ones left in the moments.
     */
    const bool nothing = out->groups_dropped && !out->learned_turns;
    for (int64_t epoch = 0; epoch < s->epochs; epoch++) {
        if (!nothing && !(l->critic && step < s->critic_warmup)) {
            l->last_step = epoch + 1 == s->epochs;
            TRY(learner_step(l, &loss_ppo, batch, policy_lr, &out->policy));
            if (!epoch) out->first_ratio_deviation = out->policy.ratio_deviation;
            batch->begun = true;
        }
        if (l->critic) TRY(learner_step(l, &loss_critic, critic_batch, critic_lr, &out->critic));
        out->skipped |= out->policy.skipped || out->critic.skipped;
    }
    return NULL;
}

/* Update `step` is done: the weights' version is another, whether they changed or not. */
static status versions_advance(struct learner *l, int64_t step)
{
    const struct learn_settings *s = &l->settings;
    TRY(model_refresh_update(l->policy, step + 1));
    if (s->reference_every && (step + 1) % s->reference_every == 0)
        TRY(learner_move_reference(l, step + 1));
    return l->critic ? value_model_refresh_update(l->critic, step + 1) : NULL;
}

/* Everybody's items; the caller frees *all. */
static status items_gather(struct learner *l, const struct slice *slice, struct batch_item **all,
                           int64_t *count)
{
    void *bytes = NULL;
    size_t size = 0;
    TRY(l->exchange.gather(l->exchange.context, slice->items,
                           (size_t)slice->item_count * sizeof *slice->items, &bytes, &size));
    *all = bytes;
    *count = (int64_t)(size / sizeof **all);
    return NULL;
}

/* Over all learners' dialogues. */
static status rollout_tokens_sum(struct learner *l, struct experience *const *experiences,
                                 int64_t count, struct experience_tokens *out)
{
    struct experience_tokens mine = {0};
    void *all = NULL;
    size_t size = 0;
    for (int64_t e = 0; e < count; e++)
        experience_tokens_add(experiences[e], model_shape_is_causal(model_shape(l->policy)), &mine);
    TRY(l->exchange.gather(l->exchange.context, &mine, sizeof mine, &all, &size));
    const struct experience_tokens *each = all;
    for (size_t i = 0; i < size / sizeof *each; i++) {
        out->computed += each[i].computed;
        out->pairs += each[i].pairs;
    }
    free(all);
    return NULL;
}

/* Of the sources, over all learners' dialogues; runs without given terms have none. */
static status milliseconds_sum(struct learner *l, struct experience *const *experiences,
                               int64_t count, double out[TERM_MAX])
{
    const struct reward_settings *reward = &l->settings.reward;
    double mine[TERM_MAX] = {0};
    void *all = NULL;
    size_t size = 0;
    bool given = false;
    for (int64_t t = 0; t < reward->term_count; t++) given |= reward_term_given(reward, t);
    if (!given) return NULL;
    for (int64_t e = 0; e < count; e++)
        for (int t = 0; t < TERM_MAX; t++) mine[t] += experiences[e]->milliseconds[t];
    TRY(l->exchange.gather(l->exchange.context, mine, sizeof mine, &all, &size));
    const double *each = all;
    for (size_t i = 0; i < size / sizeof *each; i++) out[i % TERM_MAX] += each[i];
    free(all);
    return NULL;
}

/* The batch of a whole update, of all learners' items. */
struct gathered {
    struct batch_item *items;
    int64_t count;
    double divisors[TERM_MAX];
};

static int64_t broken_count(const struct gathered *all)
{
    int64_t broken = 0;
    for (int64_t i = 0; i < all->count; i++) broken += all->items[i].broken;
    return broken;
}

/* What is credited, and the audit's window: nothing of it for a batch with a broken item. */
static status gathered_credit(struct learner *l, struct gathered *all, int64_t step,
                              struct update_metrics *out)
{
    const int64_t every = l->settings.audit_every;
    out->broken = broken_count(all);
    out->skipped = out->broken > 0;
    for (int t = 0; t < TERM_MAX; t++) all->divisors[t] = 1;
    if (out->skipped) return NULL;
    TRY(credit_assign(&l->settings, &l->statistics, all->items, all->count, all->divisors));
    return every ? audit_add(&l->audit, &l->settings.reward, l->settings.audit_judge, all->items,
                             all->count, all->divisors, (step + 1) % every == 0, &out->audit)
                 : NULL;
}

status ppo_update(struct learner *l, struct experience *const *experiences, int64_t count,
                  int64_t dialogues, int64_t step, struct update_metrics *out)
{
    memset(out, 0, sizeof *out);
    struct slice slice;
    struct token_record record = {0};
    struct gathered all = {.items = NULL};
    slice_open(l, experiences, count, dialogues, &slice);
    status s = slice_read(l, experiences, count, &slice);
    if (!s) s = items_gather(l, &slice, &all.items, &all.count);
    if (!s) s = gathered_credit(l, &all, step, out);
    if (!s) s = update_metrics_fill(&l->settings.reward, all.items, all.count, all.divisors, out);
    const struct statistic_sizes sizes = {.layers = l->settings.captured_layers,
                                          .heads = model_shape(l->policy)->heads};
    if (!s)
        s = statistic_metrics_fill(&l->exchange, l->table, &sizes, experiences, count,
                                   &out->statistics);
    if (!s) s = rollout_tokens_sum(l, experiences, count, &out->rollout);
    if (!s) s = milliseconds_sum(l, experiences, count, out->milliseconds);
    if (!s) s = slice_credit(&l->settings, &slice, all.items, all.count);
    if (!s) {
        int64_t parts;
        const struct learn_turn *turns = policy_turns(l, &slice, &parts);
        token_record_begin(&record, experiences, count, turns,
                           l->settings.reencode ? slice.span_count : NULL);
        struct learn_batch batch = policy_batch(l, &slice, out);
        struct learn_batch critic_batch = batch;
        critic_batch.turns = slice.spans.turns;
        critic_batch.turn_count = slice.spans.count;
        critic_batch.begin = slice.span_begin;
        critic_batch.all_turns = larger(out->spans, 1);
        if (!out->skipped) s = epochs_run(l, &batch, &critic_batch, step, out);
    }
    if (!s) s = versions_advance(l, step);
    if (!s) s = token_record_end(&record, l);
    token_record_free(&record);
    learner_count_skip(l, out->skipped);
    free(all.items);
    slice_free(&slice);
    return s;
}
