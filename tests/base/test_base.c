/* Philox, checksums, durable files, JSON and memory against published or obvious answers. */
#include "src/base/block_sum.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/base/philox.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void philox_gives_the_known_answers_of_random123(void **unused)
{
    (void)unused;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        philox4x32(known[i].counter, known[i].key, out);
        assert_memory_equal(out, known[i].out, sizeof out);
    }
    assert_true(philox_uniform(0) == 0 && philox_uniform(UINT32_MAX) < 1);
}

static void checksums_give_the_published_answers(void **unused)
{
    (void)unused;
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
    unsigned char zeros[32] = {0};
    assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aau); /* RFC 3720, B.4 */
    assert_int_equal(crc32c(crc32c(0, "12345", 5), "6789", 4), 0xe3069283u);
    /* By the instruction, in runs of 3 x 4,096 bytes and behind them, as by tables. */
    unsigned char bytes[40000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    for (size_t size = 0; size + 3 < sizeof bytes; size += size < 20 ? 1 : 1237)
        assert_int_equal(crc32c(7, bytes + 3, size), crc32c_by_tables(7, bytes + 3, size));
    char hex[SHA256_HEX];
    struct sha256 *hash = sha256_begin(); /* FIPS 180-4's "abc" */
    sha256_add(hash, "a", 1);
    sha256_add(hash, "bc", 2);
    assert_null(sha256_end(hash, hex));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void a_file_appears_whole_or_not_at_all(void **unused)
{
    (void)unused;
    char folder[] = "/tmp/regard-base-XXXXXX", path[128], *data;
    size_t size;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    assert_null(file_write(path, "old", 3));
    struct file_writer writer;
    assert_null(file_begin(&writer, path));
    fputs("new", writer.stream);
    file_abandon(&writer);
    assert_null(file_read(path, &data, &size));
    assert_string_equal(data, "old");
    free(data);
    assert_null(file_begin(&writer, path));
    fputs("newer", writer.stream);
    assert_null(file_commit(&writer));
    file_abandon(&writer); /* no effect */
    assert_false(file_exists(writer.temporary));
    assert_null(file_read(path, &data, &size));
    assert_string_equal(data, "newer");
    assert_int_equal(size, 5);
    free(data);
    assert_null(directory_remove(folder));
    assert_false(directory_exists(folder));
}

/* One file of this text into the folder that is being written. */
static void put(const struct folder_writer *writer, const char *name, const char *text)
{
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", writer->temporary, name);
    assert_null(file_write(path, text, strlen(text)));
}

static void expect_text(const char *folder, const char *name, const char *wanted)
{
    char path[1200], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_null(file_read(path, &text, &size));
    assert_string_equal(text, wanted);
    free(text);
}

static void a_folder_appears_whole_or_not_at_all(void **unused)
{
    (void)unused;
    char folder[] = "/tmp/regard-XXXXXX", out[64];
    assert_non_null(mkdtemp(folder));
    snprintf(out, sizeof out, "%s/out/", folder);
    struct folder_writer writer;
    assert_null(folder_begin(&writer, out));
    put(&writer, "a", "half");
    folder_abandon(&writer);
    assert_false(directory_exists(out));
    assert_null(folder_begin(&writer, out));
    put(&writer, "a", "one");
    put(&writer, "b", "two");
    assert_false(directory_exists(out));
    assert_null(folder_commit(&writer));
    folder_abandon(&writer); /* no effect */
    expect_text(out, "a", "one");
    /* Into a folder that is there: as it was until the commit, and then only what is new differs.
     */
    assert_null(folder_begin(&writer, out));
    put(&writer, "a", "new");
    expect_text(out, "a", "one");
    folder_abandon(&writer);
    expect_text(out, "a", "one");
    assert_null(folder_begin(&writer, out));
    put(&writer, "a", "new");
    assert_null(folder_commit(&writer));
    expect_text(out, "a", "new");
    expect_text(out, "b", "two");
    assert_false(directory_exists(writer.temporary));
    assert_null(directory_remove(out));
    assert_int_equal(rmdir(folder), 0); /* nothing else was left */
}

static void a_missing_folder_and_a_folder_as_file_are_refused(void **unused)
{
    (void)unused;
    struct file_writer writer;
    const char *paths[] = {"/nowhere/at/all", "/tmp", ""};
    for (int i = 0; i < 3; i++) {
        status s = file_begin(&writer, paths[i]);
        assert_int_equal(status_code(s), STATUS_INPUT);
        assert_non_null(strstr(status_message(s), paths[i]));
        status_free(s);
    }
}

static void floats_come_back_as_the_same_floats(void **unused)
{
    (void)unused;
    char text[40];
    uint32_t counter[4] = {0}, key[2] = {1, 2}, out[4];
    for (; counter[0] < 20000; counter[0]++) {
        philox4x32(counter, key, out);
        float value, back;
        memcpy(&value, out, sizeof value);
        if (!isfinite(value)) continue;
        json_float_text(text, value);
        back = strtof(text, NULL);
        assert_memory_equal(&value, &back, sizeof value);
        double wide, again;
        memcpy(&wide, out, sizeof wide);
        if (!isfinite(wide)) continue;
        json_double_text(text, wide);
        again = strtod(text, NULL);
        assert_memory_equal(&wide, &again, sizeof wide);
    }
    json_float_text(text, 1);
    assert_string_equal(text, "1.0");
    json_float_text(text, 0.1f);
    assert_string_equal(text, "0.1");
    json_float_text(text, NAN);
    assert_string_equal(text, "null");
}

static void bad_json_is_refused_with_its_place(void **unused)
{
    (void)unused;
    const char *texts[] = {"{\"a\":1,\"a\":2}", "{\"a\":", "\"\xff\"", "{} x"};
    for (int i = 0; i < 4; i++) {
        json_t *value;
        status s = json_parse(texts[i], strlen(texts[i]), "file:7", &value);
        assert_int_equal(status_code(s), STATUS_INPUT);
        assert_int_equal(strncmp(status_message(s), "file:7: ", 8), 0);
        status_free(s);
    }
}

static jmp_buf exhausted;
static char exhausted_message[256];

static void remember_exhausted(const char *message)
{
    snprintf(exhausted_message, sizeof exhausted_message, "%s", message);
    longjmp(exhausted, 1);
}

static void memory_that_runs_out_is_told_with_its_size_and_place(void **unused)
{
    (void)unused;
    volatile size_t size = (size_t)1 << 62; /* unseen by the compiler, which would warn */
    memory_on_exhausted(remember_exhausted);
    if (!setjmp(exhausted)) {
        free(memory_allocate(size));
        fail();
    }
    assert_non_null(
        strstr(exhausted_message, "4611686018427387904 bytes asked for at test_base.c:"));
    char *memory = memory_text("stays");
    if (!setjmp(exhausted)) {
        free(memory_resize(memory, size));
        fail();
    }
    assert_string_equal(memory, "stays");
    free(memory);
    memory_on_exhausted(NULL);
}

static void a_stream_into_memory_holds_what_was_printed(void **unused)
{
    (void)unused;
    char *text = NULL;
    size_t count = 0;
    FILE *stream = memory_stream(&text, &count);
    for (int i = 0; i < 100000; i++) fprintf(stream, "%d", i % 10);
    memory_stream_flush(stream);
    assert_int_equal(count, 100000);
    fprintf(stream, "end");
    memory_stream_close(stream);
    assert_int_equal(count, 100003);
    assert_string_equal(text + 99999, "9end");
    free(text);
}

/* The definition, word by word. */
static uint64_t block_sum_by_hand(const unsigned char *bytes, size_t size)
{
    uint32_t sums[64] = {0};
    uint64_t h = size;
    for (size_t at = 0; at < size / 256 * 256 + 256; at += 4) {
        uint32_t word = 0;
        for (size_t i = 0; i < 4; i++)
            if (at + i < size) word |= (uint32_t)bytes[at + i] << 8 * i;
        uint32_t *sum = &sums[at / 4 % 64];
        *sum = (*sum ^ *sum >> 15) * 0x9e3779b1u + word;
    }
    for (int i = 0; i < 64; i++) {
        h = (h ^ sums[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h;
}

static void block_sums_are_the_same_however_made_and_see_every_bit(void **state)
{
    (void)state;
    enum { MOST = 40000 };
    static _Alignas(64) unsigned char room[MOST + 64];
    unsigned char *bytes = test_malloc(MOST);
    for (size_t i = 0; i < MOST; i++) bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    for (size_t size = 0; size + 3 < MOST; size += size < 20 ? 1 : 1237) {
        const uint64_t want = block_sum_by_hand(bytes + 3, size);
        assert_true(block_sum(bytes + 3, size) == want);
        assert_true(block_sum_plain(bytes + 3, size) == want);
        for (size_t place = 0; place < 64; place += 28) { /* where wide stores may go and not */
            memset(room, 0, sizeof room);
            assert_true(block_sum_copy(room + place, bytes + 3, size) == want);
            assert_memory_equal(room + place, bytes + 3, size);
            assert_int_equal(room[place + size], 0);
        }
        if (size) assert_true(block_sum(bytes + 3, size - 1) != want);
    }
    const uint64_t whole = block_sum(bytes, 3000);
    for (size_t bit = 0; bit < 3000 * 8; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(block_sum(bytes, 3000) != whole);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    test_free(bytes);
}

static void expect_seen(const uint32_t *words, size_t count, uint64_t whole)
{
    assert_true(block_sum(words, count * sizeof *words) != whole);
}

/* Damage of one kind, in zeros and in floats: two words of one sum in which the same bit flips,
 * that change oppositely or that change places, and a bit that flips in all words from one on. */
static void block_sums_see_changes_of_one_kind(void **state)
{
    (void)state;
    enum { SUMS = 64, BLOCKS = 80, WORDS = SUMS * BLOCKS };
    uint32_t *w = test_malloc(WORDS * sizeof *w);
    for (int zeros = 0; zeros < 2; zeros++) {
        for (uint32_t i = 0; i < WORDS; i++) {
            const float value = zeros ? 0 : sinf((float)i) * 0.02f;
            memcpy(&w[i], &value, sizeof value);
        }
        const uint64_t whole = block_sum(w, WORDS * sizeof *w);
        for (size_t pair = 0; pair < 32 * BLOCKS * BLOCKS; pair++) {
            const uint32_t bit = (uint32_t)1 << pair % 32;
            const size_t a = 5 + SUMS * (pair / 32 % BLOCKS), b = 5 + SUMS * (pair / 32 / BLOCKS);
            const uint32_t first = w[a], second = w[b];
            if (a >= b || a / SUMS % 5 != 0) continue;
            w[a] = first ^ bit, w[b] = second ^ bit;
            expect_seen(w, WORDS, whole);
            w[a] = first + bit, w[b] = second - bit;
            expect_seen(w, WORDS, whole);
            w[a] = second, w[b] = first;
            if (first != second) expect_seen(w, WORDS, whole);
            w[a] = first, w[b] = second;
        }
        for (size_t bit = 0; bit < 32; bit++)
            for (size_t from = 0; from < WORDS; from += 611) {
                for (size_t i = from; i < WORDS; i++) w[i] ^= (uint32_t)1 << bit;
                expect_seen(w, WORDS, whole);
                for (size_t i = from; i < WORDS; i++) w[i] ^= (uint32_t)1 << bit;
            }
    }
    test_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_sums_see_changes_of_one_kind),
        cmocka_unit_test(block_sums_are_the_same_however_made_and_see_every_bit),
        cmocka_unit_test(philox_gives_the_known_answers_of_random123),
        cmocka_unit_test(checksums_give_the_published_answers),
        cmocka_unit_test(a_file_appears_whole_or_not_at_all),
        cmocka_unit_test(a_folder_appears_whole_or_not_at_all),
        cmocka_unit_test(a_missing_folder_and_a_folder_as_file_are_refused),
        cmocka_unit_test(floats_come_back_as_the_same_floats),
        cmocka_unit_test(bad_json_is_refused_with_its_place),
        cmocka_unit_test(memory_that_runs_out_is_told_with_its_size_and_place),
        cmocka_unit_test(a_stream_into_memory_holds_what_was_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
