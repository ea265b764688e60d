/* metrics.jsonl of a run that is gone on with. */
#include "src/report/metrics.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct metrics *metrics;
    bool found;
    double value;
    fuzz_put("metrics.jsonl", data, size);
    fuzz_ended(metrics_find(fuzz_folder(), 3, "reward", &found, &value));
    status s = metrics_open(&metrics, fuzz_folder(), 3);
    if (!s) s = metrics_close(metrics);
    fuzz_ended(s);
    return 0;
}
