/* Word problems with steps: somebody has a number of things, events change it, the last step gives
 * the answer.  A level says how many events there are, of which kinds, and how large numbers get.
 * All sentences were written for this project. */
#include "src/base/json.h"
#include "src/base/memory.h"
#include "src/data/generators.h"
#include "src/data/scenario.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

enum { WORDINGS = 3 };
enum { STREAM_REASONING = 4 }; /* of the corpus's random numbers, and so many more as levels */

enum event_kind { EVENT_ADD, EVENT_SUBTRACT, EVENT_MULTIPLY, EVENT_DIVIDE, EVENT_KINDS };

/* {n} who has them, {m} somebody else, {t} the things, {a} how many there were, {b} the event's
 * number, {c} how many there are after it, {s} the equation of the three. */
static const struct event_words {
    const char *name;
    const char *told[WORDINGS + 1];
    char sign;
} event_words[EVENT_KINDS] = {
    {"add",
     {"{m} gives {n} {b} more {t}.", "{n} finds {b} more {t}.", "{n} buys {b} {t} from {m}.", NULL},
     '+'},
    {"subtract",
     {"{n} gives {b} {t} to {m}.", "{n} loses {b} {t}.", "{n} sells {b} {t} to {m}.", NULL},
     '-'},
    {"multiply",
     {"A week later {n} has {b} times as many {t}.", "{m} makes them {b} times as many.",
      "Then the number of {t} grows to {b} times as many.", NULL},
     '*'},
    {"divide",
     {"{n} puts the {t} into {b} equal heaps and keeps one of them.",
      "{n} shares all {t} equally among {b} children, of whom {n} is one.",
      "{m} leaves {n} only one of {b} equal parts of the {t}.", NULL},
     '/'},
};
static const char *const openings[] = {"{n} has {c} {t}.", "There are {c} {t} in {n}'s box.",
                                       "{n} starts the day with {c} {t}.", NULL};
static const char *const questions[] = {"How many {t} does {n} have now?",
                                        "How many {t} does {n} have in the end?",
                                        "What is the number of {t} that {n} has now?", NULL};
static const char *const together_questions[] = {
    "How many {t} do {n} and {m} have together?",
    "If they put them together, how many {t} do they have?", NULL};

static const char *const names[] = {"Ada",  "Bela", "Cleo", "Dora", "Egon", "Fay",  "Gus",
                                    "Hal",  "Ines", "Joel", "Kim",  "Lars", "Mona", "Ned",
                                    "Otto", "Pia",  "Ray",  "Sara", "Tom",  "Vera", NULL};
static const char *const things[] = {"nuts",  "coins", "pens",  "cups", "beads", "eggs",
                                     "plums", "tapes", "rings", "pins", NULL};

static const struct level {
    int events, kinds; /* the first `kinds` of enum event_kind */
    int64_t operand, largest;
    bool together; /* a last step adds what somebody else has */
} levels[REASONING_LEVELS] = {
    {1, 2, 9, 18, false},   {2, 2, 9, 24, false},  {2, 3, 12, 50, false},
    {3, 4, 20, 200, false}, {3, 4, 50, 900, true},
};

struct problem {
    const char *who[2], *thing;
    int64_t a, b, c;
    char sign;
    bool nested; /* equations stand in sub-blocks */
};

/* In a set `nested` a product is worked out as a sum, in a sub-block of its own. */
static void equation_write(FILE *out, const struct problem *problem)
{
    fprintf(out, "%s%" PRId64 " %c %" PRId64 " = %" PRId64, problem->nested ? "<sub>" : "",
            problem->a, problem->sign, problem->b, problem->c);
    if (problem->nested && problem->sign == '*') {
        fprintf(out, " <sub>%" PRId64, problem->a);
        for (int64_t i = 1; i < problem->b; i++) fprintf(out, " + %" PRId64, problem->a);
        fprintf(out, " = %" PRId64 "</sub>", problem->c);
    }
    if (problem->nested) fputs("</sub>", out);
}

static void fill(FILE *out, const char *template, const struct problem *problem)
{
    for (const char *at = template; *at; at++) {
        if (*at != '{') {
            fputc(*at, out);
            continue;
        }
        switch (at[1]) {
        case 'n':
            fputs(problem->who[0], out);
            break;
        case 'm':
            fputs(problem->who[1], out);
            break;
        case 't':
            fputs(problem->thing, out);
            break;
        case 's':
            equation_write(out, problem);
            break;
        default:
            fprintf(out, "%" PRId64,
                    at[1] == 'a'   ? problem->a
                    : at[1] == 'b' ? problem->b
                                   : problem->c);
        }
        at += 2;
    }
}

static int64_t draw_between(struct corpus_random *random, int64_t low, int64_t high)
{
    return low + corpus_draw(random, (uint32_t)(high - low + 1));
}

/* The event's number {b}, so that 2 things or more are left and none too many; 0: there is none. */
static int64_t draw_number(struct corpus_random *random, const struct level *level,
                           enum event_kind kind, int64_t have)
{
    enum { FACTOR_MAX = 4, SHARES_MAX = 6 };
    int64_t divisors[SHARES_MAX], count = 0, high = 0;
    switch (kind) {
    case EVENT_ADD:
        high = level->largest - have;
        break;
    case EVENT_SUBTRACT:
        high = have - 2;
        break;
    case EVENT_MULTIPLY:
        high = level->largest / have;
        break;
    default:
        for (int64_t d = 2; d <= SHARES_MAX && 2 * d <= have; d++)
            if (have % d == 0) divisors[count++] = d;
        return count ? divisors[corpus_draw(random, (uint32_t)count)] : 0;
    }
    const int64_t most = kind == EVENT_MULTIPLY ? FACTOR_MAX : level->operand;
    if (high > most) high = most;
    return high < 2 ? 0 : draw_between(random, 2, high);
}

static int64_t event_result(enum event_kind kind, int64_t a, int64_t b)
{
    return kind == EVENT_ADD        ? a + b
           : kind == EVENT_SUBTRACT ? a - b
           : kind == EVENT_MULTIPLY ? a * b
                                    : a / b;
}

/* An event of a kind that leaves a number within bounds: there always is one, since what is too
 * small to take from can be added to. */
static enum event_kind draw_event(struct corpus_random *random, const struct level *level,
                                  struct problem *problem)
{
    enum event_kind kind;
    problem->a = problem->c;
    do {
        kind = (enum event_kind)corpus_draw(random, (uint32_t)level->kinds);
        problem->b = draw_number(random, level, kind, problem->a);
    } while (!problem->b);
    problem->c = event_result(kind, problem->a, problem->b);
    return kind;
}

/* What is drawn, as the parts of a line: the text of the question, a JSON list, names. */
struct parts {
    FILE *question, *steps, *kinds;
};

static void tell_event(struct parts *parts, const struct problem *problem, const char *told,
                       const char *step, const char *kind, bool first)
{
    char *text;
    size_t size;
    fputc(' ', parts->question);
    fill(parts->question, told, problem);
    FILE *worked = memory_stream(&text, &size);
    fill(worked, step, problem);
    memory_stream_close(worked);
    if (!first) fputc(',', parts->steps);
    json_write_text(parts->steps, text);
    fprintf(parts->kinds, "%s%s", first ? "" : " ", kind);
    free(text);
}

static void tell(struct corpus_random *random, const struct level *level, struct problem *problem,
                 struct parts *parts)
{
    problem->c = draw_between(random, 2, level->operand);
    fill(parts->question, corpus_choose(random, openings), problem);
    for (int e = 0; e < level->events; e++) {
        const struct event_words *words = &event_words[draw_event(random, level, problem)];
        problem->sign = words->sign;
        tell_event(parts, problem, corpus_choose(random, words->told), "{n} then has {s} {t}.",
                   words->name, e == 0);
    }
    if (level->together) {
        problem->a = problem->c;
        problem->b = draw_between(random, 2, level->operand);
        problem->c = problem->a + problem->b;
        problem->sign = '+';
        tell_event(parts, problem, "{m} has {b} {t}.", "Together they have {s} {t}.", "together",
                   false);
    }
    fputc(' ', parts->question);
    fill(parts->question, corpus_choose(random, level->together ? together_questions : questions),
         problem);
}

static status problem_write(int64_t seed, int64_t index, int level, bool nested, FILE *line)
{
    struct corpus_random random = {(uint64_t)seed, (uint64_t)index, RANDOM_CORPUS,
                                   (uint32_t)(STREAM_REASONING + level), 0};
    struct problem problem = {.nested = nested};
    char *question, *steps, *kinds;
    size_t size;
    struct parts parts = {memory_stream(&question, &size), memory_stream(&steps, &size),
                          memory_stream(&kinds, &size)};
    problem.who[0] = corpus_choose(&random, names);
    do problem.who[1] = corpus_choose(&random, names);
    while (problem.who[1] == problem.who[0]);
    problem.thing = corpus_choose(&random, things);
    tell(&random, &levels[level - 1], &problem, &parts);
    memory_stream_close(parts.question);
    memory_stream_close(parts.steps);
    memory_stream_close(parts.kinds);
    fprintf(line, "{\"id\":\"%s:%" PRId64 ":%d:%" PRId64 "\",\"question\":",
            nested ? "nested" : "reasoning", seed, level, index);
    json_write_text(line, question);
    fprintf(line, ",\"steps\":[%s],\"answer\":\"%" PRId64 "\",\"kind\":\"%s\",\"level\":%d}", steps,
            problem.c, kinds, level);
    free(question);
    free(steps);
    free(kinds);
    return NULL;
}

status task_reasoning(int64_t seed, int64_t index, int level, FILE *line)
{
    return problem_write(seed, index, level, false, line);
}

status task_nested(int64_t seed, int64_t index, int level, FILE *line)
{
    return problem_write(seed, index, level, true, line);
}
