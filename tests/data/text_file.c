#include "tests/data/text_file.h"

#include "src/base/memory.h"
#include "src/data/dialogue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void text_file(const char *text, char path[TEXT_FILE_PATH])
{
    snprintf(path, TEXT_FILE_PATH, "/tmp/regard-data-XXXXXX");
    const int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    close(file);
}

void dataset_file(const struct dataset *dataset, char path[TEXT_FILE_PATH])
{
    char *text;
    size_t size;
    FILE *lines = memory_stream(&text, &size);
    for (int64_t i = 0; i < dataset->count; i++) fprintf(lines, "%s\n", dataset->dialogues[i].json);
    memory_stream_close(lines);
    text_file(text, path);
    free(text);
}
