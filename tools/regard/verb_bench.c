/* bench: figures as JSON, each beside the matrix rate or the bandwidth measured in the same run.
 * Seconds are reported, never asserted. */
#include "kernels/memory_kinds.h"
#include "mpi/setup.h"
#include "src/base/version.h"
#include "tools/regard/bench.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    status (*run)(const struct bench *bench, json_t *out);
    bool causal_alone;
} parts[] = {{"kernels", bench_kernels, false}, {"generate", bench_generate, false},
             {"decode", bench_decode, false},   {"prefill", bench_prefill, true},
             {"turns", bench_turns, true},      {"update", bench_update, false},
             {"weights", bench_weights, false}, {"exact", bench_exact, false}};

/* The peak of device memory in this run, by kind; the CPU counts none. */
static json_t *memory_used(struct queue *q)
{
    struct memory_report report;
    int64_t all = 0;
    json_t *line = json_object();
    q->op->memory_report(q, &report);
    for (int kind = 0; kind < MEMORY_KINDS; kind++) {
        json_object_set_new(line, memory_kind_name(kind),
                            json_integer((json_int_t)report.peak[kind]));
        all += (int64_t)report.peak[kind];
    }
    json_object_set_new(line, "bytes", json_integer(all));
    json_object_set_new(line, "bytes_of", json_string("the peaks of all kinds, added up"));
    return line;
}

static status bench_run(struct bench *b, const char *what, json_t *out)
{
    json_t *measured = json_object();
    json_object_set_new(out, "version", json_string(version_text));
    json_object_set_new(out, "device", json_string(b->queue->op->name));
    json_object_set_new(out, "threads", json_integer(b->queue->threads));
    json_object_set_new(out, "precision",
                        json_string(b->queue->real_bytes == sizeof(float) ? "fp32" : "bf16"));
    json_object_set_new(out, "shape", json_string(b->folder ? b->folder : b->scale->name));
    json_object_set_new(out, "peaks", measured);
    TRY(bench_peaks_measure(b, &b->peaks, measured));
    bool causal;
    TRY(bench_is_causal(b, &causal));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const bool all = !strcmp(what, "all");
        if (!all && strcmp(what, parts[i].name) != 0) continue;
        if (!all && parts[i].causal_alone && !causal)
            FAIL(STATUS_INPUT, "bench %s is of decoder-only models; take --shape causal or --model",
                 what);
        if (!causal && parts[i].causal_alone) continue;
        if (b->profile) profile_clear(b->profile);
        TRY(parts[i].run(b, out));
        if (b->profile) profile_print(b->profile, parts[i].name, stderr);
    }
    json_object_set_new(out, "memory", memory_used(b->queue));
    /* Once more: where the two differ the machine was not quiet and shares are not to be used. */
    struct bench_peaks again;
    json_t *after = json_object();
    json_object_set_new(out, "peaks_after", after);
    return bench_peaks_measure(b, &again, after);
}

status verb_bench(struct command *command)
{
    const char *what = command->what ? command->what : "all";
    bool known = !strcmp(what, "all");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(what, parts[i].name)) known = true;
    if (!known)
        FAIL(STATUS_USAGE,
             "bench does kernels, generate, decode, prefill, turns, update, weights, exact or all, "
             "not %s; see regard bench --help",
             what);
    struct bench b = {.config = command->config};
    b.scale = bench_scale_find(command->shape ? command->shape : "small");
    if (!b.scale)
        FAIL(
            STATUS_USAGE,
            "--shape is tiny, small, large, causal or tiny-causal, not %s; see regard bench --help",
            command->shape);
    b.rounds = command->rounds ? (int)command->rounds : b.scale->rounds;
    b.folder = command->model           ? command->model
               : b.config.model.path[0] ? b.config.model.path
                                        : NULL;
    TRY(config_check(&b.config, CONFIG_INFERENCE));
    if (b.config.task == TASK_REASONING)
        FAIL(STATUS_INPUT, "bench measures whole replies, on random tokens, which have no blocks "
                           "and no marker; add --set task=dialogue");
    TRY(queue_open(&b.config, 0, 1, &b.queue));
    json_t *out = json_object();
    status s = command->profile ? profile_begin(b.queue, &b.profile) : NULL;
    if (!s) s = bench_run(&b, what, out);
    if (!s) {
        json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
        putchar('\n');
    }
    json_decref(out);
    profile_end(b.profile);
    b.queue->op->destroy(b.queue);
    return s;
}
