/* store.h over HDF5. */
#include "src/checkpoint/store.h"

#include "src/base/file.h"
#include "src/base/heartbeat.h"
#include "src/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    STORE_PATH = 1200,
    PIECE = 1 << 24 /* bytes written or read at a time: seconds of a slow disk */
};

/* Debian's HDF5 is not thread-safe.  Every function of store.h holds this while it is in HDF5. */
static pthread_mutex_t hdf5 = PTHREAD_MUTEX_INITIALIZER;

static void enter(void)
{
    pthread_mutex_lock(&hdf5);
}

/* HDF5 keeps an error's texts for each thread, and those of a thread that ends stay behind. */
static void leave(void)
{
    H5Eclear2(H5E_DEFAULT);
    pthread_mutex_unlock(&hdf5);
}

struct store {
    hid_t file;
    bool writing;
    char path[STORE_PATH];
};

static hid_t type_in_file(int type)
{
    switch (type) {
    case STORE_FLOATS:
        return H5T_IEEE_F32LE;
    case STORE_DOUBLES:
        return H5T_IEEE_F64LE;
    case STORE_INTEGERS:
        return H5T_STD_I64LE;
    default:
        return H5T_STD_U8LE;
    }
}

static hid_t type_in_memory(int type)
{
    switch (type) {
    case STORE_FLOATS:
        return H5T_NATIVE_FLOAT;
    case STORE_DOUBLES:
        return H5T_NATIVE_DOUBLE;
    case STORE_INTEGERS:
        return H5T_NATIVE_INT64;
    default:
        return H5T_NATIVE_UCHAR;
    }
}

size_t store_type_size(int type)
{
    static const size_t sizes[] = {
        [STORE_BYTES] = 1, [STORE_FLOATS] = 4, [STORE_DOUBLES] = 8, [STORE_INTEGERS] = 8};
    return sizes[type];
}

/* The system's reason, where HDF5 ran into one: errno is cleared before its calls. */
static status failed(const struct store *store, const char *what, const char *name)
{
    const int reason = errno;
    return ERROR(STATUS_INPUT, "%s: HDF5 could not %s %s%s%s", store->path, what, name,
                 reason ? ": " : "", reason ? strerror(reason) : "");
}

/* HDF5's locks are of no use to checkpoints, which have one writer and are whole once they have
 * their name, and many file systems of clusters have none (NFS without lockd, some Lustre): there
 * HDF5 would refuse every file.  HDF5_USE_FILE_LOCKING in the environment still decides where it is
 * set. */
static hid_t access_list(void)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
#if (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0)) || H5_VERSION_GE(1, 12, 1)
    if (list >= 0) H5Pset_file_locking(list, false, true);
#else
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
#endif
    return list;
}

static status file_begin_in(struct store *store)
{
    H5dont_atexit(); /* its clean-up crashes where a file could not be closed, on a full disk */
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    errno = 0;
    const hid_t list = access_list();
    store->file = store->writing ? H5Fcreate(store->path, H5F_ACC_TRUNC, H5P_DEFAULT, list)
                                 : H5Fopen(store->path, H5F_ACC_RDONLY, list);
    if (list >= 0) H5Pclose(list);
    return store->file < 0 ? failed(store, store->writing ? "create" : "open", "the file") : NULL;
}

static status store_begin(const char *path, bool writing, struct store **out)
{
    *out = NULL;
    if (!writing && !file_exists(path)) FAIL(STATUS_INPUT, "%s is missing", path);
    struct store *store = memory_allocate(sizeof *store);
    store->writing = writing;
    snprintf(store->path, sizeof store->path, "%s", path);
    enter();
    status s = file_begin_in(store);
    leave();
    if (s)
        free(store);
    else
        *out = store;
    return s;
}

status store_create(const char *path, struct store **out)
{
    return store_begin(path, true, out);
}

status store_open(const char *path, struct store **out)
{
    return store_begin(path, false, out);
}

status store_create_in(const char *folder, const char *name, struct store **out)
{
    char path[STORE_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return store_begin(path, true, out);
}

status store_open_in(const char *folder, const char *name, struct store **out)
{
    char path[STORE_PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return store_begin(path, false, out);
}

/* Brings the file to the disk piece by piece, so that its fsync finds little left.  Where the file
 * system does not know how, fsync does it all. */
static status sync_pieces(const struct store *store, int descriptor)
{
    const unsigned how =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    const off_t size = lseek(descriptor, 0, SEEK_END);
    for (off_t at = 0; at < size; at += PIECE) {
        heartbeat_note();
        if (sync_file_range(descriptor, at, PIECE, how) == 0) continue;
        /* What failed for good is told once: fsync would not tell it again. */
        if (errno == EIO || errno == ENOSPC || errno == EDQUOT)
            FAIL(STATUS_INTERNAL, "%s: fsync: %s", store->path, strerror(errno));
        break;
    }
    heartbeat_note();
    return NULL;
}

static status file_sync(const struct store *store)
{
    const int descriptor = open(store->path, O_RDWR | O_CLOEXEC);
    status s = descriptor < 0 ? NULL : sync_pieces(store, descriptor);
    if (!s && (descriptor < 0 || fsync(descriptor) != 0))
        s = ERROR(STATUS_INTERNAL, "%s: fsync: %s", store->path, strerror(errno));
    if (descriptor >= 0 && close(descriptor) != 0 && !s)
        s = ERROR(STATUS_INTERNAL, "%s: close: %s", store->path, strerror(errno));
    heartbeat_note();
    return s;
}

status store_close(struct store *store)
{
    if (!store) return NULL;
    enter();
    status s = NULL;
    errno = 0;
    heartbeat_note();
    if (store->writing && H5Fflush(store->file, H5F_SCOPE_GLOBAL) < 0)
        s = failed(store, "flush", "the file");
    heartbeat_note();
    if (H5Fclose(store->file) < 0 && !s) s = failed(store, "close", "the file");
    leave();
    if (store->writing && !s) s = file_sync(store);
    free(store);
    return s;
}

status store_close_after(struct store *store, status s)
{
    return status_first(s, store_close(store));
}

/* The next part of a dataset, at most `most` elements from the element `done` on, in the order in
 * which they lie in memory, as a block of its dimensions; gives how many it is. */
static hsize_t piece_next(int rank, const hsize_t dims[STORE_RANK_MAX], hsize_t done, hsize_t most,
                          hsize_t start[STORE_RANK_MAX], hsize_t count[STORE_RANK_MAX])
{
    hsize_t elements = 1;
    bool whole = true; /* all of the dimensions behind this one */
    for (int i = rank - 1; i >= 0; i--) {
        start[i] = done % dims[i];
        done /= dims[i];
        const hsize_t left = dims[i] - start[i], fit = most / elements;
        count[i] = !whole ? 1 : left < fit ? left : fit;
        whole = whole && count[i] == dims[i];
        elements *= count[i];
    }
    return elements;
}

/* All of a dataset to or from memory, whose elements are of `size` bytes; each piece is progress.
 * One of `from`, `to` is NULL. */
static bool pieces_move(hid_t set, hid_t type, size_t size, const char *from, char *to)
{
    hsize_t dims[STORE_RANK_MAX] = {0}, start[STORE_RANK_MAX], count[STORE_RANK_MAX], total = 1;
    hid_t space = H5Dget_space(set);
    const int rank = space < 0 ? -1 : H5Sget_simple_extent_dims(space, dims, NULL);
    bool good = rank >= 1;
    for (int i = 0; i < rank; i++) total *= dims[i];
    for (hsize_t done = 0, elements; good && done < total; done += elements) {
        heartbeat_note();
        elements = piece_next(rank, dims, done, PIECE / size, start, count);
        hid_t memory = H5Screate_simple(1, &elements, NULL);
        good = memory >= 0 &&
               H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0;
        if (good && from)
            good = H5Dwrite(set, type, memory, space, H5P_DEFAULT, from + done * size) >= 0;
        else if (good)
            good = H5Dread(set, type, memory, space, H5P_DEFAULT, to + done * size) >= 0;
        if (memory >= 0) H5Sclose(memory);
    }
    heartbeat_note();
    if (space >= 0) H5Sclose(space);
    return good;
}

static status dataset_write(struct store *store, const char *name, int type, const void *values,
                            int rank, const int64_t *shape)
{
    hsize_t dims[STORE_RANK_MAX] = {0};
    errno = 0;
    if (strchr(name, '/')) FAIL(STATUS_INTERNAL, "%s: a dataset called %s", store->path, name);
    for (int i = 0; i < rank; i++) dims[i] = (hsize_t)shape[i];
    hid_t space = H5Screate_simple(rank, dims, NULL);
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    bool good = space >= 0 && list >= 0 && H5Pset_layout(list, H5D_CONTIGUOUS) >= 0 &&
                H5Pset_obj_track_times(list, false) >= 0;
    if (good)
        set = H5Dcreate2(store->file, name, type_in_file(type), space, H5P_DEFAULT, list,
                         H5P_DEFAULT);
    good = good && set >= 0 &&
           pieces_move(set, type_in_memory(type), store_type_size(type), values, NULL);
    if (set >= 0 && H5Dclose(set) < 0) good = false;
    if (list >= 0) H5Pclose(list);
    if (space >= 0) H5Sclose(space);
    return good ? NULL : failed(store, "write", name);
}

status store_write(struct store *store, const char *name, int type, const void *values, int rank,
                   const int64_t *shape)
{
    enter();
    status s = dataset_write(store, name, type, values, rank, shape);
    leave();
    return s;
}

static status dataset_shape(struct store *store, const char *name, int type, int *rank,
                            int64_t shape[STORE_RANK_MAX])
{
    hid_t set = H5Dopen2(store->file, name, H5P_DEFAULT);
    if (set < 0) FAIL(STATUS_INPUT, "%s: %s is missing", store->path, name);
    hid_t space = H5Dget_space(set), stored = H5Dget_type(set);
    hsize_t dims[STORE_RANK_MAX] = {0};
    bool right = stored >= 0 && H5Tequal(stored, type_in_file(type)) > 0;
    int dimensions = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    bool good = dimensions >= 1 && dimensions <= STORE_RANK_MAX &&
                H5Sget_simple_extent_dims(space, dims, NULL) == dimensions;
    if (stored >= 0) H5Tclose(stored);
    if (space >= 0) H5Sclose(space);
    H5Dclose(set);
    if (!right) FAIL(STATUS_INPUT, "%s: %s has another type than expected", store->path, name);
    if (!good) return failed(store, "tell the shape of", name);
    *rank = dimensions;
    for (int i = 0; i < STORE_RANK_MAX; i++) shape[i] = i < dimensions ? (int64_t)dims[i] : 1;
    return NULL;
}

status store_shape(struct store *store, const char *name, int type, int *rank,
                   int64_t shape[STORE_RANK_MAX])
{
    enter();
    status s = dataset_shape(store, name, type, rank, shape);
    leave();
    return s;
}

static int64_t elements(const int64_t shape[STORE_RANK_MAX])
{
    int64_t count = 1;
    for (int i = 0; i < STORE_RANK_MAX; i++) count *= shape[i];
    return count;
}

static status dataset_read(struct store *store, const char *name, int type, void *values)
{
    int rank;
    int64_t shape[STORE_RANK_MAX];
    TRY(dataset_shape(store, name, type, &rank, shape));
    if (elements(shape) == 0) return NULL;
    errno = 0;
    hid_t set = H5Dopen2(store->file, name, H5P_DEFAULT);
    const bool good =
        set >= 0 && pieces_move(set, type_in_memory(type), store_type_size(type), NULL, values);
    if (set >= 0) H5Dclose(set);
    return good ? NULL : failed(store, "read", name);
}

status store_read(struct store *store, const char *name, int type, void *values)
{
    enter();
    status s = dataset_read(store, name, type, values);
    leave();
    return s;
}

status store_read_all(struct store *store, const char *name, int type, void **values,
                      int64_t *count)
{
    int rank;
    int64_t shape[STORE_RANK_MAX];
    *values = NULL;
    TRY(store_shape(store, name, type, &rank, shape));
    *count = elements(shape);
    *values = memory_allocate((size_t)*count * store_type_size(type) + 1);
    status s = store_read(store, name, type, *values);
    if (s) {
        free(*values);
        *values = NULL;
    }
    return s;
}

bool store_has(struct store *store, const char *name)
{
    enter();
    const bool found = H5Lexists(store->file, name, H5P_DEFAULT) > 0;
    leave();
    return found;
}

int64_t store_count(struct store *store)
{
    H5G_info_t info;
    enter();
    const int64_t count = H5Gget_info(store->file, &info) < 0 ? -1 : (int64_t)info.nlinks;
    leave();
    return count;
}

status store_write_mark(struct store *store, const char *dataset, const char *name, int64_t value)
{
    enter();
    errno = 0;
    hid_t space = H5Screate(H5S_SCALAR), mark = -1;
    bool good = space >= 0;
    if (good)
        mark = H5Acreate_by_name(store->file, dataset, name, H5T_STD_I64LE, space, H5P_DEFAULT,
                                 H5P_DEFAULT, H5P_DEFAULT);
    good = good && mark >= 0 && H5Awrite(mark, H5T_NATIVE_INT64, &value) >= 0;
    if (mark >= 0) H5Aclose(mark);
    if (space >= 0) H5Sclose(space);
    status s = good ? NULL : failed(store, "write attribute", name);
    leave();
    return s;
}

status store_read_mark(struct store *store, const char *dataset, const char *name, int64_t *value)
{
    enter();
    errno = 0;
    hid_t mark = H5Aopen_by_name(store->file, dataset, name, H5P_DEFAULT, H5P_DEFAULT);
    bool good = mark >= 0 && H5Aread(mark, H5T_NATIVE_INT64, value) >= 0;
    if (mark >= 0) H5Aclose(mark);
    status s = good ? NULL : failed(store, "read attribute", name);
    leave();
    return s;
}

void store_library_version(char out[LIBRARY_VERSION_TEXT])
{
    unsigned major = 0, minor = 0, release = 0;
    enter();
    H5get_libversion(&major, &minor, &release);
    leave();
    snprintf(out, LIBRARY_VERSION_TEXT, "HDF5 %u.%u.%u", major, minor, release);
}
