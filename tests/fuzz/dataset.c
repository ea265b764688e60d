/* Files of dialogues, of preferences and of labelled replies. */
#include "src/data/labelled.h"
#include "src/data/preferences.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    struct dataset *dataset;
    struct preferences *preferences;
    struct labelled *labelled;
    status s = dataset_read(path, DATASET_TRAIN, &dataset);
    if (!s) {
        if (dataset_has_speakers(dataset)) fuzz_ended(dataset_permute_names(dataset, 1));
        for (int64_t i = 0; i < dataset->count; i++) {
            char *field;
            fuzz_ended(dialogue_field(&dataset->dialogues[i], "id", &field));
            free(field);
        }
        dataset_free(dataset);
    }
    fuzz_ended(s);
    s = preferences_read(path, &preferences);
    if (!s) preferences_free(preferences);
    fuzz_ended(s);
    s = labelled_read(path, "label", &labelled);
    if (!s) labelled_free(labelled);
    fuzz_ended(s);
    return 0;
}
