#include "src/pairs/pairs.h"

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/pairs/heuristic.h"
#include "src/pairs/select.h"
#include "src/probe/asked.h"
#include "src/rollout/judge.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct making {
    struct generator *generator;
    const struct pairs_settings *settings;
    const struct language *language;
    struct source_set *sources;
    struct asked asked;
    FILE *out;
    struct pairs_counts *counts;
};

/* Replies to the histories [begin, end), sampled together. */
struct block {
    int64_t begin, rows;
    struct reply_row *row;
    struct reply *replies;
    struct judged *judged;
    char **texts;
    double *scores;
};

static void block_free(struct block *b)
{
    for (int64_t r = 0; r < b->rows; r++) {
        reply_free(&b->replies[r]);
        free(b->texts[r]);
    }
    free(b->row);
    free(b->replies);
    free(b->judged);
    free(b->texts);
    free(b->scores);
}

static void block_create(const struct making *m, int64_t begin, int64_t end, struct block *b)
{
    const struct asked *asked = &m->asked;
    const size_t n = (size_t)(asked->first[end] - asked->first[begin]);
    *b = (struct block){.begin = begin,
                        .rows = (int64_t)n,
                        .row = memory_allocate(n * sizeof *b->row),
                        .replies = memory_allocate(n * sizeof *b->replies),
                        .judged = memory_allocate(n * sizeof *b->judged),
                        .texts = memory_allocate(n * sizeof *b->texts),
                        .scores = memory_allocate(n * sizeof *b->scores)};
    for (int64_t h = begin, r = 0; h < end; h++)
        for (int64_t k = 0; k < asked->first[h + 1] - asked->first[h]; k++, r++) {
            const struct prompt *prompt = &asked->prompts[h];
            const struct dialogue *line = asked->line[h];
            b->row[r] = (struct reply_row){
                .prompt = (int32_t)(h - begin),
                .counter = {(uint32_t)asked->dialogue[h], (uint32_t)prompt->turn, (uint32_t)k}};
            b->judged[r] = (struct judged){.key = {line->line, prompt->turn, (int32_t)k, 0},
                                           .line = line,
                                           .message = asked->message[h],
                                           .messages = line->messages,
                                           .message_count = asked->message[h],
                                           .prompt = prompt,
                                           .reply = &b->replies[r]};
        }
}

/* What the verifier says of each reply. */
static status verify(const struct making *m, struct block *b)
{
    const struct reward_settings *reward = &m->settings->asked.sampling.reward;
    double(*terms)[TERM_MAX] = memory_allocate((size_t)b->rows * sizeof *terms);
    status s = replies_judge(m->sources, m->language->tokenizer, b->judged, b->rows, terms, NULL);
    int64_t column = 0;
    while (strcmp(reward_term_name(reward, column), "verifier") != 0) column++;
    for (int64_t r = 0; r < b->rows; r++) b->scores[r] = terms[r][column];
    free(terms);
    return s;
}

static status block_score(const struct making *m, struct block *b)
{
    const struct rollout_settings *sampling = &m->settings->asked.sampling;
    TRY(generate_replies(m->generator, sampling, RANDOM_SAMPLING, m->asked.prompts + b->begin,
                         b->row, b->rows, b->replies));
    for (int64_t r = 0; r < b->rows; r++)
        TRY(tokenizer_decode(m->language->tokenizer, b->replies[r].tokens, b->replies[r].count,
                             true, &b->texts[r]));
    if (m->settings->heuristic == PAIRS_VERIFIER) return verify(m, b);
    for (int64_t r = 0; r < b->rows; r++)
        b->scores[r] = pairs_score(m->settings->heuristic, b->judged[r].line, b->judged[r].message,
                                   b->texts[r], m->settings->marker);
    return NULL;
}

/* One side of a pair: its text, score, who wrote it and, of a sampled one, which. */
static void side_write(const struct making *m, const struct block *b, int64_t first,
                       int64_t candidate, const char *side)
{
    const struct judged *judged = &b->judged[first];
    const bool gold = candidate == PAIR_GOLD;
    char score[40];
    json_double_text(score, gold ? 1 : b->scores[first + candidate]);
    fprintf(m->out, ",\"%s\":", side);
    json_write_text(m->out, gold ? judged->line->messages[judged->message].content
                                 : b->texts[first + candidate]);
    fprintf(m->out, ",\"%s_by\":\"%s\",\"%s_score\":%s", side,
            gold ? m->settings->gold_by : "model", side, score);
    if (!gold) fprintf(m->out, ",\"%s_candidate\":%" PRId64, side, candidate);
}

/* first: the history's first reply in the block. */
static void pair_write(const struct making *m, const struct block *b, int64_t first,
                       const struct pair *pair)
{
    const struct judged *judged = &b->judged[first];
    if (judged->line->id) /* else the line's number, as generate has it */
        fprintf(m->out, "{\"id\":%s", judged->line->id);
    else
        fprintf(m->out, "{\"id\":%" PRId64, judged->line->line);
    fprintf(m->out, ",\"turn\":%d,\"messages\":[", judged->key.turn);
    for (int64_t i = 0; i < judged->message; i++) {
        const struct message *message = &judged->line->messages[i];
        fprintf(m->out, "%s{\"role\":\"%s\"", i ? "," : "", role_name(message->role));
        if (message->name) fputs(",\"name\":", m->out);
        if (message->name) json_write_text(m->out, message->name);
        fputs(",\"content\":", m->out);
        json_write_text(m->out, message->content);
        fputc('}', m->out);
    }
    fputc(']', m->out);
    side_write(m, b, first, pair->chosen, "chosen");
    side_write(m, b, first, pair->rejected, "rejected");
    fprintf(m->out, ",\"heuristic\":\"%s\"}\n", pairs_heuristic_name(m->settings->heuristic));
}

static void block_select(const struct making *m, const struct block *b, int64_t end)
{
    const struct pairs_settings *settings = m->settings;
    for (int64_t h = b->begin; h < end; h++) {
        const int64_t first = m->asked.first[h] - m->asked.first[b->begin];
        const int64_t count = m->asked.first[h + 1] - m->asked.first[h];
        const int64_t all = count * count;
        const int64_t most = settings->per_history < all ? settings->per_history : all;
        struct pair *pairs = memory_allocate((size_t)most * sizeof *pairs);
        const int64_t found =
            (settings->heuristic == PAIRS_DEMONSTRATION ? pairs_of_gold : pairs_of_scores)(
                b->texts + first, b->scores + first, count, settings->margin, most, pairs);
        for (int64_t i = 0; i < found; i++) pair_write(m, b, first, &pairs[i]);
        m->counts->pairs += found;
        m->counts->without += found == 0;
        free(pairs);
    }
}

/* As many histories at a time as infer.batch holds replies, or one. */
static status blocks_run(const struct making *m)
{
    const struct asked *asked = &m->asked;
    for (int64_t h = 0, end; h < asked->count; h = end) {
        for (end = h + 1; end < asked->count; end++)
            if (asked->first[end + 1] - asked->first[h] > m->settings->asked.sampling.batch) break;
        struct block block;
        block_create(m, h, end, &block);
        status s = block_score(m, &block);
        if (!s) block_select(m, &block, end);
        block_free(&block);
        TRY(s);
    }
    return NULL;
}

status pairs_make(struct generator *generator, const struct pairs_settings *settings,
                  const struct language *language, const struct dataset *data,
                  struct source_set *sources, FILE *out, struct pairs_counts *counts)
{
    struct making m = {.generator = generator,
                       .settings = settings,
                       .language = language,
                       .sources = sources,
                       .out = out,
                       .counts = counts};
    *counts = (struct pairs_counts){0};
    status s = asked_make(&settings->asked, language, data, NULL, &m.asked);
    counts->histories = m.asked.count;
    counts->overlong = m.asked.overlong;
    if (!s) s = blocks_run(&m);
    asked_free(&m.asked);
    if (!s && counts->pairs == 0)
        s = ERROR(STATUS_INPUT,
                  "%s: no pair: none of %" PRId64 " histories has two different replies whose "
                  "scores (pairs.heuristic: %s) differ by more than pairs.margin, %g",
                  data->path, counts->histories, pairs_heuristic_name(settings->heuristic),
                  settings->margin);
    return s;
}
