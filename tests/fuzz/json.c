/* JSON as everything here reads it, and as it is written by hand. */
#include "src/base/json.h"
#include "tests/fuzz/fuzz.h"

static void write_back(const json_t *text)
{
    char *out = NULL;
    size_t size = 0;
    json_t *again;
    FILE *stream = open_memstream(&out, &size);
    fprintf(stream, "[");
    json_write_text(stream, json_string_value(text));
    fprintf(stream, "]");
    fclose(stream);
    if (json_parse(out, size, "written", &again)) abort();
    if (!json_equal(json_array_get(again, 0), text)) abort();
    json_decref(again);
    free(out);
}

static void number_back(double value)
{
    char text[40];
    json_double_text(text, value);
    if (strtod(text, NULL) != value) abort();
    const float rounded = (float)value;
    json_float_text(text, rounded);
    if (rounded - rounded == 0 && strtof(text, NULL) != rounded) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root;
    int64_t integer;
    double number;
    const char *text;
    fuzz_ended(json_parse_file((const char *)data, size, "input", 0, &root));
    if (root) json_decref(root);
    status s = json_parse((const char *)data, size, "input:1", &root);
    if (!s) {
        fuzz_ended(json_get_integer(root, "input:1", "integer", &integer));
        status other = json_get_number(root, "input:1", "number", &number);
        if (!other && number - number == 0) number_back(number);
        fuzz_ended(other);
        other = json_get_text(root, "input:1", "text", &text);
        if (!other) write_back(json_object_get(root, "text"));
        fuzz_ended(other);
        json_decref(root);
    }
    fuzz_ended(s);
    return 0;
}
