/* Weights from learner 0 to the actors: see weights.h. */
#include "mpi/weights.h"

#include "mpi/transport_mpi.h"
#include "src/base/arena.h"
#include "src/base/file.h"

#include <stdlib.h>

enum { WEIGHTS_CHUNK = 1 << 28 };                 /* floats in one broadcast */
static const uint32_t weights_magic = 0x57474552; /* "REGW" */

struct weights_header {
    uint32_t magic, checksum;
    int64_t count, version;
};

struct weights_transfer {
    struct weights_header header;
    float *values;
    int64_t count, version;
    MPI_Request *requests;
    int request_count;
};

/* CRC32C over header and values, so that neither can change unseen. */
static uint32_t weights_checksum(struct weights_header header, const float *values, int64_t count)
{
    header.checksum = 0;
    return crc32c(crc32c(0, &header, sizeof header), values, (size_t)count * sizeof *values);
}

static bool takes_part(const struct world *world)
{
    return world->size > 1 && world->groups->weights != MPI_COMM_NULL;
}

static void transfer_free(struct weights_transfer *transfer)
{
    free(transfer->requests);
    free(transfer);
}

static status transfer_post(struct world *world, struct weights_transfer *t)
{
    MPI_Comm comm = world->groups->weights;
    TRY(transport_check(MPI_Ibcast(&t->header, sizeof t->header, MPI_BYTE, 0, comm,
                                   &t->requests[t->request_count++]),
                        "weights"));
    for (int64_t begin = 0; begin < t->count; begin += WEIGHTS_CHUNK) {
        int part = t->count - begin < WEIGHTS_CHUNK ? (int)(t->count - begin) : WEIGHTS_CHUNK;
        TRY(transport_check(MPI_Ibcast(t->values + begin, part, MPI_FLOAT, 0, comm,
                                       &t->requests[t->request_count++]),
                            "weights"));
    }
    return NULL;
}

status weights_begin(struct world *world, float *values, int64_t count, int64_t version,
                     struct weights_transfer **out)
{
    struct weights_transfer *t = memory_allocate(sizeof *t);
    t->values = values;
    t->count = count;
    t->version = version;
    *out = t;
    if (!takes_part(world)) return NULL;
    t->requests = memory_allocate((size_t)(count / WEIGHTS_CHUNK + 2) * sizeof *t->requests);
    if (world->rank == 0) {
        t->header = (struct weights_header){weights_magic, 0, count, version};
        t->header.checksum = weights_checksum(t->header, values, count);
    }
    status s = transfer_post(world, t);
    if (s) *out = NULL; /* requests may be under way: their memory stays */
    return s;
}

static status transfer_check(const struct world *world, const struct weights_transfer *t)
{
    const struct weights_header *h = &t->header;
    if (h->magic != weights_magic)
        FAIL(STATUS_INTERNAL, "rank %d: weights from rank 0 have no header", world->rank);
    if (h->count != t->count)
        FAIL(STATUS_INTERNAL, "rank %d: rank 0 sent %lld weights, this model has %lld", world->rank,
             (long long)h->count, (long long)t->count);
    if (h->version != t->version)
        FAIL(STATUS_INTERNAL, "rank %d: rank 0 sent weights of update %lld, %lld was due",
             world->rank, (long long)h->version, (long long)t->version);
    if (weights_checksum(*h, t->values, t->count) != h->checksum)
        FAIL(STATUS_INTERNAL, "rank %d: weights of update %lld arrived with a wrong checksum",
             world->rank, (long long)h->version);
    return NULL;
}

status weights_finish(struct world *world, struct weights_transfer *transfer)
{
    if (!transfer) return NULL;
    status s = NULL;
    if (takes_part(world)) {
        s = transport_wait_all(world, transfer->requests, transfer->request_count, "weights");
        if (s) return s; /* as above */
        if (world->rank != 0) s = transfer_check(world, transfer);
    }
    transfer_free(transfer);
    return s;
}

status weights_exchange(struct world *world, float *values, int64_t count, int64_t version)
{
    struct weights_transfer *transfer;
    TRY(weights_begin(world, values, count, version, &transfer));
    return weights_finish(world, transfer);
}
