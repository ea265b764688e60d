#include "src/data/lines.h"

#include "src/base/data_name.h"
#include "src/base/file.h"
#include "src/base/heartbeat.h"
#include "src/base/memory.h"
#include "src/data/generators.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

status lines_of_text(const char *path, const char *text, size_t size, line_function *take,
                     void *context)
{
    int64_t number = 0;
    for (size_t start = text_bom(text, size), end; start < size; start = end + 1) {
        const char *newline = memchr(text + start, '\n', size - start);
        size_t blank = start;
        end = newline ? (size_t)(newline - text) : size;
        number++;
        heartbeat_note();
        while (blank < end && strchr(" \t\r", text[blank]) && text[blank]) blank++;
        if (blank == end) continue;
        char where[1100];
        snprintf(where, sizeof where, "%s:%" PRId64, path, number);
        TRY(take(context, text + start, end - start, where, number));
    }
    return NULL;
}

status text_check_packed(const char *path, const char *text, size_t size)
{
    static const struct {
        const char *begins;
        size_t size;
        const char *what, *advice;
    } forms[] = {{"\x1f\x8b", 2, "compressed by gzip", "gunzip it first"},
                 {"\x28\xb5\x2f\xfd", 4, "compressed by zstd", "unzstd it first"},
                 {"\xfd"
                  "7zXZ",
                  5, "compressed by xz", "unxz it first"},
                 {"BZh", 3, "compressed by bzip2", "bunzip2 it first"},
                 {"PK\x03\x04", 4, "a zip archive", "unzip it first"},
                 {"PAR1", 4, "Parquet", "write it as JSON Lines first"}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (size >= forms[i].size && !memcmp(text, forms[i].begins, forms[i].size))
            FAIL(STATUS_INPUT, "%s is %s, not lines of JSON; %s", path, forms[i].what,
                 forms[i].advice);
    return NULL;
}

static status text_check(const char *path, const char *text, size_t size)
{
    TRY(text_check_packed(path, text, size));
    size_t first = text_bom(text, size);
    first += strspn(text + first, " \t\r\n");
    if (text[first] == '[')
        FAIL(STATUS_INPUT,
             "%s: a JSON list, not JSON Lines; regard import-data --data FILE --out NEW makes it "
             "lines",
             path);
    if (first == size) FAIL(STATUS_INPUT, "%s: no line with data in it", path);
    return NULL;
}

static status generated_lines(const char *path, line_function *take, void *context)
{
    struct generated set;
    TRY(generated_parse(path, &set));
    for (int64_t i = 0; i < set.count; i++) {
        char *line;
        size_t size;
        FILE *out = memory_stream(&line, &size);
        status s = set.generator->write(set.seed, set.first + i, set.level, out);
        memory_stream_close(out);
        if (!s) s = take(context, line, size, path, i + 1);
        free(line);
        TRY(s);
    }
    return NULL;
}

status lines_read(const char *path, line_function *take, void *context)
{
    char *text;
    size_t size;
    if (data_is_generated(path)) return generated_lines(path, take, context);
    TRY(data_name_check(path));
    TRY(file_read(path, &text, &size));
    status s = text_check(file_read_name(path), text, size);
    if (!s) s = lines_of_text(file_read_name(path), text, size, take, context);
    free(text);
    return s;
}
