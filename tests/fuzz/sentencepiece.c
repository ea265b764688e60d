/* A SentencePiece model, by the library and by what is read of it here. */
#include "src/text/tokenizer.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "The museum \xc3\xa9 is open.\n";
    struct tokenizer *tokenizer;
    status s = tokenizer_open_spm(fuzz_file(data, size), &tokenizer);
    if (!s) {
        struct token_list list = {0};
        char *back;
        fuzz_ended(tokenizer_encode(tokenizer, text, sizeof text - 1, &list));
        status decoded = tokenizer_decode(tokenizer, list.ids, list.count, true, &back);
        if (!decoded) free(back);
        fuzz_ended(decoded);
        token_list_free(&list);
        tokenizer_close(tokenizer);
    }
    fuzz_ended(s);
    return 0;
}
