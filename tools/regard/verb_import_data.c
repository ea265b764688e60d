/* import-data: dialogues of other programs' formats to lines of "messages"; generated sets to
 * files.
 */
#include "src/base/data_name.h"
#include "src/base/log.h"
#include "src/data/foreign.h"
#include "src/data/lines.h"
#include "tools/regard/command.h"

const char import_data_formats[] =
    "Reads JSON Lines or a JSON list, whichever of these each line is:\n"
    "  {\"conversations\":[{\"from\":\"human\",\"value\":..},{\"from\":\"gpt\",\"value\":..}]}  "
    "ShareGPT\n"
    "  "
    "{\"messages\":[{\"role\":\"system\",\"content\":..},{\"role\":\"user\",\"content\":..},..]}\n"
    "  {\"prompt\":..,\"completion\":..}  {\"instruction\":..,\"input\":..,\"output\":..}\n"
    "  {\"question\":..,\"answer\":..}\n"
    "and writes a line a dialogue, as sft, train, eval and tokenizer train read them:\n"
    "  "
    "{\"messages\":[{\"role\":\"user\",\"content\":..},{\"role\":\"assistant\",\"content\":..}]}\n"
    "Of preferences ({\"prompt\":..,\"chosen\":..,\"rejected\":..} of text or lists of messages, "
    "chosen and\n"
    "rejected also whole conversations, as messages or as \"Human: .. Assistant: ..\" text) it "
    "writes\n"
    "  {\"messages\":[..],\"chosen\":..,\"rejected\":..}\n"
    "for reward; those whose conversations differ before the last reply are left out.\n"
    "What the system says goes before the user's first words; with --keep-system it is a message "
    "of\n"
    "its own, for models with a chat format.  An assistant's opening and a user's last words are "
    "cut\n"
    "off; dialogues with other roles (tools) are left out, and counted.  \"answer\", \"verify\", "
    "\"reject\",\n"
    "\"given\" and \"slots\" of messages are kept; where messages would be joined or cut off, such "
    "lines are\n"
    "left out.\n"
    "The name of a set that is made (story:SEED:COUNT, see --data) in place of FILE writes its "
    "lines.\n";

/* A line_function. */
static status line_write(void *out, const char *text, size_t size, const char *where,
                         int64_t number)
{
    (void)where, (void)number;
    fwrite(text, 1, size, out);
    fputc('\n', out);
    return NULL;
}

static status generated_write(const struct command *command)
{
    struct file_writer out;
    if (command->keep_system)
        FAIL(STATUS_USAGE, "--keep-system: %s has no system messages", command->data);
    TRY(file_begin(&out, command->out));
    status s = lines_read(command->data, line_write, out.stream);
    if (!s) s = file_commit(&out);
    file_abandon(&out);
    if (!s) log_line(LOG_INFO, "%s written", command->data);
    return s;
}

status verb_import_data(struct command *command)
{
    struct file_writer out;
    struct import_counts counts;
    if (data_is_generated(command->data)) return generated_write(command);
    TRY(file_begin(&out, command->out));
    status s = dialogues_import(command->data, command->keep_system, out.stream, &counts);
    if (!s) s = file_commit(&out);
    file_abandon(&out);
    if (s) return s;
    log_line(LOG_INFO, "%lld of %lld dialogues written, %lld of them shortened, %lld left out%s%s",
             (long long)counts.written, (long long)counts.read, (long long)counts.shortened,
             (long long)counts.left_out, counts.left_out ? "; the first: " : "",
             counts.first_left_out);
    return NULL;
}
