/* Generating, scoring and measuring the replies of a probe; see collect.h. */
#include "src/probe/collect.h"

#include "src/base/memory.h"
#include "src/data/corpus.h"
#include "src/probe/asked_block.h"
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

/* A new metric of zeros. */
static double *probe_metric_add(struct probe_data *data, const char *name)
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

/* What is asked, and what the passes over it leave. */
struct collecting {
    struct asked asked;
    struct generator *generator;
    const struct probe_settings *settings;
    const struct language *language;
    struct source_set *sources;
    struct pattern *pattern; /* probe.kind */
    struct probe_data *out;
    double (*terms)[TERM_MAX];      /* [replies] raw */
    double *coverage[3], *focus[2]; /* by their forms */
    double *random_coverage, *shuffled_coverage, *shuffled_focus;
    double *rouge_l, *chrf, *slots; /* NULL: the data have none */
};

/* What the data's reply to a history has; NULL: nothing. */
static char *const *slots_of(const struct asked *asked, int64_t h)
{
    const struct dialogue *line = asked->line[h];
    return line->slots && asked->message[h] >= 0 ? line->slots[asked->message[h]] : NULL;
}

static bool has_slots(const struct asked *asked)
{
    for (int64_t h = 0; h < asked->count; h++)
        if (slots_of(asked, h)) return true;
    return false;
}

/* The data's own replies are measured by, or the labels that replies have. */
static void metrics_make(struct collecting *a, const char *field)
{
    struct probe_data *out = a->out;
    if (a->asked.labelled) {
        double *label = probe_metric_add(out, field);
        for (int64_t i = 0; i < out->replies.count; i++) label[i] = a->asked.labelled[i]->label;
        return;
    }
    a->rouge_l = probe_metric_add(out, "rouge_l");
    a->chrf = probe_metric_add(out, "chrf");
    a->slots = has_slots(&a->asked) ? probe_metric_add(out, "slots") : NULL;
}

/* Room for all replies. */
static void room_make(struct collecting *a)
{
    static const char *const coverage_names[] = {"coverage, paper", "coverage, mass",
                                                 "coverage, lift"};
    static const char *const focus_names[] = {"focus, paper", "focus, normalized"};
    struct probe_data *out = a->out;
    const int64_t histories = a->asked.count, count = a->asked.first[histories];
    const struct statistic_sizes sizes = generator_sizes(a->generator, &a->settings->sampling, 0);
    const struct fit_layout layout = fit_layout_of(generator_statistics(a->generator), &sizes);
    fit_replies_create(&out->replies, &layout, count, histories);
    a->terms = memory_allocate((size_t)count * sizeof *a->terms);
    memcpy(out->replies.first, a->asked.first, (size_t)(histories + 1) * sizeof *a->asked.first);
    memcpy(out->replies.dialogue, a->asked.dialogue, (size_t)histories * sizeof *a->asked.dialogue);
    out->dialogues = a->asked.dialogues;
    out->overlong = a->asked.overlong;
    out->left_out = a->asked.left_out;
    out->labelled = a->asked.labelled != NULL;
    for (int f = 0; f < 3; f++)
        a->coverage[f] = probe_column_add(out, coverage_names[f], PROBE_FORM, true);
    for (int f = 0; f < 2; f++)
        a->focus[f] = probe_column_add(out, focus_names[f], PROBE_FORM, true);
    a->random_coverage = probe_column_add(out, "coverage, random salience", PROBE_CONTROL, true);
    a->shuffled_coverage = probe_column_add(out, "coverage, shuffled", PROBE_CONTROL, true);
    a->shuffled_focus = probe_column_add(out, "focus, shuffled", PROBE_CONTROL, true);
    if (a->pattern) out->kind = memory_allocate((size_t)count * sizeof *out->kind);
}

/* The term of that name under other settings. */
static status term_under(const struct reward_settings *reward, const char *name,
                         const struct asked_block *b, int64_t row, const struct prompt *prompt,
                         const struct reply *reply, double *out)
{
    double terms[TERM_MAX] = {0};
    TRY(reply_terms(reward, b->judged[row].key, prompt, reply, terms));
    for (int64_t t = 0; t < reward->term_count; t++)
        if (!strcmp(reward_term_name(reward, t), name)) *out = terms[t];
    return NULL;
}

static status block_forms(const struct collecting *a, const struct asked_block *b)
{
    for (int64_t r = 0; r < b->rows; r++) {
        const int64_t i = a->asked.first[b->begin] + r;
        const struct prompt *prompt = b->judged[r].prompt;
        struct reward_settings reward = a->settings->sampling.reward;
        for (int f = 0; f < 3; f++) {
            reward.coverage_form = f;
            TRY(term_under(&reward, "coverage", b, r, prompt, &b->replies[r], &a->coverage[f][i]));
        }
        for (int f = 0; f < 2; f++) {
            reward.focus_form = f;
            TRY(term_under(&reward, "focus", b, r, prompt, &b->replies[r], &a->focus[f][i]));
        }
    }
    return NULL;
}

/* The same replies read once more: prompts, and settings with a control; out: of each term, or
 * NULL. */
static status block_control(const struct collecting *a, const struct asked_block *b,
                            const struct prompt *prompts, const struct rollout_settings *settings,
                            double *coverage, double *focus)
{
    struct given_reply *given = memory_allocate((size_t)b->rows * sizeof *given);
    struct reply *again = memory_allocate((size_t)b->rows * sizeof *again);
    for (int64_t r = 0; r < b->rows; r++)
        given[r] = (struct given_reply){b->replies[r].tokens, b->replies[r].count,
                                        b->replies[r].ended, NULL};
    status s =
        score_replies(a->generator, settings, prompts + b->begin, b->row, b->rows, given, again);
    for (int64_t r = 0; r < b->rows; r++) {
        const int64_t i = a->asked.first[b->begin] + r;
        const struct prompt *prompt = &prompts[b->begin + b->row[r].prompt];
        if (!s)
            s = term_under(&settings->reward, "coverage", b, r, prompt, &again[r], &coverage[i]);
        if (!s && focus)
            s = term_under(&settings->reward, "focus", b, r, prompt, &again[r], &focus[i]);
        reply_free(&again[r]);
    }
    free(given);
    free(again);
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

/* Beside the data's own reply. */
static void gold_measure(const struct collecting *a, const struct judged *judged, const char *text,
                         int64_t i)
{
    if (judged->message < 0) return;
    const char *gold = judged->line->messages[judged->message].content;
    a->rouge_l[i] = text_rouge_l(text, gold);
    a->chrf[i] = text_chrf(text, gold);
    if (!a->slots) return;
    char *const *slots = judged->line->slots ? judged->line->slots[judged->message] : NULL;
    const double share = slots ? slot_carry_over(slots, text) : -1;
    a->slots[i] = share >= 0 ? share : NAN;
}

static status block_measure(const struct collecting *a, const struct asked_block *b)
{
    struct probe_data *out = a->out;
    struct fit_replies *replies = &out->replies;
    const int64_t first = a->asked.first[b->begin];
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
        gold_measure(a, judged, b->texts[r], i);
        if (a->pattern) TRY(kind_of(a->pattern, b->texts[r], &out->kind[i]));
        int64_t before = r - judged->key.candidate;
        while (before < r && strcmp(b->texts[before], b->texts[r]) != 0) before++;
        if (before == r) out->distinct += 1 / (double)a->asked.count;
    }
    return NULL;
}

static status block_run(const struct collecting *a, const struct asked_block *b)
{
    struct rollout_settings shuffled = a->settings->sampling;
    shuffled.shuffled = true;
    TRY(block_forms(a, b));
    TRY(block_measure(a, b));
    TRY(block_control(a, b, a->asked.random, &a->settings->sampling, a->random_coverage, NULL));
    return block_control(a, b, a->asked.prompts, &shuffled, a->shuffled_coverage,
                         a->shuffled_focus);
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
static void columns_make(const struct collecting *a)
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

static status questions_make(const struct collecting *a)
{
    struct probe_data *out = a->out;
    if (!a->settings->by[0]) return NULL;
    out->question = memory_allocate((size_t)a->asked.count * sizeof *out->question);
    for (int64_t h = 0; h < a->asked.count; h++) {
        TRY(dialogue_field(a->asked.line[h], a->settings->by, &out->question[h]));
        if (!out->question[h]) out->question[h] = memory_text("none");
    }
    return NULL;
}

static status blocks_run(struct collecting *a)
{
    for (int64_t h = 0; h < a->asked.count;) {
        struct asked_block block;
        status s = asked_block_make(a->generator, &a->settings->sampling, a->language, &a->asked, h,
                                    &block);
        if (!s) s = block_run(a, &block);
        h = block.end;
        asked_block_free(&block);
        TRY(s);
    }
    return NULL;
}

status probe_collect(struct generator *generator, const struct probe_settings *settings,
                     const struct language *language, const struct dataset *data,
                     const struct labelled *labelled, struct source_set *sources,
                     struct probe_data *out)
{
    struct collecting a = {.generator = generator,
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
    if (!s) s = asked_make(settings, language, data, labelled, &a.asked);
    if (!s) room_make(&a);
    if (!s) metrics_make(&a, labelled ? labelled->field : "");
    if (!s) s = blocks_run(&a);
    if (!s) s = questions_make(&a);
    if (!s) columns_make(&a);
    free(a.terms);
    pattern_free(a.pattern);
    asked_free(&a.asked);
    if (s) probe_data_free(out);
    return s;
}
