/* A tokenizer's folder: tokenizer_config.json and, behind "====", special_tokens_map.json and then
 * tokenizer.json. */
#include "src/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *map, *json;
    size_t map_size, json_size;
    struct tokenizer *tokenizer;
    fuzz_put("tokenizer_config.json", data, fuzz_part(data, size, &map, &map_size));
    const size_t map_only = fuzz_part(map, map_size, &json, &json_size);
    fuzz_put("special_tokens_map.json", map, map_only);
    fuzz_put("tokenizer.json", json, json_size);
    status s = tokenizer_open(fuzz_folder(), &tokenizer);
    if (!s && tokenizer) {
        struct token_list list = {0};
        char *text;
        fuzz_ended(tokenizer_encode(tokenizer, "a <b> c", 7, &list));
        if (!tokenizer_decode(tokenizer, list.ids, list.count, true, &text)) free(text);
        token_list_free(&list);
        tokenizer_close(tokenizer);
    }
    fuzz_ended(s);
    return 0;
}
