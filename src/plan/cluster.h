/* A cluster as a file describes it (configs/cluster-example.yaml), for `regard plan`. */
#ifndef REGARD_PLAN_CLUSTER_H
#define REGARD_PLAN_CLUSTER_H

#include "src/base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { CLUSTER_LIST_MAX = 64, CLUSTER_TEXT_MAX = 1024 };

/* A way between two ranks: seconds of a message, and bytes a second. */
struct cluster_link {
    double latency, bandwidth;
};

struct cluster {
    int64_t hosts, ranks; /* ranks: of a host; one a GPU */
    double cores;         /* of a host, which its ranks share; 0: each has a device of its own */
    struct {
        double flops, bandwidth, launch; /* operations and bytes a second; seconds of a launch */
        double memory;                   /* bytes */
        double slowest;                  /* times as long the last rank's takes */
        double jitter;                   /* sigma of what a batch takes: log-normal, of mean 1 */
    } device;
    struct { /* speed of each of 1, 2, ... ranks of a host that do so at once; empty: by cores */
        double compute[CLUSTER_LIST_MAX], memory[CLUSTER_LIST_MAX], sums[CLUSTER_LIST_MAX];
        int64_t compute_count, memory_count, sums_count;
    } sharing;
    struct {
        double bandwidth; /* bytes a second that a rank copies in its host's memory */
    } copy;
    struct cluster_link inside, between; /* two ranks of one host; of two */
    struct {
        double bandwidth; /* bytes a second of all learners' writes together, hashed and synced */
    } files;
    struct {
        double mtbf_hours; /* mean time between failures of one host */
        double restart;    /* seconds until a job that was started again does its first step */
    } failures;
    struct {
        int64_t tokens;       /* every reply; 0: not given */
        double median, sigma; /* log-normal; median 0: not given */
        double list[CLUSTER_LIST_MAX], weights[CLUSTER_LIST_MAX]; /* lengths, how often each */
        int64_t list_count, weight_count;
        char from[CLUSTER_TEXT_MAX]; /* a run whose samples have them; empty: not given */
    } replies;
    char from_run[CLUSTER_TEXT_MAX]; /* a finished run by whose times all are scaled; or empty */
};

/* Defaults, then the file; one clear line where it contradicts itself. */
status cluster_read(struct cluster *cluster, const char *path);
void cluster_defaults(struct cluster *cluster);
/* Ranks of all hosts. */
int64_t cluster_size(const struct cluster *cluster);
/* The way between ranks of which `spread` consecutive ones take part. */
const struct cluster_link *cluster_link(const struct cluster *cluster, int64_t spread);

#endif
