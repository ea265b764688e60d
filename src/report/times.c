/* See times.h. */
#include "src/report/times.h"

#include "src/base/json.h"
#include "src/base/memory.h"

#include <math.h>
#include <stdlib.h>

static double kind_sum(const double *seconds, int ranks, int kind, double *most)
{
    double sum = 0;
    *most = 0;
    for (int r = 0; r < ranks; r++) {
        const double of = seconds[r * TIME_KINDS + kind];
        sum += of;
        if (of > *most) *most = of;
    }
    return sum;
}

static double whole(const double *seconds)
{
    double sum = 0;
    for (int k = 0; k < TIME_KINDS; k++) sum += seconds[k];
    return sum;
}

static double waited(const double *seconds)
{
    double sum = 0;
    for (int k = 0; k < TIME_KINDS; k++)
        if (time_kind_waits((enum time_kind)k)) sum += seconds[k];
    return sum;
}

int times_slowest(const double *seconds, int ranks)
{
    int slowest = 0;
    for (int r = 1; r < ranks; r++)
        if (waited(seconds + r * TIME_KINDS) < waited(seconds + slowest * TIME_KINDS)) slowest = r;
    return slowest;
}

/* Seconds to the nearest one, which print short. */
static double microseconds(double seconds)
{
    return round(seconds * 1e6) / 1e6;
}

void times_measure(const double *seconds, int ranks, struct metric_list *out)
{
    for (int k = 0; k < TIME_KINDS; k++) {
        double most;
        const double sum = kind_sum(seconds, ranks, k, &most);
        const char *name = time_kind_name((enum time_kind)k);
        if (most <= 0) continue;
        metric_list_add(out, microseconds(sum / ranks), "time_%s", name);
        metric_list_add(out, microseconds(most), "time_%s_max", name);
    }
    if (ranks > 1) metric_list_add(out, times_slowest(seconds, ranks), "time_slowest");
}

char *times_by_rank(const double *seconds, int ranks)
{
    char *text = NULL;
    size_t size = 0;
    const char *before = "{";
    if (ranks > TIMES_RANKS_LISTED) return NULL;
    FILE *out = memory_stream(&text, &size);
    for (int k = 0; k < TIME_KINDS; k++) {
        double most;
        kind_sum(seconds, ranks, k, &most);
        if (most <= 0) continue;
        fprintf(out, "%s\"%s\":[", before, time_kind_name((enum time_kind)k));
        for (int r = 0; r < ranks; r++)
            fprintf(out, "%s%.6f", r ? "," : "", seconds[r * TIME_KINDS + k]);
        fputc(']', out);
        before = ",";
    }
    fputs(*before == '{' ? "{}" : "}", out);
    memory_stream_close(out);
    return text;
}

void times_text(const double *seconds, int ranks, int most_kinds, char *out, size_t size)
{
    double sums[TIME_KINDS], all = 0, most;
    bool said[TIME_KINDS] = {false};
    size_t used = 0;
    for (int k = 0; k < TIME_KINDS; k++) all += sums[k] = kind_sum(seconds, ranks, k, &most);
    if (size) *out = 0;
    for (int i = 0; i < most_kinds; i++) {
        int next = -1;
        for (int k = 0; k < TIME_KINDS; k++)
            if (!said[k] && sums[k] >= 0.01 * all && sums[k] > 0 &&
                (next < 0 || sums[k] > sums[next]))
                next = k;
        if (next < 0 || used >= size) break;
        said[next] = true;
        used += (size_t)snprintf(out + used, size - used, "%s%s %.0f%%", used ? ", " : "",
                                 time_kind_name((enum time_kind)next), 100 * sums[next] / all);
    }
}

void times_slowest_text(const double *seconds, int ranks, const char *host, char *out, size_t size)
{
    const int slowest = times_slowest(seconds, ranks);
    const double *its = seconds + slowest * TIME_KINDS;
    if (size) *out = 0;
    if (ranks == 1 || 2 * waited(its) > whole(its)) return;
    snprintf(out, size, "; rank %d (%s) waited least, %.0f%%", slowest, host,
             whole(its) > 0 ? 100 * waited(its) / whole(its) : 0);
}
