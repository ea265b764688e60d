/* format: 1 where the regular expression reward.format (PCRE2) is found in the reply, else 0. */
#include "src/source/source.h"

#include "src/base/memory.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

struct format {
    pcre2_code *code;
    pcre2_match_data *match;
};

static void format_close(void *state)
{
    struct format *format = state;
    pcre2_match_data_free(format->match);
    pcre2_code_free(format->code);
    free(format);
}

static status format_open(const struct source_settings *settings, void **state)
{
    int code;
    PCRE2_SIZE offset;
    PCRE2_UCHAR words[160];
    struct format *format = memory_allocate(sizeof *format);
    format->code =
        pcre2_compile((PCRE2_SPTR)settings->format, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &code, &offset, NULL);
    if (!format->code) {
        pcre2_get_error_message(code, words, sizeof words);
        free(format);
        FAIL(STATUS_INPUT, "reward.format: %s, at byte %zu of %s", (const char *)words, offset,
             settings->format);
    }
    format->match = pcre2_match_data_create_from_pattern(format->code, NULL);
    if (!format->match) memory_exhausted(1);
    *state = format;
    return NULL;
}

static status compute(void *state, const struct source_reply *replies, int64_t count,
                      double *values, struct source_spans *spans)
{
    const struct format *format = state;
    (void)spans;
    for (int64_t i = 0; i < count; i++) {
        const char *text = replies[i].text;
        const int found =
            pcre2_match(format->code, (PCRE2_SPTR)text, strlen(text), 0, 0, format->match, NULL);
        PCRE2_UCHAR words[160];
        if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
            pcre2_get_error_message(found, words, sizeof words);
            FAIL(STATUS_INPUT,
                 "reward.format cannot be looked for in dialogue %lld, turn %d, candidate %d: %s",
                 (long long)replies[i].key.dialogue, replies[i].key.turn, replies[i].key.candidate,
                 (const char *)words);
        }
        values[i] = found >= 0;
    }
    return NULL;
}

const struct source source_format = {.name = "format",
                                     .needs = SOURCE_NEEDS_TEXT,
                                     .open = format_open,
                                     .compute = compute,
                                     .close = format_close};
