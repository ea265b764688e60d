/* Reward up, quality down; see parting.h. */
#include "src/page/parting.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 128, ERRORS_WIDE = 2 };

double parting_by_audit(const struct run_record *run)
{
    const struct run_column *alarm = run_column_find(run, "audit_alarm");
    for (int64_t i = 0; alarm && i < run->rows; i++)
        if (alarm->value[i] > 0) return run->step[i];
    return NAN;
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static bool ends(const char *text, const char *with)
{
    const size_t n = strlen(text), m = strlen(with);
    return n >= m && !strcmp(text + n - m, with);
}

/* Whether the run was rewarded by it: a term has a scaled form; one that was only logged counts
 * too, unless it is the first that says what a right reply is. */
static bool is_term(const struct run_record *run, const char *name)
{
    char scaled[NAME_BYTES];
    snprintf(scaled, sizeof scaled, "%.100s_scaled", name);
    return run_column_find(run, scaled) != NULL;
}

bool parting_is_quality(const struct run_record *run, const char *metric)
{
    static const char *const others[] = {"reward",       "reply_length",   "end_rate",
                                         "reasoning_ms", "answer_missing", "reasoning_tokens",
                                         "constant",     "random"};
    static const char *const held[] = {"_error", "_change", "_floor", "_random", "_gold"};
    if (!starts(metric, "eval_")) return false;
    const char *name = metric + strlen("eval_");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(name, others[i])) return false;
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (ends(name, held[i])) return false;
    return !is_term(run, name);
}

const char *parting_quality(const struct run_record *run)
{
    static const char *const first[] = {"eval_verifier", "eval_exact_match",     "eval_coherence",
                                        "eval_rouge_l",  "eval_slot_carry_over", "eval_bleu"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (run_column_find(run, first[i]) && parting_is_quality(run, first[i])) return first[i];
    for (int64_t c = 0; c < run->columns; c++)
        if (parting_is_quality(run, run->column[c].name)) return run->column[c].name;
    return NULL;
}

/* Of training, over rows of steps in (after, until]. */
static double reward_mean(const struct run_record *run, const struct run_column *reward,
                          double after, double until)
{
    double sum = 0, count = 0;
    for (int64_t i = 0; i < run->rows; i++)
        if (run->step[i] > after && run->step[i] <= until && isfinite(reward->value[i])) {
            sum += reward->value[i];
            count++;
        }
    return count > 0 ? sum / count : (double)NAN;
}

struct evaluated {
    double step, value, error; /* error: 0 where there is none */
    double change_error;       /* since the first evaluation; NaN: not written */
};

static bool is_worse(const char *metric, const struct evaluated *now, const struct evaluated *first)
{
    const double change = now->value - first->value;
    const double loss = strstr(metric, "perplexity") ? change : -change;
    return loss > ERRORS_WIDE * (isfinite(now->change_error) ? now->change_error
                                                             : hypot(now->error, first->error));
}

double parting_by_metric(const struct run_record *run, const char *metric)
{
    char name[NAME_BYTES], change[NAME_BYTES];
    snprintf(name, sizeof name, "%.100s_error", metric);
    snprintf(change, sizeof change, "%.100s_change_error", metric);
    const struct run_column *reward = run_column_find(run, "reward"),
                            *column = run_column_find(run, metric),
                            *error = run_column_find(run, name),
                            *paired = run_column_find(run, change);
    struct evaluated first = {0}, before = {0};
    double started = NAN; /* the reward of the first interval */
    int64_t count = 0;
    for (int64_t i = 0; reward && column && i < run->rows; i++) {
        if (!isfinite(column->value[i])) continue;
        const struct evaluated now = {.step = run->step[i],
                                      .value = column->value[i],
                                      .error =
                                          error && isfinite(error->value[i]) ? error->value[i] : 0,
                                      .change_error = paired ? paired->value[i] : (double)NAN};
        const double mean = count ? reward_mean(run, reward, before.step, now.step) : (double)NAN;
        if (!count)
            first = now;
        else if (isnan(started))
            started = mean;
        else if (mean > started && is_worse(metric, &now, &first))
            return now.step;
        before = now;
        count++;
    }
    return NAN;
}
