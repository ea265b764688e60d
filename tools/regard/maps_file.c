/* Attention maps as datasets; see maps_file.h. */
#include "tools/regard/maps_file.h"

#include "src/base/log.h"
#include "src/base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of one reply's maps, of all layers, in the memory of the pass. */
enum { PASS_MEGABYTES_MAX = 2048 };

status maps_file_begin(struct maps_file *file, const char *path)
{
    *file = (struct maps_file){.records = 0};
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(file->temporary, sizeof file->temporary, "%s.tmp", path);
    return store_create(file->temporary, &file->store);
}

static status tokens_write(struct store *store, const char *name, const int32_t *tokens,
                           int64_t count)
{
    int64_t *wide = memory_allocate((size_t)count * sizeof *wide + 8);
    for (int64_t i = 0; i < count; i++) wide[i] = tokens[i];
    status s = store_write(store, name, STORE_INTEGERS, wide, 1, &count);
    free(wide);
    return s;
}

static status maps_write(struct maps_file *file, const struct attention_maps *maps,
                         const struct prompt *prompt, const struct given_reply *given)
{
    char map[32], history[32], reply[32];
    const int64_t shape[] = {maps->layers, maps->heads, maps->rows, maps->keys};
    const long long number = (long long)file->records;
    snprintf(map, sizeof map, "map_%06lld", number);
    snprintf(history, sizeof history, "history_%06lld", number);
    snprintf(reply, sizeof reply, "reply_%06lld", number);
    TRY(store_write(file->store, map, STORE_FLOATS, maps->weight, 4, shape));
    TRY(store_write_mark(file->store, map, "first_layer", maps->first_layer));
    TRY(tokens_write(file->store, history, prompt->tokens, prompt->count));
    TRY(tokens_write(file->store, reply, given->tokens, given->count));
    file->maps++;
    file->bytes += maps->layers * maps->heads * maps->rows * maps->keys * (int64_t)sizeof(float);
    return NULL;
}

status maps_file_add(struct maps_file *file, struct generator *generator,
                     const struct rollout_settings *settings, const struct prompt *prompts,
                     const struct reply_row *row, const struct given_reply *given)
{
    const struct prompt *prompt = &prompts[row->prompt];
    struct attention_maps maps;
    file->records++;
    if (!given->count) return NULL;
    const int64_t megabytes = attention_maps_bytes(generator, prompt->count, given->count) >> 20;
    if (megabytes > PASS_MEGABYTES_MAX)
        FAIL(STATUS_INPUT,
             "--maps: reply %lld of %lld tokens to a history of %lld has maps of %lld MB in all "
             "layers, %d are allowed; leave it out, or lower history.max_tokens",
             (long long)file->records, (long long)given->count, (long long)prompt->count,
             (long long)megabytes, PASS_MEGABYTES_MAX);
    TRY(attention_maps_read(generator, settings, prompts, row, given, &maps));
    status s = maps_write(file, &maps, prompt, given);
    free(maps.weight);
    return s;
}

status maps_file_end(struct maps_file *file, status s)
{
    if (!file->store) return s;
    s = store_close_after(file->store, s);
    if (!s && rename(file->temporary, file->path) != 0)
        s = ERROR(STATUS_INPUT, "cannot rename %s to %s: %s", file->temporary, file->path,
                  strerror(errno));
    if (s)
        unlink(file->temporary);
    else
        log_line(LOG_INFO, "attention maps of %lld of %lld replies, %.1f MB: %s",
                 (long long)file->maps, (long long)file->records, (double)file->bytes / 1e6,
                 file->path);
    return s;
}
