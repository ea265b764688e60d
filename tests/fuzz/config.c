/* Settings: YAML, what it may say together, and what is printed comes back as it was. */
#include "src/base/config.h"
#include "tests/fuzz/fuzz.h"

static char *printed(const struct config *config, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    if (!out) abort();
    fuzz_ended(config_print(config, out));
    fclose(out);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config defaults, config, again;
    if (!defaults.threads) { /* they are read as YAML, key by key: once is enough */
        config_defaults(&defaults);
        if (!defaults.threads) abort();
    }
    config = defaults;
    status s = config_read_text(&config, "input", (const char *)data, size);
    if (s) {
        fuzz_ended(s);
        return 0;
    }
    for (int scope = CONFIG_INFERENCE; scope <= CONFIG_RESUME; scope++)
        fuzz_ended(config_check(&config, scope));
    if (size % 8 == 0) fuzz_ended(config_check_unused(&config)); /* slow, for the same reason */
    size_t first, second;
    char *one = printed(&config, &first);
    again = defaults;
    s = config_read_text(&again, "printed", one, first);
    if (s) {
        fprintf(stderr, "%s\n%s", status_message(s), one);
        abort();
    }
    char *two = printed(&again, &second);
    if (first != second || memcmp(one, two, first) != 0) abort();
    free(one);
    free(two);
    return 0;
}
