/* See bpe_split.h. */
#include "src/text/bpe_split.h"

#include "src/base/memory.h"
#include "src/text/bpe_words.h"
#include "src/text/pattern.h"
#include "src/text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* A step of pre-tokenization: each piece that the step before it left falls into pieces. */
struct stage {
    size_t (*word)(const char *text, size_t size); /* the first word's bytes; or NULL */
    struct pattern *pattern;                       /* finds the same; NULL in the steps below */
    bool digits, singly;                           /* at numbers, each by itself or runs */
    bool drop_matches, drop_rest; /* of the pattern's matches and what is between */
    bool prefix_space;
};

struct splitter {
    struct stage *stages;
    size_t count;
};

void splitter_free(struct splitter *splitter)
{
    if (!splitter) return;
    for (size_t i = 0; i < splitter->count; i++) pattern_free(splitter->stages[i].pattern);
    free(splitter->stages);
    free(splitter);
}

void splitter_use_patterns(struct splitter *splitter)
{
    for (size_t i = 0; i < splitter->count; i++)
        if (splitter->stages[i].pattern) splitter->stages[i].word = NULL;
}

enum { STAGES_MAX = 32 };

static struct stage *stage_add(struct splitter *splitter)
{
    splitter->stages =
        memory_resize(splitter->stages, (splitter->count + 1) * sizeof *splitter->stages);
    struct stage *stage = &splitter->stages[splitter->count++];
    *stage = (struct stage){NULL};
    return stage;
}

static status pattern_add(struct splitter *splitter, const char *text, bool literal,
                          const char *path, struct stage **out)
{
    struct stage *stage = *out = stage_add(splitter);
    if (!literal && !strcmp(text, gpt2_pattern)) stage->word = gpt2_word;
    if (!literal && !strcmp(text, llama3_pattern)) stage->word = llama3_word;
    if (!literal && !strcmp(text, qwen2_pattern)) stage->word = qwen2_word;
    return pattern_compile(text, literal, path, &stage->pattern);
}

static status read_split(const json_t *json, const char *path, struct splitter *splitter)
{
    const json_t *pattern = json_object_get(json, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    const char *text = json_string_value(json_object_get(pattern, "String"));
    const char *behavior = json_string_value(json_object_get(json, "behavior"));
    const bool invert = json_is_true(json_object_get(json, "invert"));
    struct stage *stage;
    if (!regex == !text)
        FAIL(STATUS_INPUT, "%s: pre_tokenizer Split has no pattern that is a Regex or a String",
             path);
    if (!behavior || (strcmp(behavior, "Isolated") != 0 && strcmp(behavior, "Removed") != 0))
        FAIL(STATUS_INPUT,
             "%s: pre_tokenizer Split with behavior %s is not supported (Isolated and Removed are)",
             path, behavior ? behavior : "null");
    TRY(pattern_add(splitter, regex ? regex : text, !regex, path, &stage));
    if (!strcmp(behavior, "Removed")) {
        stage->drop_matches = !invert;
        stage->drop_rest = invert;
        stage->word = NULL;
    }
    return NULL;
}

static status read_stage(const json_t *json, const char *path, int prefix_space, bool *byte_level,
                         struct splitter *splitter)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    struct stage *stage;
    if (*byte_level)
        FAIL(STATUS_INPUT, "%s: a pre_tokenizer behind ByteLevel is not supported", path);
    if (type && !strcmp(type, "ByteLevel")) {
        const json_t *prefix = json_object_get(json, "add_prefix_space");
        *byte_level = true;
        /* Both are true where the file does not say. */
        if (prefix_space < 0 ? !json_is_false(prefix) : prefix_space)
            stage_add(splitter)->prefix_space = true;
        if (json_is_false(json_object_get(json, "use_regex"))) return NULL;
        return pattern_add(splitter, gpt2_pattern, false, path, &stage);
    }
    if (type && !strcmp(type, "Digits")) {
        stage = stage_add(splitter);
        stage->digits = true;
        stage->singly = json_is_true(json_object_get(json, "individual_digits"));
        return NULL;
    }
    if (type && !strcmp(type, "Split")) return read_split(json, path, splitter);
    FAIL(STATUS_INPUT,
         "%s: pre_tokenizer %s is not supported (ByteLevel, Digits, Split and a Sequence of them "
         "are)",
         path, type ? type : "null");
}

static status read_stages(const json_t *json, const char *path, int prefix_space,
                          struct splitter *splitter)
{
    const char *type = json_string_value(json_object_get(json, "type"));
    bool byte_level = false;
    if (type && !strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(json, "pretokenizers");
        if (json_array_size(list) > STAGES_MAX)
            FAIL(STATUS_INPUT, "%s: pre_tokenizer Sequence has %zu parts, at most %d are supported",
                 path, json_array_size(list), STAGES_MAX);
        for (size_t i = 0; i < json_array_size(list); i++)
            TRY(read_stage(json_array_get(list, i), path, -1, &byte_level, splitter));
    } else {
        TRY(read_stage(json, path, prefix_space, &byte_level, splitter));
    }
    if (!byte_level)
        FAIL(STATUS_INPUT, "%s: a pre_tokenizer without ByteLevel is not supported", path);
    return NULL;
}

status splitter_read(const json_t *json, const char *path, int prefix_space, struct splitter **out)
{
    struct splitter *splitter = memory_allocate(sizeof *splitter);
    status s = read_stages(json, path, prefix_space, splitter);
    if (s)
        splitter_free(splitter);
    else
        *out = splitter;
    return s;
}

/* Where pieces come from and words go to. */
struct walk {
    const struct splitter *splitter;
    word_visit *visit;
    void *context;
    const char *start; /* of the buffer that pieces lie in */
    size_t offset;     /* of its first byte, or of what stands behind the space put before it */
    bool prefixed;     /* that space is in the buffer */
};

static status run_stage(const struct walk *walk, size_t stage, const char *text, size_t size);

static void visit_word(const struct walk *walk, const char *word, size_t size)
{
    const size_t at = (size_t)(word - walk->start);
    const bool first = walk->prefixed && at == 0;
    (*walk->visit)(walk->context, word, size, first,
                   walk->offset + at - (walk->prefixed && !first));
}

static status run_pattern(const struct walk *walk, size_t index, const char *text, size_t size)
{
    const struct stage *stage = &walk->splitter->stages[index];
    struct pattern_search search;
    size_t before = 0, begin = 0, end = 0;
    bool found = true;
    pattern_begin(&search, stage->pattern, text, size);
    while (found) {
        TRY(pattern_next(&search, &begin, &end, &found));
        if (!found) begin = end = size;
        if (!stage->drop_rest) TRY(run_stage(walk, index + 1, text + before, begin - before));
        if (!stage->drop_matches) TRY(run_stage(walk, index + 1, text + begin, end - begin));
        before = end;
    }
    return NULL;
}

static status run_digits(const struct walk *walk, size_t index, const char *text, size_t size)
{
    const bool singly = walk->splitter->stages[index].singly;
    size_t begin = 0, length;
    bool inside = false; /* numbers */
    for (size_t at = 0; at < size; at += length) {
        const bool numeric = character_is_numeric(character_at(text + at, size - at, &length));
        if (at > begin && (numeric != inside || (numeric && singly))) {
            TRY(run_stage(walk, index + 1, text + begin, at - begin));
            begin = at;
        }
        inside = numeric;
    }
    return run_stage(walk, index + 1, text + begin, size - begin);
}

static status run_prefixed(const struct walk *walk, size_t index, const char *text, size_t size)
{
    if (text[0] == ' ') return run_stage(walk, index + 1, text, size);
    char *copy = memory_allocate(size + 1);
    struct walk inner = *walk;
    copy[0] = ' ';
    memcpy(copy + 1, text, size);
    inner.start = copy;
    inner.offset = walk->offset + (size_t)(text - walk->start);
    inner.prefixed = true;
    status s = run_stage(&inner, index + 1, copy, size + 1);
    free(copy);
    return s;
}

static status run_stage(const struct walk *walk, size_t index, const char *text, size_t size)
{
    if (size == 0) return NULL;
    if (index == walk->splitter->count) {
        visit_word(walk, text, size);
        return NULL;
    }
    const struct stage *stage = &walk->splitter->stages[index];
    if (stage->prefix_space) return run_prefixed(walk, index, text, size);
    if (stage->digits) return run_digits(walk, index, text, size);
    if (!stage->word) return run_pattern(walk, index, text, size);
    for (size_t at = 0, length; at < size; at += length) {
        length = stage->word(text + at, size - at);
        TRY(run_stage(walk, index + 1, text + at, length));
    }
    return NULL;
}

status splitter_run(const struct splitter *splitter, const char *text, size_t size,
                    word_visit *visit, void *context)
{
    const struct walk walk = {splitter, visit, context, text, 0, false};
    return run_stage(&walk, 0, text, size);
}
