/* See running_exchange.h. */
#include "mpi/running_exchange.h"

#include "src/base/file.h"
#include "src/base/traffic.h"

#include <string.h>

static const uint32_t running_magic = 0x53474552; /* "REGS" */

static const char broadcast_name[] = "the broadcast of running statistics";

struct running_header {
    uint32_t magic;
    uint32_t checksum;        /* CRC32C of the header with this field 0 */
    uint64_t values_checksum; /* CRC32C */
    int64_t count, version;
};

static uint32_t header_checksum(struct running_header header)
{
    header.checksum = 0;
    return crc32c(0, &header, sizeof header);
}

static uint32_t values_checksum(const double *values, int64_t count)
{
    return crc32c(0, values, (size_t)count * sizeof *values);
}

/* Before the values, whose number it tells: a broadcast's ranks must agree on it. */
static status header_check(const struct world *world, const struct running_header *h, int64_t count,
                           int64_t version)
{
    if (h->magic != running_magic || header_checksum(*h) != h->checksum)
        FAIL(STATUS_INTERNAL,
             "rank %d: running statistics from rank 0 with a damaged header, update %lld due",
             world->rank, (long long)version);
    if (h->count != count)
        FAIL(STATUS_INTERNAL, "rank %d: rank 0 sent %lld running statistics, this run has %lld",
             world->rank, (long long)h->count, (long long)count);
    if (h->version != version)
        FAIL(STATUS_INTERNAL,
             "rank %d: rank 0 sent running statistics of update %lld, %lld was due", world->rank,
             (long long)h->version, (long long)version);
    return NULL;
}

status running_exchange(struct world *world, double *values, int64_t count, int64_t version)
{
    if (world->size == 1 || !(world->roles.is_actor || world->rank == 0)) return NULL;
    struct running_header header;
    memset(&header, 0xff, sizeof header); /* bytes that stay away must not pass for zeros */
    if (world->rank == 0) {
        header = (struct running_header){.magic = running_magic,
                                         .values_checksum = values_checksum(values, count),
                                         .count = count,
                                         .version = version};
        header.checksum = header_checksum(header);
    }
    TRY(actors_broadcast(world, &header, sizeof header, broadcast_name));
    if (world->rank != 0) TRY(header_check(world, &header, count, version));
    TRY(actors_broadcast(world, values, (size_t)count * sizeof *values, broadcast_name));
    if (world->rank != 0)
        traffic_add(TRAFFIC_WEIGHTS, (int64_t)sizeof header + count * (int64_t)sizeof *values);
    if (world->rank != 0 && values_checksum(values, count) != header.values_checksum)
        FAIL(STATUS_INTERNAL,
             "rank %d: running statistics of update %lld from rank 0 with a wrong checksum",
             world->rank, (long long)version);
    return NULL;
}
