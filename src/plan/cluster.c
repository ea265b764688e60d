/* See cluster.h. */
#include "src/plan/cluster.h"

#include "src/base/config_keys.h"

_Static_assert((int)CLUSTER_LIST_MAX == (int)CONFIG_LIST_MAX, "the reader's lists");

#define MEMBER(member)                                                                             \
    .offset = offsetof(struct cluster, member), .size = sizeof(((struct cluster *)0)->member)
#define WHOLE(key, member, low, high, value, words)                                                \
    {                                                                                              \
        .name = key, .type = KEY_INTEGER, MEMBER(member), .least = low, .most = high,              \
        .default_text = value, .help = words                                                       \
    }
#define NUMBER(key, member, low, high, value, words)                                               \
    {                                                                                              \
        .name = key, .type = KEY_NUMBER, MEMBER(member), .least = low, .most = high,               \
        .default_text = value, .help = words                                                       \
    }
#define TEXT(key, member, words)                                                                   \
    {                                                                                              \
        .name = key, .type = KEY_TEXT, MEMBER(member), .default_text = "", .help = words           \
    }
#define LIST(key, member, count, low, high, words)                                                 \
    {                                                                                              \
        .name = key, .type = KEY_LIST, MEMBER(member),                                             \
        .count_offset = offsetof(struct cluster, count), .least = low, .most = high,               \
        .default_text = "[]", .help = words                                                        \
    }

static const struct config_key keys[] = {
    WHOLE("hosts", hosts, 1, 1 << 20, "1", "machines"),
    WHOLE("ranks", ranks, 1, 4096, "8", "ranks of a host, one a GPU"),
    NUMBER("cores", cores, 0, 4096, "0", "of a host, shared by its ranks; 0: GPUs of their own"),
    NUMBER("device.flops", device.flops, 1e3, 1e18, "4e14", "operations a second that it reaches"),
    NUMBER("device.bandwidth", device.bandwidth, 1e3, 1e18, "3e12", "bytes a second, its memory"),
    NUMBER("device.launch", device.launch, 0, 1, "4e-6", "seconds of an operation's launch"),
    NUMBER("device.memory", device.memory, 1e6, 1e15, "8e10", "bytes"),
    NUMBER("device.slowest", device.slowest, 1, 1e6, "1", "times as long the last rank's takes"),
    NUMBER("device.jitter", device.jitter, 0, 2, "0",
           "sigma of a log-normal factor of mean 1 of a rank's time for each batch"),
    LIST("sharing.compute", sharing.compute, sharing.compute_count, 1e-6, 1,
         "speed of each of 1, 2, ... ranks of a host that compute at once; []: by cores"),
    LIST("sharing.memory", sharing.memory, sharing.memory_count, 1e-6, 1,
         "the same of copying, as the optimizer's steps do"),
    LIST("sharing.sums", sharing.sums, sharing.sums_count, 1e-6, 1,
         "the same of sums between learners, held against two, which inside.bandwidth is of"),
    NUMBER("copy.bandwidth", copy.bandwidth, 1e3, 1e18, "2e10",
           "bytes a second that a rank copies in its host's memory"),
    NUMBER("inside.bandwidth", inside.bandwidth, 1e3, 1e18, "2e11", "bytes a second in a host"),
    NUMBER("inside.latency", inside.latency, 0, 10, "1e-5", "seconds"),
    NUMBER("between.bandwidth", between.bandwidth, 1e3, 1e18, "2.5e10", "of two hosts"),
    NUMBER("between.latency", between.latency, 0, 10, "2e-5", "seconds"),
    NUMBER("files.bandwidth", files.bandwidth, 1e3, 1e18, "5e9", "bytes a second of a checkpoint"),
    NUMBER("failures.mtbf_hours", failures.mtbf_hours, 1e-3, 1e12, "4e4", "of one host"),
    NUMBER("failures.restart", failures.restart, 0, 1e6, "120", "seconds"),
    WHOLE("replies.tokens", replies.tokens, 0, 1 << 24, "0", "of every reply"),
    NUMBER("replies.median", replies.median, 0, 1e9, "0", "of a log-normal distribution"),
    NUMBER("replies.sigma", replies.sigma, 0, 10, "0", "of its logarithm"),
    LIST("replies.list", replies.list, replies.list_count, 1, 1 << 24, "lengths"),
    LIST("replies.weights", replies.weights, replies.weight_count, 0, 1e18, "how often each"),
    TEXT("replies.from", replies.from, "a run whose samples have them"),
    TEXT("from_run", from_run, "a finished run by whose times all are scaled"),
};

static const struct key_table table = {.keys = keys,
                                       .count = sizeof keys / sizeof *keys,
                                       .size = sizeof(struct cluster),
                                       .listed = "configs/cluster-example.yaml lists them"};

static status check(const struct cluster *c, const char *path)
{
    const int ways = (c->replies.tokens > 0) + (c->replies.median > 0) +
                     (c->replies.list_count > 0) + (c->replies.from[0] != 0);
    double sum = 0;
    if (c->cores == 0 && c->sharing.compute_count)
        FAIL(STATUS_INPUT,
             "%s: sharing.compute is of ranks that compute on cores, and cores is 0: every rank "
             "has a device of its own; give cores, or take it out",
             path);
    if (ways > 1)
        FAIL(STATUS_INPUT,
             "%s: replies has more than one of tokens, median, list and from; leave one", path);
    if (c->replies.sigma > 0 && c->replies.median == 0)
        FAIL(STATUS_INPUT, "%s: replies.sigma does nothing without replies.median", path);
    if (c->replies.weight_count && c->replies.weight_count != c->replies.list_count)
        FAIL(STATUS_INPUT, "%s: replies.weights has %lld numbers for the %lld of replies.list",
             path, (long long)c->replies.weight_count, (long long)c->replies.list_count);
    for (int64_t i = 0; i < c->replies.weight_count; i++) sum += c->replies.weights[i];
    if (c->replies.weight_count && sum <= 0)
        FAIL(STATUS_INPUT, "%s: all of replies.weights are 0", path);
    return NULL;
}

void cluster_defaults(struct cluster *cluster)
{
    keys_defaults(&table, cluster);
}

status cluster_read(struct cluster *cluster, const char *path)
{
    cluster_defaults(cluster);
    TRY(keys_read(&table, cluster, path));
    return check(cluster, path);
}

int64_t cluster_size(const struct cluster *cluster)
{
    return cluster->hosts * cluster->ranks;
}

const struct cluster_link *cluster_link(const struct cluster *cluster, int64_t spread)
{
    return spread > cluster->ranks ? &cluster->between : &cluster->inside;
}
