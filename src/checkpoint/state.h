/* state.h5: what a run must know besides its large arrays, as named rows.  A row says what it is
 * called, of what type it is, and how it is taken from a run and given back; whoever has something
 * to remember adds a row to its table (a run's is in mpi/run_state.c). */
#ifndef REGARD_CHECKPOINT_STATE_H
#define REGARD_CHECKPOINT_STATE_H

#include "src/checkpoint/layout.h"

#include <stdbool.h>

enum { STATE_FORMAT = 2 }; /* 1 had positions in place of names */

enum state_type {
    STATE_TEXT, /* bytes; read with a NUL behind them */
    STATE_FLOATS,
    STATE_DOUBLES,
    STATE_INTEGERS /* int64_t */
};

/* What a row's get fills in: values [count], which live in the run, in `room`, or are `owned` and
 * freed once they are written. */
struct state_value {
    const void *values;
    int64_t count; /* 0 is allowed */
    void *owned;
    union {
        int64_t integers[8];
        double doubles[8];
        char text[128];
    } room;
};

struct state_row {
    char name[CHECKPOINT_NAME_MAX];
    enum state_type type;
    int64_t count; /* elements; -1: any number */
    bool may_miss; /* in a checkpoint of before there was the row: the run's value stays */
    int64_t index; /* for get and set: which of several rows alike */
    status (*get)(const void *run, int64_t index, struct state_value *out);
    status (*set)(void *run, int64_t index, const void *values, int64_t count); /* NULL: not here */
};

/* The rows as they are now, in memory of their own; freed with state_kept_free. */
struct state_kept;
status state_keep(const struct state_row *rows, int64_t count, const void *run,
                  struct state_kept **out);
/* Another text for a row of texts: one that takes long to say, and is wanted when it is written. */
void state_kept_text(struct state_kept *kept, const char *name, const char *text);
/* Writes them, flushed and fsynced. */
status state_kept_write(const struct state_kept *kept, const char *folder);
void state_kept_free(struct state_kept *kept);
/* Gives the rows back in their order.  The folder is verified; a state of another format, a row
 * that is missing or of another type or count is one clear error. */
status state_load(const char *folder, const struct state_row *rows, int64_t count, void *run);

/* One row's values; the caller frees. */
status state_read(const char *folder, const char *name, enum state_type type, void **values,
                  int64_t *count);

#endif
