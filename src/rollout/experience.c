/* Experience messages: one walk over the fields measures, writes and reads, so that both
 * sides have the same layout by construction.  Numbers are in the host's byte order; the
 * magic number tells a foreign one. */
#include "src/rollout/experience.h"

#include "src/base/file.h"
#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t experience_magic = 0x58474552; /* "REGX" */

/* The header as it travels: 56 bytes without padding. */
struct experience_header {
    uint32_t magic, version;
    uint64_t size;     /* of the whole message */
    uint32_t checksum; /* CRC32C of the message with this field 0 */
    uint32_t header_size;
    int64_t dialogue, prompt, weight_version, turn_count;
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
    return t->history_length >= 0 && t->history_length <= EXPERIENCE_LENGTH_MAX &&
           t->reply_length >= 0 && t->reply_length <= EXPERIENCE_LENGTH_MAX && t->earlier >= 0 &&
           t->earlier <= EXPERIENCE_EARLIER_MAX && t->top >= 0 && t->top <= EXPERIENCE_TOP_MAX &&
           t->term_count >= 0 && t->term_count <= TERM_MAX;
}

/* Bytes of a turn's arrays: what must be left before anything is allocated. */
static size_t turn_array_bytes(const struct experience_turn *t)
{
    size_t history = (size_t)t->history_length, reply = (size_t)t->reply_length;
    return history * 10 + reply * 16 + reply * (size_t)t->earlier * 4 + reply * (size_t)t->top * 5;
}

static void walk_turn(struct walk *w, struct experience_turn *t)
{
    walk_bytes(w, &t->candidate, 4);
    walk_bytes(w, &t->turn, 4);
    walk_flag(w, &t->ended);
    walk_flag(w, &t->dialogue_over);
    walk_flag(w, &t->chosen);
    walk_bytes(w, &t->history_length, 4);
    walk_bytes(w, &t->reply_length, 4);
    walk_bytes(w, &t->earlier, 4);
    walk_bytes(w, &t->top, 4);
    walk_bytes(w, &t->visible_count, 4);
    walk_bytes(w, &t->salient_count, 4);
    walk_bytes(w, &t->term_count, 4);
    if (t->term_count < 0 || t->term_count > TERM_MAX) w->failed = true;
    if (!w->failed) walk_bytes(w, t->terms, (size_t)t->term_count * sizeof *t->terms);
    walk_bytes(w, &t->reward, 8);
    walk_bytes(w, t->extra, sizeof t->extra);
    if (w->mode == WALK_READ) {
        if (!w->failed && (!turn_sizes_fit(t) || turn_array_bytes(t) > w->left)) w->failed = true;
        if (w->failed) {
            t->history_length = t->reply_length = t->earlier = t->top = 0;
            return;
        }
        experience_turn_allocate(t, t->history_length, t->reply_length, t->earlier, t->top);
    }
    size_t history = (size_t)t->history_length, reply = (size_t)t->reply_length;
    walk_bytes(w, t->history_tokens, history * 4);
    walk_bytes(w, t->salient, history);
    walk_bytes(w, t->visible, history);
    walk_bytes(w, t->turn_of_token, history * 4);
    walk_bytes(w, t->reply_tokens, reply * 4);
    walk_bytes(w, t->logp, reply * 4);
    walk_bytes(w, t->entropy, reply * 4);
    walk_bytes(w, t->salient_mass, reply * 4);
    walk_bytes(w, t->turn_mass, reply * (size_t)t->earlier * 4);
    walk_bytes(w, t->top_position, reply * (size_t)t->top * 4);
    walk_bytes(w, t->top_weight, reply * (size_t)t->top);
}

struct experience *experience_create(int64_t dialogue, int64_t weight_version, int64_t turn_count)
{
    struct experience *e = memory_allocate(sizeof *e);
    e->dialogue = dialogue;
    e->prompt = -1;
    e->weight_version = weight_version;
    e->turn_count = turn_count;
    if (turn_count > 0) e->turns = memory_allocate((size_t)turn_count * sizeof *e->turns);
    return e;
}

static void *array_allocate(size_t count, size_t size)
{
    return count ? memory_allocate(count * size) : NULL;
}

void experience_turn_allocate(struct experience_turn *turn, int32_t history_length,
                              int32_t reply_length, int32_t earlier, int32_t top)
{
    size_t history = (size_t)history_length, reply = (size_t)reply_length;
    turn->history_length = history_length;
    turn->reply_length = reply_length;
    turn->earlier = earlier;
    turn->top = top;
    turn->history_tokens = array_allocate(history, 4);
    turn->salient = array_allocate(history, 1);
    turn->visible = array_allocate(history, 1);
    turn->turn_of_token = array_allocate(history, 4);
    turn->reply_tokens = array_allocate(reply, 4);
    turn->logp = array_allocate(reply, 4);
    turn->entropy = array_allocate(reply, 4);
    turn->salient_mass = array_allocate(reply, 4);
    turn->turn_mass = array_allocate(reply * (size_t)earlier, 4);
    turn->top_position = array_allocate(reply * (size_t)top, 4);
    turn->top_weight = array_allocate(reply * (size_t)top, 1);
    for (size_t i = 0; i < reply * (size_t)top; i++) turn->top_position[i] = -1;
}

void experience_destroy(struct experience *experience)
{
    if (!experience) return;
    for (int64_t i = 0; i < experience->turn_count; i++) {
        struct experience_turn *t = &experience->turns[i];
        free(t->history_tokens);
        free(t->salient);
        free(t->visible);
        free(t->turn_of_token);
        free(t->reply_tokens);
        free(t->logp);
        free(t->entropy);
        free(t->salient_mass);
        free(t->turn_mass);
        free(t->top_position);
        free(t->top_weight);
    }
    free(experience->turns);
    free(experience);
}

status experience_pack(const struct experience *experience, void **message, size_t *size)
{
    *message = NULL;
    if (experience->turn_count < 0 || experience->turn_count > EXPERIENCE_TURN_MAX)
        FAIL(STATUS_INTERNAL, "experience of dialogue %lld has %lld turns",
             (long long)experience->dialogue, (long long)experience->turn_count);
    struct walk measure = {.mode = WALK_MEASURE};
    for (int64_t i = 0; i < experience->turn_count; i++) {
        if (!turn_sizes_fit(&experience->turns[i]))
            FAIL(STATUS_INTERNAL, "experience of dialogue %lld, turn %lld: sizes out of bounds",
                 (long long)experience->dialogue, (long long)i);
        walk_turn(&measure, &experience->turns[i]);
    }
    struct experience_header header = {.magic = experience_magic,
                                       .version = EXPERIENCE_VERSION,
                                       .size = sizeof header + measure.used,
                                       .header_size = sizeof header,
                                       .dialogue = experience->dialogue,
                                       .prompt = experience->prompt,
                                       .weight_version = experience->weight_version,
                                       .turn_count = experience->turn_count};
    uint8_t *bytes = memory_allocate(header.size);
    struct walk write = {.mode = WALK_WRITE, .at = bytes + sizeof header, .left = measure.used};
    for (int64_t i = 0; i < experience->turn_count; i++) walk_turn(&write, &experience->turns[i]);
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

static bool turn_indices_fit(const struct experience_turn *t)
{
    int32_t visible = 0, salient = 0;
    if (t->candidate < 0 || t->turn < 0) return false;
    for (int32_t i = 0; i < t->history_length; i++) {
        visible += t->visible[i];
        salient += t->salient[i];
        if (t->history_tokens[i] < 0 || t->salient[i] > 1 || t->visible[i] > 1 ||
            t->turn_of_token[i] < -1)
            return false;
    }
    if (t->visible_count != visible || t->salient_count != salient) return false;
    for (int32_t i = 0; i < t->reply_length; i++)
        if (t->reply_tokens[i] < 0) return false;
    for (int64_t i = 0; i < (int64_t)t->reply_length * t->top; i++)
        if (t->top_position[i] < -1 || t->top_position[i] >= t->history_length) return false;
    return true;
}

status experience_unpack(const void *message, size_t size, const char *sender,
                         struct experience **out)
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
    /* A turn takes at least 79 bytes, so a count that lies is found before it is allocated. */
    if (header.turn_count < 0 || header.turn_count > EXPERIENCE_TURN_MAX ||
        (uint64_t)header.turn_count * 79 > size)
        FAIL(STATUS_INTERNAL, "%s: experience of dialogue %lld says %lld turns", sender,
             (long long)header.dialogue, (long long)header.turn_count);
    struct experience *e =
        experience_create(header.dialogue, header.weight_version, header.turn_count);
    e->prompt = header.prompt;
    struct walk read = {.mode = WALK_READ,
                        .at = (uint8_t *)(uintptr_t)message + sizeof header,
                        .left = size - sizeof header};
    for (int64_t i = 0; i < e->turn_count; i++) {
        walk_turn(&read, &e->turns[i]);
        if (read.failed || !turn_indices_fit(&e->turns[i])) {
            experience_destroy(e);
            FAIL(STATUS_INTERNAL, "%s: experience of dialogue %lld, turn %lld does not add up",
                 sender, (long long)header.dialogue, (long long)i);
        }
    }
    if (read.left) {
        experience_destroy(e);
        FAIL(STATUS_INTERNAL, "%s: experience of dialogue %lld has %zu bytes too many", sender,
             (long long)header.dialogue, read.left);
    }
    *out = e;
    return NULL;
}

uint8_t experience_weight_encode(float weight)
{
    if (!(weight > 0.0f)) return 0;
    float code = 255.0f + 16.0f * log2f(weight);
    if (code < 1.0f) return 0;
    return code >= 255.0f ? 255 : (uint8_t)lrintf(code);
}

float experience_weight_decode(uint8_t code)
{
    return code ? exp2f((float)(code - 255) / 16.0f) : 0.0f;
}
