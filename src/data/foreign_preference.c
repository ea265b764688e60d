/* See foreign_preference.h. */
#include "src/data/foreign_preference.h"

#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/data/fields.h"
#include "src/data/foreign_talk.h"
#include "src/data/jsonl.h"

#include <stdlib.h>
#include <string.h>

static const char user_mark[] = "\n\nHuman:", assistant_mark[] = "\n\nAssistant:",
                  blanks[] = " \t\r\n";

bool text_is_transcript(const char *text)
{
    return !strncmp(text + strspn(text, blanks), user_mark + 2, sizeof user_mark - 3);
}

bool foreign_is_preference(const json_t *line)
{
    return json_object_get(line, "chosen") && json_object_get(line, "rejected");
}

static void trimmed_add(struct talk *talk, enum speaker speaker, const char *text, size_t size)
{
    char *own = text_trimmed(text, size);
    talk_add(talk, speaker, NULL, own);
    free(own);
}

static void transcript_add(struct talk *talk, const char *text)
{
    enum speaker speaker = USER;
    text += strspn(text, blanks) + sizeof user_mark - 3;
    for (;;) {
        const char *user = strstr(text, user_mark), *assistant = strstr(text, assistant_mark);
        const bool user_next = user && (!assistant || user < assistant);
        const char *next = user_next ? user : assistant;
        trimmed_add(talk, speaker, text, next ? (size_t)(next - text) : strlen(text));
        if (!next) return;
        speaker = user_next ? USER : ASSISTANT;
        text = next + (user_next ? sizeof user_mark : sizeof assistant_mark) - 1;
    }
}

/* Text, a transcript, or a list of messages. */
static void part_add(struct talk *talk, enum speaker speaker, const json_t *part, bool trim)
{
    const char *text = json_string_value(part);
    if (text && text_is_transcript(text))
        transcript_add(talk, text);
    else if (text && trim)
        trimmed_add(talk, speaker, text, strlen(text));
    else
        talk_add_side(talk, speaker, part);
}

/* Whether a reply brings its history along. */
static bool is_whole(const json_t *reply)
{
    if (json_is_string(reply)) return text_is_transcript(json_string_value(reply));
    const json_t *first = json_array_get(reply, 0);
    return first && talk_speaker(first) != ASSISTANT;
}

/* The conversation that ends in the reply of that key. */
static void talk_read(struct talk *talk, const json_t *line, const char *key)
{
    const json_t *reply = json_object_get(line, key), *messages = json_object_get(line, "messages");
    const json_t *prompt = messages ? messages : json_either(line, "prompt", "question");
    const char *system = json_string_value(json_either(line, "system", "system_prompt"));
    const bool whole = is_whole(reply);
    if (system) talk_add(talk, SYSTEM, NULL, system);
    if (!whole && prompt) part_add(talk, USER, prompt, false);
    const char *text = json_string_value(prompt);
    part_add(talk, ASSISTANT, reply, text && text_is_transcript(text));
    if (talk->why[0]) return;
    if (!whole && !prompt)
        snprintf(talk->why, sizeof talk->why, "it has neither \"prompt\" nor \"messages\"");
    else if (!talk->count || talk->count % 2)
        snprintf(talk->why, sizeof talk->why, "its \"%s\" holds no assistant's reply to a user",
                 key);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

/* Why the two conversations are no preference; NULL: they are. */
static const char *pair_fault(const struct talk *chosen, const struct talk *rejected)
{
    bool same = chosen->count == rejected->count && same_text(chosen->system, rejected->system);
    for (int64_t i = 0; same && i < chosen->count - 1; i++)
        same = same_text(chosen->texts[i], rejected->texts[i]) &&
               same_text(chosen->names[i], rejected->names[i]);
    if (!same) return "chosen and rejected differ before their last reply";
    return same_text(chosen->texts[chosen->count - 1], rejected->texts[rejected->count - 1])
               ? "chosen and rejected are the same text"
               : NULL;
}

/* Whether our reader takes the history. */
static status history_check(const struct talk *talk, const char *where)
{
    struct dialogue history;
    char *text;
    size_t size;
    FILE *stream = memory_stream(&text, &size);
    fputc('{', stream);
    talk_write_messages(talk, talk->count - 1, stream);
    fputc('}', stream);
    memory_stream_close(stream);
    status s = dialogue_parse(text, size, where, DATASET_GENERATE, &history);
    free(text);
    if (!s) dialogue_clear(&history);
    return s;
}

static status pair_write(const json_t *line, const char *where, const struct talk *chosen,
                         const struct talk *rejected, FILE *out)
{
    const char *fault = chosen->why[0]     ? chosen->why
                        : rejected->why[0] ? rejected->why
                                           : pair_fault(chosen, rejected);
    if (fault) FAIL(STATUS_INPUT, "%s: %s", where, fault);
    TRY(history_check(chosen, where));
    fputc('{', out);
    talk_write_id(json_object_get(line, "id"), out);
    talk_write_messages(chosen, chosen->count - 1, out);
    fputs(",\"chosen\":", out);
    json_write_text(out, chosen->texts[chosen->count - 1]);
    fputs(",\"rejected\":", out);
    json_write_text(out, rejected->texts[rejected->count - 1]);
    fputs("}\n", out);
    return NULL;
}

status preference_import(const json_t *line, const char *where, bool keep_system, FILE *out,
                         bool *shortened)
{
    struct talk chosen = {.count = 0}, rejected = {.count = 0};
    talk_read(&chosen, line, "chosen");
    talk_read(&rejected, line, "rejected");
    if (!keep_system) {
        talk_join_system(&chosen);
        talk_join_system(&rejected);
    }
    *shortened = chosen.shortened;
    status s = pair_write(line, where, &chosen, &rejected, out);
    talk_free(&chosen);
    talk_free(&rejected);
    return s;
}
