#include "src/data/split.h"

#include "src/base/file.h"
#include "src/base/json.h"
#include "src/data/fields.h"
#include "src/data/lines.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const part_names[SPLIT_PARTS] = {"train", "valid", "test"};

const char *split_part_name(enum split_part part)
{
    return part_names[part];
}

/* Of a line without the blanks around it, or of its field as JSON text of one form. */
static status hashed_text(const struct split_settings *settings, const char *line, size_t size,
                          const char *where, char **out)
{
    json_t *object;
    *out = NULL;
    TRY(json_parse(line, size, where, &object));
    status s = NULL;
    if (!json_is_object(object)) {
        s = ERROR(STATUS_INPUT, "%s: not a JSON object", where);
    } else if (settings->by[0]) {
        const json_t *value = json_object_get(object, settings->by);
        if (value) *out = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        if (!*out)
            s = ERROR(STATUS_INPUT, "%s: no \"%s\", which split.by names", where, settings->by);
    } else {
        *out = text_trimmed(line, size);
    }
    json_decref(object);
    return s;
}

/* [0, 1): the first 52 bits of SHA-256 over the seed in decimal, a line break and the text. */
static status text_place(int64_t seed, const char *text, double *out)
{
    char number[32], hex[SHA256_HEX];
    struct sha256 *hash = sha256_begin();
    sha256_add(hash, number, (size_t)snprintf(number, sizeof number, "%" PRId64 "\n", seed));
    sha256_add(hash, text, strlen(text));
    TRY(sha256_end(hash, hex));
    hex[13] = 0;
    *out = (double)strtoull(hex, NULL, 16) * 0x1p-52;
    return NULL;
}

status split_part_of(const struct split_settings *settings, const char *line, size_t size,
                     const char *where, enum split_part *out)
{
    char *text;
    double place;
    TRY(hashed_text(settings, line, size, where, &text));
    status s = text_place(settings->seed, text, &place);
    free(text);
    TRY(s);
    *out = SPLIT_TRAIN;
    for (double below = settings->share[SPLIT_TRAIN]; place >= below && *out < SPLIT_TEST;)
        below += settings->share[++*out];
    /* The sum of shares may miss 1 by a rounding. */
    while (*out > SPLIT_TRAIN && settings->share[*out] == 0) --*out;
    return NULL;
}

struct splitting {
    const struct split_settings *settings;
    FILE *const *out;
    struct split_counts *counts;
};

/* A line_function. */
static status line_take(void *context, const char *text, size_t size, const char *where,
                        int64_t number)
{
    const struct splitting *splitting = context;
    enum split_part part;
    (void)number;
    TRY(split_part_of(splitting->settings, text, size, where, &part));
    fwrite(text, 1, size, splitting->out[part]);
    fputc('\n', splitting->out[part]);
    splitting->counts->lines[part]++;
    return NULL;
}

status split_lines(const struct split_settings *settings, const char *path,
                   FILE *const out[SPLIT_PARTS], struct split_counts *counts)
{
    struct splitting splitting = {settings, out, counts};
    *counts = (struct split_counts){0};
    TRY(lines_read(path, line_take, &splitting));
    int64_t all = 0;
    for (int p = 0; p < SPLIT_PARTS; p++) all += counts->lines[p];
    for (int p = 0; p < SPLIT_PARTS; p++)
        if (settings->share[p] > 0 && counts->lines[p] == 0)
            FAIL(STATUS_INPUT,
                 "%s: none of its %" PRId64 " lines falls to %s (split.%s %g); take another seed, "
                 "a larger share or more lines",
                 file_read_name(path), all, part_names[p], part_names[p], settings->share[p]);
    return NULL;
}
