/* See kernel_test.h. */
#include "tests/kernels/kernel_test.h"

#include <dlfcn.h>

#include "kernels/load.h"
#include "tests/kernels/mirror.h"

bool real_is_bf16(void)
{
    const char *real_name = getenv("REGARD_TEST_REAL");
    return real_name && !strcmp(real_name, "bf16");
}

static struct queues queues_new_cuda(void)
{
    struct queues all = {.cuda = true};
    const char *module = getenv("REGARD_CUDA_MODULE"), *orders = getenv("REGARD_TEST_ORDERS");
    const bool host = module && strstr(module, "host");
    char words[200], *rest = words;
    snprintf(words, sizeof words, "%s", orders ? orders : "forward");
    for (char *order; (order = strsep(&rest, " "));) {
        struct queue *inner;
        setenv("CUDA_HOST_ORDER", order, 1); /* of the stream that is made next */
        status error =
            queue_create(&(struct queue_options){.device = "cuda",
                                                 .real_bytes = real_is_bf16() ? 2 : 4,
                                                 .exact = getenv("REGARD_TEST_EXACT") != NULL,
                                                 .tune = getenv("REGARD_TEST_TUNE") != NULL},
                         &inner);
        if (error) fail_msg("%s", status_message(error));
        snprintf(all.name[all.count], sizeof all.name[0], "cuda, %s", order);
        all.q[all.count++] = mirror_new(inner, host);
    }
    return all;
}

bool on_cuda(void)
{
    const char *device = getenv("REGARD_TEST_DEVICE");
    return device && !strcmp(device, "cuda");
}

struct queues queues_new(void)
{
    if (on_cuda()) return queues_new_cuda();
    static const char *const sets[] = {"c", "avx2", "avx512"};
    struct queues all = {0};
    for (int i = 0; i < 3; i++)
        for (int threads = 1; threads <= 3; threads++) {
            struct queue *q;
            status error = cpu_queue_create(threads, sets[i], &q);
            if (error) { /* not this machine's */
                status_free(error);
                continue;
            }
            snprintf(all.name[all.count], sizeof all.name[0], "%s, %d threads", sets[i], threads);
            all.q[all.count++] = q;
        }
    assert_true(all.count >= 3);
    return all;
}

/* Fails the test with the queue's error, if it kept one. */
void queue_check(struct queue *q)
{
    status error = q->op->synchronize(q);
    if (error) fail_msg("%s", status_message(error));
}

/* The shim knows what was never released. */
static void device_memory_check(void)
{
    void *module = dlopen(getenv("REGARD_CUDA_MODULE"), RTLD_LAZY | RTLD_NOLOAD);
    void *symbol = module ? dlsym(module, "cuda_host_allocations") : NULL;
    size_t (*allocations)(void);
    if (!symbol) return;
    memcpy(&allocations, &symbol, sizeof allocations);
    if (allocations()) fail_msg("%zu blocks of device memory were not released", allocations());
    dlclose(module);
}

void queues_free(struct queues *all)
{
    for (int i = 0; i < all->count; i++) {
        queue_check(all->q[i]);
        all->q[i]->op->destroy(all->q[i]);
    }
    if (all->cuda) device_memory_check();
}

/* An array of `bytes` with guard bytes on both sides, itself full of NaNs so that what is
 * not written is seen. */
void *guarded_new(size_t bytes)
{
    unsigned char *p = malloc(bytes + 2 * guard_bytes + sizeof(size_t));
    assert_non_null(p);
    memcpy(p, &bytes, sizeof bytes);
    p += sizeof bytes;
    memset(p, guard_value, guard_bytes);
    memset(p + guard_bytes, 0xFF, bytes);
    memset(p + guard_bytes + bytes, guard_value, guard_bytes);
    return p + guard_bytes;
}

float *floats_new(int64_t count)
{
    return guarded_new((size_t)count * sizeof(float));
}

void guarded_check(const void *memory, const char *what)
{
    const unsigned char *p = memory;
    size_t bytes;
    memcpy(&bytes, p - guard_bytes - sizeof bytes, sizeof bytes);
    for (int i = 1; i <= guard_bytes; i++)
        if (p[-i] != guard_value) fail_msg("%s: byte %d before it was written", what, i);
    for (int i = 0; i < guard_bytes; i++)
        if (p[bytes + (size_t)i] != guard_value)
            fail_msg("%s: byte %d after its end was written", what, i);
}

void guarded_free(void *memory, const char *what)
{
    guarded_check(memory, what);
    free((unsigned char *)memory - guard_bytes - sizeof(size_t));
}

/* A number in [0, 1) from a counter: SplitMix64's finalizer. */
double uniform_at(uint64_t seed, uint64_t i)
{
    uint64_t z = seed * 0x9E3779B97F4A7C15u + (i + 1) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* Uniform in [-size, size); numbers that bf16 has where `real` is that. */
void fill_random(float *x, int64_t count, uint64_t seed, double size)
{
    for (int64_t i = 0; i < count; i++) {
        x[i] = (float)((2 * uniform_at(seed, (uint64_t)i) - 1) * size);
        if (!real_is_bf16()) continue;
        const uint32_t bits = (uint32_t)mirror_narrowed(x[i]) << 16;
        memcpy(x + i, &bits, sizeof bits);
    }
}

float *random_new(int64_t count, uint64_t seed, double size)
{
    float *x = floats_new(count);
    fill_random(x, count, seed, size);
    return x;
}

/* |x - want| <= absolute + relative * |want| everywhere; NaN fails.  A bf16 result may be a
 * rounding to 8 bits away from that. */
void check_close(const float *x, const double *want, int64_t count, double absolute,
                 double relative, const char *what)
{
    if (real_is_bf16()) relative += 0x1p-8;
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(x[i] - want[i]) <= absolute + relative * fabs(want[i])))
            fail_msg("%s[%lld] is %.9g, should be %.9g (off by %.3g)", what, (long long)i, x[i],
                     want[i], x[i] - want[i]);
}

void check_bits(const void *x, const void *want, int64_t count, const char *what)
{
    const uint32_t *a = x, *b = want;
    for (int64_t i = 0; i < count; i++)
        if (a[i] != b[i]) {
            float fa, fb;
            memcpy(&fa, a + i, sizeof fa);
            memcpy(&fb, b + i, sizeof fb);
            fail_msg("%s[%lld] is %.9g (%08x), its bits should be those of %.9g (%08x)", what,
                     (long long)i, fa, a[i], fb, b[i]);
        }
}
