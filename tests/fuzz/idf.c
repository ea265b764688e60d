/* The table of how rare words are: what is read is written and read again. */
#include "src/text/idf.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct idf_table *table;
    fuzz_put(IDF_FILE, data, size);
    status s = idf_load(fuzz_folder(), &table);
    if (!s && table) {
        idf_quantile(table, 0.5);
        idf_value(table, "museum");
        fuzz_ended(idf_save(table, fuzz_folder()));
        idf_free(table);
        if (idf_load(fuzz_folder(), &table)) abort();
        idf_free(table);
    }
    fuzz_ended(s);
    return 0;
}
