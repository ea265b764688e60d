/* What a run is made from besides its settings: hashes of data, tokenizer, models, plugin and fit,
 * by the names of the keys that say where they lie.  Ranks compare them at the start, a resumed run
 * with its checkpoint. */
#ifndef REGARD_MPI_INPUTS_H
#define REGARD_MPI_INPUTS_H

#include "src/base/config.h"
#include "src/base/file.h"

enum { RUN_INPUTS_MAX = 16 };

/* Plain bytes: sent as it is. */
struct run_input {
    char key[32]; /* "data.train"; "tokenizer.path" stands for tokenizer and idf table */
    char sha256[SHA256_HEX];
};

struct run_inputs {
    struct run_input list[RUN_INPUTS_MAX];
    int64_t count;
};

/* Those that the configuration names.  models: the weights of the model paths too. */
status run_inputs_of(const struct config *config, bool models, struct run_inputs *out);
/* The hash under a key; NULL: there is none. */
const char *run_inputs_find(const struct run_inputs *inputs, const char *key);
/* The first key whose hash is another in b, or that only one of them has; NULL: none. */
const char *run_inputs_difference(const struct run_inputs *a, const struct run_inputs *b);

/* As lines "KEY HASH", for a checkpoint, and back; the caller frees *text. */
status run_inputs_print(const struct run_inputs *inputs, char **text, size_t *size);
void run_inputs_parse(const char *text, struct run_inputs *out);

#endif
