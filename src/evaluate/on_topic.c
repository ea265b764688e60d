/* See on_topic.h. */
#include "src/evaluate/on_topic.h"

#include "src/base/memory.h"
#include "src/evaluate/others.h"
#include "src/task/history_walk.h"
#include "src/task/reward_sequence.h"

#include <math.h>
#include <stdlib.h>

/* Of one pass, whose only sequence may have more tokens; and what room is made for beforehand. */
enum { PASS_SEQUENCES = 64, PASS_TOKENS = 8192, PASS_CUTS = 64 };

struct on_topic {
    struct value_model *model;
    struct language *language;
    char *name;
    int64_t longest; /* tokens of a sequence */
    struct on_topic_threshold threshold;
};

status on_topic_create(struct value_model *model, struct language *language, const char *name,
                       struct on_topic **out)
{
    struct on_topic *judge = memory_allocate(sizeof *judge);
    struct model *trunk = value_model_trunk(model);
    judge->model = model;
    judge->language = language;
    judge->name = memory_text(name);
    judge->longest = model_shape_sequence_max(model_shape(trunk));
    judge->threshold = (struct on_topic_threshold){.value = 0, .accuracy = (double)NAN};
    status s = NULL;
    if (!language->tokenizer)
        s = ERROR(STATUS_INPUT, "%s holds no tokenizer, which replies are read with", name);
    if (!s) s = language_fits(language, model_shape(trunk)->vocabulary);
    if (!s) s = language_ends(language, trunk);
    if (s) {
        on_topic_close(judge);
        return status_context(s, "eval.on_topic");
    }
    *out = judge;
    return NULL;
}

void on_topic_close(struct on_topic *judge)
{
    if (!judge) return;
    value_model_destroy(judge->model);
    language_close(judge->language);
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

/* The longest sequence that room is made for: a history, and a reply as long again. */
status on_topic_reserve(struct on_topic *judge)
{
    const int64_t history = judge->language->history.max_tokens;
    const int64_t longest = 2 * history < judge->longest ? 2 * history : judge->longest;
    const struct model_limits limits = {.histories = PASS_SEQUENCES,
                                        .history_tokens =
                                            longest > PASS_TOKENS ? longest : PASS_TOKENS,
                                        .longest_history = longest,
                                        .cuts = PASS_CUTS};
    return value_model_reserve(judge->model, &limits);
}

/* One reply's sequence; count 0 where it does not fit. */
static status sequence_make(const struct on_topic *judge, const struct on_topic_reply *one,
                            struct reward_sequence *out)
{
    const struct history_options *options = &judge->language->history;
    struct encoded_history encoded = {0};
    int32_t *reply = NULL;
    int64_t count;
    bool fits = false;
    *out = (struct reward_sequence){.tokens = NULL};
    struct history *history = history_begin(options, one->dialogue);
    status s = NULL;
    for (int64_t m = 0; !s && m < one->message_count; m++)
        s = history_add_text(history, one->messages[m].role, one->messages[m].content);
    if (!s) s = history_fits(history, &fits);
    if (!s && fits) s = history_encode(history, &encoded);
    if (!s && fits) s = reply_encode(options, ROLE_ASSISTANT, one->reply, &reply, &count);
    if (!s && fits && encoded.count + count <= judge->longest)
        reward_sequence_make(encoded.ids, encoded.count, encoded.cuts, encoded.cut_count, reply,
                             count, -1, out);
    encoded_history_free(&encoded);
    free(reply);
    history_free(history);
    return s;
}

/* The values of sequences [count], none empty. */
static status sequences_read(struct on_topic *judge, const struct reward_sequence *sequences,
                             int64_t count, float *values)
{
    int64_t tokens = 0, cuts = 0;
    for (int64_t i = 0; i < count; i++) {
        tokens += sequences[i].count;
        cuts += sequences[i].cut_count;
    }
    int32_t begin[PASS_SEQUENCES + 1] = {0}, cut_begin[PASS_SEQUENCES + 1] = {0};
    int32_t *all = memory_allocate((size_t)tokens * sizeof *all);
    int32_t *all_cuts = memory_allocate((size_t)(cuts + 1) * sizeof *all_cuts);
    for (int64_t i = 0; i < count; i++) {
        const struct reward_sequence *one = &sequences[i];
        for (int64_t t = 0; t < one->count; t++) all[begin[i] + t] = one->tokens[t];
        for (int64_t c = 0; c < one->cut_count; c++) all_cuts[cut_begin[i] + c] = one->cuts[c];
        begin[i + 1] = begin[i] + (int32_t)one->count;
        cut_begin[i + 1] = cut_begin[i] + (int32_t)one->cut_count;
    }
    const struct model_batch batch = {.histories = count,
                                      .history_begin = begin,
                                      .history_tokens = all,
                                      .cut_begin = cut_begin,
                                      .cuts = all_cuts};
    status s = value_model_forward(judge->model, &batch, MODEL_KEEP_NOTHING, values);
    free(all);
    free(all_cuts);
    return s;
}

/* Replies from `first` on, as many as one pass takes; *next: the first of the others. */
static status pass_run(struct on_topic *judge, const struct on_topic_reply *replies, int64_t first,
                       int64_t count, double *scores, int64_t *next)
{
    struct reward_sequence sequences[PASS_SEQUENCES];
    int64_t of[PASS_SEQUENCES], made = 0, tokens = 0;
    float values[PASS_SEQUENCES];
    status s = NULL;
    int64_t i = first;
    for (; !s && i < count && made < PASS_SEQUENCES; i++) {
        struct reward_sequence one;
        s = sequence_make(judge, &replies[i], &one);
        scores[i] = (double)NAN;
        if (s || !one.count) continue;
        if (made && tokens + one.count > PASS_TOKENS) {
            reward_sequence_free(&one);
            break;
        }
        tokens += one.count;
        of[made] = i;
        sequences[made++] = one;
    }
    if (!s && made) s = sequences_read(judge, sequences, made, values);
    for (int64_t k = 0; k < made; k++) {
        if (!s) scores[of[k]] = (double)values[k];
        reward_sequence_free(&sequences[k]);
    }
    *next = i;
    return s;
}

status on_topic_read(struct on_topic *judge, const struct on_topic_reply *replies, int64_t count,
                     double *scores)
{
    for (int64_t first = 0; first < count;)
        TRY(status_context(pass_run(judge, replies, first, count, scores, &first),
                           "eval.on_topic %s", judge->name));
    return NULL;
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
        s = history_walk(&judge->language->history, &data->dialogues[d], turn_add, &turns);
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
