/* A fit of probe's: what is read is written as it was. */
#include "src/fit/fit_file.h"
#include "tests/fuzz/fuzz.h"

static char *written(const struct fit *fit, const struct fit_about *about, size_t *size)
{
    char *text = NULL;
    json_t *none = json_object();
    FILE *out = open_memstream(&text, size);
    fit_write(out, fit, about, none);
    fclose(out);
    json_decref(none);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fit fit, again;
    struct fit_about about, about_again;
    status s = fit_read(fuzz_file(data, size), &fit, &about);
    if (!s) {
        size_t first, second;
        char *one = written(&fit, &about, &first);
        if (fit_read(fuzz_file(one, first), &again, &about_again)) abort();
        char *two = written(&again, &about_again, &second);
        if (first != second || memcmp(one, two, first) != 0) abort();
        free(one);
        free(two);
        fit_free(&fit);
        fit_free(&again);
    }
    fuzz_ended(s);
    return 0;
}
