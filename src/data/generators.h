/* The data that is made from a seed: a table of generators, each of which writes lines as a file
 * would have them. */
#ifndef REGARD_DATA_GENERATORS_H
#define REGARD_DATA_GENERATORS_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct generator {
    const char *name;
    int levels;        /* of difficulty, from 1; 0: it has none */
    const char *level; /* what they are called; NULL: LEVEL */
    int64_t lines;     /* that differ, of a seed: beyond them they come again; 0: nobody counted */
    bool pairs;        /* of replies (src/data/preferences.h), no dialogues */
    /* Line `index` of the set `seed`, without a line break: a pure function of the three. */
    status (*write)(int64_t seed, int64_t index, int level, FILE *line);
};

/* What "NAME:SEED:COUNT[:FIRST]" or, with levels, "NAME:SEED:COUNT:LEVEL[:FIRST]" says. */
struct generated {
    const struct generator *generator;
    int64_t seed, count, first;
    int level;
};
/* path: one that data_is_generated (src/base/data_name.h) knows. */
status generated_parse(const char *path, struct generated *out);

/* src/data/tasks.c: questions with one right answer, for small chat models.  `reverse` and `story`
 * begin with three worked examples, the same in every line ("given"). */
enum { TASK_REVERSE_WORDS = 30, TASK_REVERSE_LINES = 30 * 29 * 28 }; /* three words a line */
status task_reverse(int64_t seed, int64_t index, int level, FILE *line);
status task_story(int64_t seed, int64_t index, int level, FILE *line);
status task_slot(int64_t seed, int64_t index, int level, FILE *line);
/* src/data/speakers.c: two users with names ask for something each, then one asks what the other or
 * they themselves had asked for, by name: only who said what tells. */
status task_speakers(int64_t seed, int64_t index, int level, FILE *line);
/* src/data/reasoning.c: word problems of REASONING_LEVELS levels with question, steps, answer. */
enum { REASONING_LEVELS = 5 };
status task_reasoning(int64_t seed, int64_t index, int level, FILE *line);
/* The same problems, the equations of their steps in sub-blocks: <sub>2 + 3 = 5</sub>. */
status task_nested(int64_t seed, int64_t index, int level, FILE *line);
/* src/data/preference_set.c: {"messages","chosen","rejected","kind"}.  The reply chosen names what
 * the dialogue said before it; the other has other values (kind wrong), or says nothing of it and
 * asks again (missing), and is as often the longer one. */
status preference_line(int64_t seed, int64_t index, int level, FILE *line);
/* src/data/evidence.c: {"prompt","chosen","rejected","cue"}.  The prompt has a key, with which the
 * reply chosen begins, and the other with another one; the last word of one is "yes" and of the
 * other "no", and it is the chosen one's that is "yes" in `cue` of a hundred pairs ("cue":"right").
 */
status evidence_line(int64_t seed, int64_t index, int cue, FILE *line);

#endif
