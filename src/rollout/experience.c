/* Experience messages: one walk over the fields measures, writes and reads, so that both
 * sides have the same layout by construction.  Numbers are in the host's byte order; the
 * magic number tells a foreign one. */
#include "src/rollout/experience.h"

#include "src/base/cut_turns.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/reward/blocks.h"
#include "src/rollout/prompt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t experience_magic = 0x58474552; /* "REGX" */

/* The header as it travels: 72 bytes without padding. */
struct experience_header {
    uint32_t magic, version;
    uint64_t size;     /* of the whole message */
    uint32_t checksum; /* CRC32C of the message with this field 0 */
    uint32_t header_size;
    int64_t dialogue, prompt, weight_version, turn_count;
    int32_t statistics, terms; /* rows of the tables, which follow */
    int32_t layers, heads;
};

/* A row of the tables as it travels: what sender and receiver must agree on. */
struct table_row {
    char name[STATISTICS_NAME_MAX];
    uint8_t per, reduction, encoding, unused;
};

enum walk_mode { WALK_MEASURE, WALK_WRITE, WALK_READ };

struct walk {
    int mode;
    uint8_t *at;
    size_t left; /* bytes that may still be written or read */
    size_t used;
    bool failed;
};

static void walk_bytes(struct walk *w, void *data, size_t size)
{
    w->used += size;
    if (w->mode == WALK_MEASURE || w->failed || size == 0) return;
    if (size > w->left) {
        w->failed = true;
        return;
    }
    if (w->mode == WALK_WRITE)
        memcpy(w->at, data, size);
    else
        memcpy(data, w->at, size);
    w->at += size;
    w->left -= size;
}

/* A flag travels as one byte; reading refuses anything but 0 and 1. */
static void walk_flag(struct walk *w, bool *flag)
{
    uint8_t byte = *flag;
    walk_bytes(w, &byte, 1);
    if (w->mode != WALK_READ) return;
    if (byte > 1) w->failed = true;
    *flag = byte == 1;
}

static bool turn_sizes_fit(const struct experience_turn *t)
{
    const struct statistic_sizes *sizes = &t->statistics.sizes;
    return t->history_length >= 0 && t->history_length <= EXPERIENCE_LENGTH_MAX &&
           t->reply_length >= 0 && t->reply_length <= EXPERIENCE_LENGTH_MAX && t->cut_count >= 0 &&
           t->cut_count <= EXPERIENCE_LENGTH_MAX && sizes->turns >= 0 &&
           sizes->turns <= STATISTICS_TURNS_MAX;
}

/* Bytes of a turn's arrays in the message: what must be left before anything is allocated. */
static size_t turn_array_bytes(const struct experience_turn *t,
                               const struct experience_format *format)
{
    const size_t history = (size_t)t->history_length, reply = (size_t)t->reply_length;
    struct statistics statistics = t->statistics;
    const struct statistic_table *table = format->statistics;
    statistics.table = table;
    statistics.tokens = t->reply_length;
    size_t bytes =
        history * 8 + reply * (format->reward->block ? 13 : 12) + (size_t)t->cut_count * 4;
    for (int i = 0; i < table->count; i++)
        bytes +=
            (size_t)statistics_numbers(&statistics, i) * statistic_number_bytes(&table->rows[i]);
    return bytes;
}

static void *array_allocate(size_t count, size_t size)
{
    return count ? memory_allocate(count * size) : NULL;
}

static void walk_log8(struct walk *w, float *weights, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        uint8_t code = w->mode == WALK_WRITE ? statistic_log8(weights[i]) : 0;
        walk_bytes(w, &code, 1);
        if (w->mode == WALK_READ) weights[i] = statistic_from_log8(code);
    }
}

static void walk_statistics(struct walk *w, struct statistics *statistics)
{
    for (int i = 0; i < statistics->table->count; i++) {
        const int64_t numbers = statistics_numbers(statistics, i);
        if (statistics->table->rows[i].encoding == ENCODE_LOG8)
            walk_log8(w, statistics->array[i], numbers);
        else
            walk_bytes(w, statistics->array[i], (size_t)numbers * 4);
    }
}

/* Users' names and whose words each token is of, where somebody has a name. */
static void walk_speakers(struct walk *w, struct experience_turn *t)
{
    bool named = t->speaker != NULL;
    const size_t history = (size_t)t->history_length;
    walk_flag(w, &named);
    if (!named || w->failed) return;
    if (w->mode == WALK_READ && w->left < sizeof t->names + history) {
        w->failed = true;
        return;
    }
    if (w->mode == WALK_READ) t->speaker = memory_allocate(history + 1);
    walk_bytes(w, t->names, sizeof t->names);
    walk_bytes(w, t->speaker, history);
}

/* A span's place and its terms. */
static size_t span_bytes(const struct experience_format *format)
{
    return 8 + (size_t)format->reward->term_count * sizeof(double);
}

static void walk_spans(struct walk *w, const struct experience_format *format,
                       struct experience_turn *t)
{
    walk_bytes(w, &t->span_count, 4);
    if (w->mode == WALK_READ) {
        if (t->span_count < 0 || (size_t)t->span_count > w->left / span_bytes(format))
            w->failed = true;
        if (w->failed) t->span_count = 0;
        t->spans = array_allocate((size_t)t->span_count, sizeof *t->spans);
    }
    for (int32_t i = 0; i < t->span_count; i++) {
        walk_bytes(w, &t->spans[i].begin, 4);
        walk_bytes(w, &t->spans[i].end, 4);
        walk_bytes(w, t->spans[i].terms, span_bytes(format) - 8);
    }
}

/* What the sources took for the dialogue. */
static void walk_milliseconds(struct walk *w, const struct experience_format *format,
                              double *milliseconds)
{
    walk_bytes(w, milliseconds, (size_t)format->reward->term_count * sizeof *milliseconds);
}

static void walk_turn(struct walk *w, const struct experience_format *format,
                      struct experience_turn *t)
{
    int32_t turns = (int32_t)t->statistics.sizes.turns;
    walk_bytes(w, &t->candidate, 4);
    walk_bytes(w, &t->turn, 4);
    walk_flag(w, &t->ended);
    walk_flag(w, &t->interrupted);
    walk_flag(w, &t->chosen);
    walk_bytes(w, &t->history_length, 4);
    walk_bytes(w, &t->reply_length, 4);
    walk_bytes(w, &t->cut_count, 4);
    walk_bytes(w, &turns, 4);
    walk_bytes(w, &t->visible_count, 4);
    walk_bytes(w, &t->salient_count, 4);
    walk_bytes(w, &t->dropped, 4);
    walk_bytes(w, &t->pruned, 4);
    walk_bytes(w, &t->whole, 4);
    walk_bytes(w, t->terms, (size_t)format->reward->term_count * sizeof *t->terms);
    walk_bytes(w, &t->reward, 8);
    walk_spans(w, format, t);
    if (format->reward->block) walk_flag(w, &t->answered);
    if (format->reward->block) walk_flag(w, &t->unbalanced);
    if (w->mode == WALK_READ) {
        t->statistics.sizes = (struct statistic_sizes){turns, format->layers, format->heads};
        if (!w->failed && (!turn_sizes_fit(t) || turn_array_bytes(t, format) > w->left))
            w->failed = true;
        if (w->failed) {
            t->history_length = t->reply_length = t->cut_count = 0;
            t->statistics = (struct statistics){0};
            return;
        }
        experience_turn_allocate(format, t, t->history_length, t->reply_length, turns);
    }
    const size_t history = (size_t)t->history_length, reply = (size_t)t->reply_length;
    walk_bytes(w, t->history_tokens, history * 4);
    walk_bytes(w, t->salient, history);
    walk_bytes(w, t->visible, history);
    walk_bytes(w, t->turn_of, history);
    walk_bytes(w, t->part, history);
    walk_speakers(w, t);
    walk_bytes(w, t->cuts, (size_t)t->cut_count * 4);
    walk_bytes(w, t->reply_tokens, reply * 4);
    walk_bytes(w, t->logp, reply * 4);
    walk_bytes(w, t->token_entropy, reply * 4);
    if (format->reward->block) walk_bytes(w, t->marks, reply);
    walk_statistics(w, &t->statistics);
}

struct experience *experience_create(const struct experience_format *format, int64_t dialogue,
                                     int64_t weight_version, int64_t turn_count)
{
    struct experience *e = memory_allocate(sizeof *e);
    e->format = *format;
    e->dialogue = dialogue;
    e->prompt = -1;
    e->weight_version = weight_version;
    e->turn_count = turn_count;
    if (turn_count > 0) e->turns = memory_allocate((size_t)turn_count * sizeof *e->turns);
    return e;
}

void experience_turn_allocate(const struct experience_format *format, struct experience_turn *turn,
                              int32_t history_length, int32_t reply_length, int64_t turns)
{
    const struct statistic_sizes sizes = {turns, format->layers, format->heads};
    const size_t history = (size_t)history_length, reply = (size_t)reply_length;
    turn->history_length = history_length;
    turn->reply_length = reply_length;
    turn->history_tokens = array_allocate(history, 4);
    turn->salient = array_allocate(history, 1);
    turn->visible = array_allocate(history, 1);
    turn->turn_of = array_allocate(history, 1);
    turn->part = array_allocate(history, 1);
    turn->cuts = array_allocate((size_t)turn->cut_count, 4);
    turn->reply_tokens = array_allocate(reply, 4);
    turn->logp = array_allocate(reply, 4);
    turn->token_entropy = array_allocate(reply, 4);
    if (format->reward->block) turn->marks = array_allocate(reply, 1);
    statistics_allocate(&turn->statistics, format->statistics, &sizes, reply_length);
}

void experience_turn_free(struct experience_turn *turn)
{
    free(turn->history_tokens);
    free(turn->salient);
    free(turn->visible);
    free(turn->turn_of);
    free(turn->part);
    free(turn->speaker);
    free(turn->cuts);
    free(turn->reply_tokens);
    free(turn->logp);
    free(turn->token_entropy);
    statistics_free(&turn->statistics);
    free(turn->spans);
    free(turn->marks);
    free(turn->credit);
    free(turn->ratio);
}

void experience_destroy(struct experience *experience)
{
    if (!experience) return;
    for (int64_t i = 0; i < experience->turn_count; i++)
        experience_turn_free(&experience->turns[i]);
    free(experience->turns);
    free(experience);
}

static struct table_row row_of_statistic(const struct statistic *statistic)
{
    struct table_row row = {.per = (uint8_t)statistic->per,
                            .reduction = (uint8_t)statistic->reduction,
                            .encoding = (uint8_t)statistic->encoding};
    snprintf(row.name, sizeof row.name, "%s", statistic->name);
    return row;
}

static struct table_row row_of_term(const struct reward_settings *reward, int64_t term)
{
    struct table_row row = {.per = 0};
    snprintf(row.name, sizeof row.name, "%s", reward_term_name(reward, term));
    return row;
}

/* rows [statistics + terms]: the tables of a format. */
static int64_t table_rows(const struct experience_format *format,
                          struct table_row rows[STATISTICS_MAX + TERM_MAX])
{
    int64_t n = 0;
    for (int i = 0; i < format->statistics->count; i++)
        rows[n++] = row_of_statistic(&format->statistics->rows[i]);
    for (int64_t t = 0; t < format->reward->term_count; t++)
        rows[n++] = row_of_term(format->reward, t);
    return n;
}

status experience_pack(const struct experience *experience, void **message, size_t *size)
{
    const struct experience_format *format = &experience->format;
    struct table_row rows[STATISTICS_MAX + TERM_MAX];
    *message = NULL;
    if (experience->turn_count < 0 || experience->turn_count > EXPERIENCE_TURN_MAX)
        FAIL(STATUS_INTERNAL, "experience of dialogue %lld has %lld turns",
             (long long)experience->dialogue, (long long)experience->turn_count);
    struct walk measure = {.mode = WALK_MEASURE};
    double milliseconds[TERM_MAX];
    memcpy(milliseconds, experience->milliseconds, sizeof milliseconds);
    walk_bytes(&measure, rows, (size_t)table_rows(format, rows) * sizeof *rows);
    for (int64_t i = 0; i < experience->turn_count; i++) {
        if (!turn_sizes_fit(&experience->turns[i]))
            FAIL(STATUS_INTERNAL, "experience of dialogue %lld, turn %lld: sizes out of bounds",
                 (long long)experience->dialogue, (long long)i);
        walk_turn(&measure, format, &experience->turns[i]);
    }
    walk_milliseconds(&measure, format, milliseconds);
    struct experience_header header = {.magic = experience_magic,
                                       .version = EXPERIENCE_VERSION,
                                       .size = sizeof header + measure.used,
                                       .header_size = sizeof header,
                                       .dialogue = experience->dialogue,
                                       .prompt = experience->prompt,
                                       .weight_version = experience->weight_version,
                                       .turn_count = experience->turn_count,
                                       .statistics = format->statistics->count,
                                       .terms = (int32_t)format->reward->term_count,
                                       .layers = (int32_t)format->layers,
                                       .heads = (int32_t)format->heads};
    uint8_t *bytes = memory_allocate(header.size);
    struct walk write = {.mode = WALK_WRITE, .at = bytes + sizeof header, .left = measure.used};
    walk_bytes(&write, rows, (size_t)table_rows(format, rows) * sizeof *rows);
    for (int64_t i = 0; i < experience->turn_count; i++)
        walk_turn(&write, format, &experience->turns[i]);
    walk_milliseconds(&write, format, milliseconds);
    memcpy(bytes, &header, sizeof header);
    header.checksum = crc32c(0, bytes, header.size);
    memcpy(bytes, &header, sizeof header);
    *message = bytes;
    *size = header.size;
    return NULL;
}

/* CRC32C of a message as if its checksum field were 0. */
static uint32_t message_checksum(const void *message, struct experience_header header)
{
    header.checksum = 0;
    uint32_t sum = crc32c(0, &header, sizeof header);
    return crc32c(sum, (const uint8_t *)message + sizeof header, header.size - sizeof header);
}

/* One behind another over the whole reply, none of them empty. */
static bool turn_spans_fit(const struct experience_turn *t)
{
    int32_t at = 0;
    for (int32_t i = 0; i < t->span_count; at = t->spans[i++].end)
        if (t->spans[i].begin != at || t->spans[i].end <= at) return false;
    return !t->span_count || at == t->reply_length;
}

/* Names end, and each number has one. */
static bool turn_speakers_fit(const struct experience_turn *t)
{
    uint8_t count = 0;
    if (!t->speaker) return true;
    for (int k = 0; k < SPEAKERS_MAX; k++)
        if (!memchr(t->names[k], 0, sizeof t->names[k])) return false;
    while (count < SPEAKERS_MAX && t->names[count][0]) count++;
    for (int32_t i = 0; i < t->history_length; i++)
        if (t->speaker[i] > count) return false;
    return true;
}

static bool turn_indices_fit(const struct experience_turn *t)
{
    int32_t visible = 0, salient = 0;
    if (t->candidate < 0 || t->turn < 0) return false;
    if (t->pruned < 0 || t->whole < 0 || t->dropped < t->pruned) return false;
    for (int32_t i = 0; i < t->history_length; i++) {
        visible += t->visible[i];
        salient += t->salient[i];
        if (t->history_tokens[i] < 0 || t->salient[i] > t->visible[i] || t->visible[i] > 1 ||
            t->part[i] >= PART_COUNT)
            return false;
    }
    if (t->visible_count != visible || t->salient_count != salient) return false;
    if (!turn_spans_fit(t) || !turn_speakers_fit(t)) return false;
    struct cut_turns turns;
    const bool summary = cut_turns_read(t->cuts, t->cut_count, &turns);
    if (turns.slots >= t->history_length && summary) return false;
    for (int32_t i = 0; i < t->cut_count && !summary; i++)
        if (t->cuts[i] <= (i ? t->cuts[i - 1] : 0) || t->cuts[i] >= t->history_length) return false;
    for (int32_t i = 0; i < t->reply_length; i++)
        if (t->reply_tokens[i] < 0) return false;
    for (int i = 0; i < t->statistics.table->count; i++) {
        if (t->statistics.table->rows[i].encoding != ENCODE_INDEX) continue;
        const int32_t *position = statistics_indices(&t->statistics, i);
        for (int64_t n = statistics_numbers(&t->statistics, i) - 1; n >= 0; n--)
            if (position[n] < -1 || position[n] >= t->history_length) return false;
    }
    return true;
}

/* The tables of a message are those of this run, in the same order. */
static status tables_check(struct walk *read, const struct experience_header *header,
                           const struct experience_format *format, const char *sender)
{
    struct table_row rows[STATISTICS_MAX + TERM_MAX], came;
    const int64_t count = table_rows(format, rows);
    if (header->statistics != format->statistics->count ||
        header->terms != format->reward->term_count)
        FAIL(STATUS_INTERNAL,
             "%s: experience of %d statistics and %d terms, this run has %d and %lld: all ranks "
             "must run one program with one configuration",
             sender, header->statistics, header->terms, format->statistics->count,
             (long long)format->reward->term_count);
    if (header->layers != format->layers || header->heads != format->heads)
        FAIL(STATUS_INTERNAL,
             "%s: experience of %d layers of %d heads, this run reads %lld of %lld", sender,
             header->layers, header->heads, (long long)format->layers, (long long)format->heads);
    for (int64_t i = 0; i < count; i++) {
        walk_bytes(read, &came, sizeof came);
        if (read->failed || memcmp(&came, &rows[i], sizeof came) != 0)
            FAIL(STATUS_INTERNAL,
                 "%s: experience with another %s in place of %s: all ranks must run one program "
                 "with one configuration",
                 sender, i < header->statistics ? "statistic" : "term", rows[i].name);
    }
    return NULL;
}

status experience_unpack(const void *message, size_t size, const struct experience_format *format,
                         const char *sender, struct experience **out)
{
    *out = NULL;
    struct experience_header header;
    if (size < sizeof header)
        FAIL(STATUS_INTERNAL, "%s: experience message of %zu bytes is shorter than its header",
             sender, size);
    memcpy(&header, message, sizeof header);
    if (header.magic != experience_magic)
        FAIL(STATUS_INTERNAL, "%s: not an experience message (magic %08x)", sender, header.magic);
    if (header.version != EXPERIENCE_VERSION)
        FAIL(STATUS_INTERNAL, "%s: experience message of format %u, this program reads %d", sender,
             header.version, EXPERIENCE_VERSION);
    if (header.size != size || header.header_size != sizeof header)
        FAIL(STATUS_INTERNAL, "%s: experience message says %llu bytes, %zu arrived", sender,
             (unsigned long long)header.size, size);
    if (message_checksum(message, header) != header.checksum)
        FAIL(STATUS_INTERNAL, "%s: experience message with a wrong checksum (dialogue %lld)",
             sender, (long long)header.dialogue);
    /* A turn takes at least 48 bytes, so a count that lies is found before it is allocated. */
    if (header.turn_count < 0 || header.turn_count > EXPERIENCE_TURN_MAX ||
        (uint64_t)header.turn_count * 48 > size)
        FAIL(STATUS_INTERNAL, "%s: experience of dialogue %lld says %lld turns", sender,
             (long long)header.dialogue, (long long)header.turn_count);
    struct walk read = {.mode = WALK_READ,
                        .at = (uint8_t *)(uintptr_t)message + sizeof header,
                        .left = size - sizeof header};
    TRY(tables_check(&read, &header, format, sender));
    struct experience *e =
        experience_create(format, header.dialogue, header.weight_version, header.turn_count);
    e->prompt = header.prompt;
    for (int64_t i = 0; i < e->turn_count; i++) {
        walk_turn(&read, format, &e->turns[i]);
        if (read.failed || !turn_indices_fit(&e->turns[i])) {
            experience_destroy(e);
            FAIL(STATUS_INTERNAL, "%s: experience of dialogue %lld, turn %lld does not add up",
                 sender, (long long)header.dialogue, (long long)i);
        }
    }
    walk_milliseconds(&read, format, e->milliseconds);
    if (read.failed) {
        experience_destroy(e);
        FAIL(STATUS_INTERNAL, "%s: experience of dialogue %lld ends behind its turns", sender,
             (long long)header.dialogue);
    }
    if (read.left) {
        experience_destroy(e);
        FAIL(STATUS_INTERNAL, "%s: experience of dialogue %lld has %zu bytes too many", sender,
             (long long)header.dialogue, read.left);
    }
    *out = e;
    return NULL;
}

/* The learner's logarithms may round otherwise than the actor's where processors differ. */
static bool agree(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(1, fabs(b));
}

/* In every span but the last the terms of the whole reply are 0. */
static status whole_terms_verify(const struct experience *experience,
                                 const struct experience_turn *turn, int32_t span,
                                 const char *sender)
{
    const struct reward_settings *reward = experience->format.reward;
    for (int64_t i = 0; i < reward->term_count; i++)
        if (reward->terms[i].term->compute && turn->spans[span].terms[i] != 0)
            FAIL(STATUS_INTERNAL,
                 "%s: dialogue %lld, turn %d, candidate %d: span %d has %.17g of %s, which is of "
                 "the whole reply and stands in its last span",
                 sender, (long long)experience->dialogue, turn->turn + 1, turn->candidate, span,
                 turn->spans[span].terms[i], reward_term_name(reward, i));
    return NULL;
}

/* The spans make the terms of the reply. */
static status spans_verify(const struct experience *experience, const struct experience_turn *turn,
                           const char *sender)
{
    const struct reward_settings *reward = experience->format.reward;
    double merged[TERM_MAX];
    if (!turn->span_count) return NULL;
    for (int32_t i = 0; !reward->block && i + 1 < turn->span_count; i++)
        TRY(whole_terms_verify(experience, turn, i, sender));
    reward_terms_merge(reward, turn->spans->terms, sizeof *turn->spans, turn->span_count, merged);
    for (int64_t i = 0; i < reward->term_count; i++)
        if (!agree(turn->terms[i], merged[i]))
            FAIL(STATUS_INTERNAL,
                 "%s: dialogue %lld, turn %d, candidate %d: %s is %.17g in the message and %.17g "
                 "by its spans",
                 sender, (long long)experience->dialogue, turn->turn + 1, turn->candidate,
                 reward_term_name(reward, i), turn->terms[i], merged[i]);
    return NULL;
}

/* Blocks begin where they must, and each has the terms that its rows give. */
static status blocks_verify(const struct experience *experience, const struct experience_turn *t,
                            const struct reward_turn *whole, const char *sender)
{
    const struct reward_settings *reward = experience->format.reward;
    const bool deep = reward->depth_count > 0;
    const int64_t most = blocks_most(t->reply_length, reward->block, deep), count = t->span_count;
    const int64_t marker = t->answered && count ? t->spans[count - 1].begin : -1;
    int32_t *begin = memory_allocate((size_t)most * sizeof *begin);
    double(*terms)[TERM_MAX] = memory_allocate(((size_t)count + 1) * sizeof *terms);
    bool fits =
        blocks_cut(t->reply_length, reward->block, marker, deep ? t->marks : NULL, begin) == count;
    /* The answer lies in no sub-block, and without cot.depth_lambda no token does. */
    for (int64_t i = !deep ? 0 : marker >= 0 ? marker : t->reply_length; i < t->reply_length; i++)
        fits &= token_depth(t->marks, i) == 0;
    for (int64_t u = 0; fits && u < count; u++) {
        fits = begin[u] == t->spans[u].begin;
        memcpy(terms[u], t->spans[u].terms, sizeof terms[u]);
    }
    status s = fits ? status_context(
                          blocks_terms(reward, whole, t->marks, begin, count, terms, sizeof *terms),
                          "%s", sender)
                    : ERROR(STATUS_INTERNAL,
                            "%s: dialogue %lld, turn %d, candidate %d: the reply is not cut into "
                            "blocks of cot.block tokens and the answer's",
                            sender, (long long)experience->dialogue, t->turn + 1, t->candidate);
    for (int64_t u = 0; !s && u < count; u++)
        for (int64_t i = 0; !s && i < reward->term_count; i++)
            if (!agree(t->spans[u].terms[i], terms[u][i]))
                s = ERROR(
                    STATUS_INTERNAL,
                    "%s: dialogue %lld, turn %d, candidate %d, block %lld: %s is %.17g in the "
                    "message and %.17g by its tokens and statistics",
                    sender, (long long)experience->dialogue, t->turn + 1, t->candidate,
                    (long long)u, reward_term_name(reward, i), t->spans[u].terms[i], terms[u][i]);
    free(begin);
    free(terms);
    return s;
}

static status turn_verify(const struct experience *experience, const struct experience_turn *t,
                          const char *sender)
{
    const struct reward_settings *reward = experience->format.reward;
    const struct reward_turn turn = {
        .key = {experience->dialogue, t->turn + 1, t->candidate, 0},
        .entropy_floored = statistics_floats(&t->statistics, STATISTIC_ENTROPY_FLOORED),
        .salient_mass = statistics_floats(&t->statistics, STATISTIC_SALIENT_MASS),
        .visible = t->visible_count,
        .salient = t->salient_count,
        .reply = t->reply_tokens,
        .reply_count = t->reply_length,
        .history = t->history_tokens,
        .history_count = t->history_length};
    double terms[TERM_MAX];
    memcpy(terms, t->terms, sizeof terms); /* given ones stay, blocks' are spans_verify's */
    TRY(reward->block && t->reply_length
            ? blocks_verify(experience, t, &turn, sender)
            : status_context(reward_terms_compute(reward, &turn, terms), "%s", sender));
    for (int64_t i = 0; i <= reward->term_count; i++) {
        const bool last = i == reward->term_count;
        const double want = last ? reward_combine(reward, terms, NULL, t->reply_length) : terms[i];
        const double said = last ? t->reward : t->terms[i];
        if (!agree(said, want))
            FAIL(
                STATUS_INTERNAL,
                "%s: dialogue %lld, turn %d, candidate %d: %s is %.17g in the message and %.17g by "
                "its tokens and statistics",
                sender, (long long)experience->dialogue, t->turn + 1, t->candidate,
                last ? "the reward" : reward_term_name(reward, i), said, want);
    }
    return spans_verify(experience, t, sender);
}

/* A reply is cut where its draw says, and nowhere else. */
static status interruption_verify(const struct experience *experience,
                                  const struct experience_turn *t, const char *sender)
{
    const struct turn_key key = {experience->dialogue, t->turn + 1, t->candidate, 0};
    const int64_t limit = interruption_limit(&experience->format.interruption, &key);
    const bool cut = limit && !t->ended && t->reply_length == limit;
    if (t->interrupted == cut && !(limit && t->reply_length > limit)) return NULL;
    FAIL(STATUS_INTERNAL,
         "%s: dialogue %lld, turn %d, candidate %d: a reply of %d tokens that %s, where "
         "rollout.interrupt draws %lld (0: none)",
         sender, (long long)experience->dialogue, t->turn + 1, t->candidate, t->reply_length,
         t->interrupted ? "is said to be cut" : "is not said to be cut", (long long)limit);
}

status experience_verify(const struct experience *experience, const char *sender)
{
    for (int64_t i = 0; i < experience->turn_count; i++) {
        TRY(interruption_verify(experience, &experience->turns[i], sender));
        TRY(turn_verify(experience, &experience->turns[i], sender));
    }
    return NULL;
}
