/* What history.summary keeps of turns that were cut off a history; see history_state.h. */
#include "src/base/cut_turns.h"
#include "src/base/memory.h"
#include "src/text/history.h"
#include "src/text/history_state.h"

#include <stdlib.h>
#include <string.h>

void history_cut(struct history_writer *writer, const struct history_message *message, int32_t id)
{
    if (writer->cut_count == writer->cut_capacity) {
        writer->cut_capacity = 2 * writer->cut_capacity + 64;
        const size_t bytes = (size_t)writer->cut_capacity * sizeof *writer->cut;
        writer->cut = memory_resize(writer->cut, bytes);
        writer->cut_turn = memory_resize(writer->cut_turn, bytes);
    }
    writer->cut_turn[writer->cut_count] = message->turn;
    writer->cut[writer->cut_count++] = id;
}

/* The first token that is kept: of the newest turns. */
static int64_t first_kept(const struct history_writer *writer,
                          const struct history_options *options)
{
    int64_t first = writer->cut_count, turns = 0;
    while (first > 0 && writer->cut_count - first < options->max_tokens) {
        const bool opens =
            first == writer->cut_count || writer->cut_turn[first - 1] != writer->cut_turn[first];
        if (opens && turns++ == options->slots) break;
        first--;
    }
    return first;
}

/* Room for `slots` tokens before all others: end tokens of the turns in turn[slots]. */
static void slots_insert(struct history_writer *writer, const struct history_options *options,
                         const int32_t *turn, int64_t slots)
{
    struct encoded_history *out = writer->out;
    const int64_t count = out->count;
    const struct history_message none = {.role = ROLE_USER};
    writer->source = -1;
    for (int64_t i = 0; i < slots; i++)
        history_write(writer, &none, tokenizer_end(options->tokenizer), true, false, false);
    const size_t n = (size_t)count, s = (size_t)slots;
    void *const arrays[] = {out->ids,     out->turn,    out->source, out->role,
                            out->special, out->salient, out->prompt, out->speaker};
    const size_t sizes[] = {
        sizeof *out->ids, sizeof *out->turn, sizeof *out->source, 1, 1, 1, 1, 1};
    for (size_t a = 0; a < sizeof sizes / sizeof *sizes; a++) {
        char *bytes = arrays[a], *own = memory_allocate(s * sizes[a]);
        memcpy(own, bytes + n * sizes[a], s * sizes[a]);
        memmove(bytes + s * sizes[a], bytes, n * sizes[a]);
        memcpy(bytes, own, s * sizes[a]);
        free(own);
    }
    memcpy(out->turn, turn, s * sizeof *turn);
    out->slots = slots;
}

void history_summarize(struct history_writer *writer, const struct history_options *options)
{
    struct encoded_history *out = writer->out;
    const int64_t first = first_kept(writer, options), tokens = writer->cut_count - first;
    int32_t *turn = memory_allocate((size_t)options->slots * sizeof *turn + 4);
    int64_t turns = 0;
    if (tokens) {
        out->cuts = memory_allocate((size_t)(CUT_TURNS_HEADER + options->slots + tokens) *
                                    sizeof *out->cuts);
        int32_t *length = out->cuts + CUT_TURNS_HEADER;
        for (int64_t i = first; i < writer->cut_count; i++) {
            if (i == first || writer->cut_turn[i] != writer->cut_turn[i - 1])
                turn[turns++] = writer->cut_turn[i];
            length[turns - 1]++;
        }
        out->cuts[0] = CUT_TURNS;
        const int64_t slots = options->all_slots ? options->slots : turns;
        for (int64_t i = turns; i < slots; i++) turn[i] = turn[turns - 1];
        out->cuts[1] = (int32_t)slots;
        out->cuts[2] = (int32_t)turns;
        memcpy(length + turns, writer->cut + first, (size_t)tokens * sizeof *length);
        out->cut_count = CUT_TURNS_HEADER + turns + tokens;
        slots_insert(writer, options, turn, slots);
    }
    free(turn);
    free(writer->cut);
    free(writer->cut_turn);
}
