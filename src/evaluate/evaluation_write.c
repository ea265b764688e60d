/* See evaluation_write.h.  The object has a number a metric (null: does not apply) and
 * `by_dialogue`, of the metrics that are means: sum and count of each metric, a row a dialogue, and
 * the hash of the data's lines that these are of. */
#include "src/evaluate/evaluation_write.h"

#include "src/base/json.h"

#include <inttypes.h>
#include <string.h>

/* Whether the metric is a mean of parts, and not of all replies together. */
static bool has_parts(const struct evaluation *evaluation, int64_t metric)
{
    for (int64_t d = 0; d < evaluation->dialogues; d++)
        if (evaluation->parts[d][metric][1] > 0) return true;
    return false;
}

status evaluation_lines(const struct dataset *data, int64_t dialogues, char hex[SHA256_HEX])
{
    struct sha256 *hash = sha256_begin();
    for (int64_t d = 0; d < dialogues; d++) {
        const char *line = data->dialogues[d].json;
        sha256_add(hash, line, strlen(line));
        sha256_add(hash, "\n", 1);
    }
    return sha256_end(hash, hex);
}

static void parts_write(FILE *out, const struct evaluate_settings *settings,
                        const struct evaluation *evaluation, const char *lines)
{
    const int64_t metrics = evaluation_count(settings);
    const char *comma = "";
    fprintf(out, ",\n \"by_dialogue\": {\"lines_sha256\": \"%s\", \"metrics\": [", lines);
    for (int64_t m = 0; m < metrics; m++) {
        if (!has_parts(evaluation, m)) continue;
        fprintf(out, "%s\"%s\"", comma, evaluation_name(settings, m));
        comma = ", ";
    }
    fputs("], \"rows\": [", out);
    for (int64_t d = 0; d < evaluation->dialogues; d++) {
        comma = d ? ", [" : "[";
        for (int64_t m = 0; m < metrics; m++) {
            char sum[40];
            if (!has_parts(evaluation, m)) continue;
            json_double_text(sum, evaluation->parts[d][m][0]);
            fprintf(out, "%s%s, %" PRId64, comma, sum, (int64_t)evaluation->parts[d][m][1]);
            comma = ", ";
        }
        fputs("]", out);
    }
    fputs("]}", out);
}

status evaluation_write(const char *path, int64_t step, const struct evaluate_settings *settings,
                        const struct evaluators *by, const struct evaluation *evaluation,
                        const struct dataset *data)
{
    struct file_writer writer;
    char lines[SHA256_HEX];
    TRY(evaluation_lines(data, evaluation->dialogues, lines));
    TRY(file_begin(&writer, path));
    fputc('{', writer.stream);
    if (step >= 0) fprintf(writer.stream, "\"step\": %" PRId64 ",\n ", step);
    fprintf(writer.stream, "\"replies\": %" PRId64, evaluation->replies);
    if (by->encoder) {
        fputs(",\n \"encoder\": ", writer.stream);
        json_write_text(writer.stream, text_encoder_name(by->encoder));
        fprintf(writer.stream, ",\n \"encoder_layer\": %" PRId64, text_encoder_layer(by->encoder));
    }
    if (by->on_topic) {
        char number[40];
        json_double_text(number, on_topic_threshold(by->on_topic)->value);
        fputs(",\n \"on_topic\": ", writer.stream);
        json_write_text(writer.stream, on_topic_name(by->on_topic));
        fprintf(writer.stream, ",\n \"on_topic_threshold\": %s", number);
    }
    for (int64_t m = 0; m < evaluation_count(settings); m++) {
        char number[40];
        json_double_text(number, evaluation->value[m]);
        fprintf(writer.stream, ",\n \"%s\": %s", evaluation_name(settings, m), number);
    }
    parts_write(writer.stream, settings, evaluation, lines);
    fputs("}\n", writer.stream);
    status s = file_commit(&writer);
    file_abandon(&writer);
    return s;
}
