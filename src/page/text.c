/* See text.h. */
#include "src/page/text.h"

#include "src/base/json.h"
#include "src/text/unicode.h"

#include <stdlib.h>
#include <string.h>

void page_text(FILE *out, const char *text)
{
    struct text_buffer valid = {0};
    utf8_append_repaired(&valid, text, strlen(text));
    json_write_text(out, valid.data ? valid.data : "");
    free(valid.data);
}
