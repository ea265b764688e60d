/* See on_topic.h. */
#include "src/evaluate/on_topic.h"

#include "src/base/memory.h"
#include "src/evaluate/others.h"
#include "src/task/history_walk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOGETHER = 64 }; /* sequences that room is made for beforehand */

struct on_topic {
    struct reward_reader *reader;
    char *name;
    struct on_topic_threshold threshold;
};

status on_topic_create(struct reward_reader *reader, const char *name, struct on_topic **out)
{
    struct on_topic *judge = memory_allocate(sizeof *judge);
    judge->reader = reader;
    judge->name = memory_text(name);
    judge->threshold = (struct on_topic_threshold){.value = 0, .accuracy = (double)NAN};
    if (!reward_reader_language(reader)->tokenizer) {
        on_topic_close(judge);
        FAIL(STATUS_INPUT, "eval.on_topic: %s holds no tokenizer, which replies are read with",
             name);
    }
    *out = judge;
    return NULL;
}

void on_topic_close(struct on_topic *judge)
{
    if (!judge) return;
    reward_reader_destroy(judge->reader);
    free(judge->name);
    free(judge);
}

const char *on_topic_name(const struct on_topic *judge)
{
    return judge->name;
}

const struct on_topic_threshold *on_topic_threshold(const struct on_topic *judge)
{
    return &judge->threshold;
}

/* Sequences of a history and a reply as long again. */
status on_topic_reserve(struct on_topic *judge)
{
    return reward_reader_reserve(judge->reader, TOGETHER,
                                 2 * reward_reader_language(judge->reader)->history.max_tokens);
}

/* One reply's sequence; count 0 where it does not fit. */
static status sequence_make(const struct on_topic *judge, const struct on_topic_reply *one,
                            struct reward_sequence *out)
{
    char name[64];
    bool fits;
    snprintf(name, sizeof name, "line %lld", (long long)one->dialogue->line);
    const struct reward_asked asked = {.name = name,
                                       .messages = one->messages,
                                       .message_count = one->message_count,
                                       .text = one->reply};
    return reward_reader_encode(judge->reader, &asked, &fits, out);
}

status on_topic_read(struct on_topic *judge, const struct on_topic_reply *replies, int64_t count,
                     double *scores)
{
    const size_t n = (size_t)count + 1;
    struct reward_sequence *sequences = memory_allocate(n * sizeof *sequences);
    double *values = memory_allocate(n * sizeof *values);
    int64_t *of = memory_allocate(n * sizeof *of), made = 0;
    status s = NULL;
    for (int64_t i = 0; !s && i < count; i++) {
        scores[i] = (double)NAN;
        s = sequence_make(judge, &replies[i], &sequences[made]);
        if (!s && sequences[made].count) of[made++] = i;
    }
    if (!s) s = reward_reader_read(judge->reader, sequences, made, values);
    for (int64_t k = 0; !s && k < made; k++)
        s = status_context(reward_score_check(values[k]), "line %lld",
                           (long long)replies[of[k]].dialogue->line);
    for (int64_t k = 0; k < made; k++) {
        if (!s) scores[of[k]] = values[k];
        reward_sequence_free(&sequences[k]);
    }
    free(sequences);
    free(values);
    free(of);
    return s ? status_context(s, "eval.on_topic %s", judge->name) : NULL;
}

struct scored {
    double score;
    bool right;
};

static int by_score(const void *a, const void *b)
{
    const double x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x > y) - (x < y);
}

/* Where the list is cut before element `at`: half-way between two scores, a little beyond them at
 * its ends. */
static double cut_at(const struct scored *list, int64_t count, int64_t at)
{
    if (at == 0) return list[0].score - 1;
    if (at == count) return list[count - 1].score + 1;
    return list[at - 1].score / 2 + list[at].score / 2;
}

struct on_topic_threshold on_topic_choose(const double *right, const double *wrong, int64_t count)
{
    struct scored *list = memory_allocate((size_t)(2 * count + 1) * sizeof *list);
    struct on_topic_threshold best = {.value = 0, .accuracy = (double)NAN};
    int64_t n = 0, good, most = -1;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(right[i]) || isnan(wrong[i])) continue;
        list[n++] = (struct scored){right[i], true};
        list[n++] = (struct scored){wrong[i], false};
    }
    qsort(list, (size_t)n, sizeof *list, by_score);
    good = best.turns = n / 2; /* all are accepted */
    for (int64_t at = 0; n && at <= n; good += at < n ? (list[at].right ? -1 : 1) : 0, at++) {
        if (at > 0 && at < n && list[at].score == list[at - 1].score) continue;
        const double value = cut_at(list, n, at);
        if (good < most || (good == most && fabs(value) >= fabs(best.value))) continue;
        most = good;
        best.value = value;
        best.accuracy = (double)good / (double)n;
    }
    free(list);
    return best;
}

/* The assistant's turns of a dialogue. */
struct true_turns {
    struct on_topic_reply *replies;
    struct turn_place *places;
    int64_t count;
    uint32_t dialogue;
};

/* A message_visitor. */
static status turn_add(void *context, const struct history *history,
                       const struct dialogue *dialogue, int64_t message)
{
    struct true_turns *turns = context;
    if (!history_turn(history) || message == dialogue->message_count ||
        dialogue->messages[message].role != ROLE_ASSISTANT)
        return NULL;
    turns->replies[turns->count] = (struct on_topic_reply){dialogue, dialogue->messages, message,
                                                           dialogue->messages[message].content};
    turns->places[turns->count++] =
        (struct turn_place){turns->dialogue, (uint32_t)history_turn(history)};
    return NULL;
}

/* Scores of the turns' replies, and of the others' to the same histories. */
static status turns_score(struct on_topic *judge, struct true_turns *turns, const int64_t *others,
                          double *right, double *wrong)
{
    const size_t n = (size_t)turns->count;
    struct on_topic_reply *swapped = memory_allocate(n * sizeof *swapped);
    for (size_t i = 0; i < n; i++) {
        swapped[i] = turns->replies[i];
        swapped[i].reply = turns->replies[others[i]].reply;
    }
    status s = on_topic_read(judge, turns->replies, turns->count, right);
    if (!s) s = on_topic_read(judge, swapped, turns->count, wrong);
    free(swapped);
    return s;
}

status on_topic_fix(struct on_topic *judge, const struct dataset *data, int64_t seed)
{
    const int64_t dialogues = data->count < ON_TOPIC_DIALOGUES ? data->count : ON_TOPIC_DIALOGUES;
    size_t most = 1;
    for (int64_t d = 0; d < dialogues; d++) most += (size_t)data->dialogues[d].message_count;
    struct true_turns turns = {.replies = memory_allocate(most * sizeof *turns.replies),
                               .places = memory_allocate(most * sizeof *turns.places)};
    int64_t *others = memory_allocate(most * sizeof *others);
    double *right = memory_allocate(2 * most * sizeof *right), *wrong = right + most;
    status s = NULL;
    for (int64_t d = 0; !s && d < dialogues; d++) {
        turns.dialogue = (uint32_t)d;
        s = history_walk(&reward_reader_language(judge->reader)->history, &data->dialogues[d],
                         turn_add, &turns);
    }
    others_draw(turns.places, turns.count, seed, others);
    if (!s && (turns.count == 0 || others[0] < 0))
        s = ERROR(STATUS_INPUT,
                  "a threshold of eval.on_topic wants replies of two dialogues or more");
    if (!s) s = turns_score(judge, &turns, others, right, wrong);
    if (!s) judge->threshold = on_topic_choose(right, wrong, turns.count);
    if (!s && !judge->threshold.turns)
        s = ERROR(STATUS_INPUT, "no turn fits into history.max_tokens, to fix the threshold of "
                                "eval.on_topic on");
    free(turns.replies);
    free(turns.places);
    free(others);
    free(right);
    return s ? status_context(s, "%s", data->path) : NULL;
}
