/* Preferences made from a seed: a support dialogue up to one of its turns, a reply that names what
 * was said there and one that does not; see generators.h. */
#include "src/base/json.h"
#include "src/data/generators.h"
#include "src/data/jsonl.h"
#include "src/data/scenario.h"

#include <inttypes.h>
#include <string.h>

/* Streams of the corpus's random numbers: what a dialogue is about, and from the next its wording,
 * the turn and the replies. */
enum { STREAM_PREFERENCE = 16, WORDINGS_TRIED = 64, SENTENCES = 5 };

/* The message of one of the replies that name what was said before them. */
static int64_t reply_choose(struct corpus_random *random, const struct dialogue *dialogue)
{
    int64_t places[TURNS_MAX], count = 0;
    for (int64_t m = 0; m < dialogue->message_count; m++)
        if (dialogue->slots[m]) places[count++] = m;
    return places[corpus_draw(random, (uint32_t)count)];
}

/* Every value another one of its kind. */
static struct scenario spoiled(struct corpus_random *random, const struct scenario *scenario)
{
    struct scenario out = *scenario;
    for (int kind = 0; kind < SLOT_KINDS; kind++) do
            scenario_draw_value(random, kind, out.values[kind]);
        while (!strcmp(out.values[kind], scenario->values[kind]));
    return out;
}

/* Says nothing of what was said, and asks for what it may know. */
static void empty_reply(struct corpus_random *random, char text[CORPUS_TEXT])
{
    const uint32_t count = 1 + corpus_draw(random, SENTENCES);
    char *at = text;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t one = corpus_draw(random, SLOT_KINDS + 2);
        const char *const *list = one < SLOT_KINDS    ? slot_words[one].asks
                                  : one == SLOT_KINDS ? recap_openings
                                                      : recap_endings;
        at += snprintf(at, (size_t)(text + CORPUS_TEXT - at), "%s%s", i ? " " : "",
                       corpus_choose(random, list));
    }
}

/* Which of the two is longer is a coin's to say, where a wording can be found. */
static void replies_draw(struct corpus_random *random, const struct scenario *right, bool missing,
                         const int given[SLOT_KINDS], int turn, char chosen[CORPUS_TEXT],
                         char rejected[CORPUS_TEXT])
{
    const bool longer = corpus_draw(random, 2);
    for (int i = 0; i < WORDINGS_TRIED; i++) {
        const struct scenario wrong = spoiled(random, right);
        chosen[0] = rejected[0] = 0;
        scenario_reply(random, right, given, turn, chosen);
        if (missing)
            empty_reply(random, rejected);
        else
            scenario_reply(random, &wrong, given, turn, rejected);
        const size_t a = strlen(chosen), b = strlen(rejected);
        if (a == b || longer == (a > b)) return;
    }
}

static void line_write(FILE *line, int64_t seed, int64_t index, const struct dialogue *dialogue,
                       int64_t message, const char *chosen, const char *rejected, bool missing)
{
    fprintf(line, "{\"id\":\"preferences:%" PRId64 ":%" PRId64 "\",\"messages\":[", seed, index);
    for (int64_t m = 0; m < message; m++) {
        const struct message *one = &dialogue->messages[m];
        fputs(m ? ",{" : "{", line);
        message_write(line, one->role, one->name, one->content);
        fputc('}', line);
    }
    fputs("],\"chosen\":", line);
    json_write_text(line, chosen);
    fputs(",\"rejected\":", line);
    json_write_text(line, rejected);
    fprintf(line, ",\"kind\":\"%s\"}", missing ? "missing" : "wrong");
}

status preference_line(int64_t seed, int64_t index, int level, FILE *line)
{
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS,
                                   STREAM_PREFERENCE, 0};
    struct scenario right;
    struct dialogue dialogue;
    int given[SLOT_KINDS];
    char chosen[CORPUS_TEXT], rejected[CORPUS_TEXT];
    (void)level;
    scenario_dialogue(&random, &right, given, &dialogue);
    const int64_t message = reply_choose(&random, &dialogue);
    const int turn = (int)message / 2 + 1;
    const bool missing = corpus_draw(&random, 2);
    for (int kind = 0; kind < SLOT_KINDS; kind++)
        if (given[kind] > turn) given[kind] = 0;
    replies_draw(&random, &right, missing, given, turn, chosen, rejected);
    line_write(line, seed, index, &dialogue, message, chosen, rejected, missing);
    dialogue_clear(&dialogue);
    return NULL;
}
