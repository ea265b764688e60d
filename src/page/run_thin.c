/* Rows made fewer; see run_thin.h. */
#include "src/page/run_thin.h"

#include <math.h>
#include <string.h>

bool run_metric_is_held_out(const char *name)
{
    static const char *const prefixes[] = {"eval_", "valid_", "audit_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (!strncmp(name, prefixes[i], strlen(prefixes[i]))) return true;
    return false;
}

static double rows_last(const double *value, int64_t begin, int64_t end)
{
    for (int64_t i = end; i-- > begin;)
        if (!isnan(value[i])) return value[i];
    return NAN;
}

static double rows_mean(const double *value, int64_t begin, int64_t end)
{
    double sum = 0;
    int64_t count = 0;
    for (int64_t i = begin; i < end; i++)
        if (!isnan(value[i])) {
            sum += value[i];
            count++;
        }
    return count ? sum / (double)count : (double)NAN;
}

void run_thin(struct run_record *run, int64_t most)
{
    if (run->rows <= most) return;
    const int64_t lines = (run->rows + most - 1) / most;
    int64_t rows = 0;
    for (int64_t begin = 0; begin < run->rows; begin += lines, rows++) {
        const int64_t end = begin + lines < run->rows ? begin + lines : run->rows;
        for (int64_t c = 0; c < run->columns; c++) {
            const char *name = run->column[c].name;
            double *value = run->column[c].value;
            const bool last = run_metric_is_held_out(name) || !strncmp(name, "changed_", 8);
            value[rows] = last ? rows_last(value, begin, end) : rows_mean(value, begin, end);
        }
        run->step[rows] = run->step[end - 1];
    }
    run->rows = rows;
    run->lines = lines;
}
