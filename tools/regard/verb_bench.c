/* bench: figures as JSON, each beside the matrix rate or the bandwidth measured in the same run.
 * Seconds are told, never asserted. */
#include "kernels/load.h"
#include "src/base/version.h"
#include "tools/regard/bench.h"

#include <stdio.h>
#include <string.h>

static status bench_run(const struct command *command, struct queue *queue, const char *what,
                        json_t *out)
{
    const bool all = !strcmp(what, "all");
    const bool generate = all || !strcmp(what, "generate");
    const bool update = all || !strcmp(what, "update");
    struct bench_peaks peaks;
    json_t *measured = json_object();
    json_object_set_new(out, "version", json_string(version_text));
    json_object_set_new(out, "device", json_string(queue->op->name));
    json_object_set_new(out, "threads", json_integer(queue->threads));
    json_object_set_new(out, "peaks", measured);
    TRY(bench_peaks_measure(queue, &peaks, measured));
    if (all || !strcmp(what, "kernels")) TRY(bench_kernels(queue, &peaks, out));
    if (generate || update) TRY(bench_model(command, queue, &peaks, generate, update, out));
    /* Once more: where the two differ the machine was not quiet and shares are not to be used. */
    json_t *after = json_object();
    json_object_set_new(out, "peaks_after", after);
    return bench_peaks_measure(queue, &peaks, after);
}

status verb_bench(struct command *command)
{
    static const char *const parts[] = {"kernels", "generate", "update", "all"};
    const struct config *config = &command->config;
    const char *what = command->what ? command->what : "all";
    bool known = false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(what, parts[i])) known = true;
    if (!known)
        FAIL(STATUS_USAGE,
             "bench does kernels, generate, update or all, not %s; see regard bench "
             "--help",
             what);
    TRY(config_check(config, CONFIG_INFERENCE));
    struct queue *queue;
    TRY(queue_open(config, 0, &queue));
    json_t *out = json_object();
    status s = bench_run(command, queue, what, out);
    if (!s) {
        json_dumpf(out, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(4));
        putchar('\n');
    }
    json_decref(out);
    queue->op->destroy(queue);
    return s;
}
