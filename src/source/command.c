/* Rewards by a program of the user's in any language: reward.command.  It reads a line of JSON a
 * reply from its standard input and answers a line each, in any order (command_lines.h has both);
 * its standard error is this process's.  A batch has reward.command_seconds.  A program that ends
 * is started again once a batch, and asked for what it left unanswered. */
#include "src/base/clock.h"
#include "src/base/log.h"
#include "src/base/memory.h"
#include "src/source/command_lines.h"
#include "src/source/process.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { QUOTED_MAX = 120 };

struct command {
    char *line; /* the command's */
    double seconds;
    struct process process;
};

/* What is asked at once. */
struct batch {
    const struct source_reply *replies; /* [count] */
    int64_t count, left;                /* left: without an answer */
    char (*ids)[COMMAND_ID_MAX];
    bool *answered;
    int64_t next; /* answers mostly come in order */
    double *values;
    struct source_spans *spans;
    char *text; /* [size] the requests, of which [0, sent) went */
    size_t size, sent;
};

static void command_close(void *state)
{
    struct command *command = state;
    process_end(&command->process, NULL);
    free(command->line);
    free(command);
}

/* Whether the shell knows the command's first word, where that is a plain word: else it is asked
 * when the first batch is there, by which time a model was opened and replies were made. */
static status command_look(const char *line)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-";
    const char *word = line + strspn(line, " \t");
    const size_t length = strspn(word, plain);
    if (!length || (word[length] && !strchr(" \t;&|", word[length]))) return NULL;
    char *asked = memory_allocate(length + 64), *said;
    snprintf(asked, length + 64, "command -v %.*s >/dev/null || echo none", (int)length, word);
    struct process shell;
    size_t size, sent = 0;
    status s = process_start(asked, &shell);
    free(asked);
    TRY(s);
    const bool none =
        process_exchange(&shell, "", 0, &sent, seconds_now() + 10, &said, &size) == PROCESS_LINE;
    process_end(&shell, NULL);
    if (none)
        FAIL(STATUS_INPUT,
             "reward.command (%s): the shell finds no %.*s that can be run; give its path, or set "
             "PATH",
             line, (int)length, word);
    return NULL;
}

static status command_open(const struct source_settings *settings, void **state)
{
    *state = NULL;
    TRY(command_look(settings->command));
    struct command *command = memory_allocate(sizeof *command);
    command->line = memory_text(settings->command);
    command->seconds = settings->command_seconds;
    status s = process_start(command->line, &command->process);
    if (s) command_close(command);
    *state = s ? NULL : command;
    return s;
}

static void requests_write(struct batch *batch)
{
    free(batch->text);
    batch->sent = 0;
    FILE *out = memory_stream(&batch->text, &batch->size);
    for (int64_t i = 0; i < batch->count; i++)
        if (!batch->answered[i]) command_request_write(out, &batch->replies[i]);
    memory_stream_close(out);
}

static void batch_free(struct batch *batch)
{
    free(batch->ids);
    free(batch->answered);
    free(batch->text);
}

static void batch_begin(struct batch *batch)
{
    const size_t n = (size_t)batch->count;
    batch->left = batch->count;
    batch->ids = memory_allocate(n * sizeof *batch->ids);
    batch->answered = memory_allocate(n * sizeof *batch->answered);
    for (size_t i = 0; i < n; i++) command_id(&batch->replies[i], batch->ids[i]);
    requests_write(batch);
}

/* The reply of an id; -1: there is none. */
static int64_t batch_find(struct batch *batch, const char *id)
{
    for (int64_t k = 0; k < batch->count; k++) {
        const int64_t i = (batch->next + k) % batch->count;
        if (!strcmp(batch->ids[i], id)) return i;
    }
    return -1;
}

/* The beginning of a line of the program's, for an error. */
static void quote(const char *line, char out[QUOTED_MAX])
{
    snprintf(out, QUOTED_MAX, "%s", line);
    for (char *c = out; *c; c++)
        if (iscntrl((unsigned char)*c)) *c = ' ';
}

static status answer_put(struct batch *batch, struct command_answer *answer)
{
    const int64_t i = batch_find(batch, answer->id);
    if (i < 0) FAIL(STATUS_INPUT, "that id was not asked");
    if (batch->answered[i]) FAIL(STATUS_INPUT, "that id has its answer already");
    for (int64_t k = 0; k < answer->span_count; k++)
        source_spans_add(batch->spans,
                         (struct source_span){i, answer->spans[k].begin, answer->spans[k].end,
                                              answer->spans[k].value});
    batch->values[i] = answer->reward;
    batch->answered[i] = true;
    batch->next = i + 1;
    batch->left--;
    return NULL;
}

static status line_take(const struct command *command, struct batch *batch, const char *line,
                        size_t length)
{
    struct command_answer answer;
    char quoted[QUOTED_MAX];
    status s = command_answer_read(line, length, &answer);
    if (!s) s = answer_put(batch, &answer);
    free(answer.spans);
    if (!s) return NULL;
    quote(line, quoted);
    status refused = ERROR(STATUS_INPUT,
                           "reward.command (%s) answered %s: %s; an answer is a line "
                           "{\"id\":ID,\"reward\":NUMBER}, one an id (docs/reward.md)",
                           command->line, quoted, status_message(s));
    status_free(s);
    return refused;
}

/* The first reply without an answer. */
static const char *first_left(const struct batch *batch)
{
    for (int64_t i = 0; i < batch->count; i++)
        if (!batch->answered[i]) return batch->ids[i];
    return "";
}

static status too_late(const struct command *command, const struct batch *batch)
{
    FAIL(STATUS_INPUT,
         "reward.command (%s) left %lld of %lld replies without an answer for "
         "reward.command_seconds: %g, id %s the first; answer each (and flush the output), or "
         "raise the key",
         command->line, (long long)batch->left, (long long)batch->count, command->seconds,
         first_left(batch));
}

/* It ended: it is started again once. */
static status start_again(struct command *command, struct batch *batch, bool *started)
{
    char how[PROCESS_END_MAX];
    process_end(&command->process, how);
    if (*started)
        FAIL(STATUS_INPUT,
             "reward.command (%s) ended twice while it was asked, now with %s and %lld of %lld "
             "replies without an answer, id %s the first; mend the program, which is to answer "
             "until its input ends",
             command->line, how, (long long)batch->left, (long long)batch->count,
             first_left(batch));
    *started = true;
    log_line(LOG_WARNING, "reward.command (%s) ended with %s; it is started again", command->line,
             how);
    requests_write(batch);
    return process_start(command->line, &command->process);
}

static status batch_ask(struct command *command, struct batch *batch)
{
    const double deadline = seconds_now() + command->seconds;
    bool started = false;
    while (batch->left > 0 || batch->sent < batch->size) {
        char *line;
        size_t length;
        switch (process_exchange(&command->process, batch->text, batch->size, &batch->sent,
                                 deadline, &line, &length)) {
        case PROCESS_LINE:
            TRY(line_take(command, batch, line, length));
            break;
        case PROCESS_ENDED:
            TRY(start_again(command, batch, &started));
            break;
        case PROCESS_TOO_LATE:
            return too_late(command, batch);
        case PROCESS_TOO_LONG:
            FAIL(STATUS_INPUT,
                 "reward.command (%s) wrote more than %d bytes without a newline; an answer is a "
                 "line of its own",
                 command->line, PROCESS_LINE_MAX);
        }
    }
    return NULL;
}

static status command_compute(void *state, const struct source_reply *replies, int64_t count,
                              double *values, struct source_spans *spans)
{
    struct batch batch = {.replies = replies, .count = count, .values = values, .spans = spans};
    if (!count) return NULL;
    batch_begin(&batch);
    status s = batch_ask(state, &batch);
    batch_free(&batch);
    return s;
}

const struct source source_command = {.name = "command",
                                      .needs = SOURCE_NEEDS_TEXT | SOURCE_NEEDS_TOKEN_TEXT,
                                      .open = command_open,
                                      .compute = command_compute,
                                      .close = command_close};
