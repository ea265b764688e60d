#include "tools/regard/reward_model.h"

#include "mpi/data.h"
#include "mpi/reward_metrics.h"
#include "mpi/reward_pair.h"
#include "mpi/reward_source.h"
#include "mpi/setup.h"
#include "src/base/config_keys.h"
#include "src/base/cut_turns.h"
#include "src/base/json.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/data/jsonl.h"
#include "tools/regard/reward_inspect.h"

#include <stdlib.h>
#include <string.h>

struct opened {
    struct queue *queue;
    struct reward_reader *reader;
    int objective;
};

static status model_open_for(const struct command *command, enum reward_use use, struct opened *out)
{
    const struct config *config = &command->config;
    TRY(config_check(config, CONFIG_INFERENCE));
    TRY(queue_open(config, 0, 1, &out->queue));
    status s = reward_folder_open(command->model, use, config, out->queue, NULL, &out->objective,
                                  &out->reader);
    if (s) out->queue->op->destroy(out->queue);
    return s;
}

static void model_close(struct opened *opened)
{
    reward_reader_destroy(opened->reader);
    opened->queue->op->destroy(opened->queue);
}

/* ---- score ---- */

/* One line that came of a reply: written when its block is read. */
struct scored_reply {
    struct reward_sequence sequence;
    json_t *record;
    int64_t line, turn; /* of the data, for errors */
};

struct scored {
    struct scored_reply *list; /* [count] */
    int64_t count, capacity;
};

enum { BLOCK = 256 };

static void block_clear(struct scored *block)
{
    for (int64_t i = 0; i < block->count; i++) {
        json_decref(block->list[i].record);
        reward_sequence_free(&block->list[i].sequence);
    }
    block->count = 0;
}

static status reply_write(const struct scored_reply *one, const char *path, double value, FILE *out)
{
    TRY(status_context(reward_score_check(value), "%s:%lld, turn %lld", path, (long long)one->line,
                       (long long)one->turn));
    json_object_set_new(one->record, "model", json_real(value));
    char *text = json_dumps(one->record, JSON_COMPACT | JSON_REAL_PRECISION(17));
    fprintf(out, "%s\n", text);
    free(text);
    return NULL;
}

static status block_write(struct reward_reader *reader, struct scored *block, const char *path,
                          FILE *out)
{
    const size_t n = (size_t)block->count + 1;
    double *values = memory_allocate(n * sizeof *values);
    struct reward_sequence *sequences = memory_allocate(n * sizeof *sequences);
    for (int64_t i = 0; i < block->count; i++) sequences[i] = block->list[i].sequence;
    status s = reward_reader_read(reader, sequences, block->count, values);
    for (int64_t i = 0; !s && i < block->count; i++)
        s = reply_write(&block->list[i], path, values[i], out);
    block_clear(block);
    free(sequences);
    free(values);
    return s;
}

static void reply_add(struct scored *block, const struct scored_reply *one)
{
    if (block->count == block->capacity) {
        block->capacity = 2 * block->capacity + BLOCK;
        block->list = memory_resize(block->list, (size_t)block->capacity * sizeof *block->list);
    }
    block->list[block->count++] = *one;
}

static json_t *message_json(const struct message *message)
{
    json_t *object = json_pack("{s:s}", "role", role_name(message->role));
    if (message->name) json_object_set_new(object, "name", json_string(message->name));
    json_object_set_new(object, "content", json_string(message->content));
    return object;
}

/* {"line","turn","messages","reply"} of message m, with "id" and "given" where the line has them.
 */
static json_t *dialogue_record(const struct dialogue *dialogue, int64_t m, int64_t turn)
{
    json_t *messages = json_array();
    for (int64_t i = 0; i < m; i++)
        json_array_append_new(messages, message_json(&dialogue->messages[i]));
    json_t *record =
        json_pack("{s:I,s:I,s:o,s:s}", "line", (json_int_t)dialogue->line, "turn", (json_int_t)turn,
                  "messages", messages, "reply", dialogue->messages[m].content);
    if (dialogue->given)
        json_object_set_new(record, "given", json_integer((json_int_t)dialogue->given));
    if (dialogue->id)
        json_object_set_new(record, "id", json_loads(dialogue->id, JSON_DECODE_ANY, NULL));
    return record;
}

/* Every reply of a dialogue. */
static status dialogue_add(const struct reward_reader *reader, const struct dialogue *dialogue,
                           struct scored *block)
{
    for (int64_t m = 0, turn = -dialogue_given_turns(dialogue); m < dialogue->message_count; m++) {
        const struct message *message = &dialogue->messages[m];
        struct scored_reply one = {.line = dialogue->line};
        char name[48];
        turn += message->role == ROLE_USER;
        if (message->role != ROLE_ASSISTANT || m < dialogue_start(dialogue)) continue;
        snprintf(name, sizeof name, "turn %lld", (long long)turn);
        const struct reward_asked asked = {.name = name,
                                           .messages = dialogue->messages,
                                           .message_count = m,
                                           .text = message->content};
        TRY(reward_reader_encode(reader, &asked, NULL, &one.sequence));
        one.turn = turn;
        one.record = dialogue_record(dialogue, m, turn);
        reply_add(block, &one);
    }
    return NULL;
}

/* A record that says its history and reply as text too, as generate writes it. */
static status text_sequence(const struct reward_reader *reader, struct reward_asked *asked,
                            const json_t *record, const char *where, struct reward_sequence *out)
{
    struct dialogue history;
    json_t *line = json_pack("{s:O}", "messages", json_object_get(record, "messages"));
    char *text = json_dumps(line, JSON_COMPACT);
    status s = dialogue_parse(text, strlen(text), where, DATASET_GENERATE, &history);
    free(text);
    json_decref(line);
    TRY(s);
    asked->messages = history.messages;
    asked->message_count = history.message_count;
    asked->text = json_string_value(json_object_get(record, "reply"));
    s = reward_reader_encode(reader, asked, NULL, out);
    dialogue_clear(&history);
    return s;
}

static status tokens_check(const struct reward_reader *reader, const int32_t *tokens, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= reward_reader_vocabulary(reader))
            FAIL(STATUS_INPUT, "token %d is beyond the model's vocabulary of %lld", tokens[i],
                 (long long)reward_reader_vocabulary(reader));
    return NULL;
}

static status token_sequence(const struct reward_reader *reader, const struct dialogue *line,
                             const struct reward_asked *asked, struct reward_sequence *out)
{
    if (line->cut_count && line->cuts[0] == CUT_TURNS)
        FAIL(STATUS_INPUT,
             "a \"summary\" is read by the model that it was made for; a reward model "
             "reads histories of history.summary: none");
    TRY(tokens_check(reader, line->history_tokens, line->history_count));
    TRY(tokens_check(reader, line->reply_tokens, line->reply_count));
    return reward_reader_encode(reader, asked, NULL, out);
}

static status record_add(const struct reward_reader *reader, const struct dialogue *line,
                         const char *where, struct scored *block)
{
    struct scored_reply one = {.line = line->line, .turn = line->turn};
    char name[48];
    json_t *record;
    TRY(json_parse(line->json, strlen(line->json), where, &record));
    snprintf(name, sizeof name, "turn %lld", (long long)line->turn);
    struct reward_asked asked = {.name = name,
                                 .history = line->history_tokens,
                                 .history_count = line->history_count,
                                 .tokens = line->reply_tokens,
                                 .count = line->reply_count,
                                 .ended = !json_is_false(json_object_get(record, "ended"))};
    const bool texts = json_is_array(json_object_get(record, "messages")) &&
                       json_is_string(json_object_get(record, "reply"));
    status s = texts ? text_sequence(reader, &asked, record, where, &one.sequence)
                     : token_sequence(reader, line, &asked, &one.sequence);
    one.record = record;
    if (s)
        json_decref(record);
    else
        reply_add(block, &one);
    return s;
}

static status lines_score(struct reward_reader *reader, const struct dataset *data, FILE *out)
{
    struct scored block = {0};
    status s = NULL;
    for (int64_t d = 0; !s && d < data->count; d++) {
        const struct dialogue *line = &data->dialogues[d];
        char where[1200];
        snprintf(where, sizeof where, "%s:%lld", data->path, (long long)line->line);
        s = line->has_tokens ? record_add(reader, line, where, &block)
                             : dialogue_add(reader, line, &block);
        if (s) s = status_context(s, "%s", where);
        if (!s && (block.count >= BLOCK || d + 1 == data->count))
            s = block_write(reader, &block, data->path, out);
    }
    block_clear(&block);
    free(block.list);
    return s;
}

status reward_model_score(const struct command *command)
{
    struct dataset *data;
    struct opened opened;
    struct file_writer writer = {NULL};
    TRY(data_read(&command->config, command->data, DATASET_SCORE, &data));
    status s = model_open_for(command, REWARD_SCORE, &opened);
    if (!s) {
        s = file_begin(&writer, command->out);
        if (!s) s = lines_score(opened.reader, data, writer.stream);
        if (!s) s = file_commit(&writer);
        file_abandon(&writer);
        model_close(&opened);
    }
    dataset_free(data);
    return s;
}

/* ---- eval ---- */

static status examples_read(const struct command *command, const struct language *language,
                            struct reward_examples *out)
{
    struct preferences *pairs;
    struct dataset *data;
    if (command->config.rm.objective == RM_ON_TOPIC) {
        TRY(data_read(&command->config, command->data, DATASET_TRAIN, &data));
        status s = reward_examples_of_dialogues(&language->history, data, out);
        dataset_free(data);
        return s;
    }
    TRY(status_context(
        data_read_preferences(&command->config, command->data, &pairs),
        "pairs are wanted (dialogues are read by a model of rm.objective: on_topic)"));
    status s = reward_examples_of_pairs(&language->history, pairs, out);
    preferences_free(pairs);
    return s;
}

/* The scores of `count` examples from `first` on, read in as few passes as they fit in; data: names
 * their file. */
static status pairs_score(const struct config *config, const char *data,
                          struct reward_reader *reader, const struct reward_examples *examples,
                          int64_t first, int64_t count, struct inspection *inspection,
                          struct preference_scores *out)
{
    struct reward_pair pairs[BLOCK];
    const bool joined = config->rm.objective == RM_PAIR;
    struct reward_sequence sequences[2 * BLOCK];
    double values[2 * BLOCK];
    int64_t read = 0, at = 0;
    for (int64_t i = 0; i < count; i++) {
        reward_pair_make(examples, config->seed, first + i, first + i, true, joined, &pairs[i]);
        for (int64_t k = 0; k < pairs[i].count; k++) sequences[read++] = pairs[i].sequences[k];
    }
    status s = reward_reader_read(reader, sequences, read, values);
    for (int64_t i = 0; !s && i < count; at += pairs[i++].count) {
        out[i] = reward_pair_scores(&pairs[i], values + at);
        for (int64_t k = 0; !s && k < pairs[i].count; k++)
            s = status_context(reward_score_check(values[at + k]), "%s: line %lld", data,
                               (long long)examples->list[first + i].line);
        if (!s && config->rm.inspect)
            s = inspect_pair(inspection, reader, pairs[i].sequences, pairs[i].count, pairs[i].order,
                             config->rm.objective == RM_ON_TOPIC);
    }
    for (int64_t i = 0; i < count; i++) reward_pair_free(&pairs[i]);
    return s;
}

/* Memory for a block of them. */
static status pairs_reserve(const struct config *config, struct reward_reader *reader,
                            const struct reward_examples *examples)
{
    int64_t longest = 1, cuts = 0;
    reward_examples_limits(examples, &longest, &cuts);
    if (config->rm.objective == RM_PAIR) longest *= 2;
    return reward_reader_reserve(reader, 2 * BLOCK, longest);
}

static void pair_write(FILE *out, int64_t line, const struct preference_scores *pair)
{
    char right[40], wrong[40];
    json_double_text(right, pair->right);
    json_double_text(wrong, pair->wrong);
    fprintf(
        out,
        "{\"line\":%lld,\"right\":%s,\"wrong\":%s,\"right_tokens\":%lld,\"wrong_tokens\":%lld}\n",
        (long long)line, right, wrong, (long long)pair->right_tokens,
        (long long)pair->wrong_tokens);
}

static void table_write(FILE *out, const struct command *command,
                        const struct preference_metrics *measured,
                        const struct inspection *inspection)
{
    struct metric_list list = {.count = 0};
    reward_metrics_list(measured, "", &list);
    if (command->config.rm.inspect) inspection_list(inspection, &list);
    fputs("{\"objective\": \"", out);
    config_value_print(&command->config, config_key_find("rm.objective"), out);
    fputc('"', out);
    for (int64_t i = 0; i < list.count; i++) {
        char number[40];
        json_double_text(number, list.list[i].value);
        fprintf(out, ",\n \"%s\": %s", list.list[i].name, number);
    }
    fputs("}\n", out);
}

static status pairs_measure(struct reward_reader *reader, const struct command *command,
                            const struct reward_examples *examples, FILE *samples)
{
    struct preference_scores *scores =
        memory_allocate((size_t)(examples->count + 1) * sizeof *scores);
    struct inspection inspection = {.pairs = {0}};
    struct file_writer writer = {NULL};
    status s = NULL;
    for (int64_t first = 0, n; !s && first < examples->count; first += n) {
        n = examples->count - first < BLOCK ? examples->count - first : BLOCK;
        s = pairs_score(&command->config, command->data, reader, examples, first, n, &inspection,
                        scores + first);
        for (int64_t i = first; !s && samples && i < first + n; i++)
            pair_write(samples, examples->list[i].line, &scores[i]);
    }
    if (!s) s = file_begin(&writer, command->out);
    if (!s) {
        const struct preference_metrics measured = preference_measure(
            scores, examples->count, command->config.rm.objective == RM_ON_TOPIC);
        table_write(writer.stream, command, &measured, &inspection);
        s = file_commit(&writer);
    }
    file_abandon(&writer);
    free(scores);
    return s;
}

static status examples_eval(const struct command *command, struct reward_reader *reader)
{
    struct reward_examples examples = {0};
    struct file_writer samples = {NULL};
    int64_t line;
    status s = examples_read(command, reward_reader_language(reader), &examples);
    const int64_t longer =
        s ? 0 : reward_examples_drop_longer(&examples, reward_reader_longest(reader), &line);
    if (longer || examples.overlong)
        log_line(LOG_WARNING,
                 "%s: %lld pairs are left out: history or reply are longer than history.max_tokens "
                 "(%lld) or the model's longest sequence allow",
                 command->data, (long long)(longer + examples.overlong),
                 (long long)reward_reader_language(reader)->history.max_tokens);
    if (!s && !examples.count)
        s = ERROR(STATUS_INPUT, "%s: no pair is left to measure", command->data);
    if (!s) s = reward_examples_check(&examples, command->data);
    if (!s) s = pairs_reserve(&command->config, reader, &examples);
    if (!s && command->samples) s = file_begin(&samples, command->samples);
    if (!s) s = pairs_measure(reader, command, &examples, samples.stream);
    if (!s && samples.stream) s = file_commit(&samples);
    file_abandon(&samples);
    reward_examples_free(&examples);
    return s;
}

status reward_model_eval(const struct command *command)
{
    struct opened opened;
    TRY(model_open_for(command, REWARD_MEASURE, &opened));
    /* As it was trained, whatever rm.objective says. */
    struct command measured = *command;
    measured.config.rm.objective = opened.objective;
    status s = examples_eval(&measured, opened.reader);
    model_close(&opened);
    return s;
}
