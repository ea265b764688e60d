/* safetensors: what is written comes back; every malformed file is refused with its reason and
 * the tensor's name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/base/file.h"
#include "src/model/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/regard-safetensors-XXXXXX";

static const char *test_path(char path[256])
{
    snprintf(path, 256, "%s/file.safetensors", folder);
    return path;
}

/* header_size < 0: the header's own length. */
static void write_raw(const char *header, size_t length, int64_t header_size, const void *data,
                      size_t data_size)
{
    char path[256], *bytes = calloc(1, 8 + length + data_size + 1);
    uint64_t size = header_size < 0 ? length : (uint64_t)header_size;
    memcpy(bytes, &size, 8);
    memcpy(bytes + 8, header, length);
    if (data_size) memcpy(bytes + 8 + length, data, data_size);
    assert_null(file_write(test_path(path), bytes, 8 + length + data_size));
    free(bytes);
}

static void expect_refused(const char *what, const char *first, const char *second)
{
    char path[256];
    struct safetensors *file = NULL;
    status s = safetensors_open(test_path(path), &file);
    if (!s) fail_msg("%s: accepted", what);
    const char *message = status_message(s);
    if (status_code(s) != STATUS_INPUT || !strstr(message, "file.safetensors") ||
        !strstr(message, first) || !strstr(message, second))
        fail_msg("%s: code %d, message: %s (wanted \"%s\" and \"%s\")", what, status_code(s),
                 message, first, second);
    status_free(s);
}

/* Tensors of F32; `data` is how many bytes follow the header. */
static const struct {
    const char *what, *header;
    size_t data;
    const char *reason, *tensor;
} malformed[] = {
    {"not an object", "[1, 2]", 0, "not a JSON object", ""},
    {"leading space", " {}", 0, "not a JSON object", ""},
    {"cut JSON", "{\"a\":{\"dtype\":\"F32\"", 0, "bad JSON", ""},
    {"text after the object", "{} {}", 0, "bad JSON", ""},
    {"bad UTF-8", "{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "decode byte", ""},
    {"duplicate name",
     "{\"twice\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"twice\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "duplicate", "twice"},
    {"duplicate key in an entry",
     "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "duplicate", "dtype"},
    {"gap",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"two\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
     12, "gap", "two"},
    {"gap before the first", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     8, "gap", "one"},
    {"overlap",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"two\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
     12, "overlaps", "two"},
    {"the same bytes twice",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"two\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     4, "overlaps", "two"},
    {"trailing bytes", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5,
     "follow the last", "one"},
    {"bytes without tensors", "{}", 1, "follow the last", ""},
    {"past the end", "{\"one\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4,
     "ends at", "one"},
    {"shape and offsets differ",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "takes 12 bytes",
     "one"},
    {"dtype and offsets differ",
     "{\"one\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "takes 4 bytes",
     "one"},
    {"shape overflow",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
     "overflows", "one"},
    {"byte overflow",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
     "overflows", "one"},
    {"a number beyond 64 bits",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}", 0,
     "is not a count", "one"},
    {"negative dimension", "{\"one\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
     "dimension 0", "one"},
    {"fractional dimension", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}",
     4, "dimension 0", "one"},
    {"nine dimensions",
     "{\"one\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
     "dimensions", "one"},
    {"unknown dtype", "{\"one\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "unknown dtype F31", "one"},
    {"dtype of a wrong type", "{\"one\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "dtype", "one"},
    {"no dtype", "{\"one\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype", "one"},
    {"shape of a wrong type", "{\"one\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4,
     "shape", "one"},
    {"no offsets", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets", "one"},
    {"three offsets", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4,
     "data_offsets", "one"},
    {"offsets as text", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[\"0\",4]}}", 4,
     "data_offsets", "one"},
    {"offsets reversed", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4,
     "data_offsets", "one"},
    {"negative offset", "{\"one\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4,
     "data_offsets", "one"},
    {"entry is a list", "{\"one\":[1]}", 0, "not an object", "one"},
    {"metadata is a list", "{\"__metadata__\":[]}", 0, "not an object", "__metadata__"},
    {"metadata holds a number", "{\"__metadata__\":{\"k\":1}}", 0, "not a string", "k"},
};

static void test_malformed_files_are_refused_with_their_reason(void **state)
{
    (void)state;
    static const char data[64];
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        write_raw(malformed[i].header, strlen(malformed[i].header), -1, data, malformed[i].data);
        expect_refused(malformed[i].what, malformed[i].reason, malformed[i].tensor);
    }
}

static void test_bad_header_lengths_are_refused(void **state)
{
    (void)state;
    char path[256];
    write_raw("{}", 2, 3, NULL, 0);
    expect_refused("past the end", "past the file's end", "3");
    write_raw("{}", 2, 100000001, NULL, 0);
    expect_refused("over 100 MB", "100000001", "at most");
    write_raw("{}", 2, INT64_MAX, NULL, 0);
    expect_refused("a huge header", "at most", "");
    write_raw("", 0, 0, NULL, 0);
    expect_refused("an empty header", "not a JSON object", "");
    assert_null(file_write(test_path(path), "1234567", 7));
    expect_refused("seven bytes", "too few", "7");
    assert_null(file_write(test_path(path), "", 0));
    expect_refused("an empty file", "too few", "0");
}

static void test_what_is_written_comes_back(void **state)
{
    (void)state;
    char path[256];
    const float a[6] = {1, -2.5f, 1e-30f, 4, 5, 6}, b[1] = {7};
    const struct tensor_source tensors[] = {{"z.first", a, 2, {2, 3}}, {"a.second", b, 0, {0}}};
    assert_null(safetensors_write(test_path(path), tensors, 2));
    struct safetensors *file;
    assert_null(safetensors_open(path, &file));
    assert_int_equal(safetensors_count(file), 2);
    const struct tensor *first = safetensors_find(file, "z.first");
    assert_non_null(first);
    assert_int_equal(first->rank, 2);
    assert_int_equal(first->shape[1], 3);
    float values[6];
    assert_null(tensor_floats(first, values));
    assert_memory_equal(values, a, sizeof a);
    assert_int_equal(safetensors_find(file, "a.second")->rank, 0);
    assert_int_equal(safetensors_find(file, "a.second")->count, 1);
    assert_null(safetensors_find(file, "absent"));
    int64_t integers[6];
    status s = tensor_integers(first, integers);
    assert_non_null(s);
    assert_non_null(strstr(status_message(s), "z.first"));
    status_free(s);
    safetensors_close(file);
}

static void test_every_type_converts_exactly(void **state)
{
    (void)state;
    /* half: 1, -2, largest subnormal, infinity; bf16: 1, -2; F64; I64, I32; empty */
    const uint16_t half[] = {0x3c00, 0xc000, 0x03ff, 0x7c00}, bf16[] = {0x3f80, 0xc000};
    const double wide = 0.5;
    const int64_t i64 = -5000000000;
    const int32_t i32 = -7;
    char data[8 + 4 + 8 + 8 + 4];
    memcpy(data, half, 8);
    memcpy(data + 8, bf16, 4);
    memcpy(data + 12, &wide, 8);
    memcpy(data + 20, &i64, 8);
    memcpy(data + 28, &i32, 4);
    const char *header = "{\"__metadata__\":{\"format\":\"pt\"},"
                         "\"half\":{\"dtype\":\"F16\",\"shape\":[4],\"data_offsets\":[0,8]},"
                         "\"bf16\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[8,12]},"
                         "\"wide\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[12,20]},"
                         "\"i64\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[20,28]},"
                         "\"i32\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[28,32]},"
                         "\"none\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[32,32]}}  ";
    write_raw(header, strlen(header), -1, data, sizeof data);
    char path[256];
    struct safetensors *file;
    status s = safetensors_open(test_path(path), &file);
    if (s) fail_msg("%s", status_message(s));
    float values[4];
    int64_t integer;
    assert_null(tensor_floats(safetensors_find(file, "half"), values));
    assert_true(values[0] == 1 && values[1] == -2 && values[2] == 1023 * 0x1p-24f &&
                isinf(values[3]));
    assert_null(tensor_floats(safetensors_find(file, "bf16"), values));
    assert_true(values[0] == 1 && values[1] == -2);
    assert_null(tensor_floats(safetensors_find(file, "wide"), values));
    assert_true(values[0] == 0.5f);
    assert_null(tensor_integers(safetensors_find(file, "i64"), &integer));
    assert_int_equal(integer, i64);
    assert_null(tensor_integers(safetensors_find(file, "i32"), &integer));
    assert_int_equal(integer, i32);
    assert_int_equal(safetensors_find(file, "none")->count, 0);
    safetensors_close(file);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    status s = directory_remove(folder);
    status_free(s);
    return s ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_files_are_refused_with_their_reason),
        cmocka_unit_test(test_bad_header_lengths_are_refused),
        cmocka_unit_test(test_what_is_written_comes_back),
        cmocka_unit_test(test_every_type_converts_exactly),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
