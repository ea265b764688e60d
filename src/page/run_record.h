/* A run's folder as a report reads it: settings, metrics as columns, what about.txt says.  A run
 * may be going on meanwhile, or have ended anywhere: files that are not there yet and a last line
 * that is not whole are no errors, lines that cannot be read are left out and noted. */
#ifndef REGARD_PAGE_RUN_RECORD_H
#define REGARD_PAGE_RUN_RECORD_H

#include "src/base/json.h"
#include "src/page/settings.h"

#include <stdbool.h>
#include <stdint.h>

/* One metric. */
struct run_column {
    char *name;
    double *value; /* [rows]; NaN: that row has none */
};

struct run_record {
    char *path, *name;            /* name: as the page calls it; run_records_name */
    char kind[32];                /* "train", "sft", "reward"; empty: not known */
    char *about;                  /* about.txt; NULL: there is none */
    struct setting_list settings; /* of config.yaml; empty: there is none */
    int64_t rows, columns;
    int64_t lines; /* that a row of training is the mean of: 1 where nothing was thinned */
    double *step;  /* [rows], rising */
    struct run_column *column;
    json_t *by_rank; /* {"learn": [seconds of each rank, all lines together]}; NULL: none said so */
    char **notes;    /* what was left out, and why; [note_count] */
    int64_t note_count;
};

void run_record_free(struct run_record *run);
/* Names that tell the runs apart: the last folders of their paths, as many as it takes. */
void run_records_name(struct run_record *const *runs, int64_t count);
void run_note(struct run_record *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* NULL: there is no such metric. */
const struct run_column *run_column_find(const struct run_record *run, const char *name);

#endif
