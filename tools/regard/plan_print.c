/* A plan as text and as JSON. */
#include "src/base/json.h"
#include "tools/regard/plan.h"

#include <stdlib.h>
#include <string.h>

/* 1.23 G, in powers of 1000. */
static const char *with_unit(double value, char out[32])
{
    static const char units[] = " kMGTPE";
    int i = 0;
    while (value >= 999.5 && units[i + 1]) {
        value /= 1000;
        i++;
    }
    snprintf(out, 32, i ? "%.3g %c" : "%.3g ", value, units[i]);
    return out;
}

static bool both_roles(const struct plan_run *run)
{
    return run->learners == run->size;
}

static void run_words(const struct plan_run *run, char out[160])
{
    if (both_roles(run))
        snprintf(out, 160, "%lld ranks of both roles", (long long)run->size);
    else
        snprintf(out, 160, "%lld learners, %lld actors, lag %lld", (long long)run->learners,
                 (long long)(run->size - run->learners), (long long)run->lag);
}

static double waiting(const double seconds[TIME_KINDS])
{
    double sum = 0;
    for (int k = 0; k < TIME_KINDS; k++)
        if (time_kind_waits((enum time_kind)k)) sum += seconds[k];
    return sum;
}

static void head_print(const struct plan_case *p, FILE *out)
{
    const struct cluster *c = &p->cluster;
    char a[32], b[32], d[32];
    fprintf(out, "%lld rank%s on %lld host%s; a device of %sFLOP/s, %sB/s, %sB\n",
            (long long)cluster_size(c), cluster_size(c) == 1 ? "" : "s", (long long)c->hosts,
            c->hosts == 1 ? "" : "s", with_unit(c->device.flops, a),
            with_unit(c->device.bandwidth, b), with_unit(c->device.memory, d));
    fprintf(out,
            "%sparameters trained; a batch of %lld dialogues x %lld candidates; a dialogue has "
            "%.0f reply tokens on average\n",
            with_unit((double)p->prices.parameters, a), (long long)p->best.dialogues,
            (long long)p->prices.candidates, p->prices.reply_tokens);
    if (p->generate_scale > 0)
        fprintf(out,
                "scaled by %s: generating %.3g and learning %.3g of what the device's rates give, "
                "%.3g s an update beside\n",
                c->from_run, p->generate_scale, p->learn_scale, p->other);
}

static void outcome_row(const char *name, const struct plan_run *run, const struct plan_outcome *o,
                        FILE *out)
{
    char words[160], a[32], b[32];
    run_words(run, words);
    fprintf(out, "  %-12s %-44s %10s %10s %10.4g %8.1f %8.1f\n", name, words,
            with_unit(o->dialogues_s, a), with_unit(o->tokens_s, b), o->times.step,
            100 * waiting(o->times.learner) / o->times.step,
            both_roles(run) ? 0 : 100 * waiting(o->times.actor) / o->times.step);
}

/* Why the best is the best, a sentence each. */
static void reasons_print(const struct plan_case *p, FILE *out)
{
    const struct plan_outcome *o = &p->best_outcome;
    const struct plan_interval *i = &p->interval;
    if (both_roles(&p->best))
        fprintf(out,
                "  roles.learners %lld: every rank generates and learns; no split of the ranks "
                "leaves less waiting.\n",
                (long long)p->best.learners);
    else
        fprintf(out,
                "  roles.learners %lld: a batch takes %.3g s to generate (its slowest actor %.3g) "
                "and %.3g s to learn from; other splits wait longer.\n",
                (long long)p->best.learners, o->generate, o->generate_longest,
                o->learn + p->prices.apply + p->prices.sliced / (double)p->best.learners +
                    o->exchange);
    if (both_roles(&p->best))
        fprintf(out, "  pipeline.lag 0: ranks of both roles generate nothing ahead.\n");
    else
        fprintf(out, "  pipeline.lag %lld: %s.\n", (long long)p->best.lag,
                p->best.lag == 0   ? "older weights would hardly save time here"
                : p->best.lag == 1 ? "learners and actors work at once, and more would hardly save "
                                     "time"
                                   : "more batches ahead even out the lengths of replies");
    fprintf(out,
            "  learn.microbatches %lld: %.3g dialogues each; more passes cost more, and it must be "
            "a multiple of the learners.\n",
            (long long)p->best.microbatches,
            (double)p->best.dialogues / (double)p->best.microbatches);
    fprintf(out,
            "  checkpoint.every %lld: something fails every %.3g h, a checkpoint keeps the run "
            "%.3g s; Daly's interval is %.0f s (Young's %.0f), %.2f%% of the time is lost.\n",
            (long long)i->steps, i->mtbf / 3600, i->cost, i->daly, i->young, 100 * i->lost);
}

static void times_print(const struct plan_case *p, FILE *out)
{
    const struct schedule_result *t = &p->best_outcome.times;
    const bool both = both_roles(&p->best);
    fprintf(out, "\nwhere a step's time goes, %%\n  %-18s %9s %9s\n", "",
            both ? "ranks" : "learners", both ? "" : "actors");
    for (int k = 0; k < TIME_KINDS; k++) {
        if (t->learner[k] < 1e-4 * t->step && t->actor[k] < 1e-4 * t->step) continue;
        fprintf(out, "  %-18s %9.1f", time_kind_name((enum time_kind)k),
                100 * t->learner[k] / t->step);
        if (!both) fprintf(out, " %9.1f", 100 * t->actor[k] / t->step);
        fputc('\n', out);
    }
}

static const char *const role_names[] = {"rank 0", "learner", "actor"};

static void memory_print(const struct plan_case *p, FILE *out)
{
    fprintf(out, "\nmemory of a device, GB at most\n  %-10s", "");
    for (int kind = 0; kind < MEMORY_KINDS; kind++)
        fprintf(out, " %11s", memory_kind_name((enum memory_kind)kind));
    fprintf(out, " %11s\n", "total");
    for (int role = 0; role < PLAN_ROLES; role++) {
        const double total = (double)memory_sum(p->memory[role]);
        if (total == 0) continue;
        fprintf(out, "  %-10s", role_names[role]);
        for (int kind = 0; kind < MEMORY_KINDS; kind++)
            fprintf(out, " %11.3f", (double)p->memory[role][kind] * 1e-9);
        fprintf(out, " %11.3f%s\n", total * 1e-9,
                total > p->cluster.device.memory ? "  MORE THAN THE DEVICE HAS" : "");
    }
}

static void bytes_print(const struct plan_case *p, FILE *out)
{
    const struct plan_outcome *o = &p->best_outcome;
    char a[32], b[32], c[32];
    fprintf(out,
            "\nbytes a step, all ranks together: weights to actors %sB (%.3g s), experience %sB, "
            "gradients and parameters between learners %sB (%.3g s)\n",
            with_unit(o->bytes.weights, a), o->weights, with_unit(o->bytes.experience, b),
            with_unit(o->bytes.learners, c), o->exchange);
    fprintf(out, "a checkpoint: %sB, %.3g s to write, keeps the run %.3g s\n",
            with_unit(o->checkpoint_bytes, a), o->checkpoint_seconds, p->interval.cost);
    if (p->prices.evaluate > 0)
        fprintf(out, "an evaluation: %.3g s of rank 0, keeps the run %.3g s\n", p->prices.evaluate,
                p->evaluation_cost);
}

static const char *const trial_names[] = {"split", "lag", "microbatches"};

static void tried_print(const struct plan_case *p, FILE *out)
{
    fprintf(out, "\nwhat was tried\n  %-12s %-44s %10s %10s %10s %8s %8s\n", "", "", "dialogues/s",
            "tokens/s", "s/step", "wait L %", "wait A %");
    for (int64_t i = 0; i < p->tried_count; i++) {
        const struct plan_tried *one = &p->tried[i];
        char name[32];
        snprintf(name, sizeof name, "%s", trial_names[one->trial]);
        if (one->trial == TRIED_MICROBATCHES)
            snprintf(name, sizeof name, "%lld mb", (long long)one->run.microbatches);
        outcome_row(name, &one->run, &one->outcome, out);
    }
}

void plan_print_text(const struct plan_case *p, FILE *out)
{
    head_print(p, out);
    fprintf(out, "\n  %-12s %-44s %10s %10s %10s %8s %8s\n", "", "", "dialogues/s", "tokens/s",
            "s/step", "wait L %", "wait A %");
    if (p->asked_runs)
        outcome_row("configured", &p->asked, &p->asked_outcome, out);
    else
        fprintf(out,
                "  %-12s roles.learners %lld and learn.microbatches %lld do not run on %lld "
                "ranks\n",
                "configured", (long long)p->asked.learners, (long long)p->asked.microbatches,
                (long long)p->asked.size);
    outcome_row("recommended", &p->best, &p->best_outcome, out);
    fprintf(out, "\nrecommended\n");
    reasons_print(p, out);
    times_print(p, out);
    memory_print(p, out);
    bytes_print(p, out);
    tried_print(p, out);
    fprintf(out, "\nplanned in %.1f s; figures of a model, see docs/scaling.md for how far off\n",
            p->seconds);
}

static json_t *kinds_json(const double seconds[TIME_KINDS])
{
    json_t *line = json_object();
    for (int k = 0; k < TIME_KINDS; k++)
        json_object_set_new(line, time_kind_name((enum time_kind)k), json_real(seconds[k]));
    return line;
}

static json_t *outcome_json(const struct plan_run *run, const struct plan_outcome *o)
{
    json_t *line = json_object();
    json_object_set_new(line, "learners", json_integer(run->learners));
    json_object_set_new(line, "actors",
                        json_integer(both_roles(run) ? run->size : run->size - run->learners));
    json_object_set_new(line, "both_roles", json_boolean(both_roles(run)));
    json_object_set_new(line, "lag", json_integer(run->lag));
    json_object_set_new(line, "microbatches", json_integer(run->microbatches));
    json_object_set_new(line, "dialogues_s", json_real(o->dialogues_s));
    json_object_set_new(line, "tokens_s", json_real(o->tokens_s));
    json_object_set_new(line, "step_s", json_real(o->times.step));
    json_object_set_new(line, "generate_s", json_real(o->generate));
    json_object_set_new(line, "generate_longest_s", json_real(o->generate_longest));
    json_object_set_new(line, "learn_s", json_real(o->learn));
    json_object_set_new(line, "weights_s", json_real(o->weights));
    json_object_set_new(line, "exchange_s", json_real(o->exchange));
    json_object_set_new(line, "weights_bytes", json_real(o->bytes.weights));
    json_object_set_new(line, "experience_bytes", json_real(o->bytes.experience));
    json_object_set_new(line, "learners_bytes", json_real(o->bytes.learners));
    json_object_set_new(line, "checkpoint_bytes", json_real(o->checkpoint_bytes));
    json_object_set_new(line, "learner_seconds", kinds_json(o->times.learner));
    if (!both_roles(run)) json_object_set_new(line, "actor_seconds", kinds_json(o->times.actor));
    return line;
}

void plan_print_json(const struct plan_case *p, FILE *out)
{
    json_t *all = json_object(), *memory = json_object(), *tried = json_array();
    json_object_set_new(all, "ranks", json_integer(cluster_size(&p->cluster)));
    json_object_set_new(all, "dialogues", json_integer(p->best.dialogues));
    json_object_set_new(all, "parameters", json_integer(p->prices.parameters));
    if (p->generate_scale > 0) {
        json_object_set_new(all, "generate_scale", json_real(p->generate_scale));
        json_object_set_new(all, "learn_scale", json_real(p->learn_scale));
        json_object_set_new(all, "other_s", json_real(p->other));
    }
    json_object_set_new(all, "configured",
                        p->asked_runs ? outcome_json(&p->asked, &p->asked_outcome) : json_null());
    json_object_set_new(all, "recommended", outcome_json(&p->best, &p->best_outcome));
    json_object_set_new(all, "checkpoint_every", json_integer(p->interval.steps));
    json_object_set_new(all, "checkpoint_cost_s", json_real(p->interval.cost));
    json_object_set_new(all, "interval_daly_s", json_real(p->interval.daly));
    json_object_set_new(all, "interval_young_s", json_real(p->interval.young));
    json_object_set_new(all, "evaluation_cost_s", json_real(p->evaluation_cost));
    for (int role = 0; role < PLAN_ROLES; role++) {
        if (!memory_sum(p->memory[role])) continue;
        json_t *line = json_object();
        for (int kind = 0; kind < MEMORY_KINDS; kind++)
            json_object_set_new(line, memory_kind_name((enum memory_kind)kind),
                                json_integer((json_int_t)p->memory[role][kind]));
        json_object_set_new(memory, role_names[role], line);
    }
    json_object_set_new(all, "memory_bytes", memory);
    for (int64_t i = 0; i < p->tried_count; i++) {
        json_t *line = outcome_json(&p->tried[i].run, &p->tried[i].outcome);
        json_object_set_new(line, "tried_for", json_string(trial_names[p->tried[i].trial]));
        json_array_append_new(tried, line);
    }
    json_object_set_new(all, "tried", tried);
    json_object_set_new(all, "planned_in_s", json_real(p->seconds));
    json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    fputc('\n', out);
    json_decref(all);
}
