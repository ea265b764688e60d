/* Generating, scoring and measuring the replies of a probe; see collect.h. */
#include "src/probe/collect.h"

#include "src/base/memory.h"
#include "src/data/corpus.h"
#include "src/reward/salience_control.h"
#include "src/rollout/judge.h"
#include "src/task/history_walk.h"
#include "src/text/pattern.h"
#include "src/text/text_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct probe_replies probe_replies_of(const struct probe_data *data)
{
    const struct fit_replies *replies = &data->replies;
    return (struct probe_replies){replies->count, replies->history_count, replies->first,
                                  replies->dialogue, replies->length};
}

static double *column_set(const struct probe_data *data, struct probe_column *column,
                          const char *name, enum probe_role role, bool label_free)
{
    *column = (struct probe_column){.role = role, .label_free = label_free};
    snprintf(column->name, sizeof column->name, "%s", name);
    column->value = memory_allocate((size_t)data->replies.count * sizeof *column->value);
    return column->value;
}

double *probe_column_add(struct probe_data *data, const char *name, enum probe_role role,
                         bool label_free)
{
    return column_set(data, &data->column[data->column_count++], name, role, label_free);
}

double *probe_metric_add(struct probe_data *data, const char *name)
{
    return column_set(data, &data->metric[data->metric_count++], name, PROBE_SOURCE, false);
}

const struct probe_column *probe_column_find(const struct probe_data *data, const char *name)
{
    for (int64_t c = 0; c < data->column_count; c++)
        if (!strcmp(data->column[c].name, name)) return &data->column[c];
    return NULL;
}

const struct probe_column *probe_metric_find(const struct probe_data *data, const char *name)
{
    for (int64_t m = 0; m < data->metric_count; m++)
        if (!strcmp(data->metric[m].name, name)) return &data->metric[m];
    return NULL;
}

void probe_data_free(struct probe_data *data)
{
    for (int64_t c = 0; c < data->column_count; c++) free(data->column[c].value);
    for (int64_t m = 0; m < data->metric_count; m++) free(data->metric[m].value);
    for (int64_t h = 0; data->question && h < data->replies.history_count; h++)
        free(data->question[h]);
    for (int64_t i = 0; data->kind && i < data->replies.count; i++) free(data->kind[i]);
    free(data->question);
    free(data->kind);
    fit_replies_free(&data->replies);
    *data = (struct probe_data){0};
}

/* The asked histories, and what the passes over them leave. */
struct asked {
    struct generator *generator;
    const struct probe_settings *settings;
    const struct language *language;
    struct source_set *sources;
    struct pattern *pattern; /* probe.kind */
    struct probe_data *out;
    struct prompt *prompts, *random; /* [count]; random: with random salience */
    const struct dialogue **line;
    int64_t *message, *place; /* of the gold reply in its dialogue; of that in the data */
    int64_t count, limit, visiting;
    double (*terms)[TERM_MAX];      /* [replies] raw */
    double *coverage[3], *focus[2]; /* by their forms */
    double *random_coverage, *shuffled_coverage, *shuffled_focus;
    double *rouge_l, *chrf, *slots;
};

/* A message_visitor: the assistant's turns that are the model's to say. */
static status turn_add(void *context, const struct history *history,
                       const struct dialogue *dialogue, int64_t message)
{
    struct asked *a = context;
    if (a->count == a->limit || message == dialogue->message_count ||
        message < dialogue_start(dialogue) || dialogue->messages[message].role != ROLE_ASSISTANT)
        return NULL;
    bool fits;
    TRY(history_fits(history, &fits));
    if (!fits) {
        a->out->overlong++;
        return NULL;
    }
    const struct rollout_settings *sampling = &a->settings->sampling;
    const int64_t i = a->count++;
    struct prompt *prompt = &a->prompts[i], *random = &a->random[i];
    TRY(prompt_from_history(history, sampling, prompt));
    TRY(prompt_from_history(history, sampling, random));
    TRY(salience_randomize(sampling->seed, a->visiting, random->turn, random->visible,
                           random->salient, random->count));
    a->line[i] = dialogue;
    a->message[i] = message;
    a->place[i] = a->visiting;
    return NULL;
}

static status asked_make(const struct dataset *data, struct asked *a)
{
    int64_t most = 0;
    for (int64_t d = 0; d < data->count; d++) most += data->dialogues[d].message_count;
    a->limit =
        a->settings->histories > 0 && a->settings->histories < most ? a->settings->histories : most;
    const size_t n = (size_t)a->limit + 1;
    a->prompts = memory_allocate(n * sizeof *a->prompts);
    a->random = memory_allocate(n * sizeof *a->random);
    a->line = memory_allocate(n * sizeof *a->line);
    a->message = memory_allocate(n * sizeof *a->message);
    a->place = memory_allocate(n * sizeof *a->place);
    for (int64_t d = 0; d < data->count && a->count < a->limit; d++) {
        a->visiting = d;
        a->out->dialogues = d + 1;
        status s = history_walk(&a->language->history, &data->dialogues[d], turn_add, a);
        if (s) return status_context(s, "%s", data->path);
    }
    if (a->count == 0)
        FAIL(STATUS_INPUT, "%s: no assistant turn to probe%s", data->path,
             a->out->overlong ? ": every prompt exceeds history.max_tokens" : "");
    return NULL;
}

static void asked_free(struct asked *a)
{
    for (int64_t i = 0; i < a->count; i++) {
        prompt_free(&a->prompts[i]);
        prompt_free(&a->random[i]);
    }
    free(a->prompts);
    free(a->random);
    free(a->line);
    free(a->message);
    free(a->place);
    free(a->terms);
    pattern_free(a->pattern);
}

static bool dataset_has_slots(const struct asked *a)
{
    for (int64_t i = 0; i < a->count; i++)
        if (a->line[i]->slots && a->line[i]->slots[a->message[i]]) return true;
    return false;
}

/* Room for replies [count x candidates], with the metrics. */
static void room_make(struct asked *a)
{
    static const char *const coverage_names[] = {"coverage, paper", "coverage, mass",
                                                 "coverage, lift"};
    static const char *const focus_names[] = {"focus, paper", "focus, normalized"};
    struct probe_data *out = a->out;
    const int64_t each = a->settings->sampling.candidates, count = a->count * each;
    const struct statistic_sizes sizes = generator_sizes(a->generator, &a->settings->sampling, 0);
    const struct fit_layout layout = fit_layout_of(generator_statistics(a->generator), &sizes);
    fit_replies_create(&out->replies, &layout, count, a->count);
    a->terms = memory_allocate((size_t)count * sizeof *a->terms);
    for (int64_t h = 0; h < a->count; h++) {
        out->replies.first[h + 1] = (h + 1) * each;
        out->replies.dialogue[h] = a->place[h];
    }
    for (int f = 0; f < 3; f++)
        a->coverage[f] = probe_column_add(out, coverage_names[f], PROBE_FORM, true);
    for (int f = 0; f < 2; f++)
        a->focus[f] = probe_column_add(out, focus_names[f], PROBE_FORM, true);
    a->random_coverage = probe_column_add(out, "coverage, random salience", PROBE_CONTROL, true);
    a->shuffled_coverage = probe_column_add(out, "coverage, shuffled", PROBE_CONTROL, true);
    a->shuffled_focus = probe_column_add(out, "focus, shuffled", PROBE_CONTROL, true);
    a->rouge_l = probe_metric_add(out, "rouge_l");
    a->chrf = probe_metric_add(out, "chrf");
    a->slots = dataset_has_slots(a) ? probe_metric_add(out, "slots") : NULL;
    if (a->pattern) out->kind = memory_allocate((size_t)count * sizeof *out->kind);
}

/* Replies to the histories [begin, end) as one block. */
struct block {
    int64_t begin, end, rows; /* rows: replies */
    struct reply_row *row;
    struct reply *replies, *again; /* again: scored under a control */
    struct given_reply *given;
    char **texts;
    struct judged *judged;
};

static void block_free(struct block *b)
{
    for (int64_t r = 0; r < b->rows; r++) {
        reply_free(&b->replies[r]);
        free(b->texts[r]);
    }
    free(b->row);
    free(b->replies);
    free(b->again);
    free(b->given);
    free(b->texts);
    free(b->judged);
}

static status block_generate(const struct asked *a, struct block *b)
{
    const int64_t each = a->settings->sampling.candidates;
    const size_t n = (size_t)b->rows;
    b->row = memory_allocate(n * sizeof *b->row);
    b->replies = memory_allocate(n * sizeof *b->replies);
    b->again = memory_allocate(n * sizeof *b->again);
    b->given = memory_allocate(n * sizeof *b->given);
    b->texts = memory_allocate(n * sizeof *b->texts);
    b->judged = memory_allocate(n * sizeof *b->judged);
    for (int64_t r = 0; r < b->rows; r++) {
        const int64_t h = b->begin + r / each;
        b->row[r] = (struct reply_row){
            (int32_t)(r / each),
            {(uint32_t)a->place[h], (uint32_t)a->prompts[h].turn, (uint32_t)(r % each)}};
    }
    TRY(generate_replies(a->generator, &a->settings->sampling, RANDOM_SAMPLING,
                         a->prompts + b->begin, b->row, b->rows, b->replies));
    for (int64_t r = 0; r < b->rows; r++) {
        const struct reply *reply = &b->replies[r];
        const int64_t h = b->begin + r / each;
        b->given[r] = (struct given_reply){reply->tokens, reply->count, reply->ended, NULL};
        TRY(tokenizer_decode(a->language->tokenizer, reply->tokens, reply->count, true,
                             &b->texts[r]));
        b->judged[r] =
            (struct judged){.key = {a->line[h]->line, a->prompts[h].turn, (int32_t)(r % each), 0},
                            .line = a->line[h],
                            .message = a->message[h],
                            .messages = a->line[h]->messages,
                            .message_count = a->message[h],
                            .prompt = &a->prompts[h],
                            .reply = reply};
    }
    return NULL;
}

/* The term of that name under other settings. */
static status term_under(const struct reward_settings *reward, const char *name,
                         const struct block *b, int64_t row, const struct prompt *prompt,
                         const struct reply *reply, double *out)
{
    double terms[TERM_MAX] = {0};
    TRY(reply_terms(reward, b->judged[row].key, prompt, reply, terms));
    for (int64_t t = 0; t < reward->term_count; t++)
        if (!strcmp(reward_term_name(reward, t), name)) *out = terms[t];
    return NULL;
}

static status block_forms(const struct asked *a, const struct block *b)
{
    const int64_t each = a->settings->sampling.candidates;
    for (int64_t r = 0; r < b->rows; r++) {
        const int64_t h = b->begin + r / each, i = b->begin * each + r;
        struct reward_settings reward = a->settings->sampling.reward;
        for (int f = 0; f < 3; f++) {
            reward.coverage_form = f;
            TRY(term_under(&reward, "coverage", b, r, &a->prompts[h], &b->replies[r],
                           &a->coverage[f][i]));
        }
        for (int f = 0; f < 2; f++) {
            reward.focus_form = f;
            TRY(term_under(&reward, "focus", b, r, &a->prompts[h], &b->replies[r],
                           &a->focus[f][i]));
        }
    }
    return NULL;
}

/* The same replies read once more: prompts, and settings with a control; out: of each term, or
 * NULL. */
static status block_control(const struct asked *a, struct block *b, const struct prompt *prompts,
                            const struct rollout_settings *settings, double *coverage,
                            double *focus)
{
    const int64_t each = settings->candidates;
    TRY(score_replies(a->generator, settings, prompts + b->begin, b->row, b->rows, b->given,
                      b->again));
    status s = NULL;
    for (int64_t r = 0; r < b->rows; r++) {
        const int64_t h = b->begin + r / each, i = b->begin * each + r;
        if (!s)
            s = term_under(&settings->reward, "coverage", b, r, &prompts[h], &b->again[r],
                           &coverage[i]);
        if (!s && focus)
            s = term_under(&settings->reward, "focus", b, r, &prompts[h], &b->again[r], &focus[i]);
        reply_free(&b->again[r]);
    }
    return s;
}

/* What probe.kind finds first in a text. */
static status kind_of(struct pattern *pattern, const char *text, char **out)
{
    struct pattern_search search;
    size_t begin, end;
    bool found;
    pattern_begin(&search, pattern, text, strlen(text));
    TRY(pattern_next(&search, &begin, &end, &found));
    char *kind = memory_text(found ? text + begin : "none");
    if (found) kind[end - begin] = 0;
    *out = kind;
    return NULL;
}

static status block_measure(const struct asked *a, const struct block *b)
{
    struct probe_data *out = a->out;
    struct fit_replies *replies = &out->replies;
    const int64_t each = a->settings->sampling.candidates, first = b->begin * each;
    const int64_t width = fit_layout_width(&replies->layout);
    TRY(replies_judge(a->sources, a->language->tokenizer, b->judged, b->rows, a->terms + first,
                      NULL));
    for (int64_t r = 0; r < b->rows; r++) {
        const struct judged *judged = &b->judged[r];
        const struct reply *reply = judged->reply;
        const int64_t i = first + r;
        TRY(reply_terms(&a->settings->sampling.reward, judged->key, judged->prompt, reply,
                        a->terms[i]));
        const struct fit_reply columns = {.messages = judged->messages,
                                          .message_count = judged->message_count,
                                          .text = b->texts[r],
                                          .logp = reply->logp,
                                          .token_entropy = reply->token_entropy,
                                          .count = reply->count,
                                          .statistics = &reply->statistics};
        TRY(fit_columns(&replies->layout, &columns, replies->dense + i * width,
                        &replies->words[i]));
        replies->length[i] = (double)reply->count;
        out->reply_length += (double)reply->count / (double)replies->count;
        out->end_rate += (double)reply->ended / (double)replies->count;
        const char *text = b->texts[r], *gold = judged->line->messages[judged->message].content;
        a->rouge_l[i] = text_rouge_l(&text, &gold, 1);
        a->chrf[i] = text_chrf(text, gold);
        char *const *slots = judged->line->slots ? judged->line->slots[judged->message] : NULL;
        const double share = slots ? slot_carry_over(slots, text) : -1;
        if (a->slots) a->slots[i] = share >= 0 ? share : NAN;
        if (a->pattern) TRY(kind_of(a->pattern, text, &out->kind[i]));
        int64_t before = r - r % each;
        while (before < r && strcmp(b->texts[before], text) != 0) before++;
        if (before == r) out->distinct += 1 / (double)a->count;
    }
    return NULL;
}

static status block_run(const struct asked *a, struct block *b)
{
    struct rollout_settings shuffled = a->settings->sampling;
    shuffled.shuffled = true;
    TRY(block_generate(a, b));
    TRY(block_forms(a, b));
    TRY(block_measure(a, b));
    TRY(block_control(a, b, a->random, &a->settings->sampling, a->random_coverage, NULL));
    return block_control(a, b, a->prompts, &shuffled, a->shuffled_coverage, a->shuffled_focus);
}

/* The deviation that reward.scale divides a term by, of these replies. */
static double divisor(const struct probe_data *data, const double (*terms)[TERM_MAX], int64_t term,
                      int scale)
{
    const struct fit_replies *replies = &data->replies;
    double mean = 0, square = 0;
    if (scale == SCALE_NONE || replies->count < 2) return 1;
    for (int64_t i = 0; i < replies->count; i++) mean += terms[i][term] / (double)replies->count;
    for (int64_t h = 0; h < replies->history_count; h++) {
        const int64_t first = replies->first[h], n = replies->first[h + 1] - first;
        double own = 0;
        for (int64_t i = first; i < first + n; i++) own += terms[i][term] / (double)n;
        for (int64_t i = first; i < first + n; i++) {
            const double off = terms[i][term] - (scale == SCALE_WITHIN ? own : mean);
            square += off * off;
        }
    }
    const int64_t freedom = replies->count - (scale == SCALE_WITHIN ? replies->history_count : 1);
    const double deviation = freedom > 0 ? sqrt(square / (double)freedom) : 0;
    return deviation >= 1e-8 ? deviation : 1;
}

/* The terms as columns; the verifier is a metric too. */
static void columns_make(const struct asked *a)
{
    struct probe_data *out = a->out;
    const struct reward_settings *reward = &a->settings->sampling.reward;
    const int64_t count = out->replies.count;
    double *sum = probe_column_add(out, "attention", PROBE_SOURCE, true);
    double *length = probe_column_add(out, "length", PROBE_CONTROL, true);
    for (int64_t i = 0; i < count; i++) length[i] = -out->replies.length[i] / 64;
    for (int64_t t = 0; t < reward->term_count; t++) {
        const char *name = reward_term_name(reward, t);
        const bool given = reward_term_given(reward, t);
        const bool control = !strcmp(name, "random") || !strcmp(name, "constant");
        const bool labelled = !strcmp(name, "verifier") || !strcmp(name, "gold") ||
                              !strcmp(name, "fitted") || !strcmp(name, "plugin") ||
                              !strcmp(name, "command");
        const double over =
            given ? 1 : divisor(out, (const double(*)[TERM_MAX])a->terms, t, reward->scale);
        double *value =
            probe_column_add(out, name, control ? PROBE_CONTROL : PROBE_SOURCE, !labelled);
        for (int64_t i = 0; i < count; i++) {
            value[i] = a->terms[i][t];
            if (!given) sum[i] += reward->terms[t].weight * value[i] / over;
        }
        if (!strcmp(name, "verifier")) {
            double *metric = probe_metric_add(out, name);
            memcpy(metric, value, (size_t)count * sizeof *metric);
        }
    }
}

static status questions_make(const struct asked *a)
{
    struct probe_data *out = a->out;
    if (!a->settings->by[0]) return NULL;
    out->question = memory_allocate((size_t)a->count * sizeof *out->question);
    for (int64_t h = 0; h < a->count; h++) {
        TRY(dialogue_field(a->line[h], a->settings->by, &out->question[h]));
        if (!out->question[h]) out->question[h] = memory_text("none");
    }
    return NULL;
}

status probe_collect(struct generator *generator, const struct probe_settings *settings,
                     const struct language *language, const struct dataset *data,
                     struct source_set *sources, struct probe_data *out)
{
    struct asked a = {.generator = generator,
                      .settings = settings,
                      .language = language,
                      .sources = sources,
                      .out = out};
    *out = (struct probe_data){0};
    status s = NULL;
    if (!language->tokenizer)
        s = ERROR(STATUS_INPUT, "%s: a probe needs a tokenizer; the model folder has none",
                  data->path);
    if (!s && settings->kind[0])
        s = pattern_compile(settings->kind, false, "probe.kind", &a.pattern);
    if (!s) s = asked_make(data, &a);
    if (!s) room_make(&a);
    const int64_t each = settings->sampling.candidates;
    const int64_t histories = settings->sampling.batch > each ? settings->sampling.batch / each : 1;
    for (int64_t h = 0; !s && h < a.count; h += histories) {
        struct block block = {.begin = h, .end = h + histories < a.count ? h + histories : a.count};
        block.rows = (block.end - block.begin) * each;
        s = block_run(&a, &block);
        block_free(&block);
    }
    if (!s) s = questions_make(&a);
    if (!s) columns_make(&a);
    asked_free(&a);
    if (s) probe_data_free(out);
    return s;
}
