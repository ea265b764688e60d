/* The fastest algorithm for a shape.  Without `tune` it is the library's first.  With it the first
 * product of a shape tries several on the device and keeps the one that took least, in the file of
 * blas_cache.cuh too.  Batches of nearly the same size share a choice: what a learner packs has
 * another number of rows each time, and a search costs some thirty products. */
#pragma once
#include "blas.cuh"

enum { blas_timed_runs = 3, blas_cold_rows = 256 };

/* What a trial needs: where a product may write, and what it does first. */
struct blas_trial {
    void *c;       /* the product's own, where overwriting it changes nothing */
    void *flushed; /* written before each run, so that weights come from memory as they do between
                    * the other layers' products; NULL for large batches, which do not mind */
    size_t flushed_bytes;
    void *memory;
    cudaEvent_t begin, end;
};

static bool blas_trial_open(struct queue *q, const struct product *p, const struct blas_shape *s,
                            struct blas_trial *trial)
{
    const size_t c_bytes =
        p->accumulate ? (size_t)cuda_divide_up(p->rows * p->columns * s->c_bytes, 256) * 256 : 0;
    *trial = (struct blas_trial){};
    if (p->by_rows && p->rows <= blas_cold_rows)
        trial->flushed_bytes = blas_library_cached_bytes(q);
    status error = cuda_allocate(q, MEMORY_SCRATCH, c_bytes + trial->flushed_bytes, &trial->memory);
    if (error) { /* no room to try: no error of the product's */
        status_free(error);
        return false;
    }
    trial->c = p->accumulate ? trial->memory : p->c;
    trial->flushed = (char *)trial->memory + c_bytes;
    cuda_check(q, cudaEventCreate(&trial->begin), "cudaEventCreate");
    cuda_check(q, cudaEventCreate(&trial->end), "cudaEventCreate");
    if (c_bytes) cuda_zero(q, trial->memory, c_bytes);
    return trial->begin && trial->end;
}

static void blas_trial_close(struct queue *q, struct blas_trial *trial)
{
    if (trial->begin) (void)cudaEventDestroy(trial->begin);
    if (trial->end) (void)cudaEventDestroy(trial->end);
    cuda_release(q, trial->memory);
}

/* Milliseconds of one run, or a negative number where it fails. */
static float blas_trial_run(struct queue *q, struct blas *blas, const struct blas_shape *s,
                            const struct blas_algorithm *algorithm, const struct product *p,
                            const struct blas_trial *trial)
{
    cudaStream_t stream = cuda_queue_of(q)->stream;
    float milliseconds = -1.0f;
    if (trial->flushed_bytes) cuda_zero(q, trial->flushed, trial->flushed_bytes);
    cuda_check(q, cudaEventRecord(trial->begin, stream), "cudaEventRecord");
    if (blas_library_run(q, &blas->library, s, algorithm, p->left, p->right, trial->c)) return -1;
    cuda_check(q, cudaEventRecord(trial->end, stream), "cudaEventRecord");
    cuda_check(q, cudaEventSynchronize(trial->end), "a product on trial");
    if (cudaEventElapsedTime(&milliseconds, trial->begin, trial->end) != cudaSuccess) return -1;
    return milliseconds;
}

/* The place of the fastest of them: of the least of some runs, the first of which does not count.
 */
static int blas_fastest(struct queue *q, struct blas *blas, const struct blas_shape *s,
                        const struct blas_algorithm *algorithms, int count, const struct product *p)
{
    struct blas_trial trial;
    int fastest = 0;
    float least = -1.0f;
    if (count < 2) return 0;
    const bool open = blas_trial_open(q, p, s, &trial);
    for (int i = 0; open && i < count; i++)
        for (int run = 0; run <= blas_timed_runs; run++) {
            const float time = blas_trial_run(q, blas, s, &algorithms[i], p, &trial);
            if (time < 0) break;
            if (run == 0 || (least >= 0 && time >= least)) continue;
            least = time;
            fastest = i;
        }
    blas_trial_close(q, &trial);
    return fastest;
}

/* Sizes up to 64 stand for themselves; above, eight to each doubling stand for those below. */
static int64_t blas_size_class(int64_t size)
{
    int64_t step = 1;
    while (size > 64 * step) step *= 2;
    step = step > 1 ? 4 * step : 1;
    return cuda_divide_up(size, step) * step;
}

/* The plan for the call: that of its class of sizes, or of this size alone where the class's choice
 * does not take it.  NULL where the library must be asked first, which only happens while nothing
 * is recorded: recorded calls trust the class's choice. */
static struct blas_plan *blas_fast_planned(struct queue *q, struct blas *blas,
                                           const struct blas_shape *key,
                                           const struct blas_shape *shape, int64_t batch)
{
    struct blas_plan *plan = blas_plan_find(blas->plan, blas_plans, blas_probes, key);
    if (!blas_plan_is(plan, key)) return NULL;
    if (plan->taken == batch) return plan;
    struct blas_plan *own = blas_plan_find(blas->plan, blas_plans, blas_probes, shape);
    if (blas_plan_is(own, shape) && own->taken == batch) return own;
    if (blas_is_recording(q)) return plan;
    if (!blas_library_takes(&blas->library, shape, &plan->algorithm)) return NULL;
    plan->taken = batch;
    return plan;
}

/* Asks the library: *algorithm gets its first, or what a search finds or has found before. */
static const char *blas_fast_ask(struct queue *q, struct blas *blas, const struct blas_shape *key,
                                 const struct blas_shape *shape, const struct product *p,
                                 bool search, struct blas_algorithm *algorithm)
{
    struct blas_algorithm suggested[blas_max_suggested];
    const char *message = NULL;
    const struct blas_algorithm *known = search ? blas_cache_find(&blas->cache, key) : NULL;
    if (known && blas_library_takes(&blas->library, shape, known)) {
        *algorithm = *known;
        return NULL;
    }
    const int count = blas_library_suggest(&blas->library, shape, suggested,
                                           search ? blas_max_suggested : 1, &message);
    if (!count) return message;
    *algorithm = suggested[search ? blas_fastest(q, blas, shape, suggested, count, p) : 0];
    if (count > 1 && !known) blas_cache_add(&blas->cache, key, algorithm);
    return NULL;
}

/* The plan for this call in *plan; returns a message where there is none. */
static const char *blas_fast_choose(struct queue *q, struct blas *blas, const struct blas_shape *s,
                                    const struct product *p, struct blas_plan **plan)
{
    const bool tune = cuda_queue_of(q)->tune && !q->exact;
    const int64_t batch = p->by_rows ? p->rows : p->depth;
    struct blas_shape key = *s;
    if (tune) *(p->by_rows ? &key.rows : &key.depth) = blas_size_class(batch);
    *plan = blas_fast_planned(q, blas, &key, s, batch);
    if (*plan) return NULL;
    if (blas_is_recording(q)) return "met for the first time while calls are recorded";

    struct blas_plan *of_class = blas_plan_find(blas->plan, blas_plans, blas_probes, &key);
    const bool planned = blas_plan_is(of_class, &key); /* and does not take this size */
    struct blas_algorithm algorithm;
    const char *message = blas_fast_ask(q, blas, &key, s, p, tune && !planned, &algorithm);
    if (message) return message;
    *plan = planned ? blas_plan_find(blas->plan, blas_plans, blas_probes, s) : of_class;
    blas_plan_set(*plan, planned ? s : &key, &algorithm, batch);
    return NULL;
}

static void blas_fast_multiply(struct queue *q, struct blas *blas, const struct product *p)
{
    const struct blas_shape shape = blas_shape_of(q, p);
    struct blas_plan *plan;
    if (cuda_queue_of(q)->tune && !blas->cache_is_open) {
        char identity[200];
        blas_library_identity(q, identity, sizeof identity);
        blas_cache_open(&blas->cache, identity);
        blas->cache_is_open = true;
    }
    const char *message = blas_fast_choose(q, blas, &shape, p, &plan);
    if (!message) {
        plan->calls++;
        message =
            blas_library_run(q, &blas->library, &shape, &plan->algorithm, p->left, p->right, p->c);
    }
    if (message) blas_fail(q, &shape, message);
}
