/* The held-out metrics; see evaluate.h. */
#include "src/evaluate/evaluate.h"

#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/data/corpus.h"
#include "src/evaluate/others.h"
#include "src/evaluate/own_history.h"
#include "src/evaluate/sample.h"
#include "src/evaluate/state_metrics.h"
#include "src/reward/terms.h"
#include "src/rollout/blocks.h"
#include "src/rollout/judge.h"
#include "src/task/history_walk.h"
#include "src/text/text_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The evaluated turns: prompts, sampled and gold replies, texts. */
struct held_out {
    struct prompt *prompts;
    struct reply_row *rows;
    struct reply *replies, *gold;
    struct given_reply *given; /* the gold ones, with tokens in gold_tokens */
    int32_t **gold_tokens;
    double (*terms)[TERM_MAX]; /* raw, of the sampled replies */
    char **texts;
    const char **references;
    char *const **slots; /* NULL where a turn carries none */
    const struct dialogue **dialogue;
    int64_t *message;          /* the gold reply's, in its dialogue */
    struct own_histories *own; /* NULL: histories are the data's */
    int64_t count;
};

static void held_out_free(struct held_out *h)
{
    for (int64_t i = 0; i < h->count; i++) {
        prompt_free(&h->prompts[i]);
        reply_free(&h->replies[i]);
        reply_free(&h->gold[i]);
        free(h->gold_tokens[i]);
        free(h->texts[i]);
    }
    free(h->prompts);
    free(h->rows);
    free(h->replies);
    free(h->gold);
    free(h->given);
    free(h->gold_tokens);
    free(h->terms);
    free(h->texts);
    free(h->references);
    free(h->slots);
    free(h->dialogue);
    free(h->message);
    own_histories_free(h->own);
}

struct collector {
    const struct rollout_settings *settings;
    const struct language *language;
    int64_t place; /* of the dialogue in the data */
    struct held_out *held_out;
    struct evaluation *out; /* its overlong turns */
};

/* A message_visitor: the assistant's turns. */
static status turn_add(void *context, const struct history *history,
                       const struct dialogue *dialogue, int64_t message)
{
    const struct collector *collector = context;
    const struct language *language = collector->language;
    struct held_out *h = collector->held_out;
    if (!history_turn(history) || message == dialogue->message_count ||
        dialogue->messages[message].role != ROLE_ASSISTANT)
        return NULL;
    bool fits;
    TRY(history_fits(history, &fits));
    if (!fits) {
        if (!collector->out->overlong++) collector->out->overlong_line = dialogue->line;
        return NULL;
    }
    const int64_t i = h->count;
    TRY(prompt_from_history(history, collector->settings, &h->prompts[i]));
    h->count++;
    h->rows[i] = (struct reply_row){
        (int32_t)i, {(uint32_t)collector->place, (uint32_t)h->prompts[i].turn, 0}, 0};
    TRY(reply_encode(&language->history, ROLE_ASSISTANT, dialogue->messages[message].content,
                     &h->gold_tokens[i], &h->given[i].count));
    h->given[i].tokens = h->gold_tokens[i];
    h->given[i].ended = true;
    h->references[i] = dialogue->messages[message].content;
    h->slots[i] = dialogue->slots ? dialogue->slots[message] : NULL;
    h->dialogue[i] = dialogue;
    h->message[i] = message;
    return NULL;
}

static status held_out_make(const struct rollout_settings *settings,
                            const struct language *language, const struct dataset *data,
                            int64_t dialogues, struct held_out *h, struct evaluation *out)
{
    int64_t max_turns = 1;
    const int64_t limit = dialogues > 0 && dialogues < data->count ? dialogues : data->count;
    for (int64_t d = 0; d < limit; d++) max_turns += data->dialogues[d].message_count;
    memset(h, 0, sizeof *h);
    out->dialogues = limit;
    out->parts = memory_allocate((size_t)limit * sizeof *out->parts);
    const size_t n = (size_t)max_turns;
    h->prompts = memory_allocate(n * sizeof *h->prompts);
    h->rows = memory_allocate(n * sizeof *h->rows);
    h->replies = memory_allocate(n * sizeof *h->replies);
    h->gold = memory_allocate(n * sizeof *h->gold);
    h->given = memory_allocate(n * sizeof *h->given);
    h->gold_tokens = memory_allocate(n * sizeof *h->gold_tokens);
    h->terms = memory_allocate(n * sizeof *h->terms);
    h->texts = memory_allocate(n * sizeof *h->texts);
    h->references = memory_allocate(n * sizeof *h->references);
    h->slots = memory_allocate(n * sizeof *h->slots);
    h->dialogue = memory_allocate(n * sizeof *h->dialogue);
    h->message = memory_allocate(n * sizeof *h->message);
    struct collector collector = {settings, language, 0, h, out};
    for (int64_t d = 0; d < limit; d++) {
        collector.place = d;
        status s = history_walk(&language->history, &data->dialogues[d], turn_add, &collector);
        if (s) return status_context(s, "%s", data->path);
    }
    return NULL;
}

/* Names a turn in errors and to sources. */
static struct turn_key key_of(const struct held_out *h, int64_t i)
{
    return (struct turn_key){h->dialogue[i]->line, h->prompts[i].turn, 0, 0};
}

/* The sources are asked for a batch of replies at once. */
static status sources_ask(struct source_set *sources, const struct language *language,
                          int64_t batch, struct held_out *h)
{
    struct judged *judged = memory_allocate((size_t)h->count * sizeof *judged);
    for (int64_t i = 0; i < h->count; i++) {
        judged[i] = (struct judged){.key = key_of(h, i),
                                    .line = h->dialogue[i],
                                    .message = h->message[i],
                                    .messages = h->dialogue[i]->messages,
                                    .message_count = h->message[i],
                                    .prompt = &h->prompts[i],
                                    .reply = &h->replies[i]};
        if (h->own)
            judged[i].messages = own_histories_messages(h->own, i, &judged[i].message_count);
    }
    status s = NULL;
    for (int64_t at = 0; !s && at < h->count; at += batch)
        s = replies_judge(sources, language->tokenizer, judged + at,
                          h->count - at < batch ? h->count - at : batch, h->terms + at, NULL);
    free(judged);
    return s;
}

static void part_add(double part[2], double value, double count)
{
    part[0] += value;
    part[1] += count;
}

/* Where turn i's parts of a group's metrics are. */
static double (*parts_of(const struct evaluate_settings *settings, const struct held_out *h,
                         int64_t i, enum metric_group group, struct evaluation *out))[2]
{
    return out->parts[h->rows[i].counter[0]] + evaluation_first(settings, group);
}

double evaluation_of_parts(const char *metric, double sum, double count)
{
    if (!(count > 0)) return NAN;
    return evaluation_is_perplexity(metric) ? exp(-sum / count) : sum / count;
}

void evaluation_free(struct evaluation *evaluation)
{
    free(evaluation->parts);
    evaluation->parts = NULL;
}

/* The parts of the metrics that are means. */
static status replies_measure(const struct evaluate_settings *settings, const struct held_out *h,
                              struct evaluation *out)
{
    const struct reward_settings *reward = &settings->sampling.reward;
    for (int64_t i = 0; i < h->count; i++) {
        const struct reply *reply = &h->replies[i];
        double(*rewards)[2] = parts_of(settings, h, i, GROUP_REWARD, out);
        double(*parts)[2] = parts_of(settings, h, i, GROUP_REPLY, out);
        TRY(reply_terms(reward, key_of(h, i), &h->prompts[i], reply, h->terms[i]));
        part_add(rewards[0], reward_combine(reward, h->terms[i], NULL, reply->count), 1);
        for (int64_t t = 0; t < reward->term_count; t++)
            part_add(rewards[1 + t], h->terms[i][t], 1);
        part_add(parts[EVAL_LENGTH], (double)reply->count, 1);
        part_add(parts[EVAL_END_RATE], reply->ended, 1);
        part_add(parts[EVAL_ROUGE_L], text_rouge_l(h->texts[i], h->references[i]), 1);
        const double slots = h->slots[i] ? slot_carry_over(h->slots[i], h->texts[i]) : -1;
        if (slots >= 0) part_add(parts[EVAL_SLOTS], slots, 1);
        for (int64_t t = 0; t < h->gold[i].count; t++)
            part_add(parts[EVAL_PERPLEXITY], (double)h->gold[i].logp[t], 1);
    }
    return NULL;
}

/* task: reasoning: the parts of its own metrics; *missing: the replies without an answer.  Gold
 * replies are compared as the tokenizer writes them, which may have no newlines. */
static status reasoning_measure(const struct evaluate_settings *settings,
                                const struct tokenizer *tokenizer, const struct held_out *h,
                                struct evaluation *out, int64_t *missing)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < h->count; i++) {
        const struct reply_blocks *blocks = &h->replies[i].blocks;
        double(*parts)[2] = parts_of(settings, h, i, GROUP_REASONING, out);
        struct reasoning_sums sums = {0};
        char *gold;
        TRY(tokenizer_decode(tokenizer, h->gold_tokens[i], h->given[i].count, true, &gold));
        reasoning_add(&sums, h->dialogue[i], h->message[i], gold, h->texts[i],
                      settings->sampling.cot.answer_marker);
        free(gold);
        for (int m = 0; m < REASONING_METRICS; m++) {
            const struct reasoning_share share = reasoning_share(&sums, (enum reasoning_metric)m);
            part_add(parts[m], (double)share.part, (double)share.whole);
        }
        const int64_t before =
            blocks->answered ? blocks->begin[blocks->count - 1] : h->replies[i].count;
        part_add(parts[EVAL_REASONING_TOKENS], (double)before, 1);
        tokens += h->replies[i].count;
        *missing += !blocks->answered;
    }
    out->reasoning_ms = tokens ? 1000 * out->seconds / (double)tokens : (double)NAN;
    return NULL;
}

/* eval.encoder: the parts of its metrics; *floor: BLEU of other dialogues' gold replies in place of
 * the model's, NaN where there is no other dialogue. */
static status states_measure(struct text_encoder *encoder, const struct evaluate_settings *settings,
                             const struct held_out *h, const int64_t *others, bool (*stop)(void),
                             struct evaluation *out, double *floor)
{
    const size_t n = (size_t)h->count;
    struct state_turn *turns = memory_allocate(n * sizeof *turns);
    struct state_scores *scores = memory_allocate(n * sizeof *scores);
    const char **instead = memory_allocate(n * sizeof *instead);
    for (int64_t i = 0; i < h->count; i++)
        turns[i] = (struct state_turn){h->dialogue[i]->messages[h->message[i] - 1].content,
                                       h->texts[i], h->references[i], others[i]};
    status s = state_metrics(encoder, turns, h->count, settings->sampling.batch, stop,
                             &out->stopped, scores);
    bool all = true;
    for (int64_t i = 0; !s && !out->stopped && i < h->count; i++) {
        const struct state_scores *one = &scores[i];
        double(*parts)[2] = parts_of(settings, h, i, GROUP_STATES, out);
        all = all && others[i] >= 0;
        instead[i] = others[i] < 0 ? "" : h->references[others[i]];
        part_add(parts[EVAL_BERT_SCORE], one->score.f1, 1);
        part_add(parts[EVAL_BERT_SCORE_PRECISION], one->score.precision, 1);
        part_add(parts[EVAL_BERT_SCORE_RECALL], one->score.recall, 1);
        part_add(parts[EVAL_RELEVANCE], one->relevance, 1);
        part_add(parts[EVAL_RELEVANCE_GOLD], one->relevance_gold, 1);
        if (others[i] < 0) continue;
        part_add(parts[EVAL_BERT_SCORE_FLOOR], one->score_other, 1);
        part_add(parts[EVAL_RELEVANCE_RANDOM], one->relevance_other, 1);
    }
    *floor = all && !s && !out->stopped ? text_bleu(instead, h->references, h->count) : (double)NAN;
    free(turns);
    free(scores);
    free((void *)instead);
    return s;
}

/* The replies that a reward model is to accept or not: the model's, the data's, and another
 * dialogue's in place of the data's. */
enum { TOPIC_REPLY, TOPIC_GOLD, TOPIC_OTHER, TOPICS };

static void topics_make(const struct held_out *h, int64_t i, int64_t other,
                        struct on_topic_reply out[TOPICS])
{
    const struct dialogue *dialogue = h->dialogue[i];
    for (int k = 0; k < TOPICS; k++)
        out[k] =
            (struct on_topic_reply){dialogue, dialogue->messages, h->message[i], h->references[i]};
    out[TOPIC_REPLY].reply = h->texts[i];
    if (h->own)
        out[TOPIC_REPLY].messages =
            own_histories_messages(h->own, i, &out[TOPIC_REPLY].message_count);
    if (other >= 0) out[TOPIC_OTHER].reply = h->references[other];
}

/* eval.on_topic: the parts of its metrics. */
static status topics_measure(struct on_topic *judge, const struct evaluate_settings *settings,
                             const struct held_out *h, const int64_t *others, bool (*stop)(void),
                             struct evaluation *out)
{
    const double threshold = on_topic_threshold(judge)->value;
    const int64_t batch = settings->sampling.batch;
    struct on_topic_reply *replies = memory_allocate((size_t)(batch * TOPICS) * sizeof *replies);
    double *scores = memory_allocate((size_t)(batch * TOPICS) * sizeof *scores);
    status s = NULL;
    for (int64_t first = 0; !s && first < h->count && !out->stopped; first += batch) {
        const int64_t count = h->count - first < batch ? h->count - first : batch;
        out->stopped = stop && stop();
        if (out->stopped) break;
        for (int64_t k = 0; k < count; k++)
            topics_make(h, first + k, others[first + k], replies + k * TOPICS);
        s = on_topic_read(judge, replies, count * TOPICS, scores);
        for (int64_t k = 0; !s && k < count; k++) {
            const double *own = scores + k * TOPICS;
            double(*parts)[2] = parts_of(settings, h, first + k, GROUP_ON_TOPIC, out);
            if (!isnan(own[TOPIC_REPLY]))
                part_add(parts[EVAL_CONSISTENCY], own[TOPIC_REPLY] >= threshold, 1);
            if (others[first + k] < 0 || isnan(own[TOPIC_GOLD]) || isnan(own[TOPIC_OTHER]))
                continue;
            const bool gold = own[TOPIC_GOLD] >= threshold, other = own[TOPIC_OTHER] >= threshold;
            part_add(parts[EVAL_CONSISTENCY_GOLD], gold, 1);
            part_add(parts[EVAL_CONSISTENCY_RANDOM], other, 1);
            part_add(parts[EVAL_ON_TOPIC_ACCURACY], gold + !other, 2);
        }
    }
    free(replies);
    free(scores);
    return s;
}

/* What is measured beside turns of other dialogues. */
static status others_measure(const struct evaluators *by, const struct evaluate_settings *settings,
                             const struct held_out *h, bool (*stop)(void), struct evaluation *out,
                             double *floor)
{
    struct turn_place *places = memory_allocate((size_t)h->count * sizeof *places);
    int64_t *others = memory_allocate((size_t)h->count * sizeof *others);
    for (int64_t i = 0; i < h->count; i++)
        places[i] = (struct turn_place){h->rows[i].counter[0], h->rows[i].counter[1]};
    others_draw(places, h->count, settings->sampling.seed, others);
    status s = NULL;
    if (by->encoder) s = states_measure(by->encoder, settings, h, others, stop, out, floor);
    if (!s && by->on_topic && !out->stopped)
        s = topics_measure(by->on_topic, settings, h, others, stop, out);
    free(places);
    free(others);
    return s;
}

/* Metrics of the sums over dialogues. */
static void values_of_parts(const struct evaluate_settings *settings, struct evaluation *out)
{
    for (int64_t m = 0; m < evaluation_count(settings); m++) {
        double sum = 0, count = 0;
        for (int64_t d = 0; d < out->dialogues; d++) {
            sum += out->parts[d][m][0];
            count += out->parts[d][m][1];
        }
        out->value[m] = evaluation_of_parts(evaluation_name(settings, m), sum, count);
    }
}

/* Every metric: of its parts, or of all replies together. */
static status values_measure(const struct evaluators *by, const struct evaluate_settings *settings,
                             const struct tokenizer *tokenizer, const struct held_out *h,
                             bool (*stop)(void), struct evaluation *out)
{
    const bool reasons = settings->sampling.cot.block > 0;
    const char *const *texts = (const char *const *)h->texts;
    int64_t missing = 0;
    double floor = (double)NAN;
    TRY(replies_measure(settings, h, out));
    if (reasons) TRY(reasoning_measure(settings, tokenizer, h, out, &missing));
    if (by->encoder || by->on_topic) TRY(others_measure(by, settings, h, stop, out, &floor));
    values_of_parts(settings, out);
    double *value = out->value + evaluation_first(settings, GROUP_REPLY);
    value[EVAL_BLEU] = text_bleu(texts, h->references, h->count);
    value[EVAL_DISTINCT_1] = text_distinct(texts, h->count, 1);
    value[EVAL_DISTINCT_2] = text_distinct(texts, h->count, 2);
    double *reasoning = out->value + evaluation_first(settings, GROUP_REASONING);
    if (reasons) reasoning[EVAL_ANSWER_MISSING] = (double)missing;
    if (!by->encoder) return NULL;
    double *states = out->value + evaluation_first(settings, GROUP_STATES);
    states[EVAL_COHERENCE] = (value[EVAL_BLEU] / 100 + states[EVAL_BERT_SCORE]) / 2;
    states[EVAL_COHERENCE_FLOOR] = (floor / 100 + states[EVAL_BERT_SCORE_FLOOR]) / 2;
    return NULL;
}

static status samples_write(const struct reward_settings *reward, const struct tokenizer *tokenizer,
                            const struct held_out *h, FILE *samples)
{
    for (int64_t i = 0; i < h->count; i++) {
        struct sample sample = sample_of_reply(&h->prompts[i], &h->replies[i]);
        sample.line = h->dialogue[i]->line;
        sample.tokenizer = tokenizer;
        sample.gold = h->references[i];
        sample.reward = reward;
        sample.terms = h->terms[i];
        TRY(sample_write(samples, &sample));
    }
    return NULL;
}

/* The replies of one batch after the other, sampled or (`gold`) scored; *stopped once it was asked
 * to leave off. */
static status replies_make(struct generator *generator, const struct rollout_settings *settings,
                           bool gold, struct held_out *h, bool (*stop)(void), bool *stopped)
{
    const int64_t batch = settings->batch;
    for (int64_t at = 0; at < h->count && !*stopped; at += batch) {
        const int64_t count = h->count - at < batch ? h->count - at : batch;
        if (stop && stop())
            *stopped = true;
        else if (gold)
            TRY(score_replies(generator, settings, h->prompts, h->rows + at, count, h->given + at,
                              h->gold + at));
        else
            TRY(generate_replies(generator, settings, RANDOM_SAMPLING, h->prompts, h->rows + at,
                                 count, h->replies + at));
    }
    return NULL;
}

/* eval.history: own; prompts are those of the data before, and the model's own after. */
static status own_replies_make(struct generator *generator, const struct rollout_settings *settings,
                               const struct language *language, struct held_out *h,
                               bool (*stop)(void), bool *stopped)
{
    const struct own_turns turns = {.dialogue = h->dialogue,
                                    .message = h->message,
                                    .prompts = h->prompts,
                                    .rows = h->rows,
                                    .replies = h->replies,
                                    .count = h->count};
    return own_histories_answer(generator, settings, language, &turns, stop, stopped, &h->own);
}

status evaluate(const struct evaluators *by, const struct evaluate_settings *settings,
                const struct language *language, const struct dataset *data, int64_t dialogues,
                FILE *samples, bool (*stop)(void), struct evaluation *out)
{
    struct generator *generator = by->generator;
    const struct rollout_settings *sampling = &settings->sampling;
    *out = (struct evaluation){.max_tokens = sampling->max_history};
    if (!language->tokenizer)
        FAIL(STATUS_INPUT, "%s: evaluation needs a tokenizer; the model folder has none",
             data->path);
    struct held_out h;
    status s = held_out_make(sampling, language, data, dialogues, &h, out);
    if (!s && !h.count)
        s = ERROR(STATUS_INPUT, "%s: no assistant turn to evaluate%s", data->path,
                  out->overlong ? " whose prompt fits into history.max_tokens" : "");
    const double begun = seconds_now();
    if (!s && !settings->own_history)
        s = replies_make(generator, sampling, false, &h, stop, &out->stopped);
    out->seconds = seconds_now() - begun;
    if (!s) s = replies_make(generator, &settings->scoring, true, &h, stop, &out->stopped);
    if (!s && settings->own_history && !out->stopped)
        s = own_replies_make(generator, sampling, language, &h, stop, &out->stopped);
    if (!s && sampling->cot.block && !out->stopped)
        s = blocks_read(generator, &settings->scoring, &language->history, h.prompts, h.rows,
                        h.count, h.replies);
    if (s || out->stopped) {
        held_out_free(&h);
        return s;
    }
    for (int64_t i = 0; !s && i < h.count; i++)
        s = tokenizer_decode(language->tokenizer, h.replies[i].tokens, h.replies[i].count, true,
                             &h.texts[i]);
    if (!s) s = sources_ask(by->sources, language, sampling->batch, &h);
    if (!s) s = values_measure(by, settings, language->tokenizer, &h, stop, out);
    out->replies = h.count;
    if (!s && samples && !out->stopped)
        s = samples_write(&sampling->reward, language->tokenizer, &h, samples);
    held_out_free(&h);
    return s;
}

void evaluation_warn(const struct evaluation *evaluation, const struct dataset *data)
{
    if (!evaluation->overlong) return;
    log_line(
        LOG_WARNING,
        "%s: %lld turns are not evaluated, the first in line %lld: their prompt alone is longer "
        "than history.max_tokens (%lld)",
        data->path, (long long)evaluation->overlong, (long long)evaluation->overlong_line,
        (long long)evaluation->max_tokens);
}
