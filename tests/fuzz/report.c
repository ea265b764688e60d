/* A run's folder as `regard report` reads it: metrics.jsonl and, behind "====" each, config.yaml,
 * about.txt and a file of samples; and the page that is written of it. */
#include "src/page/page.h"
#include "src/page/run_read.h"
#include "tests/fuzz/fuzz.h"

#include <sys/stat.h>

static void folder_make(void)
{
    static bool made;
    char path[256];
    if (made) return;
    made = true;
    snprintf(path, sizeof path, "%s/samples", fuzz_folder());
    if (mkdir(path, 0777)) abort();
}

/* No text of a run ends the JSON that the page holds, or opens a tag of its own. */
static void page_check(const char *page, size_t size)
{
    size_t scripts = 0;
    for (const char *at = page; (at = memmem(at, size - (size_t)(at - page), "<script", 7)); at++)
        scripts++;
    static size_t expected;
    if (!expected) expected = scripts;
    if (scripts != expected) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"metrics.jsonl", "config.yaml", "about.txt",
                                        "samples/step-000001.jsonl"};
    struct run_record *run;
    folder_make();
    for (int i = 0; i < 4; i++) {
        const uint8_t *rest;
        size_t rest_size;
        fuzz_put(names[i], data, fuzz_part(data, size, &rest, &rest_size));
        data = rest;
        size = rest_size;
    }
    status s = run_record_read(fuzz_folder(), 64, &run);
    if (!s) {
        char *page = NULL;
        size_t length = 0;
        run_records_name(&run, 1);
        FILE *out = open_memstream(&page, &length);
        s = page_write(out, &run, 1, 0);
        fclose(out);
        if (!s) page_check(page, length);
        free(page);
        run_record_free(run);
    }
    fuzz_ended(s);
    return 0;
}
