/* The parser over the table in config_keys.c.  A file is read into a copy,
 * so that one with a mistake changes nothing. */
#include "src/base/config.h"

#include "src/base/config_keys.h"
#include "src/base/file.h"
#include "src/base/memory.h"
#include "src/base/suggest.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

enum { NAME_MAX_BYTES = 128, SECTION_MAX = 64 };

static status unknown_key(const struct key_table *table, const char *where, const char *name)
{
    char meant[256];
    if (table->keys == config_keys && config_suggest(name, meant))
        FAIL(STATUS_INPUT, "%s: unknown key %s; did you mean %s?", where, name, meant);
    struct nearest nearest = nearest_begin(name);
    for (int i = 0; table->keys != config_keys && i < table->count; i++)
        nearest_offer(&nearest, table->keys[i].name);
    if (nearest.best)
        FAIL(STATUS_INPUT, "%s: unknown key %s; did you mean %s?", where, name, nearest.best);
    FAIL(STATUS_INPUT, "%s: unknown key %s (%s)", where, name, table->listed);
}

static status number_parse(const struct config_key *key, const char *where, const char *text,
                           bool plain, double *out)
{
    char *end;
    bool decimal = plain && *text && strspn(text, "+-.0123456789eE") == strlen(text);
    errno = 0;
    *out = decimal ? strtod(text, &end) : 0;
    if (!decimal || *end || !isfinite(*out))
        FAIL(STATUS_INPUT, "%s: %s must be a number, not \"%s\"", where, key->name, text);
    if (*out < key->least || *out > key->most)
        FAIL(STATUS_INPUT, "%s: %s must be between %.10g and %.10g, not %s", where, key->name,
             key->least, key->most, text);
    return NULL;
}

/* A whole number as 1e3 or 20.0, exactly; above 2^53 a double is no longer every integer. */
static bool whole_of_decimal(const char *text, long long *out)
{
    char *end;
    const double value = strtod(text, &end);
    if (!strpbrk(text, "eE.") || end == text || *end || fabs(value) > 0x1p53 ||
        value != floor(value))
        return false;
    *out = (long long)value;
    return true;
}

static status integer_parse(const struct config_key *key, const char *where, const char *text,
                            bool plain, int64_t *out)
{
    char *end;
    const bool digits = plain && *text && strspn(text, "+-0123456789") == strlen(text);
    const bool decimal = plain && strspn(text, "+-.0123456789eE") == strlen(text);
    errno = 0;
    long long value = digits ? strtoll(text, &end, 10) : 0;
    if (digits ? *end : !decimal || !whole_of_decimal(text, &value))
        FAIL(STATUS_INPUT, "%s: %s must be an integer, not \"%s\"", where, key->name, text);
    if (errno || (double)value < key->least || (double)value > key->most)
        FAIL(STATUS_INPUT, "%s: %s must be between %.17g and %.17g, not %s", where, key->name,
             key->least, key->most, text);
    *out = value;
    return NULL;
}

static bool one_of(const char *text, const char *const words[])
{
    for (; *words; words++)
        if (!strcmp(text, *words)) return true;
    return false;
}

/* The index of text among "one|two|three", or -1. */
static int choice_index(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (int index = 0;; index++) {
        size_t part = strcspn(choices, "|");
        if (part == length && !strncmp(choices, text, length)) return index;
        if (!choices[part]) return -1;
        choices += part + 1;
    }
}

static void list_apply(void *into, const struct config_key *key, const double *values,
                       int64_t count)
{
    char *member = (char *)into + key->offset;
    memset(member, 0, key->size);
    memcpy(member, values, (size_t)count * sizeof *values);
    *(int64_t *)(void *)((char *)into + key->count_offset) = count;
}

static status scalar_apply(void *into, const struct config_key *key, const char *where,
                           const char *text, bool plain)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "on", NULL};
    static const char *const no[] = {"false", "False", "FALSE", "no", "off", NULL};
    static const char *const null[] = {"~", "null", "Null", "NULL", NULL};
    char *member = (char *)into + key->offset;
    switch (key->type) {
    case KEY_INTEGER:
        TRY(integer_parse(key, where, text, plain, (int64_t *)(void *)member));
        break;
    case KEY_NUMBER:
        TRY(number_parse(key, where, text, plain, (double *)(void *)member));
        break;
    case KEY_SWITCH:
        if (!plain || (!one_of(text, yes) && !one_of(text, no)))
            FAIL(STATUS_INPUT, "%s: %s must be true or false, not \"%s\"", where, key->name, text);
        *(bool *)member = one_of(text, yes);
        break;
    case KEY_CHOICE: {
        int index = choice_index(key->choices, text);
        const size_t length = strlen(text);
        if (key->refused && !strncmp(key->refused, text, length) && key->refused[length] == ':')
            FAIL(STATUS_INPUT, "%s: %s: %s", where, key->name, key->refused);
        if (index < 0 || strchr(text, '|'))
            FAIL(STATUS_INPUT, "%s: %s must be one of %s, not \"%s\"", where, key->name,
                 key->choices, text);
        *(int *)(void *)member = index;
        break;
    }
    case KEY_TEXT:
        if (plain && one_of(text, null)) text = "";
        if (strlen(text) >= key->size)
            FAIL(STATUS_INPUT, "%s: %s is longer than %zu bytes", where, key->name, key->size - 1);
        memset(member, 0, key->size);
        strcpy(member, text);
        break;
    case KEY_WEIGHTS:
        if (plain && one_of(text, null)) text = "";
        TRY(config_weights_parse(key, where, text, (struct config_weights *)(void *)member));
        break;
    case KEY_LIST: { /* one value is a list of one */
        double value;
        TRY(number_parse(key, where, text, plain, &value));
        list_apply(into, key, &value, 1);
        break;
    }
    }
    return NULL;
}

/* Values that follow the task until they are given. */
static status defaults_follow_task(struct config *config)
{
    for (int i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (!config_follows_task(config, key)) continue;
        const bool single = config->task == TASK_SINGLE_TURN;
        TRY(scalar_apply(config, key, "default", single ? key->single_turn : key->default_text,
                         true));
    }
    return NULL;
}

bool config_follows_task(const struct config *config, const struct config_key *key)
{
    return key->single_turn && !config->given[key - config_keys];
}

/* One YAML text being read, by the event API. */
struct reader {
    yaml_parser_t parser;
    const struct key_table *table;
    void *into;
    const char *file; /* or "--set key=value", which has no lines */
    bool lines;
    bool seen[CONFIG_KEY_MAX];
    int seen_line[CONFIG_KEY_MAX];
    char sections[SECTION_MAX][NAME_MAX_BYTES];
    int section_line[SECTION_MAX], section_count;
};

/* Of the configuration; other tables have none that asks. */
static void mark_given(const struct reader *reader, const struct config_key *key)
{
    if (reader->table == &config_table)
        ((struct config *)reader->into)->given[key - config_keys] = true;
}

static const char *where_text(const struct reader *reader, yaml_mark_t mark, char out[1200])
{
    if (reader->lines)
        snprintf(out, 1200, "%.1000s:%zu", reader->file, mark.line + 1);
    else
        snprintf(out, 1200, "%.1000s", reader->file);
    return out;
}

static status next_event(struct reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event)) {
        if (event->type != YAML_ALIAS_EVENT) return NULL;
        char where[1200];
        where_text(reader, event->start_mark, where);
        yaml_event_delete(event);
        FAIL(STATUS_INPUT, "%s: YAML aliases are not supported", where);
    }
    char where[1200];
    yaml_mark_t mark = reader->parser.problem_mark;
    if (reader->parser.error == YAML_READER_ERROR) {
        const char *text = (const char *)reader->parser.input.string.start;
        mark.line = 0;
        for (size_t i = 0; i < reader->parser.problem_offset; i++) mark.line += text[i] == '\n';
    }
    FAIL(STATUS_INPUT, "%s: bad YAML: %s%s%s", where_text(reader, mark, where),
         reader->parser.context ? reader->parser.context : "", reader->parser.context ? ", " : "",
         reader->parser.problem ? reader->parser.problem : "unknown problem");
}

static status scalar_text(const struct reader *reader, const yaml_event_t *event, const char **text)
{
    char where[1200];
    *text = (const char *)event->data.scalar.value;
    if (strlen(*text) != event->data.scalar.length)
        FAIL(STATUS_INPUT, "%s: a zero byte in a value",
             where_text(reader, event->start_mark, where));
    return NULL;
}

static status read_list(struct reader *reader, const struct config_key *key)
{
    double values[CONFIG_LIST_MAX] = {0};
    int64_t count = 0;
    for (;;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        yaml_event_type_t type = event.type;
        status s = NULL;
        char where[1200];
        where_text(reader, event.start_mark, where);
        if (type == YAML_SCALAR_EVENT) {
            const char *text;
            s = scalar_text(reader, &event, &text);
            if (!s && count == CONFIG_LIST_MAX)
                s = ERROR(STATUS_INPUT, "%s: %s has more than %d values", where, key->name,
                          CONFIG_LIST_MAX);
            if (!s)
                s = number_parse(key, where, text,
                                 event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE,
                                 &values[count++]);
        } else if (type != YAML_SEQUENCE_END_EVENT)
            s = ERROR(STATUS_INPUT, "%s: %s must be a list of numbers", where, key->name);
        yaml_event_delete(&event);
        TRY(s);
        if (type == YAML_SEQUENCE_END_EVENT) break;
    }
    list_apply(reader->into, key, values, count);
    return NULL;
}

/* The value of a key whose first event was just read (and is deleted by the caller). */
static status read_value(struct reader *reader, const struct config_key *key,
                         const yaml_event_t *event)
{
    char where[1200];
    where_text(reader, event->start_mark, where);
    if (event->type == YAML_SCALAR_EVENT) {
        const char *text;
        TRY(scalar_text(reader, event, &text));
        TRY(scalar_apply(reader->into, key, where, text,
                         event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE));
    } else if (event->type == YAML_SEQUENCE_START_EVENT && key->type == KEY_LIST)
        TRY(read_list(reader, key));
    else
        FAIL(STATUS_INPUT, "%s: %s must be %s, not a %s", where, key->name,
             key->type == KEY_LIST ? "a list of numbers" : "one value",
             event->type == YAML_SEQUENCE_START_EVENT ? "list" : "map");
    mark_given(reader, key);
    return NULL;
}

static status read_map(struct reader *reader, const char *prefix);

static status read_entry(struct reader *reader, const char *name, yaml_mark_t mark)
{
    char where[1200];
    where_text(reader, mark, where);
    yaml_event_t event;
    TRY(next_event(reader, &event));
    status s = NULL;
    const struct config_key *key = keys_find(reader->table, name);
    if (key) {
        int index = (int)(key - reader->table->keys);
        if (reader->seen[index])
            s = ERROR(STATUS_INPUT, "%s: duplicate key %s (first on line %d)", where, name,
                      reader->seen_line[index]);
        reader->seen[index] = true;
        reader->seen_line[index] = (int)mark.line + 1;
        if (!s) s = read_value(reader, key, &event);
    } else if (!keys_section_exists(reader->table, name))
        s = unknown_key(reader->table, where, name);
    else if (event.type == YAML_MAPPING_START_EVENT) {
        for (int i = 0; i < reader->section_count && !s; i++)
            if (!strcmp(reader->sections[i], name))
                s = ERROR(STATUS_INPUT, "%s: duplicate key %s (first on line %d)", where, name,
                          reader->section_line[i]);
        if (!s) {
            assert(reader->section_count < SECTION_MAX);
            strcpy(reader->sections[reader->section_count], name);
            reader->section_line[reader->section_count++] = (int)mark.line + 1;
            s = read_map(reader, name);
        }
    } else
        s = ERROR(STATUS_INPUT, "%s: %s holds keys: it must be a map", where, name);
    yaml_event_delete(&event);
    return s;
}

/* Entries up to the map's end, whose start was read; names are put after prefix. */
static status read_map(struct reader *reader, const char *prefix)
{
    for (;;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return NULL;
        }
        char where[1200], name[NAME_MAX_BYTES];
        where_text(reader, event.start_mark, where);
        yaml_mark_t mark = event.start_mark;
        const char *text = NULL;
        status s = NULL;
        if (event.type != YAML_SCALAR_EVENT)
            s = ERROR(STATUS_INPUT, "%s: a key must be a name", where);
        else
            s = scalar_text(reader, &event, &text);
        if (!s && strlen(prefix) + strlen(text) + 2 > sizeof name)
            s = ERROR(STATUS_INPUT, "%s: unknown key %.60s...", where, text);
        if (!s) snprintf(name, sizeof name, "%s%s%s", prefix, *prefix ? "." : "", text);
        yaml_event_delete(&event);
        TRY(s);
        TRY(read_entry(reader, name, mark));
    }
}

/* Skips the events before a document's content; an empty text gives YAML_NO_EVENT. */
static status first_event(struct reader *reader, yaml_event_t *event)
{
    for (;;) {
        TRY(next_event(reader, event));
        if (event->type == YAML_STREAM_END_EVENT) {
            yaml_event_delete(event);
            event->type = YAML_NO_EVENT;
            return NULL;
        }
        if (event->type != YAML_STREAM_START_EVENT && event->type != YAML_DOCUMENT_START_EVENT)
            return NULL;
        yaml_event_delete(event);
    }
}

/* After the content nothing but the end may come. */
static status read_end(struct reader *reader)
{
    for (;;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        yaml_event_type_t type = event.type;
        char where[1200];
        where_text(reader, event.start_mark, where);
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT) return NULL;
        if (type != YAML_DOCUMENT_END_EVENT)
            FAIL(STATUS_INPUT, "%s: more than one YAML document", where);
    }
}

static status read_document(struct reader *reader)
{
    yaml_event_t event;
    TRY(first_event(reader, &event));
    if (event.type == YAML_NO_EVENT) return NULL;
    char where[1200];
    where_text(reader, event.start_mark, where);
    bool map = event.type == YAML_MAPPING_START_EVENT;
    bool empty = event.type == YAML_SCALAR_EVENT && !event.data.scalar.length;
    yaml_event_delete(&event);
    if (!map && !empty) FAIL(STATUS_INPUT, "%s: expected keys and values (\"key: value\")", where);
    if (map) TRY(read_map(reader, ""));
    return read_end(reader);
}

static struct reader *reader_open(const struct key_table *table, const char *file, const char *text,
                                  size_t size, const void *values)
{
    struct reader *reader = memory_allocate(sizeof *reader);
    assert(table->count <= CONFIG_KEY_MAX);
    reader->file = file;
    reader->table = table;
    reader->into = memory_allocate(table->size);
    memcpy(reader->into, values, table->size);
    if (!yaml_parser_initialize(&reader->parser)) memory_exhausted(sizeof reader->parser);
    yaml_parser_set_input_string(&reader->parser, (const unsigned char *)text, size);
    return reader;
}

/* On success the copy becomes what was read into. */
static status reader_close(struct reader *reader, status s, void *values)
{
    if (!s && reader->table->keys == config_keys) s = defaults_follow_task(reader->into);
    if (!s) memcpy(values, reader->into, reader->table->size);
    yaml_parser_delete(&reader->parser);
    free(reader->into);
    free(reader);
    return s;
}

/* name and line begin its errors. */
static status keys_read_text(const struct key_table *table, void *into, const char *name,
                             const char *text, size_t size)
{
    struct reader *reader = reader_open(table, name, text, size, into);
    reader->lines = true;
    return reader_close(reader, read_document(reader), into);
}

status keys_read(const struct key_table *table, void *into, const char *path)
{
    char *text;
    size_t size;
    TRY(file_read(path, &text, &size));
    status s = keys_read_text(table, into, path, text, size);
    free(text);
    return s;
}

status config_read_text(struct config *config, const char *name, const char *text, size_t size)
{
    return keys_read_text(&config_table, config, name, text, size);
}

status config_read(struct config *config, const char *path)
{
    return keys_read(&config_table, config, path);
}

static status read_assigned(struct reader *reader, const struct config_key *key)
{
    yaml_event_t event;
    TRY(first_event(reader, &event));
    if (event.type == YAML_NO_EVENT) { /* "key=" */
        TRY(scalar_apply(reader->into, key, reader->file, "", true));
        mark_given(reader, key);
        return NULL;
    }
    status s = read_value(reader, key, &event);
    yaml_event_delete(&event);
    TRY(s);
    return read_end(reader);
}

status config_set(struct config *config, const char *assignment)
{
    char name[NAME_MAX_BYTES], where[256];
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment)
        FAIL(STATUS_USAGE, "--set %s: expected key=value", assignment);
    snprintf(where, sizeof where, "--set %.200s", assignment);
    if ((size_t)(equals - assignment) >= sizeof name) FAIL(STATUS_INPUT, "%s: unknown key", where);
    memcpy(name, assignment, (size_t)(equals - assignment));
    name[equals - assignment] = 0;
    const struct config_key *key = config_key_find(name);
    if (!key) return unknown_key(&config_table, where, name);
    struct reader *reader =
        reader_open(&config_table, where, equals + 1, strlen(equals + 1), config);
    return reader_close(reader, read_assigned(reader, key), config);
}

void keys_defaults(const struct key_table *table, void *into)
{
    memset(into, 0, table->size);
    for (int i = 0; i < table->count; i++) {
        const struct config_key *key = &table->keys[i];
        struct reader *reader =
            reader_open(table, "default", key->default_text, strlen(key->default_text), into);
        status s = reader_close(reader, read_assigned(reader, key), into);
        assert(!s); /* a default of our own table that cannot be read */
        status_free(s);
    }
}

void config_defaults(struct config *config)
{
    keys_defaults(&config_table, config);
    memset(config->given, 0, sizeof config->given);
}
