/* A chat template, rendered and recognised. */
#include "src/text/template.h"
#include "src/base/memory.h"
#include "src/text/chat_recognise.h"
#include "tests/fuzz/fuzz.h"

static const char context_text[] =
    "{\"a\":1,\"b\":\" x \",\"none\":null,\"list\":[1,2,3],\"bos_token\":\"<s>\",\"messages\":["
    "{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Yo\"}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *context;
    if (!context)
        fuzz_ended(json_parse(context_text, sizeof context_text - 1, "context", &context));
    char *source = memory_allocate(size + 1), *out, *system;
    memcpy(source, data, size);
    source[size] = 0;
    status s = template_render(source, context, &out);
    if (!s) free(out);
    fuzz_ended(s);
    struct chat_template template = {.source = source, .begin_token = "<s>", .end_token = "</s>"};
    const struct chat_format *format;
    strcpy(template.path, "chat_template.jinja");
    s = chat_recognise(&template, &format, &system);
    if (!s) free(system);
    fuzz_ended(s);
    free(source);
    return 0;
}
