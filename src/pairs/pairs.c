#include "src/pairs/pairs.h"

#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/data/jsonl.h"
#include "src/pairs/heuristic.h"
#include "src/pairs/select.h"
#include "src/probe/asked_block.h"

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

/* What the verifier says of each reply. */
static status verify(const struct making *m, const struct asked_block *b, double *scores)
{
    const struct reward_settings *reward = &m->settings->asked.sampling.reward;
    double(*terms)[TERM_MAX] = memory_allocate((size_t)b->rows * sizeof *terms);
    status s = replies_judge(m->sources, m->language->tokenizer, b->judged, b->rows, terms, NULL);
    int64_t column = 0;
    while (strcmp(reward_term_name(reward, column), "verifier") != 0) column++;
    for (int64_t r = 0; r < b->rows; r++) scores[r] = terms[r][column];
    free(terms);
    return s;
}

static status block_score(const struct making *m, const struct asked_block *b, double *scores)
{
    if (m->settings->heuristic == PAIRS_VERIFIER) return verify(m, b, scores);
    for (int64_t r = 0; r < b->rows; r++)
        scores[r] = pairs_score(m->settings->heuristic, b->judged[r].line, b->judged[r].message,
                                b->texts[r], m->settings->marker);
    return NULL;
}

/* The replies to one history. */
struct answers {
    const struct judged *judged;
    char *const *texts;
    const double *scores;
};

/* One side of a pair: its text, score, who wrote it and, of a sampled one, which. */
static void side_write(const struct making *m, const struct answers *answers, int64_t candidate,
                       const char *side)
{
    const struct judged *judged = answers->judged;
    const bool gold = candidate == PAIR_GOLD;
    char score[40];
    json_double_text(score, gold ? 1 : answers->scores[candidate]);
    fprintf(m->out, ",\"%s\":", side);
    json_write_text(m->out, gold ? judged->line->messages[judged->message].content
                                 : answers->texts[candidate]);
    fprintf(m->out, ",\"%s_by\":\"%s\",\"%s_score\":%s", side,
            gold ? m->settings->gold_by : "model", side, score);
    if (!gold) fprintf(m->out, ",\"%s_candidate\":%" PRId64, side, candidate);
}

static void pair_write(const struct making *m, const struct answers *answers,
                       const struct pair *pair)
{
    const struct judged *judged = answers->judged;
    if (judged->line->id) /* else the line's number, as generate has it */
        fprintf(m->out, "{\"id\":%s", judged->line->id);
    else
        fprintf(m->out, "{\"id\":%" PRId64, judged->line->line);
    fprintf(m->out, ",\"turn\":%d,\"messages\":[", judged->key.turn);
    for (int64_t i = 0; i < judged->message; i++) {
        const struct message *message = &judged->line->messages[i];
        fputs(i ? ",{" : "{", m->out);
        message_write(m->out, message->role, message->name, message->content);
        fputc('}', m->out);
    }
    fputc(']', m->out);
    side_write(m, answers, pair->chosen, "chosen");
    side_write(m, answers, pair->rejected, "rejected");
    fprintf(m->out, ",\"heuristic\":\"%s\"}\n", pairs_heuristic_name(m->settings->heuristic));
}

static void block_select(const struct making *m, const struct asked_block *b, const double *scores)
{
    const struct pairs_settings *settings = m->settings;
    for (int64_t h = b->begin; h < b->end; h++) {
        const int64_t first = m->asked.first[h] - m->asked.first[b->begin];
        const int64_t count = m->asked.first[h + 1] - m->asked.first[h];
        const struct answers answers = {b->judged + first, b->texts + first, scores + first};
        const int64_t all = count * count;
        const int64_t most = settings->per_history < all ? settings->per_history : all;
        struct pair *pairs = memory_allocate((size_t)most * sizeof *pairs);
        const int64_t found =
            (settings->heuristic == PAIRS_DEMONSTRATION ? pairs_of_gold : pairs_of_scores)(
                answers.texts, answers.scores, count, settings->margin, most, pairs);
        for (int64_t i = 0; i < found; i++) pair_write(m, &answers, &pairs[i]);
        m->counts->pairs += found;
        m->counts->without += found == 0;
        free(pairs);
    }
}

static status blocks_run(const struct making *m)
{
    for (int64_t h = 0; h < m->asked.count;) {
        struct asked_block block;
        status s = asked_block_make(m->generator, &m->settings->asked.sampling, m->language,
                                    &m->asked, h, &block);
        double *scores = memory_allocate((size_t)block.rows * sizeof *scores);
        if (!s) s = block_score(m, &block, scores);
        if (!s) block_select(m, &block, scores);
        free(scores);
        h = block.end;
        asked_block_free(&block);
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
