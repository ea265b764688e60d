/* Preferences whose reason stands early and is certain, and late there is a cue that is right in so
 * many of a hundred pairs; see evidence_line in generators.h. */
#include "src/base/json.h"
#include "src/data/generators.h"
#include "src/data/scenario.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { STREAM_EVIDENCE = 17, LEAST_WORDS = 6, MORE_WORDS = 4 };

static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h", NULL};
static const char *const between[] = {"the", "red", "sun", "and", "old", "sea", "was", "far",
                                      "now", "sky", "one", "day", "all", "wet", "big", NULL};
/* The cue, for the reply that it speaks for and for the other. */
static const char *const cues[2] = {"yes", "no"};

/* A key, words that say nothing, and a cue. */
static void reply_draw(struct corpus_random *random, const char *key, const char *cue,
                       char out[CORPUS_TEXT])
{
    const uint32_t words = LEAST_WORDS + corpus_draw(random, MORE_WORDS);
    int at = snprintf(out, CORPUS_TEXT, "%s", key);
    for (uint32_t i = 0; i < words; i++)
        at += snprintf(out + at, (size_t)(CORPUS_TEXT - at), " %s", corpus_choose(random, between));
    snprintf(out + at, (size_t)(CORPUS_TEXT - at), " %s", cue);
}

status evidence_line(int64_t seed, int64_t index, int cue, FILE *line)
{
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS, STREAM_EVIDENCE,
                                   0};
    char chosen[CORPUS_TEXT], rejected[CORPUS_TEXT];
    const char *key = corpus_choose(&random, keys), *other;
    do other = corpus_choose(&random, keys);
    while (other == key);
    const bool right = corpus_draw(&random, 100) < (uint32_t)cue;
    reply_draw(&random, key, cues[!right], chosen);
    reply_draw(&random, other, cues[right], rejected);
    fprintf(line,
            "{\"id\":\"evidence:%" PRId64 ":%" PRId64 "\",\"prompt\":\"key %s\",\"chosen\":", seed,
            index, key);
    json_write_text(line, chosen);
    fputs(",\"rejected\":", line);
    json_write_text(line, rejected);
    fprintf(line, ",\"cue\":\"%s\"}", right ? "right" : "wrong");
    return NULL;
}
