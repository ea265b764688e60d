/* eval: the held-out metrics as JSON (the replies too, beside the gold ones), and two of them
 * side by side. */
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/learn/evaluate.h"
#include "tools/regard/command.h"

#include <math.h>
#include <string.h>

static status value_read(const json_t *object, const char *path, int metric, double *out)
{
    *out = NAN;
    if (json_is_null(json_object_get(object, evaluation_name[metric]))) return NULL;
    return json_get_number(object, path, evaluation_name[metric], out);
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
    json_t *before = NULL, *after = NULL;
    TRY(json_read(command->before, &before));
    status s = json_read(command->after, &after);
    if (!s) printf("%-22s %12s %12s\n", "", "before", "after");
    for (int m = 0; !s && m < EVAL_COUNT; m++) {
        double x, y;
        s = value_read(before, command->before, m, &x);
        if (!s) s = value_read(after, command->after, m, &y);
        if (s) break;
        printf("%-22s", evaluation_name[m]);
        cell_print(x);
        cell_print(y);
        putchar('\n');
    }
    json_decref(before);
    json_decref(after);
    return s;
}

static status evaluation_write(const char *path, const struct evaluation *evaluation)
{
    struct file_writer writer;
    TRY(file_begin(&writer, path));
    fprintf(writer.stream, "{\"replies\": %lld", (long long)evaluation->replies);
    for (int m = 0; m < EVAL_COUNT; m++) {
        char number[40];
        json_double_text(number, evaluation->value[m]);
        fprintf(writer.stream, ",\n \"%s\": %s", evaluation_name[m], number);
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
        s = session_check_tokens(&session, &command->config, data);
        if (!s && command->samples) s = file_begin(&samples, command->samples);
        if (!s)
            s = evaluate(session.generator, &command->config, session.language, data, 0,
                         samples.stream, &evaluation);
        if (!s && samples.stream) s = file_commit(&samples);
        if (!s) s = evaluation_write(command->out, &evaluation);
        file_abandon(&samples);
        session_close(&session);
    }
    dataset_free(data);
    return s;
}
