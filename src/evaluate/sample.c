/* The one writer of the sample record; see sample.h. */
#include "src/evaluate/sample.h"

#include "src/base/cut_turns.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/reward/terms.h"
#include "src/rollout/speakers.h"

#include <stdlib.h>
#include <string.h>

struct sample sample_of_reply(const struct prompt *prompt, const struct reply *reply)
{
    return (struct sample){.line = -1,
                           .dialogue = -1,
                           .turn = prompt->turn,
                           .candidate = -1,
                           .history_count = prompt->count,
                           .reply_count = reply->count,
                           .history = prompt->tokens,
                           .salient = prompt->salient,
                           .visible = prompt->visible,
                           .turn_of = prompt->turn_of,
                           .part = prompt->part,
                           .speaker = prompt->names[0][0] ? prompt->speaker : NULL,
                           .names = prompt->names,
                           .cuts = prompt->cuts,
                           .cut_count = prompt->cut_count,
                           .reply = reply->tokens,
                           .logp = reply->logp,
                           .token_entropy = reply->token_entropy,
                           .ended = reply->ended,
                           .interrupted = reply->interrupted,
                           .statistics = &reply->statistics,
                           .visible_count = prompt->visible_count};
}

struct sample sample_of_turn(const struct experience *experience,
                             const struct experience_turn *turn)
{
    return (struct sample){.line = -1,
                           .dialogue = experience->dialogue,
                           .turn = turn->turn + 1,
                           .candidate = turn->candidate,
                           .history_count = turn->history_length,
                           .reply_count = turn->reply_length,
                           .history = turn->history_tokens,
                           .salient = turn->salient,
                           .visible = turn->visible,
                           .turn_of = turn->turn_of,
                           .part = turn->part,
                           .speaker = turn->speaker,
                           .names = turn->names,
                           .cuts = turn->cuts,
                           .cut_count = turn->cut_count,
                           .reply = turn->reply_tokens,
                           .logp = turn->logp,
                           .token_entropy = turn->token_entropy,
                           .credit = turn->credit,
                           .ratio = turn->ratio,
                           .ended = turn->ended,
                           .interrupted = turn->interrupted,
                           .statistics = &turn->statistics,
                           .visible_count = turn->visible_count,
                           .reward = experience->format.reward,
                           .terms = turn->terms};
}

static void number_write(FILE *out, const char *name, double value)
{
    char text[40];
    json_double_text(text, value);
    fprintf(out, ",\"%s\":%s", name, text);
}

static status text_write(FILE *out, const struct tokenizer *tokenizer, const int32_t *ids,
                         int64_t count)
{
    char *text;
    TRY(tokenizer_decode(tokenizer, ids, count, true, &text));
    json_write_text(out, text);
    free(text);
    return NULL;
}

/* The tokens of one turn and speaker are a message; markers part them. */
static status messages_write(FILE *out, const struct sample *s)
{
    fputs(",\"messages\":[", out);
    bool first = true;
    for (int64_t i = 0; i < s->history_count;) {
        int64_t end = i + 1;
        if (s->part[i] != PART_MARKER && s->part[i] != PART_SUMMARY) {
            while (end < s->history_count && s->part[end] == s->part[i] &&
                   s->turn_of[end] == s->turn_of[i])
                end++;
            const int speaker = s->speaker ? s->speaker[i] : 0;
            fprintf(out, "%s{\"role\":\"%s\"", first ? "" : ",",
                    s->part[i] == PART_USER     ? "user"
                    : s->part[i] == PART_SYSTEM ? "system"
                                                : "assistant");
            if (speaker) fputs(",\"name\":", out);
            if (speaker) json_write_text(out, s->names[speaker - 1]);
            fputs(",\"content\":", out);
            TRY(text_write(out, s->tokenizer, s->history + i, end - i));
            fputc('}', out);
            first = false;
        }
        i = end;
    }
    fputc(']', out);
    return NULL;
}

/* What each token stands for; bytes that are no UTF-8 by themselves are U+FFFD. */
static status pieces_write(FILE *out, const struct tokenizer *tokenizer, const char *key,
                           const int32_t *ids, int64_t count)
{
    const size_t n = (size_t)count + 1;
    int32_t *begin = memory_allocate(n * sizeof *begin), *end = memory_allocate(n * sizeof *end);
    char *text = NULL;
    size_t size;
    status failed = tokenizer_decode_ranges(tokenizer, ids, count, &text, &size, begin, end);
    if (!failed) fprintf(out, ",\"%s\":[", key);
    for (int64_t i = 0; !failed && i < count; i++) {
        json_t *piece = json_stringn(text + begin[i], (size_t)(end[i] - begin[i]));
        if (i) fputc(',', out);
        json_write_text(out, piece ? json_string_value(piece) : "\xef\xbf\xbd");
        json_decref(piece);
    }
    if (!failed) fputc(']', out);
    free(text);
    free(begin);
    free(end);
    return failed;
}

static void marks_write(FILE *out, const char *key, const uint8_t *marks, int64_t count)
{
    fprintf(out, ",\"%s\":[", key);
    for (int64_t i = 0; i < count; i++) fprintf(out, "%s%d", i ? "," : "", marks[i]);
    fputc(']', out);
}

/* Who has a name, and whose words each token is of: its number from 1, else 0. */
static void speakers_write(FILE *out, const struct sample *s)
{
    if (!s->speaker) return;
    fputs(",\"speakers\":[", out);
    for (int k = 0; k < SPEAKERS_MAX && s->names[k][0]; k++) {
        if (k) fputc(',', out);
        json_write_text(out, s->names[k]);
    }
    fputc(']', out);
    marks_write(out, "speaker", s->speaker, s->history_count);
    const struct speaker_history history = {.speaker = s->speaker,
                                            .salient = s->salient,
                                            .turn_of = s->turn_of,
                                            .count = s->history_count,
                                            .visible = s->visible_count};
    struct speaker_attention read;
    if (!speakers_read(s->statistics, s->reward->coverage_form, &history, &read)) return;
    for (int k = 0; k < read.count; k++)
        fprintf(out, "%s%.9g", k ? "," : ",\"speaker_mass\":[", read.mass[k]);
    for (int k = 0; k < read.count; k++)
        fprintf(out, "%s%.9g", k ? "," : "],\"speaker_coverage\":[", read.coverage[k]);
    fputc(']', out);
}

/* The turns that the history's slots stand for. */
static void summary_write(FILE *out, const struct cut_turns *turns)
{
    const int32_t *token = turns->token;
    fprintf(out, ",\"summary\":{\"slots\":%lld,\"turns\":[", (long long)turns->slots);
    for (int64_t i = 0; i < turns->turns; i++) {
        if (i) fputc(',', out);
        json_write_integers(out, token, turns->length[i]);
        token += turns->length[i];
    }
    fputs("]}", out);
}

/* What a decoder-only model's masses go by, and what its sums run over; of an encoder-decoder what
 * its slots stand for. */
static void segments_write(FILE *out, const struct sample *s)
{
    struct cut_turns turns;
    if (cut_turns_read(s->cuts, s->cut_count, &turns)) summary_write(out, &turns);
    if (statistics_find(s->statistics->table, "first_mass") < 0) return;
    fputs(",\"marker\":[", out);
    for (int64_t i = 0; i < s->history_count; i++)
        fprintf(out, "%s%d", i ? "," : "", s->part[i] == PART_MARKER);
    fputc(']', out);
    if (!s->cut_count) return;
    fputs(",\"cuts\":", out);
    json_write_integers(out, s->cuts, s->cut_count);
}

/* A list of numbers, or where a token has several a list of lists. */
static void statistic_write(FILE *out, const struct statistics *statistics, int row)
{
    const struct statistic *one = &statistics->table->rows[row];
    const int64_t numbers = statistics_numbers(statistics, row);
    const int64_t width = one->per == PER_TOKEN || one->reduction != EVERY_TOKEN
                              ? numbers
                              : statistic_width(one, &statistics->sizes);
    const bool nested = width != numbers || one->per != PER_TOKEN;
    fprintf(out, ",\"%s\":%s", one->name, nested ? "[" : "");
    for (int64_t at = 0; at < numbers; at += width) {
        if (at) fputc(',', out);
        if (one->encoding == ENCODE_INDEX)
            json_write_integers(out, statistics_indices(statistics, row) + at, width);
        else
            json_write_floats(out, statistics_floats(statistics, row) + at, width);
    }
    if (!nested && !numbers) fputs("[]", out);
    if (nested) fputc(']', out);
}

static void reward_write(FILE *out, const struct sample *s)
{
    for (int64_t t = 0; t < s->reward->term_count; t++)
        number_write(out, reward_term_name(s->reward, t), s->terms[t]);
    number_write(out, "reward", reward_combine(s->reward, s->terms, NULL, s->reply_count));
    if (!s->running || s->running->plain[0].count < 1) return;
    double divisors[TERM_MAX];
    running_divisors(s->reward, s->running, divisors);
    number_write(out, "reward_scaled",
                 reward_combine(s->reward, s->terms, divisors, s->reply_count));
}

status sample_write(FILE *out, const struct sample *s)
{
    fprintf(out, "{\"turn\":%d", s->turn);
    if (s->id) fprintf(out, ",\"id\":%s", s->id);
    if (s->line >= 0) fprintf(out, ",\"line\":%lld", (long long)s->line);
    if (s->dialogue >= 0) fprintf(out, ",\"dialogue\":%lld", (long long)s->dialogue);
    if (s->candidate >= 0) fprintf(out, ",\"candidate\":%d", s->candidate);
    if (s->tokenizer) {
        TRY(messages_write(out, s));
        fputs(",\"reply\":", out);
        TRY(text_write(out, s->tokenizer, s->reply, s->reply_count));
        if (s->gold) fputs(",\"gold\":", out);
        if (s->gold) json_write_text(out, s->gold);
        TRY(pieces_write(out, s->tokenizer, "pieces", s->reply, s->reply_count));
        TRY(pieces_write(out, s->tokenizer, "history_pieces", s->history, s->history_count));
    }
    fputs(",\"history_tokens\":", out);
    json_write_integers(out, s->history, s->history_count);
    marks_write(out, "salient", s->salient, s->history_count);
    marks_write(out, "visible", s->visible, s->history_count);
    speakers_write(out, s);
    segments_write(out, s);
    fputs(",\"reply_tokens\":", out);
    json_write_integers(out, s->reply, s->reply_count);
    fprintf(out, ",\"ended\":%s", s->ended ? "true" : "false");
    if (s->interrupted) fputs(",\"interrupted\":true", out);
    fputs(",\"logp\":", out);
    json_write_floats(out, s->logp, s->reply_count);
    fputs(",\"token_entropy\":", out);
    json_write_floats(out, s->token_entropy, s->reply_count);
    if (s->credit) fputs(",\"credit\":", out);
    if (s->credit) json_write_floats(out, s->credit, s->reply_count);
    if (s->ratio) fputs(",\"ratio\":", out);
    if (s->ratio) json_write_floats(out, s->ratio, s->reply_count);
    for (int i = 0; i < s->statistics->table->count; i++)
        if (s->statistics->table->rows[i].per != PER_SPEAKER)
            statistic_write(out, s->statistics, i);
    reward_write(out, s);
    fputs("}\n", out);
    return NULL;
}
