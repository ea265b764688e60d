/* A line of dialogue in each of its uses, and what asks it for fields. */
#include "src/data/jsonl.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int need = DATASET_TRAIN; need <= DATASET_UPDATE; need++) {
        struct dialogue dialogue = {0};
        status s = dialogue_parse((const char *)data, size, "input:1", need, &dialogue);
        if (!s) {
            const int64_t start = dialogue_start(&dialogue);
            if (start < 0 || start > dialogue.message_count) abort();
            FILE *out = fopen("/dev/null", "w");
            dialogue_write(out, &dialogue);
            fclose(out);
            dialogue_clear(&dialogue);
        }
        fuzz_ended(s);
    }
    return 0;
}
