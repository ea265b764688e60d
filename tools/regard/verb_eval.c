/* eval: the held-out metrics as JSON (the replies too, beside the gold ones), and two of them
 * side by side. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/evaluate/evaluate.h"
#include "tools/regard/command.h"

#include <math.h>
#include <string.h>

const char eval_formats[] =
    "--data: dialogues, a JSON line each, or a set that is made (synthetic:SEED:COUNT).\n"
    "--samples: a JSON line a reply, as regard score --help has it, with "
    "line (of --data) and gold.\n";

/* An evaluation's file, all of it before anything is printed; null is NaN. */
static status table_read(const char *path, const struct reward_settings *reward,
                         double value[EVALUATION_MAX])
{
    json_t *table;
    TRY(json_read(path, &table));
    status s = NULL;
    for (int64_t m = 0; !s && m < evaluation_count(reward); m++) {
        const char *name = evaluation_name(reward, m);
        value[m] = NAN;
        if (!json_is_null(json_object_get(table, name)))
            s = json_get_number(table, path, name, &value[m]);
    }
    json_decref(table);
    return s;
}

static void cell_print(double value)
{
    if (isfinite(value))
        printf(" %12.4f", value);
    else
        printf(" %12s", "-");
}

static status compare(const struct command *command)
{
    const struct reward_settings reward = reward_settings_of(&command->config);
    double before[EVALUATION_MAX], after[EVALUATION_MAX];
    TRY(table_read(command->before, &reward, before));
    TRY(table_read(command->after, &reward, after));
    printf("%-22s %12s %12s\n", "", "before", "after");
    for (int64_t m = 0; m < evaluation_count(&reward); m++) {
        printf("%-22s", evaluation_name(&reward, m));
        cell_print(before[m]);
        cell_print(after[m]);
        putchar('\n');
    }
    return NULL;
}

static status evaluation_write(const char *path, const struct reward_settings *reward,
                               const struct evaluation *evaluation)
{
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    fprintf(writer.stream, "{\"replies\": %lld", (long long)evaluation->replies);
    for (int64_t m = 0; m < evaluation_count(reward); m++) {
        char number[40];
        json_double_text(number, evaluation->value[m]);
        fprintf(writer.stream, ",\n \"%s\": %s", evaluation_name(reward, m), number);
    }
    fputs("}\n", writer.stream);
    status s = file_commit(&writer);
    file_abandon(&writer);
    return s;
}

status verb_eval(struct command *command)
{
    if (command->before) return compare(command);
    if (!command->model || !command->data || !command->out)
        FAIL(STATUS_USAGE, "eval needs --model, --data and --out (or --compare); see regard eval "
                           "--help");
    struct dataset *data;
    TRY(dataset_read(command->data, DATASET_TRAIN, &data));
    struct session session;
    struct file_writer samples = {.stream = NULL};
    status s = session_open(command, false, &session);
    if (!s) {
        struct evaluation evaluation;
        struct evaluate_settings settings = evaluate_settings_of(&command->config);
        evaluate_settings_fit(&settings, &command->config, model_shape(session.model));
        s = session_check_tokens(&session, data);
        if (!s) s = sources_check(session.sources, data);
        if (!s && command->samples) s = file_begin(&samples, command->samples);
        if (!s)
            s = evaluate(session.generator, &settings, session.language, data, 0, session.sources,
                         samples.stream, NULL, &evaluation);
        if (!s) evaluation_warn(&evaluation, data);
        if (!s && settings.sampling.cot.block && isfinite(evaluation.reasoning_ms))
            log_line(LOG_INFO, "a token of reasoning took %.3g ms, replies side by side",
                     evaluation.reasoning_ms);
        if (!s && samples.stream) s = file_commit(&samples);
        if (!s) s = evaluation_write(command->out, &settings.sampling.reward, &evaluation);
        file_abandon(&samples);
        session_close(&session);
    }
    dataset_free(data);
    return s;
}
