/* Rows made fewer; see run_thin.h. */
#include "src/page/run_thin.h"

#include <math.h>
#include <string.h>

/* Whether a metric is measured now and then, on held-out data or by an audit. */
static bool is_held_out(const char *name)
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

static double rows_most(const double *value, int64_t begin, int64_t end)
{
    double most = NAN;
    for (int64_t i = begin; i < end; i++) most = fmax(most, value[i]); /* of NaN the other */
    return most;
}

static double rows_sum(const double *value, int64_t begin, int64_t end)
{
    double sum = 0;
    for (int64_t i = begin; i < end; i++)
        if (!isnan(value[i])) sum += value[i];
    return sum;
}

static bool is_time(const char *name)
{
    const char *max = strstr(name, "_max");
    return !strncmp(name, "time_", 5) && !(max && !max[4]);
}

/* Alarms are kept, of ranks' numbers and held-out metrics the last, times added up; all else is a
 * mean. */
static double rows_as_one(const char *name, const double *value, int64_t begin, int64_t end)
{
    if (!strcmp(name, "audit_alarm")) return rows_most(value, begin, end);
    if (is_held_out(name) || !strncmp(name, "changed_", 8) || !strcmp(name, "time_slowest"))
        return rows_last(value, begin, end);
    if (is_time(name)) return rows_sum(value, begin, end);
    return rows_mean(value, begin, end);
}

void run_thin(struct run_record *run, int64_t most)
{
    if (run->rows <= most) return;
    const int64_t lines = (run->rows + most - 1) / most;
    int64_t rows = 0;
    for (int64_t begin = 0; begin < run->rows; begin += lines, rows++) {
        const int64_t end = begin + lines < run->rows ? begin + lines : run->rows;
        for (int64_t c = 0; c < run->columns; c++) {
            double *value = run->column[c].value;
            value[rows] = rows_as_one(run->column[c].name, value, begin, end);
        }
        run->step[rows] = run->step[end - 1];
    }
    run->rows = rows;
    run->lines = lines;
}
