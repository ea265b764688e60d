/* See asked_block.h. */
#include "src/probe/asked_block.h"

#include "src/base/memory.h"

#include <stdlib.h>

static int64_t block_end(const struct asked *asked, int64_t begin, int64_t batch)
{
    int64_t end = begin + 1;
    while (end < asked->count && asked->first[end + 1] - asked->first[begin] <= batch) end++;
    return end;
}

/* A row a reply: which history it answers and the how manyth it is. */
static void block_rows(const struct asked *asked, struct asked_block *b)
{
    const size_t n = (size_t)b->rows;
    b->row = memory_allocate(n * sizeof *b->row);
    b->replies = memory_allocate(n * sizeof *b->replies);
    b->judged = memory_allocate(n * sizeof *b->judged);
    b->texts = memory_allocate(n * sizeof *b->texts);
    for (int64_t h = b->begin, r = 0; h < b->end; h++)
        for (int64_t k = 0; k < asked->first[h + 1] - asked->first[h]; k++, r++) {
            const struct prompt *prompt = &asked->prompts[h];
            const struct dialogue *line = asked->line[h];
            const int64_t message = asked->message[h];
            b->row[r] = (struct reply_row){
                (int32_t)(h - b->begin),
                {(uint32_t)asked->dialogue[h], (uint32_t)prompt->turn, (uint32_t)k},
                0};
            b->judged[r] =
                (struct judged){.key = {line->line, prompt->turn, (int32_t)k, 0},
                                .line = line,
                                .message = message,
                                .messages = line->messages,
                                .message_count = message < 0 ? line->message_count : message,
                                .prompt = prompt,
                                .reply = &b->replies[r]};
        }
}

status asked_block_make(struct generator *generator, const struct rollout_settings *sampling,
                        const struct language *language, const struct asked *asked, int64_t begin,
                        struct asked_block *out)
{
    const struct prompt *prompts = asked->prompts + begin;
    const int64_t first = asked->first[begin], end = block_end(asked, begin, sampling->batch);
    *out = (struct asked_block){.begin = begin, .end = end, .rows = asked->first[end] - first};
    block_rows(asked, out);
    TRY(asked->given ? score_replies(generator, sampling, prompts, out->row, out->rows,
                                     asked->given + first, out->replies)
                     : generate_replies(generator, sampling, RANDOM_SAMPLING, prompts, out->row,
                                        out->rows, out->replies));
    for (int64_t r = 0; r < out->rows; r++) {
        const struct reply *reply = &out->replies[r];
        if (asked->labelled)
            out->texts[r] = memory_text(asked->labelled[first + r]->text);
        else
            TRY(tokenizer_decode(language->tokenizer, reply->tokens, reply->count, true,
                                 &out->texts[r]));
    }
    return NULL;
}

void asked_block_free(struct asked_block *block)
{
    for (int64_t r = 0; r < block->rows; r++) {
        reply_free(&block->replies[r]);
        free(block->texts[r]);
    }
    free(block->row);
    free(block->replies);
    free(block->judged);
    free(block->texts);
}
