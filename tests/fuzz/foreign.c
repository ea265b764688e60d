/* Other programs' dialogues and preferences: what import-data writes of them, regard reads. */
#include "src/data/foreign.h"
#include "src/data/dialogue.h"
#include "src/data/preferences.h"
#include "tests/fuzz/fuzz.h"

static void written_is_read(const char *text, size_t size)
{
    struct dataset *dataset;
    struct preferences *preferences;
    const char *path = fuzz_file(text, size);
    status s = dataset_read(path, DATASET_TRAIN, &dataset);
    if (!s) {
        dataset_free(dataset);
        return;
    }
    status other = preferences_read(path, &preferences);
    if (!other) {
        preferences_free(preferences);
        status_free(s);
        return;
    }
    fprintf(stderr, "%s\n%s\n%.*s", status_message(s), status_message(other), (int)size, text);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int keep = 0; keep < 2; keep++) {
        struct import_counts counts;
        char *text = NULL;
        size_t length = 0;
        FILE *out = open_memstream(&text, &length);
        status s = dialogues_import(fuzz_file(data, size), keep, out, &counts);
        fclose(out);
        if (!s && counts.written) written_is_read(text, length);
        free(text);
        fuzz_ended(s);
    }
    return 0;
}
