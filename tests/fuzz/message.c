/* Experience messages, of which bytes were changed and the checksum put right: nobody but a program
 * that is wrong sends one.  The input: eight bytes for what the message is of, then three bytes an
 * edit, place and value; where it ends in one or two bytes more, so much of the message is cut. */
#include "src/base/config.h"
#include "src/base/file.h"
#include "src/rollout/experience_spans.h"
#include "tests/fuzz/fuzz.h"

/* The header's fields that are put right. */
enum { AT_SIZE = 8, AT_CHECKSUM = 16, HEADER = 24 };

static struct reward_settings reward;

static void turn_fill(const struct experience_format *format, struct experience_turn *t,
                      const uint8_t shape[8], int64_t k)
{
    t->cut_count = shape[3] % 3;
    experience_turn_allocate(format, t, 1 + shape[1] % 13, shape[2] % 7, 1 + k);
    t->candidate = (int32_t)k % 2;
    t->turn = (int32_t)k / 2;
    t->ended = shape[4] & 1;
    for (int i = 0; i < t->history_length; i++) {
        t->history_tokens[i] = i;
        t->visible[i] = i % 3 != 0;
        t->salient[i] = t->visible[i] && i % 2 == 0;
        t->visible_count += t->visible[i];
        t->salient_count += t->salient[i];
    }
    for (int i = 0; i < t->cut_count; i++) t->cuts[i] = i + 1;
    if (t->reply_length > 2 && (shape[4] & 2)) experience_turn_cut(t, (const int32_t[]){0, 2}, 2);
}

static uint8_t *message_make(const struct experience_format *format, const uint8_t shape[8],
                             size_t *size)
{
    void *message;
    const int64_t count = shape[0] % 5;
    struct experience *e = experience_create(format, shape[5], shape[6], count);
    for (int64_t k = 0; k < count; k++) turn_fill(format, &e->turns[k], shape, k);
    fuzz_ended(experience_pack(e, &message, size));
    experience_destroy(e);
    return message;
}

/* Errors of messages are of programs, not of input. */
static bool refused(status s)
{
    if (s && (status_code(s) != STATUS_INTERNAL || !strstr(status_message(s), "rank 3"))) abort();
    const bool is = s != NULL;
    status_free(s);
    return is;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct experience_format format = {&statistics_standard, &reward, 2, 3, {0}};
    static struct config config;
    if (!config.threads) {
        config_defaults(&config);
        config.threads = 1;
        reward = reward_settings_of(&config);
    }
    if (size < 8) return 0;
    size_t length;
    uint8_t *message = message_make(&format, data, &length);
    size_t at = 8;
    for (; at + 3 <= size; at += 3)
        message[(data[at] | (size_t)data[at + 1] << 8) % length] = data[at + 2];
    for (; at < size; at++) length -= data[at] < length - HEADER ? data[at] : 0;
    const uint64_t whole = length;
    memcpy(message + AT_SIZE, &whole, sizeof whole);
    memset(message + AT_CHECKSUM, 0, 4);
    const uint32_t sum = crc32c(0, message, length);
    memcpy(message + AT_CHECKSUM, &sum, sizeof sum);
    /* Of the exact size, so that a read past it is seen. */
    uint8_t *exact = malloc(length);
    memcpy(exact, message, length);
    free(message);
    struct experience *experience;
    if (!refused(experience_unpack(exact, length, &format, "rank 3", &experience))) {
        void *again;
        size_t again_size;
        refused(experience_verify(experience, "rank 3"));
        fuzz_ended(experience_pack(experience, &again, &again_size));
        if (again_size != length) abort();
        free(again);
        experience_destroy(experience);
    }
    free(exact);
    return 0;
}
