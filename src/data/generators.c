/* The table of generators and how their names are written; see generators.h. */
#include "src/data/generators.h"

#include "src/data/corpus.h"
#include "src/data/jsonl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 10000000 };

static status corpus_line(int64_t seed, int64_t index, int level, FILE *line)
{
    struct dialogue dialogue;
    (void)level;
    TRY(corpus_dialogue(seed, index, &dialogue));
    dialogue_write(line, &dialogue);
    dialogue_clear(&dialogue);
    return NULL;
}

static const struct generator generators[] = {
    {.name = "synthetic", .write = corpus_line},
    {.name = "reverse", .lines = TASK_REVERSE_LINES, .write = task_reverse},
    {.name = "story", .write = task_story},
    {.name = "slot", .write = task_slot},
    {.name = "speakers", .write = task_speakers},
    {.name = "reasoning", .levels = REASONING_LEVELS, .write = task_reasoning},
    {.name = "nested", .levels = REASONING_LEVELS, .write = task_nested},
    {.name = "preferences", .pairs = true, .write = preference_line},
    {.name = "evidence", .levels = 100, .level = "CUE", .pairs = true, .write = evidence_line},
};

/* Whole numbers from 0 with a colon between them; how many, or -1 where there is anything else. */
static int read_numbers(const char *text, int64_t *out, int max)
{
    for (int count = 0; count < max;) {
        char *end;
        if (*text < '0' || *text > '9') return -1;
        errno = 0;
        out[count++] = strtoll(text, &end, 10);
        if (errno || (*end && *end != ':')) return -1;
        if (!*end) return count;
        text = end + 1;
    }
    return -1;
}

status generated_parse(const char *path, struct generated *out)
{
    const size_t length = strcspn(path, ":");
    const struct generator *one = generators;
    while (strlen(one->name) != length || strncmp(path, one->name, length) != 0) one++;
    const int least = one->levels ? 3 : 2;
    int64_t numbers[4] = {0};
    const int count = read_numbers(path + length + 1, numbers, least + 1);
    const bool bad_count = count < least || numbers[1] < 1 || numbers[1] > COUNT_MAX;
    const char *level = one->level ? one->level : "LEVEL";
    if (bad_count && one->levels)
        FAIL(STATUS_INPUT,
             "%s: write %s:SEED:COUNT:%s or %s:SEED:COUNT:%s:FIRST, COUNT from 1 to %d, %s from 1 "
             "to %d",
             path, one->name, level, one->name, level, COUNT_MAX, level, one->levels);
    if (bad_count)
        FAIL(STATUS_INPUT, "%s: write %s:SEED:COUNT or %s:SEED:COUNT:FIRST, COUNT from 1 to %d",
             path, one->name, one->name, COUNT_MAX);
    if (one->levels && (numbers[2] < 1 || numbers[2] > one->levels))
        FAIL(STATUS_INPUT, "%s: there is no %s %lld, only 1 to %d", path,
             one->level ? one->level : "level", (long long)numbers[2], one->levels);
    const int64_t lines = one->lines ? one->lines : INT64_MAX;
    if (numbers[least] > lines - numbers[1])
        FAIL(STATUS_INPUT, "%s: FIRST + COUNT is beyond %lld, %s", path, (long long)lines,
             one->lines ? "the lines of a seed that differ: the same would come again, trained on "
                          "and held out"
                        : "the last place of a set");
    *out = (struct generated){one, numbers[0], numbers[1], numbers[least],
                              one->levels ? (int)numbers[2] : 0};
    return NULL;
}
