/* Small tasks with one right answer, which a chat model of some hundred million parameters gets
 * right about half the time: see task_reverse and its like in generators.h. */
#include "src/base/json.h"
#include "src/data/generators.h"
#include "src/data/jsonl.h"
#include "src/data/scenario.h"

#include <inttypes.h>
#include <string.h>

enum { TASK_TEXT = 320, REVERSED = 3 };
/* Streams of the corpus's random numbers; 0 and 1 are the corpus's own. */
enum { STREAM_STORY = 2, STREAM_SLOT };

static const char *const list_words[] = {
    "cat",  "dog",  "sun",  "tree", "book", "fish", "moon", "bird", "car",  "house",
    "milk", "road", "lamp", "door", "rain", "king", "ship", "gold", "snow", "leaf",
    "cake", "ring", "star", "rock", "hand", "boat", "salt", "bell", "wolf", "rose"};
enum { LIST_WORDS = sizeof list_words / sizeof *list_words };
_Static_assert((int)LIST_WORDS == (int)TASK_REVERSE_WORDS, "TASK_REVERSE_LINES is of other lists");
static const char *const names[] = {"Anna",  "Ben",   "Carla", "David", "Emma", "Frank",  "Grace",
                                    "Henry", "Irene", "Jack",  "Kate",  "Leo",  "Maria",  "Nick",
                                    "Olga",  "Paul",  "Rosa",  "Sam",   "Tina", "Victor", NULL};
static const char *const things[] = {"apples", "pencils",  "books",  "marbles", "cookies", "stamps",
                                     "cards",  "balloons", "shells", "oranges", NULL};
static const char *const places[] = {"station", "museum",  "airport", "hospital",
                                     "library", "college", "market",  "castle",
                                     "park",    "theatre", NULL};
static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sunday",    NULL};

/* Question and worked answer in turn. */
static const char *const reverse_shots[] = {"Reverse the list: leaf, hand, moon",
                                            "moon, hand, leaf",
                                            "Reverse the list: bird, cake, road",
                                            "road, cake, bird",
                                            "Reverse the list: milk, king, house",
                                            "house, king, milk",
                                            NULL};
static const char *const story_shots[] = {
    "Rosa has 9 shells. Rosa gives 5 of them to Ben. How many shells does Rosa have now?",
    "9 - 5 = 4. The answer is 4.",
    "Paul has 12 stamps. Paul gives 4 of them to Nick. How many stamps does Paul have now?",
    "12 - 4 = 8. The answer is 8.",
    "Maria has 4 boxes with 9 books in each box. How many books does Maria have now?",
    "4 * 9 = 36. The answer is 36.",
    NULL};
static const char *const no_shots[] = {NULL};

struct task {
    const char *name, *kind, *verify;
    const char *const *shots;
    char question[TASK_TEXT], reply[TASK_TEXT];
    const char *answer, *reject; /* reject NULL: nothing */
};

static void write_message(FILE *line, const char *before, enum dialogue_role role, const char *text)
{
    fprintf(line, "%s{", before);
    message_write(line, role, NULL, text);
    fputc('}', line);
}

static void write_task(FILE *line, const struct task *task, int64_t seed, int64_t index)
{
    int64_t given = 0;
    fprintf(line, "{\"id\":\"%s:%" PRId64 ":%" PRId64 "\",\"messages\":[", task->name, seed, index);
    for (; task->shots[given]; given++)
        write_message(line, given ? "," : "", given % 2 ? ROLE_ASSISTANT : ROLE_USER,
                      task->shots[given]);
    write_message(line, given ? "," : "", ROLE_USER, task->question);
    write_message(line, ",", ROLE_ASSISTANT, task->reply);
    fprintf(line, "],\"given\":%" PRId64 ",\"kind\":\"%s\",\"verify\":\"%s\",\"answer\":", given,
            task->kind, task->verify);
    json_write_text(line, task->answer);
    if (task->reject) {
        fputs(",\"reject\":[", line);
        json_write_text(line, task->reject);
        fputc(']', line);
    }
    fputc('}', line);
}

/* The TASK_REVERSE_LINES lists of a seed all differ, so that held-out ones were not trained on. */
status task_reverse(int64_t seed, int64_t index, int level, FILE *line)
{
    struct task task = {.name = "reverse",
                        .kind = "list",
                        .verify = "match",
                        .shots = reverse_shots,
                        .answer = task.reply};
    int64_t code = prompt_order(seed, 0, index, TASK_REVERSE_LINES), left = LIST_WORDS;
    const char *words[LIST_WORDS];
    (void)level;
    memcpy(words, list_words, sizeof words);
    const char *chosen[REVERSED];
    for (int i = 0; i < REVERSED; i++, left--) {
        const int64_t at = code % left;
        code /= left;
        chosen[i] = words[at];
        words[at] = words[left - 1];
    }
    snprintf(task.question, TASK_TEXT, "Reverse the list: %s, %s, %s", chosen[0], chosen[1],
             chosen[2]);
    snprintf(task.reply, TASK_TEXT, "%s, %s, %s", chosen[2], chosen[1], chosen[0]);
    write_task(line, &task, seed, index);
    return NULL;
}

/* Two different ones of a list. */
static void draw_two(struct corpus_random *random, const char *const *list, const char *out[2])
{
    out[0] = corpus_choose(random, list);
    do out[1] = corpus_choose(random, list);
    while (out[1] == out[0]);
}

static int draw_between(struct corpus_random *random, int low, int high)
{
    return low + (int)corpus_draw(random, (uint32_t)(high - low + 1));
}

status task_story(int64_t seed, int64_t index, int level, FILE *line)
{
    static const char *const kinds[] = {"add", "subtract", "multiply", NULL};
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS, STREAM_STORY, 0};
    struct task task = {.name = "story", .verify = "exact", .shots = story_shots};
    const char *who[2];
    char answer[16];
    (void)level;
    draw_two(&random, names, who);
    const char *thing = corpus_choose(&random, things);
    task.kind = corpus_choose(&random, kinds);
    const char sign = task.kind == kinds[0] ? '+' : task.kind == kinds[1] ? '-' : '*';
    int a = draw_between(&random, 2, sign == '*' ? 9 : 12);
    int b = draw_between(&random, 2, sign == '*' ? 9 : 12);
    if (sign == '-' && a <= b) { /* something is left */
        const int least = a;
        a = b + 1;
        b = least;
    }
    const int result = sign == '+' ? a + b : sign == '-' ? a - b : a * b;
    const char *end = task.question + TASK_TEXT;
    char *at = task.question;
    if (sign == '+')
        at += snprintf(at, TASK_TEXT, "%s has %d %s. %s gives %s %d more.", who[0], a, thing,
                       who[1], who[0], b);
    else if (sign == '-')
        at += snprintf(at, TASK_TEXT, "%s has %d %s. %s gives %d of them to %s.", who[0], a, thing,
                       who[0], b, who[1]);
    else
        at +=
            snprintf(at, TASK_TEXT, "%s has %d boxes with %d %s in each box.", who[0], a, b, thing);
    snprintf(at, (size_t)(end - at), " How many %s does %s have now?", thing, who[0]);
    snprintf(task.reply, TASK_TEXT, "%d %c %d = %d. The answer is %d.", a, sign, b, result, result);
    snprintf(answer, sizeof answer, "%d", result);
    task.answer = answer;
    write_task(line, &task, seed, index);
    return NULL;
}

status task_slot(int64_t seed, int64_t index, int level, FILE *line)
{
    static const char *const minutes[] = {"00", "15", "30", "45", NULL};
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS, STREAM_SLOT, 0};
    struct task task = {.name = "slot", .verify = "contains", .shots = no_shots};
    const char *who[2], *where[2], *day[2];
    char time[16];
    (void)level;
    draw_two(&random, names, who);
    draw_two(&random, places, where);
    draw_two(&random, days, day);
    const int hour = draw_between(&random, 2, 9);
    snprintf(time, sizeof time, "%d:%s", hour, corpus_choose(&random, minutes));
    const struct {
        const char *kind, *question, *answer, *distractor;
    } asked[] = {{"from", "Where does the taxi start?", where[0], where[1]},
                 {"to", "Where does the taxi go to?", where[1], where[0]},
                 {"day", "On which day is the taxi?", day[0], day[1]},
                 {"for", "Who needs the taxi?", who[0], who[1]},
                 {"by", "Who books the taxi?", who[1], who[0]},
                 {"time", "At what time is the taxi?", time, day[1]}};
    const uint32_t one = corpus_draw(&random, sizeof asked / sizeof *asked);
    snprintf(task.question, TASK_TEXT,
             "%s needs a taxi from the %s to the %s. %s books the taxi for %s at %s.\n\n"
             "%s Give a short answer.",
             who[0], where[0], where[1], who[1], day[0], time, asked[one].question);
    snprintf(task.reply, TASK_TEXT, "%s", asked[one].answer);
    task.kind = asked[one].kind;
    task.answer = task.reply;
    task.reject = asked[one].distractor;
    write_task(line, &task, seed, index);
    return NULL;
}
