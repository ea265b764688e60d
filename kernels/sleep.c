/* See sleep.h. */
#include "kernels/sleep.h"

#include "kernels/cost.h"
#include "src/base/clock.h"
#include "src/base/philox.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Seconds: the longest that a late waking is made up for. */
#define LATENESS 1e-3

struct sleep_queue {
    struct queue base;
    struct cost_rates rates;
    double pace;   /* what the rates' seconds are multiplied by */
    double until;  /* when the device will have done all that is queued, on the clock */
    double worked; /* seconds */
    double late;   /* seconds that the host was woken too late and has not made up for */
    double marks[QUEUE_MARKS];
    bool still; /* an estimate's: nobody sleeps */
    double sliced;
    const struct estimate_watch *watch;
};

struct packed_matrix {
    struct matrix_size size;
};

/* Before a block of memory. */
struct block {
    size_t bytes;
    char padding[56]; /* blocks are 64-byte aligned */
};

static struct sleep_queue *sleep_of(struct queue *q)
{
    return (struct sleep_queue *)q;
}

static struct matrix_size matrix_size(const struct queue *q, const struct packed_matrix *w)
{
    (void)q;
    return w->size;
}

/* An operation is queued. */
static void owe(struct queue *q, struct cost cost)
{
    struct sleep_queue *device = sleep_of(q);
    const double seconds = cost_seconds(cost, &device->rates) * device->pace;
    device->worked += seconds;
    if (device->still) return;
    const double now = seconds_now() - device->late;
    device->until = (device->until > now ? device->until : now) + seconds;
}

static void wait_until(struct queue *q, double until)
{
    struct sleep_queue *device = sleep_of(q);
    if (device->still) return;
    const double now = seconds_now();
    if (now - device->late >= until) return;
    if (now < until) {
        struct timespec at = {.tv_sec = (time_t)until};
        at.tv_nsec = (long)((until - (double)at.tv_sec) * 1e9);
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
    }
    const double late = seconds_now() - until;
    device->late = late < 0 ? 0 : late < LATENESS ? late : LATENESS;
}

#define OWED(name, cost, arguments, ...)                                                           \
    static void owed_##name(struct queue *q, __VA_ARGS__)                                          \
    {                                                                                              \
        (void)sizeof(q->op->name arguments, 0);                                                    \
        owe(q, cost);                                                                              \
    }
OPERATIONS(OWED)

static status slept_allocate(struct queue *q, enum memory_kind kind, size_t bytes, void **out)
{
    (void)q, (void)kind;
    *out = NULL;
    if (bytes > SIZE_MAX / 2) FAIL(STATUS_INTERNAL, "no memory for %zu bytes", bytes);
    const size_t all = sizeof(struct block) + bytes;
    struct block *block =
        mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (block == MAP_FAILED) FAIL(STATUS_INTERNAL, "no memory for %zu bytes", bytes);
    block->bytes = all;
    *out = block + 1;
    return NULL;
}

static void slept_release(struct queue *q, void *memory)
{
    (void)q;
    if (!memory) return;
    struct block *block = (struct block *)memory - 1;
    munmap(block, block->bytes);
}

static status slept_host_allocate(struct queue *q, size_t bytes, void **out)
{
    return slept_allocate(q, MEMORY_ACTIVATIONS, bytes, out);
}

static status slept_memory_reserve(struct queue *q, const size_t bytes[MEMORY_KINDS])
{
    (void)q, (void)bytes;
    return NULL;
}

static void slept_memory_report(struct queue *q, struct memory_report *out)
{
    (void)q;
    *out = (struct memory_report){0};
}

static size_t slept_memory_scratch(const struct queue *q, const size_t bytes[MEMORY_KINDS])
{
    (void)q, (void)bytes;
    return 0;
}

static status slept_synchronize(struct queue *q)
{
    wait_until(q, sleep_of(q)->until);
    return NULL;
}

static void slept_mark(struct queue *q, int slot)
{
    sleep_of(q)->marks[slot] = sleep_of(q)->until;
}

static void slept_mark_wait(struct queue *q, int slot)
{
    wait_until(q, sleep_of(q)->marks[slot]);
}

static void slept_destroy(struct queue *q)
{
    free(q);
}

static size_t slept_matrix_bytes(const struct queue *q, int64_t n, int64_t k,
                                 bool with_input_gradient)
{
    (void)q, (void)n, (void)k, (void)with_input_gradient;
    return 0;
}

static status slept_matrix_create(struct queue *q, int64_t n, int64_t k, bool with_input_gradient,
                                  struct packed_matrix **out)
{
    (void)q, (void)with_input_gradient;
    *out = calloc(1, sizeof **out);
    if (!*out) FAIL(STATUS_INTERNAL, "no memory for a matrix");
    (*out)->size = (struct matrix_size){n, k};
    return NULL;
}

static void slept_matrix_destroy(struct queue *q, struct packed_matrix *w)
{
    (void)q;
    free(w);
}

static void slept_upload(struct queue *q, void *to, const void *host_from, size_t bytes)
{
    owed_upload(q, to, host_from, bytes);
    if (bytes) memmove(to, host_from, bytes);
}

static void slept_download(struct queue *q, void *host_to, const void *from, size_t bytes)
{
    owed_download(q, host_to, from, bytes);
    if (bytes) memmove(host_to, from, bytes);
}

static void slept_copy(struct queue *q, void *to, const void *from, size_t bytes)
{
    owed_copy(q, to, from, bytes);
    if (bytes && !(sleep_of(q)->still && bytes > ESTIMATE_COPIES)) memmove(to, from, bytes);
}

/* Whole pages are given back to the system, which has zeros for whoever asks again. */
static void slept_zero(struct queue *q, void *to, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), some_pages = 64;
    char *begin = to, *end = begin + bytes;
    owed_zero(q, to, bytes);
    if (bytes < some_pages * page) {
        if (bytes) memset(to, 0, bytes);
        return;
    }
    char *first = begin + (page - (uintptr_t)begin % page) % page;
    char *last = end - (uintptr_t)end % page;
    memset(begin, 0, (size_t)(first - begin));
    if (madvise(first, (size_t)(last - first), MADV_DONTNEED))
        memset(first, 0, (size_t)(last - first));
    memset(last, 0, (size_t)(end - last));
}

static void slept_advance(struct queue *q, int32_t *counters, int32_t value, int64_t count,
                          int64_t stride)
{
    owed_advance(q, counters, value, count, stride);
    for (int64_t i = 0; i < count; i++) counters[i * stride] += value;
}

/* As a device would be given them: by reply and step alone, so on every rank. */
static int32_t token_of(const struct sampling *s, int64_t row, int64_t reply)
{
    const uint32_t *own = s->counter + 3 * reply;
    const uint32_t counter[4] = {own[0], own[1], own[2], (uint32_t)s->step[row]};
    uint32_t random[4];
    const int64_t first = s->vocabulary / 4, count = first ? first : s->vocabulary;
    philox4x32(counter, s->key, random);
    return (int32_t)(first + random[0] % count);
}

static void slept_sample(struct queue *q, const struct sampling *s)
{
    const float entropy = logf((float)s->vocabulary);
    owed_sample(q, s);
    for (int64_t i = 0; i < s->rows; i++) {
        const int64_t reply = reply_entry(&s->at, i), entry = token_entry(&s->at, s->step, i);
        const int32_t forced = s->forced ? s->forced[reply] : -1;
        s->token[i] = forced >= 0 ? forced : token_of(s, i, reply);
        if (s->token_record) s->token_record[entry] = s->token[i];
        if (s->logp) s->logp[entry] = -entropy;
        if (s->token_entropy) s->token_entropy[entry] = entropy;
        if (s->self_certainty) s->self_certainty[entry] = 0;
    }
}

static void fill(float *to, float value, int64_t count)
{
    for (int64_t i = 0; to && i < count; i++) to[i] = value;
}

static void slept_softmax_loss(struct queue *q, float *logp, float *entropy, float *lse, float *kl,
                               float *self_certainty, const float *logits, const float *reference,
                               const int32_t *targets, float temperature, int64_t m,
                               int64_t vocabulary)
{
    const float all = logf((float)vocabulary);
    owed_softmax_loss(q, logp, entropy, lse, kl, self_certainty, logits, reference, targets,
                      temperature, m, vocabulary);
    fill(logp, -all, m);
    fill(entropy, all, m);
    fill(lse, all, m);
    fill(kl, 0, m);
    fill(self_certainty, 0, m);
}

#define TAKE(name, ...) .name = owed_##name,
/* clang-format off */
static const struct ops sleep_ops = {
    OPERATIONS(TAKE)
    .name = "sleep",
    .allocate = slept_allocate,
    .release = slept_release,
    .memory_reserve = slept_memory_reserve,
    .memory_report = slept_memory_report,
    .memory_scratch = slept_memory_scratch,
    .host_allocate = slept_host_allocate,
    .host_release = slept_release,
    .synchronize = slept_synchronize,
    .mark = slept_mark,
    .mark_wait = slept_mark_wait,
    .destroy = slept_destroy,
    .matrix_bytes = slept_matrix_bytes,
    .matrix_create = slept_matrix_create,
    .matrix_destroy = slept_matrix_destroy,
};
/* clang-format on */

/* With what is carried out besides. */
static const struct ops *sleep_table(void)
{
    static struct ops table;
    table = sleep_ops;
    table.upload = slept_upload;
    table.download = slept_download;
    table.copy = slept_copy;
    table.zero = slept_zero;
    table.advance = slept_advance;
    table.sample = slept_sample;
    table.softmax_loss = slept_softmax_loss;
    return &table;
}

status sleep_queue_create(const struct cost_rates *rates, size_t real_bytes, struct queue **out)
{
    struct sleep_queue *device = calloc(1, sizeof *device);
    *out = NULL;
    if (!device) FAIL(STATUS_INTERNAL, "no memory for a queue");
    device->base = (struct queue){.op = sleep_table(),
                                  .threads = 1,
                                  .real_bytes = real_bytes ? real_bytes : sizeof(float),
                                  .exact = true,
                                  .on_host = true};
    device->rates = *rates;
    device->pace = 1;
    *out = &device->base;
    return NULL;
}

bool queue_is_sleep(const struct queue *q)
{
    return q->op->allocate == slept_allocate && !((const struct sleep_queue *)q)->still;
}

/* An estimate's table: the stub's, but for these. */

static size_t estimate_matrix_bytes(const struct queue *q, int64_t n, int64_t k,
                                    bool with_input_gradient)
{
    (void)with_input_gradient;
    return (size_t)(n * k) * q->real_bytes;
}

static void estimate_square_sum(struct queue *q, double *sum, const float *x, int64_t count)
{
    const double before = sleep_of(q)->worked;
    owed_square_sum(q, sum, x, count);
    sleep_of(q)->sliced += sleep_of(q)->worked - before;
}

static void estimate_adamw(struct queue *q, float *w, float *first, float *second,
                           const float *gradient, int64_t count, const struct adamw *settings)
{
    const double before = sleep_of(q)->worked;
    owed_adamw(q, w, first, second, gradient, count, settings);
    sleep_of(q)->sliced += sleep_of(q)->worked - before;
}

static void estimate_sample(struct queue *q, const struct sampling *s)
{
    const struct estimate_watch *watch = sleep_of(q)->watch;
    slept_sample(q, s);
    for (int64_t i = 0; watch && i < s->rows; i++) {
        const int32_t token =
            watch->token(watch->context, s->counter + 3 * reply_entry(&s->at, i), s->step[i]);
        if (token < 0) continue;
        s->token[i] = token;
        if (s->token_record) s->token_record[token_entry(&s->at, s->step, i)] = token;
    }
    if (watch) watch->sampled(watch->context, s->rows, s->step[0], sleep_of(q)->worked);
}

static const struct ops *estimate_table(void)
{
    static struct ops table;
    table = *sleep_table();
    table.matrix_bytes = estimate_matrix_bytes;
    table.square_sum = estimate_square_sum;
    table.adamw = estimate_adamw;
    table.sample = estimate_sample;
    return &table;
}

status estimate_queue_create(const struct cost_rates *rates, size_t real_bytes, struct queue **out)
{
    TRY(sleep_queue_create(rates, real_bytes, out));
    (*out)->op = estimate_table();
    sleep_of(*out)->still = true;
    return NULL;
}

bool queue_is_estimate(const struct queue *q)
{
    return q->op->allocate == slept_allocate && ((const struct sleep_queue *)q)->still;
}

double estimate_queue_sliced(const struct queue *q)
{
    return ((const struct sleep_queue *)q)->sliced;
}

void estimate_queue_watch(struct queue *q, const struct estimate_watch *watch)
{
    sleep_of(q)->watch = watch;
}

double sleep_queue_worked(const struct queue *q)
{
    return ((const struct sleep_queue *)q)->worked;
}

void sleep_queue_pace(struct queue *q, double pace)
{
    sleep_of(q)->pace = pace;
}
