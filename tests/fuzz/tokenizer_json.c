/* tokenizer.json of a byte-level BPE; behind "====" a text, which comes back from its ids. */
#include "src/base/json.h"
#include "src/text/bpe.h"
#include "tests/fuzz/fuzz.h"

static void use(const struct bpe *bpe, const char *text, size_t size)
{
    for (int plain = 0; plain < 2; plain++) {
        struct token_list list = {0};
        struct text_buffer out = {0};
        fuzz_ended(bpe_encode(bpe, text, size, plain, &list));
        for (int64_t i = 0; i < list.count; i++) {
            size_t length;
            bpe_bytes(bpe, list.ids[i], &length);
            if (list.ids[i] < 0 || list.ids[i] >= bpe_size(bpe)) abort();
            if (list.begin[i] < 0 || list.begin[i] > list.end[i] || list.end[i] > (int32_t)size)
                abort();
        }
        bpe_decode(bpe, list.ids, list.count, plain, &out);
        token_list_free(&list);
        free(out.data);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *text;
    size_t text_size;
    struct bpe *bpe;
    json_t *root;
    const size_t first = fuzz_part(data, size, &text, &text_size);
    status s = json_parse_file((const char *)data, first, "tokenizer.json", 0, &root);
    if (s) {
        fuzz_ended(s);
        return 0;
    }
    s = bpe_read(root, "tokenizer.json", NULL, -1, &bpe);
    json_decref(root);
    if (!s) {
        use(bpe, (const char *)text, text_size);
        bpe_free(bpe);
    }
    fuzz_ended(s);
    return 0;
}
