/* A file of tensors: header, and every value in it. */
#include "src/model/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct safetensors *file;
    status s = safetensors_open(fuzz_file(data, size), &file);
    for (int64_t i = 0; !s && i < safetensors_count(file); i++) {
        const struct tensor *tensor = safetensors_at(file, i);
        if (safetensors_find(file, tensor->name) != tensor) abort();
        /* Of 1, 2, 4 or 8 bytes an element, all in the file. */
        if (tensor->count < 0 || (size_t)tensor->count > size) abort();
        float *floats = malloc((size_t)tensor->count * sizeof *floats + 1);
        int64_t *integers = malloc((size_t)tensor->count * sizeof *integers + 1);
        fuzz_ended(tensor_floats(tensor, floats));
        fuzz_ended(tensor_integers(tensor, integers));
        free(floats);
        free(integers);
    }
    if (!s) safetensors_close(file);
    fuzz_ended(s);
    return 0;
}
