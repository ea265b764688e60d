/* Byte-level BPE on any input: bytes that are no text, damaged and unsupported tokenizer.json,
 * special tokens told by other files; and its shortcuts against what they stand for. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/text/bpe.h"
#include "src/text/bpe_merge.h"
#include "src/text/bpe_split.h"
#include "src/text/tokenizer.h"
#include "src/text/unicode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURES REGARD_SOURCE "/tests/text/fixtures/bpe/"

/* Numbers that are the same in every run. */
static uint64_t random_state = 12;

static uint32_t random_below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % limit);
}

static void character_append(struct text_buffer *text, uint32_t c)
{
    char bytes[4];
    size_t size = 0;
    if (c < 0x80) {
        bytes[size++] = (char)c;
    } else if (c < 0x800) {
        bytes[size++] = (char)(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        bytes[size++] = (char)(0xE0 | c >> 12);
        bytes[size++] = (char)(0x80 | (c >> 6 & 0x3F));
    } else {
        bytes[size++] = (char)(0xF0 | c >> 18);
        bytes[size++] = (char)(0x80 | (c >> 12 & 0x3F));
        bytes[size++] = (char)(0x80 | (c >> 6 & 0x3F));
    }
    if (c >= 0x80) bytes[size++] = (char)(0x80 | (c & 0x3F));
    text_append(text, bytes, size);
}

/* Characters that patterns tell apart, and any others. */
static void random_text(struct text_buffer *text, uint32_t most)
{
    static const uint32_t some[] = {' ',  ' ',    '\n',   '\r',   '\t',   '\'',   's',    'S',
                                    'l',  'e',    'r',    'V',    '1',    '2',    '!',    '-',
                                    0xE9, 0x17F,  0x301,  0xBD,   0xA0,   0x85,   0x2028, 0x3000,
                                    0,    0x1112, 0x1161, 0x1EBF, 0x4E00, 0x180E, 0x0327, 0x2167};
    text->size = 0;
    text_append(text, "", 0);
    for (uint32_t left = random_below(most); left > 0; left--) {
        uint32_t c = some[random_below(sizeof some / sizeof *some)];
        if (random_below(6) == 0) c = random_below(0x110000);
        if (c < 0xD800 || c > 0xDFFF) character_append(text, c);
    }
}

static struct bpe *read_fixture(const char *name)
{
    char path[1024];
    json_t *root;
    struct bpe *bpe = NULL;
    snprintf(path, sizeof path, FIXTURES "%s/tokenizer.json", name);
    assert_null(json_read(path, &root));
    status s = bpe_read(root, path, NULL, -1, &bpe);
    if (s) fail_msg("%s", status_message(s));
    json_decref(root);
    return bpe;
}

static struct splitter *read_splitter(const char *name)
{
    char path[1024];
    json_t *root;
    struct splitter *splitter = NULL;
    snprintf(path, sizeof path, FIXTURES "%s/tokenizer.json", name);
    assert_null(json_read(path, &root));
    assert_null(splitter_read(json_object_get(root, "pre_tokenizer"), path, -1, &splitter));
    json_decref(root);
    return splitter;
}

/* Notes where a word stands. */
static void note_word(void *context, const char *word, size_t size, bool prefixed, size_t begin)
{
    (void)word;
    assert_false(prefixed);
    token_list_add(context, 0, (int32_t)begin, (int32_t)(begin + size));
}

static void code_for_patterns_finds_what_pcre2_finds(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "digits", "llama3", "qwen2"};
    struct text_buffer text = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct splitter *fast = read_splitter(names[i]), *plain = read_splitter(names[i]);
        splitter_use_patterns(plain);
        for (int round = 0; round < 20000; round++) {
            struct token_list a = {NULL}, b = {NULL};
            random_text(&text, 24);
            assert_null(splitter_run(fast, text.data, text.size, note_word, &a));
            assert_null(splitter_run(plain, text.data, text.size, note_word, &b));
            const size_t size = (size_t)a.count * sizeof(int32_t);
            if (a.count != b.count || (a.count && memcmp(a.begin, b.begin, size) != 0) ||
                (a.count && memcmp(a.end, b.end, size) != 0))
                fail_msg("%s: \"%s\" (%zu bytes) falls into other words", names[i], text.data,
                         text.size);
            token_list_free(&a);
            token_list_free(&b);
        }
        splitter_free(fast);
        splitter_free(plain);
    }
    free(text.data);
}

/* A vocabulary of strings of a, b and c, and which pairs of them are merged. */
enum { WORDS = 40 };
struct vocabulary {
    char texts[WORDS][12];
    int count;
    int32_t ranks[WORDS][WORDS], ids[WORDS][WORDS]; /* rank -1: no merge */
    struct merge_table *table;
};

static void vocabulary_make(struct vocabulary *made)
{
    memset(made, 0, sizeof *made);
    memset(made->ranks, 0xFF, sizeof made->ranks);
    made->table = merge_table_create(100);
    for (; made->count < 3; made->count++) made->texts[made->count][0] = (char)('a' + made->count);
    for (int32_t rank = 0; rank < 100; rank++) {
        const uint32_t left = random_below((uint32_t)made->count);
        const uint32_t right = random_below((uint32_t)made->count);
        char both[24];
        snprintf(both, sizeof both, "%s%s", made->texts[left], made->texts[right]);
        int id = 0;
        while (id < made->count && strcmp(made->texts[id], both) != 0) id++;
        if (strlen(both) > 10 || id == WORDS || made->ranks[left][right] >= 0) continue;
        if (id == made->count) strcpy(made->texts[made->count++], both);
        made->ranks[left][right] = rank;
        made->ids[left][right] = id;
        merge_table_add(made->table, (int32_t)left, (int32_t)right, rank, id);
    }
}

/* By the definition: again and again the lowest rank, of equal ones the leftmost. */
static int64_t merge_slowly(const struct vocabulary *made, struct symbol *symbols, int64_t count)
{
    for (;;) {
        int64_t best = -1;
        int32_t least = INT32_MAX;
        for (int64_t i = 0; i + 1 < count; i++) {
            const int32_t rank = made->ranks[symbols[i].id][symbols[i + 1].id];
            if (rank < 0 || rank >= least) continue;
            least = rank;
            best = i;
        }
        if (best < 0) return count;
        symbols[best].id = made->ids[symbols[best].id][symbols[best + 1].id];
        symbols[best].end = symbols[best + 1].end;
        for (int64_t i = best + 1; i + 1 < count; i++) symbols[i] = symbols[i + 1];
        count--;
    }
}

static void merges_go_by_rank_and_then_from_the_left_in_words_of_any_length(void **state)
{
    (void)state;
    for (int round = 0; round < 600; round++) {
        struct vocabulary made;
        struct symbol a[300], b[300];
        vocabulary_make(&made);
        const int64_t count = 1 + random_below(round % 2 ? 299 : 40);
        for (int64_t i = 0; i < count; i++)
            a[i] = b[i] = (struct symbol){(int32_t)random_below(3), (int32_t)i, (int32_t)i + 1};
        const int64_t merged = merge_symbols(made.table, a, count);
        assert_int_equal(merged, merge_slowly(&made, b, count));
        assert_memory_equal(a, b, (size_t)merged * sizeof *a);
        merge_table_free(made.table);
    }
}

static void letters_and_numbers_are_those_of_unicode_16(void **state)
{
    (void)state;
    int64_t counts[4] = {0}, numeric = 0;
    for (int32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xD800 && c < 0xE000) continue;
        counts[character_class(c)]++;
        numeric += character_is_numeric(c);
    }
    assert_int_equal(counts[CLASS_LETTER], 141028); /* bpe_fixture.py --classes */
    assert_int_equal(counts[CLASS_NUMBER], 1911);
    assert_int_equal(counts[CLASS_SPACE], 25);
    assert_int_equal(numeric, 1924);
}

static void any_bytes_are_encoded_and_any_text_comes_back(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2",  "digits",  "llama3", "qwen2",
                                        "cases", "scripts", "removed"};
    struct text_buffer text = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bpe *bpe = read_fixture(names[i]);
        for (int round = 0; round < 4000; round++) {
            struct token_list tokens = {NULL};
            struct text_buffer back = {0}, wanted = {0};
            random_text(&text, round % 100 ? 30 : 3000);
            for (uint32_t breaks = round % 2 ? random_below(6) : 0; breaks > 0 && text.size;
                 breaks--)
                text.data[random_below((uint32_t)text.size)] = (char)random_below(256);
            assert_null(bpe_encode(bpe, text.data, text.size, false, &tokens));
            for (int64_t t = 0; t < tokens.count; t++) {
                assert_in_range(tokens.ids[t], 0, bpe_size(bpe) - 1);
                assert_true(tokens.begin[t] >= 0 && tokens.begin[t] <= tokens.end[t] &&
                            tokens.end[t] <= (int64_t)text.size);
            }
            text_append(&back, "", 0);
            bpe_decode(bpe, tokens.ids, tokens.count, false, &back);
            assert_true(utf8_valid(back.data, back.size));
            text_append(&wanted, "", 0);
            utf8_append_repaired(&wanted, text.data, text.size);
            /* Here every byte has a token, and nothing is normalised or stripped. */
            if (!strcmp(names[i], "gpt2")) {
                assert_int_equal(back.size, wanted.size);
                assert_memory_equal(back.data, wanted.data, back.size);
            }
            free(back.data);
            free(wanted.data);
            token_list_free(&tokens);
        }
        bpe_free(bpe);
    }
    free(text.data);
}

static void write_text(const char *folder, const char *name, const char *text, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_null(file_write(path, text, size));
}

static char *fixture_text(const char *name, size_t *size)
{
    char path[1024], *data;
    snprintf(path, sizeof path, FIXTURES "%s/tokenizer.json", name);
    assert_null(file_read(path, &data, size));
    return data;
}

/* Opens a tokenizer.json; NULL and a line that names the file, or it works. */
static void expect_line_or_tokenizer(const char *text, size_t size)
{
    json_t *root;
    struct bpe *bpe = NULL;
    status s = json_parse_file(text, size, "tokenizer.json", 0, &root);
    if (!s) {
        s = bpe_read(root, "tokenizer.json", NULL, -1, &bpe);
        json_decref(root);
    }
    if (s) {
        assert_int_equal(status_code(s), STATUS_INPUT);
        assert_ptr_equal(strstr(status_message(s), "tokenizer.json"), status_message(s));
        assert_null(strchr(status_message(s), '\n'));
        status_free(s);
        return;
    }
    struct token_list tokens = {NULL};
    s = bpe_encode(bpe, "Don't  wait, 123!", 17, false, &tokens);
    status_free(s);
    token_list_free(&tokens);
    bpe_free(bpe);
}

static void a_damaged_tokenizer_json_is_one_line_or_a_tokenizer(void **state)
{
    (void)state;
    static const char *const names[] = {"qwen2", "scripts"};
    static const char bytes[] = "{}[]\",:0 -\\ntrue\xff\xc3";
    for (size_t n = 0; n < 2; n++) {
        size_t size;
        char *text = fixture_text(names[n], &size);
        for (size_t cut = 0; cut < size; cut += 61) expect_line_or_tokenizer(text, cut);
        for (int round = 0; round < 1500; round++) {
            /* Half of them before the vocabulary, where more is told in fewer bytes. */
            const size_t at = random_below(round % 2 ? (uint32_t)size : 2400);
            const char kept = text[at];
            text[at] = bytes[random_below(sizeof bytes - 1)];
            expect_line_or_tokenizer(text, size);
            text[at] = kept;
        }
        free(text);
    }
}

/* The values that a path ("model/type") names, replaced. */
static void expect_refused(const char *path, const char *json, const char *words)
{
    size_t size;
    char *text = fixture_text("qwen2", &size), steps[64], *at = steps, *slash;
    json_t *root, *object;
    struct bpe *bpe = NULL;
    assert_null(json_parse_file(text, size, "t.json", 0, &root));
    object = root;
    snprintf(steps, sizeof steps, "%s", path);
    for (; (slash = strchr(at, '/')); at = slash + 1) {
        *slash = 0;
        object = json_is_array(object) ? json_array_get(object, (size_t)atoi(at))
                                       : json_object_get(object, at);
    }
    assert_true(json_is_object(object));
    json_object_set_new(object, at, json_loads(json, JSON_DECODE_ANY, NULL));
    status s = bpe_read(root, "t.json", NULL, -1, &bpe);
    if (!s) fail_msg("%s = %s is taken", path, json);
    assert_int_equal(status_code(s), STATUS_INPUT);
    if (!strstr(status_message(s), words))
        fail_msg("%s = %s: \"%s\" does not say \"%s\"", path, json, status_message(s), words);
    status_free(s);
    json_decref(root);
    free(text);
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    expect_refused("model/type", "\"WordPiece\"", "model WordPiece");
    expect_refused("model/byte_fallback", "true", "byte_fallback");
    expect_refused("model/dropout", "0.1", "dropout");
    expect_refused("model/continuing_subword_prefix", "\"##\"", "continuing_subword_prefix");
    expect_refused("model/end_of_word_suffix", "\"</w>\"", "end_of_word_suffix");
    expect_refused("model/unk_token", "\"<none>\"", "unk_token \"<none>\"");
    expect_refused("model/vocab", "[]", "model.vocab");
    expect_refused("model/vocab/A", "\"x\"", "token \"A\" has no id");
    expect_refused("model/vocab/A", "1", "id 1 belongs to");
    expect_refused("model/merges", "[\"a b c\"]", "merge 0 is not two tokens");
    expect_refused("model/merges", "[[\"a\",\"no such\"]]", "merge 0 needs \"no such\"");
    expect_refused("normalizer", "{\"type\":\"NFKC\"}", "normalizer NFKC");
    expect_refused("normalizer",
                   "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Lowercase\"}]}",
                   "normalizer Lowercase");
    expect_refused("pre_tokenizer", "null", "pre_tokenizer null");
    expect_refused("pre_tokenizer", "{\"type\":\"Metaspace\"}", "pre_tokenizer Metaspace");
    expect_refused("pre_tokenizer/pretokenizers",
                   "[{\"type\":\"Digits\",\"individual_digits\":true}]", "without ByteLevel");
    expect_refused("pre_tokenizer/pretokenizers",
                   "[{\"type\":\"ByteLevel\"},{\"type\":\"Digits\"}]", "behind ByteLevel");
    expect_refused("pre_tokenizer/pretokenizers/0/behavior", "\"MergedWithNext\"",
                   "MergedWithNext");
    expect_refused("pre_tokenizer/pretokenizers/0/pattern", "{\"Regex\":\"(\"}", "pattern (");
    expect_refused("pre_tokenizer/pretokenizers/0/pattern", "{\"Regex\":\"[a[b]]\"}",
                   "class within a class");
    expect_refused("pre_tokenizer/pretokenizers/0/pattern", "{\"Regex\":\"\\\\h+\"}", "\\h");
    expect_refused("decoder", "{\"type\":\"WordPiece\"}", "decoder WordPiece");
    expect_refused("added_tokens/0/single_word", "true", "single_word");
    expect_refused("added_tokens/0/id", "3", "id 3");
    expect_refused("added_tokens/0/id", "-3", "no id from 0");
    expect_refused("added_tokens/0/content", "5", "no content");
}

/* A folder with the fixture's tokenizer.json and other files (NULL: without). */
static void folder_with(char folder[64], const char *config, const char *map,
                        const char *generation, const char *model)
{
    size_t size;
    char *text = fixture_text("gpt2", &size);
    strcpy(folder, "/tmp/regard-bpe-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_text(folder, "tokenizer.json", text, size);
    if (config) write_text(folder, "tokenizer_config.json", config, strlen(config));
    if (map) write_text(folder, "special_tokens_map.json", map, strlen(map));
    if (generation) write_text(folder, "generation_config.json", generation, strlen(generation));
    if (model) write_text(folder, "config.json", model, strlen(model));
    free(text);
}

static void expect_roles(const struct tokenizer *tokenizer, const char *end, const char *begin,
                         const char *pad)
{
    assert_int_equal(tokenizer_end(tokenizer), end ? tokenizer_piece(tokenizer, end) : -1);
    assert_int_equal(tokenizer_begin(tokenizer), begin ? tokenizer_piece(tokenizer, begin) : -1);
    assert_int_equal(tokenizer_pad(tokenizer), pad ? tokenizer_piece(tokenizer, pad) : -1);
}

static void special_tokens_are_found_where_transformers_finds_them_and_saved(void **state)
{
    (void)state;
    /* Ids of the fixture: 440 <|end|>, 441 <|im_start|>, 442 <both>. */
    static const struct {
        const char *config, *map, *generation, *model, *end, *begin, *pad;
    } cases[] = {
        {NULL, NULL, NULL, NULL, NULL, NULL, NULL},
        {"{\"eos_token\":\"<|end|>\",\"bos_token\":{\"content\":\"<|im_start|>\"},"
         "\"pad_token\":null,\"model_max_length\":1000000000000000019884624838656}",
         NULL, "{\"eos_token_id\":442}", NULL, "<|end|>", "<|im_start|>", "<|end|>"},
        {NULL, "{\"eos_token\":{\"content\":\"<both>\"}}", "{\"pad_token_id\":440}", NULL, "<both>",
         NULL, "<|end|>"},
        {"{\"tokenizer_class\":\"Qwen2Tokenizer\"}", NULL,
         "{\"eos_token_id\":[441,440],\"bos_token_id\":442}", "{\"eos_token_id\":440}",
         "<|im_start|>", "<both>", "<|im_start|>"},
        {NULL, NULL, NULL, "{\"eos_token_id\":440,\"bos_token_id\":440,\"pad_token_id\":-1}",
         "<|end|>", "<|end|>", "<|end|>"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char folder[64], saved[] = "/tmp/regard-bpe-XXXXXX";
        struct tokenizer *tokenizer;
        folder_with(folder, cases[i].config, cases[i].map, cases[i].generation, cases[i].model);
        status s = tokenizer_open(folder, &tokenizer);
        if (s) fail_msg("%s", status_message(s));
        expect_roles(tokenizer, cases[i].end, cases[i].begin, cases[i].pad);
        assert_true(tokenizer_is_special(tokenizer, 442));
        assert_false(tokenizer_is_special(tokenizer, 443));
        assert_non_null(mkdtemp(saved));
        assert_null(tokenizer_save(tokenizer, saved));
        tokenizer_close(tokenizer);
        assert_null(directory_remove(folder));
        assert_null(tokenizer_open(saved, &tokenizer)); /* generation_config.json is not there */
        expect_roles(tokenizer, cases[i].end, cases[i].begin, cases[i].pad);
        tokenizer_close(tokenizer);
        assert_null(directory_remove(saved));
    }
}

static void a_special_token_that_there_is_not_is_refused(void **state)
{
    (void)state;
    char folder[64];
    struct tokenizer *tokenizer;
    folder_with(folder, "{\"eos_token\":\"</nothing>\"}", NULL, NULL, NULL);
    status s = tokenizer_open(folder, &tokenizer);
    assert_int_equal(status_code(s), STATUS_INPUT);
    assert_non_null(strstr(status_message(s), "eos_token \"</nothing>\""));
    assert_null(tokenizer);
    status_free(s);
    assert_null(directory_remove(folder));
}

static void tokens_that_the_configuration_adds_join(void **state)
{
    (void)state;
    char folder[64], *text;
    struct tokenizer *tokenizer;
    struct token_list tokens = {NULL};
    folder_with(folder,
                "{\"added_tokens_decoder\":{\"460\":{\"content\":\"<ours>\",\"special\":true,"
                "\"rstrip\":true},\"443\":{\"content\":\"<|im\",\"special\":true}}}",
                NULL, NULL, NULL);
    assert_null(tokenizer_open(folder, &tokenizer));
    assert_int_equal(tokenizer_size(tokenizer), 461);
    assert_true(tokenizer_is_special(tokenizer, 443));
    assert_null(tokenizer_encode(tokenizer, "a<ours> b<|im", 13, &tokens));
    assert_int_equal(tokens.count, 4);
    assert_int_equal(tokens.ids[1], 460);
    assert_int_equal(tokens.ids[3], 443);
    assert_null(tokenizer_decode(tokenizer, tokens.ids, tokens.count, true, &text));
    assert_string_equal(text, "ab");
    free(text);
    token_list_free(&tokens);
    tokenizer_close(tokenizer);
    assert_null(directory_remove(folder));
}

static void ranges_are_of_the_given_text(void **state)
{
    (void)state;
    /* e and two marks become one character; the broken byte becomes U+FFFD. */
    static const char text[] = "e\xCC\x82\xCC\x81! \xFF the";
    struct bpe *bpe = read_fixture("qwen2");
    struct token_list tokens = {NULL};
    assert_null(bpe_encode(bpe, text, sizeof text - 1, false, &tokens));
    const int64_t last = tokens.count - 1;
    assert_int_equal(tokens.begin[0], 0);
    assert_int_equal(tokens.end[0], 5);
    assert_int_equal(tokens.begin[last], 8);
    assert_int_equal(tokens.end[last], 12);
    for (int64_t i = 0; i < tokens.count; i++)
        if (tokens.begin[i] == 7) assert_int_equal(tokens.end[i], 8);
    token_list_free(&tokens);
    bpe_free(bpe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(code_for_patterns_finds_what_pcre2_finds),
        cmocka_unit_test(merges_go_by_rank_and_then_from_the_left_in_words_of_any_length),
        cmocka_unit_test(letters_and_numbers_are_those_of_unicode_16),
        cmocka_unit_test(any_bytes_are_encoded_and_any_text_comes_back),
        cmocka_unit_test(a_damaged_tokenizer_json_is_one_line_or_a_tokenizer),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(special_tokens_are_found_where_transformers_finds_them_and_saved),
        cmocka_unit_test(a_special_token_that_there_is_not_is_refused),
        cmocka_unit_test(tokens_that_the_configuration_adds_join),
        cmocka_unit_test(ranges_are_of_the_given_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
