/* See audit.h. */
#include "src/learn/audit.h"

#include "src/base/memory.h"
#include "src/fit/within.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void audit_sums_add(struct audit_sums *sums, double s, double w)
{
    if (!(w > 0)) return;
    if (sums->dialogues == 0) sums->shift = s / w;
    s -= sums->shift * w;
    sums->dialogues += 1;
    sums->s += s;
    sums->w += w;
    sums->ss += s * s;
    sums->sw += s * w;
    sums->ww += w * w;
}

/* The error of a ratio: that of the mean of s - ratio w over the mean of w. */
struct audit_figure audit_sums_figure(const struct audit_sums *sums)
{
    struct audit_figure figure = {NAN, NAN};
    const double n = sums->dialogues;
    if (n == 0) return figure;
    const double ratio = sums->s / sums->w;
    const double squares = sums->ss - 2 * ratio * sums->sw + ratio * ratio * sums->ww;
    figure.value = sums->shift + ratio;
    if (n >= AUDIT_DIALOGUES) figure.error = sqrt(fmax(0, squares) * n / (n - 1)) / sums->w;
    return figure;
}

/* Rank correlation of two lists whose ranks have mean 0; 0 where a is the same for all. */
static double correlation(const double *a, const double *b, int64_t count, double *room)
{
    double together = 0, squares_a = 0, squares_b = 0;
    within_ranks(a, count, room);
    within_ranks(b, count, room + count);
    for (int64_t i = 0; i < count; i++) {
        together += room[i] * room[count + i];
        squares_a += room[i] * room[i];
        squares_b += room[count + i] * room[count + i];
    }
    return squares_a > 0 ? together / sqrt(squares_a) / sqrt(squares_b) : 0;
}

/* A dialogue's replies, in order. */
struct totals {
    double reward, judge, replies, correlation, turns;
};

static void turn_add(int64_t judge, const struct batch_item *replies, const int64_t *order,
                     int64_t count, double *room, struct totals *out)
{
    double *rewards = room, *judged = room + count;
    for (int64_t i = 0; i < count; i++) {
        const struct batch_item *one = &replies[order[i]];
        rewards[i] = one->scaled;
        judged[i] = one->terms[judge];
        out->reward += rewards[i];
        out->judge += judged[i];
        out->replies += 1;
    }
    if (!within_differ(judged, count)) return;
    out->correlation += correlation(rewards, judged, count, room + 2 * count);
    out->turns += 1;
}

static status batch_add(struct audit *audit, int64_t judge, const struct batch_item *replies,
                        int64_t count)
{
    int64_t *order = memory_allocate(((size_t)count + 1) * sizeof *order);
    double *room = memory_allocate((4 * (size_t)count + 1) * sizeof *room);
    status s = turn_order(replies, sizeof *replies, count, order);
    struct totals totals = {0};
    for (int64_t begin = 0, end; !s && begin < count; begin = end) {
        end = turn_group_end(replies, sizeof *replies, count, order, begin);
        turn_add(judge, replies, order + begin, end - begin, room, &totals);
        if (end < count && replies[order[end]].key.dialogue == replies[order[begin]].key.dialogue)
            continue;
        audit_sums_add(&audit->window[AUDIT_REWARD], totals.reward, totals.replies);
        audit_sums_add(&audit->window[AUDIT_JUDGE], totals.judge, totals.replies);
        audit_sums_add(&audit->window[AUDIT_CORRELATION], totals.correlation, totals.turns);
        totals = (struct totals){0};
    }
    free(room);
    free(order);
    return s;
}

/* An error of 0 is of AUDIT_DIALOGUES or more that all say the same, such as a correlation of -1.
 */
static bool beyond(const struct audit_figure *figure, double sign)
{
    return isfinite(figure->error) && sign * figure->value > 2 * figure->error;
}

static void report_make(struct audit *audit, struct audit_report *out)
{
    out->due = true;
    out->first = audit->audits == 0;
    out->dialogues = (int64_t)audit->window[AUDIT_REWARD].dialogues;
    for (int p = 0; p < AUDIT_PARTS; p++) {
        const struct audit_figure now = audit_sums_figure(&audit->window[p]);
        const struct audit_figure *first = &audit->first[p];
        out->part[p] = now;
        if (out->first) audit->first[p] = now;
        out->change[p] =
            (struct audit_figure){now.value - first->value, hypot(now.error, first->error)};
    }
    audit->audits += 1;
    audit->below = beyond(&out->part[AUDIT_CORRELATION], -1) ? audit->below + 1 : 0;
    out->alarm = audit->below >= 2 ? AUDIT_AGAINST : AUDIT_FINE;
    if (!out->first && beyond(&out->change[AUDIT_REWARD], 1) &&
        beyond(&out->change[AUDIT_JUDGE], -1))
        out->alarm = AUDIT_PARTED;
    memset(audit->window, 0, sizeof audit->window);
}

status audit_add(struct audit *audit, const struct reward_settings *reward, int64_t judge,
                 const struct batch_item *items, int64_t count, const double divisors[TERM_MAX],
                 bool due, struct audit_report *out)
{
    const size_t n = (size_t)count + 1;
    struct batch_item *spans = memory_allocate(n * sizeof *spans);
    struct batch_item *replies = memory_allocate(n * sizeof *replies);
    *out = (struct audit_report){.due = false};
    if (audit->begun == 0) memcpy(audit->divisors, divisors, sizeof audit->divisors);
    audit->begun = 1;
    for (int64_t i = 0; i < count; i++) {
        spans[i] = items[i];
        spans[i].scaled = batch_item_reward(reward, &items[i], audit->divisors);
    }
    const int64_t reply_count = batch_replies(reward, spans, count, replies);
    status s = batch_add(audit, judge, replies, reply_count);
    free(replies);
    free(spans);
    if (!s && due) report_make(audit, out);
    return s;
}
