/* HDF5 files as src/checkpoint uses them: flat datasets of four types, attributes of
 * integers and text.  The only code that calls HDF5 is store.c; its own error printing is
 * off and every call is checked.  Any thread may call, each with a store of its own: one at a time
 * is in HDF5, and a second one waits.  Not for hostile files: verify hashes first. */
#ifndef REGARD_CHECKPOINT_STORE_H
#define REGARD_CHECKPOINT_STORE_H

#include "src/base/status.h"
#include "src/base/version.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_RANK_MAX = 4 };
enum store_type { STORE_BYTES, STORE_FLOATS, STORE_DOUBLES, STORE_INTEGERS };
size_t store_type_size(int type); /* bytes an element */

struct store;

status store_create(const char *path, struct store **out);
status store_open(const char *path, struct store **out); /* for reading */
/* The same of a file in a folder. */
status store_create_in(const char *folder, const char *name, struct store **out);
status store_open_in(const char *folder, const char *name, struct store **out);
/* Flushes, closes and fsyncs what was written; frees the store in any case. */
status store_close(struct store *store);
/* Closes, and returns s or, where that is NULL, what closing says. */
status store_close_after(struct store *store, status s);
/* Contiguous; rank 1 to STORE_RANK_MAX. */
status store_write(struct store *store, const char *name, int type, const void *values, int rank,
                   const int64_t *shape);
/* Shape of a dataset, 1 behind its rank; one of another type is refused. */
status store_shape(struct store *store, const char *name, int type, int *rank,
                   int64_t shape[STORE_RANK_MAX]);
/* values has room for what store_shape told. */
status store_read(struct store *store, const char *name, int type, void *values);
/* All elements of a dataset, allocated, with a NUL after their bytes; the caller frees. */
status store_read_all(struct store *store, const char *name, int type, void **values,
                      int64_t *count);
bool store_has(struct store *store, const char *name);
int64_t store_count(struct store *store); /* datasets, -1 on failure */
/* An integer attribute of a dataset. */
status store_write_mark(struct store *store, const char *dataset, const char *name, int64_t value);
status store_read_mark(struct store *store, const char *dataset, const char *name, int64_t *value);

void store_library_version(char out[LIBRARY_VERSION_TEXT]); /* "HDF5 1.10.8" */

#endif
