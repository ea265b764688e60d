/* The shim itself: what CUDA's primitives must give, and that each kind of mistake is reported. */
#include "kernels/cuda/gpu.cuh"

#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" {
#include <cmocka.h>
}

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s: ", #condition);                                                       \
            fail_msg(__VA_ARGS__);                                                                 \
        }                                                                                          \
    } while (0)
#define CALL(expression)                                                                           \
    do {                                                                                           \
        int error_ = (expression);                                                                 \
        EXPECT(error_ == 0, "%s", cudaGetErrorString((cudaError_t)error_));                        \
    } while (0)

/* Device memory with its host copy. */
template <class T> struct array {
    std::vector<T> host;
    T *device = nullptr;
    explicit array(size_t n) : host(n)
    {
        CALL(cudaMalloc(&device, n * sizeof(T)));
    }
    explicit array(const std::vector<T> &v) : host(v)
    {
        CALL(cudaMalloc(&device, host.size() * sizeof(T)));
        CALL(cudaMemcpy(device, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
    }
    array(const array &) = delete;
    ~array()
    {
        (void)cudaFree(device);
    }
    const std::vector<T> &get()
    {
        CALL(cudaMemcpy(host.data(), device, host.size() * sizeof(T), cudaMemcpyDeviceToHost));
        return host;
    }
};

static __global__ void lanes_kernel(int *out)
{ /* out [12, 64] */
    int t = threadIdx.x, lane = t % 32;
    unsigned all = 0xffffffffu;
    out[t] = __shfl_sync(all, t, 5);
    out[64 + t] = __shfl_xor_sync(all, t, 3);
    out[128 + t] = __shfl_down_sync(all, t, 4);
    out[192 + t] = __shfl_up_sync(all, t, 4);
    out[256 + t] = __shfl_down_sync(all, t, 4, 8);
    out[320 + t] = (int)__ballot_sync(all, lane % 3 == 0);
    out[384 + t] = __any_sync(all, t == 40);
    out[448 + t] = __all_sync(all, t != 40);
    out[512 + t] = __reduce_add_sync(all, t);
    out[576 + t] = __reduce_max_sync(all, t);
    if (lane < 16) /* two parts of a warp, each on its own */
        out[640 + t] = __reduce_add_sync(0xffffu, 1);
    else
        out[640 + t] = __reduce_add_sync(0xffff0000u, 2);
    out[704 + t] = __shfl_sync(all, t, lane / 8, 8);
}
static void warp_operations_move_the_values_they_should(void **)
{
    array<int> out(12 * 64);
    CALL(kernel_launch(lanes_kernel, {1, 64, 0, nullptr}, out.device));
    out.get();
    for (int t = 0; t < 64; t++) {
        int l = t % 32, w = t - l, ballot = 0;
        for (int i = 0; i < 32; i += 3) ballot |= 1 << i;
        int want[12] = {w + 5,
                        t ^ 3,
                        l + 4 < 32 ? t + 4 : t,
                        l >= 4 ? t - 4 : t,
                        l % 8 < 4 ? t + 4 : t,
                        ballot,
                        w == 32,
                        w == 0,
                        w * 32 + 496,
                        w + 31,
                        l < 16 ? 16 : 32,
                        t / 8 * 8 + l / 8};
        for (int i = 0; i < 12; i++)
            EXPECT(out.host[size_t(i * 64 + t)] == want[i], "row %d thread %d: %d, not %d", i, t,
                   out.host[size_t(i * 64 + t)], want[i]);
    }
}

static __global__ void atomics_kernel(float *f, int *i, unsigned *u, unsigned long long *cas)
{
    atomicAdd(f, 0.5f);
    atomicAdd(&i[0], 2);
    atomicMax(&i[1], (int)threadIdx.x);
    atomicMin(&i[2], (int)threadIdx.x);
    atomicInc(u, 9);
    for (unsigned long long seen = 1, old = 0;
         old != seen;) { /* doubles once a thread of the first 8 */
        if (threadIdx.x >= 8) break;
        seen = old ? old : 1;
        old = atomicCAS(cas, seen, seen * 2);
    }
}
static void atomics_count(void **)
{
    array<float> f(std::vector<float>{1});
    array<int> i(std::vector<int>{0, 0, 99});
    array<unsigned> u(std::vector<unsigned>{0});
    array<unsigned long long> c(std::vector<unsigned long long>{1});
    CALL(
        kernel_launch(atomics_kernel, {2, 32, 0, nullptr}, f.device, i.device, u.device, c.device));
    EXPECT(f.get()[0] == 33.0f, "%g", f.host[0]);
    EXPECT(i.get()[0] == 128 && i.host[1] == 31 && i.host[2] == 0, "%d %d %d", i.host[0], i.host[1],
           i.host[2]);
    EXPECT(u.get()[0] == 4, "%u", u.host[0]);
    EXPECT(c.get()[0] == 1 << 16, "%llu", c.host[0]);
}

static void bfloat16_rounds_to_nearest_even(void **)
{
    const float in[] = {1.0f, 1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f, 1e-40f, 0.0f};
    const uint16_t want[] = {0x3f80, 0x3f80, 0x3f82, 0xbf80, 0x7f80, 0x0001, 0};
    for (size_t i = 0; i < 7; i++)
        EXPECT(__float2bfloat16(in[i]).bits == want[i], "%g gives %04x", in[i],
               __float2bfloat16(in[i]).bits);
    EXPECT(__float2bfloat16(NAN).bits == 0x7fff, "NaN gives %04x", __float2bfloat16(NAN).bits);
}

static __global__ void add_kernel(int *x, int by, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] += by;
}
static void a_graph_replays_what_was_captured(void **)
{
    cudaStream_t s, other;
    cudaEvent_t fork, join;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    CALL(cudaStreamCreate(&s));
    CALL(cudaStreamCreate(&other));
    CALL(cudaEventCreate(&fork));
    CALL(cudaEventCreate(&join));
    int n = 100;
    array<int> x{size_t(n)}, y{size_t(n)};
    CALL(cudaMemsetAsync(x.device, 0, 400, s));
    CALL(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    CALL(cudaEventRecord(fork, s));
    CALL(cudaStreamWaitEvent(other, fork, 0));
    CALL(kernel_launch(add_kernel, {4, 32, 0, other}, x.device, 3, n));
    CALL(cudaEventRecord(join, other));
    CALL(cudaStreamWaitEvent(s, join, 0));
    CALL(cudaMemcpyAsync(y.device, x.device, 400, cudaMemcpyDeviceToDevice, s));
    CALL(cudaStreamEndCapture(s, &graph));
    CALL(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 5; i++) CALL(cudaGraphLaunch(exec, s));
    CALL(cudaEventRecord(join, s));
    CALL(cudaEventSynchronize(join));
    EXPECT(y.get()[99] == 15, "%d",
           y.host[99]); /* replayed five times, and not run while captured */
    CALL(cudaGraphExecDestroy(exec));
    CALL(cudaGraphDestroy(graph));
    CALL(cudaEventDestroy(fork));
    CALL(cudaEventDestroy(join));
    CALL(cudaStreamDestroy(s));
    CALL(cudaStreamDestroy(other));
}

static __global__ void late_copy_kernel(float *out, const float *in, int waits)
{
    __shared__ __align__(16) float x[4];
    copy_async_16(x, in);
    copy_async_commit();
    if (waits) copy_async_wait<0>();
    out[0] = x[0];
}
static void an_async_copy_is_there_only_after_its_wait(void **)
{ /* a copy that nobody waited for may not have come; shared memory starts as NaN */
    static int missing;
    array<float> in(std::vector<float>{7, 7, 7, 7}), out(1);
    CALL(kernel_launch(late_copy_kernel, {1, 1, 0, nullptr}, out.device, in.device, 1));
    EXPECT(out.get()[0] == 7, "%g", out.host[0]);
    if (missing++) return; /* once, forward: it comes at the wait */
    int launched = kernel_launch(late_copy_kernel, {1, 1, 0, nullptr}, out.device, in.device, 0),
        error = cudaDeviceSynchronize();
    (void)launched;
#ifdef __SANITIZE_THREAD__
    EXPECT(error != 0 && strstr(cuda_host_fault_message(), "before thread 0 has waited"), "%s",
           cuda_host_fault_message());
    cuda_host_faults_clear();
#else
    EXPECT(error == 0 && out.get()[0] != out.host[0], "%g, not NaN", out.host[0]);
#endif
}

static __global__ void copy_or_zero_kernel(float *out, const float *in)
{
    __shared__ __align__(16) float x[8];
    copy_async_16_or_zero(x, in, true);
    copy_async_16_or_zero(x + 4, in + 4, false); /* past the end: not read */
    copy_async_commit();
    copy_async_wait<0>();
    for (int i = 0; i < 8; i++) out[i] = x[i];
}
static void an_absent_async_copy_is_zeros(void **)
{
    array<float> in(std::vector<float>{1, 2, 3, 4}), out(8);
    CALL(kernel_launch(copy_or_zero_kernel, {1, 1, 0, nullptr}, out.device, in.device));
    out.get();
    for (size_t i = 0; i < 8; i++)
        EXPECT(out.host[i] == (i < 4 ? float(i + 1) : 0), "%g", out.host[i]);
}

static __global__ void small_copy_kernel(float *out, const float *in)
{
    __shared__ float x[32];
    const int t = threadIdx.x;
    copy_async_4(x + 31 - t, in + 1 + t); /* not by 16 bytes */
    copy_async_commit();
    copy_async_wait<0>();
    __syncwarp();
    out[t] = x[t];
}
static void an_async_copy_of_4_bytes_goes_to_any_word(void **)
{
    std::vector<float> numbers(33);
    for (size_t i = 0; i < 33; i++) numbers[i] = float(i);
    array<float> in(numbers), out(32);
    CALL(kernel_launch(small_copy_kernel, {1, 32, 0, nullptr}, out.device, in.device));
    out.get();
    for (size_t i = 0; i < 32; i++) EXPECT(out.host[i] == float(32 - i), "%g", out.host[i]);
}

static __global__ void matrices_kernel(unsigned *out, const uint16_t *in, int transposed)
{ /* four 8 x 8 matrices, rows 24 elements apart */
    __shared__ __align__(16) __nv_bfloat16 x[32 * 24];
    const int lane = threadIdx.x;
    for (int i = 0; i < 8; i++) x[lane * 24 + i] = __ushort_as_bfloat16(in[lane * 8 + i]);
    __syncwarp();
    uint32_t to[4];
    if (transposed)
        ldmatrix_x4<true>(to, x + lane * 24);
    else
        ldmatrix_x4<false>(to, x + lane * 24);
    for (int i = 0; i < 4; i++) out[i * 32 + lane] = to[i];
}
static void ldmatrix_gives_each_lane_its_pair(void **)
{ /* element [row][column] of matrix i is 64 i + 8 row + column */
    std::vector<uint16_t> numbers(256);
    for (size_t i = 0; i < 256; i++) numbers[i] = uint16_t(i);
    array<uint16_t> in(numbers);
    array<unsigned> out(128);
    for (int transposed = 0; transposed < 2; transposed++) {
        CALL(
            kernel_launch(matrices_kernel, {1, 32, 0, nullptr}, out.device, in.device, transposed));
        out.get();
        for (unsigned i = 0; i < 4; i++)
            for (unsigned lane = 0; lane < 32; lane++) {
                const unsigned g = lane / 4, u = lane % 4 * 2, step = transposed ? 8 : 1;
                const unsigned low = 64 * i + (transposed ? 8 * u + g : 8 * g + u);
                EXPECT(out.host[i * 32 + lane] == (low | (low + step) << 16),
                       "matrix %u, lane %u: %x", i, lane, out.host[i * 32 + lane]);
            }
    }
}

static __global__ void exp2_kernel(float *x)
{
    x[threadIdx.x] = exp2_approximate(x[threadIdx.x]);
}
static void exp2_knows_its_corners(void **)
{
    std::vector<float> in(32, 0.0f);
    in[1] = -1, in[2] = 3, in[3] = -INFINITY, in[4] = NAN, in[5] = 0.5f;
    array<float> x(in);
    CALL(kernel_launch(exp2_kernel, {1, 32, 0, nullptr}, x.device));
    x.get();
    EXPECT(x.host[0] == 1 && x.host[1] == 0.5f && x.host[2] == 8 && x.host[3] == 0, "%g %g %g %g",
           x.host[0], x.host[1], x.host[2], x.host[3]);
    EXPECT(x.host[4] != x.host[4] && fabsf(x.host[5] - 1.41421356f) < 1e-6f, "%g %g", x.host[4],
           x.host[5]);
}

static __global__ void swap_kernel(int *out, int syncs)
{ /* lanes trade values through shared memory */
    __shared__ int x[32];
    int t = threadIdx.x;
    x[t] = t;
    if (syncs) __syncwarp();
    out[t] = x[t ^ 1];
    if (syncs) __syncwarp();
    x[t] = -1;
}
static void lanes_that_trade_values_need_a_syncwarp(void **)
{
    array<int> out(32);
    CALL(kernel_launch(swap_kernel, {1, 32, 0, nullptr}, out.device, 1));
    out.get();
    for (int t = 0; t < 32; t++) EXPECT(out.host[size_t(t)] == (t ^ 1), "%d", out.host[size_t(t)]);
    int launched = kernel_launch(swap_kernel, {1, 32, 0, nullptr}, out.device, 0),
        error = cudaDeviceSynchronize();
    (void)launched;
#ifdef __SANITIZE_THREAD__
    EXPECT(error != 0 && (strstr(cuda_host_fault_message(), "race") ||
                          strstr(cuda_host_fault_message(), "nobody")),
           "%d: %s", error, cuda_host_fault_message());
    cuda_host_faults_clear();
#else
    int wrong = 0;
    out.get();
    for (int t = 0; t < 32; t++) wrong += out.host[size_t(t)] != (t ^ 1);
    EXPECT(error == 0 && wrong > 0, "%d wrong", wrong);
#endif
}

static void work_on_a_stream_is_done_when_somebody_waits(void **)
{ /* lazy streams: nothing has happened before somebody waits */
    const char *mode = getenv("CUDA_HOST_STREAMS");
    bool lazy = mode && !strcmp(mode, "lazy");
    cudaStream_t s, other;
    cudaEvent_t event;
    int *host;
    CALL(cudaStreamCreate(&s));
    CALL(cudaStreamCreate(&other));
    CALL(cudaEventCreate(&event));
    CALL(cudaMallocHost(&host, 4));
    array<int> x(std::vector<int>{5});
    CALL(kernel_launch(add_kernel, {1, 32, 0, s}, x.device, 2, 1));
    CALL(cudaEventRecord(event, s));
    CALL(cudaStreamWaitEvent(other, event, 0));
    CALL(cudaMemcpyAsync(host, x.device, 4, cudaMemcpyDeviceToHost, other));
    EXPECT(host[0] == (lazy ? -1 : 7), "%d before the wait", host[0]);
    EXPECT(cudaEventQuery(event) == (lazy ? cudaErrorNotReady : cudaSuccess), "event");
    CALL(cudaStreamSynchronize(other));
    EXPECT(host[0] == 7, "%d after the wait", host[0]);
    CALL(cudaStreamDestroy(s));
    CALL(cudaStreamDestroy(other));
    CALL(cudaEventDestroy(event));
    CALL(cudaFreeHost(host));
}

/* mistakes */
static void expect_fault(const char *text)
{
    EXPECT(cuda_host_faults() == 1 && strstr(cuda_host_fault_message(), text),
           "expected a fault \"%s\", got %d \"%s\"", text, cuda_host_faults(),
           cuda_host_fault_message());
    cuda_host_faults_clear();
}

static __global__ void wrong_kernel(int *x, int kind)
{
    int t = threadIdx.x;
    x[t] = t;
    if (kind == 0 && t < 8) __syncthreads(); /* some wait, the rest end */
    if (kind == 1) {
        if (t < 8)
            __syncthreads();
        else
            __syncthreads();
    } /* two different barriers */
    if (kind == 2 && t < 8)
        x[t] = __shfl_xor_sync(0xffffffffu, t, 1);               /* lanes of the mask are absent */
    if (kind == 3) x[t] = __shfl_xor_sync(0xffffu, t, 1);        /* lanes outside the mask call */
    if (kind == 4 && t < 16) x[t] = __shfl_sync(0xffffu, t, 20); /* reads a lane outside the mask */
    if (kind == 5) {
        if (t < 32)
            __syncthreads();
        else
            __syncwarp();
    } /* one warp ends */
    if (kind == 6) {
        if (t % 32 == 0) return;
        __syncwarp();
    } /* a lane has left */
    if (kind == 7) {
        if (t % 2)
            x[t] = __any_sync(0xffffffffu, 1);
        else
            x[t] = __all_sync(0xffffffffu, 1);
    }
    if (kind == 8) x[64] = 1; /* one past the end */
    if (kind == 9) x[-1] = 1;
}
static void mistakes_in_kernels_are_faults(void **)
{
    bool checked = false;
#ifdef __SANITIZE_THREAD__
    checked = true;
#endif
    const char *text[] = {"part ways",
                          "part ways",
                          "",
                          "not in its own mask",
                          "not in mask",
                          "part ways",
                          "has ended",
                          "meets",
                          checked ? "neither device" : "written outside",
                          checked ? "neither device" : "written outside"};
#ifdef __SANITIZE_ADDRESS__
    const int kinds = 8; /* AddressSanitizer ends the program at the next one */
#else
    const int kinds = 10;
#endif
    for (int kind = 0; kind < kinds; kind++) {
        int *x;
        CALL(cudaMalloc(&x, 64 * sizeof(int)));
        int error = kernel_launch(wrong_kernel, {1, 64, 0, nullptr}, x, kind);
        EXPECT(cudaStreamSynchronize(nullptr) != 0, "kind %d: %d", kind, error);
        expect_fault(text[kind]);
        CALL(cudaFree(x));
    }
}
static void misuse_of_the_runtime_is_a_fault(void **)
{
    int host[4] = {}, *x;
    CALL(cudaMalloc(&x, sizeof host));
    EXPECT(kernel_launch(add_kernel, {1, 32, 0, nullptr}, host, 1, 4) != 0, "host pointer");
    expect_fault("not a device pointer");
    EXPECT(kernel_launch(add_kernel, {1, 32, 0, nullptr}, x + 4, 1, 4) != 0, "past the end");
    expect_fault("not a device pointer");
    EXPECT(kernel_launch(add_kernel, {1, 2048, 0, nullptr}, x, 1, 4) != 0, "block");
    expect_fault("cannot be launched");
    EXPECT(kernel_launch(add_kernel, {0, 32, 0, nullptr}, x, 1, 4) != 0, "grid");
    expect_fault("cannot be launched");
    EXPECT(cudaMemcpy(x, host, sizeof host + 1, cudaMemcpyHostToDevice) != 0, "size");
    expect_fault("past the end");
    EXPECT(cudaMemcpy(host, x, sizeof host, cudaMemcpyHostToDevice) != 0, "direction");
    expect_fault("not device memory");
    cudaStream_t s;
    cudaGraph_t graph;
    CALL(cudaStreamCreate(&s));
    CALL(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
    EXPECT(cudaFree(x) != 0, "capture");
    expect_fault("captured");
    CALL(cudaStreamEndCapture(s, &graph));
    CALL(cudaGraphDestroy(graph));
    CALL(cudaStreamDestroy(s));
    CALL(cudaFree(x));
    EXPECT(cudaFree(x) != 0, "twice");
    expect_fault("freed before");
}

static __global__ void large_kernel(int *x, int value)
{
    if (threadIdx.x == 0) x[0] = value;
}
static void more_shared_memory_than_the_default_must_be_allowed(void **)
{
    const void *kernel = kernel_address(large_kernel);
    int *x, value;
    CALL(cudaMalloc(&x, sizeof value));
    EXPECT(kernel_launch(large_kernel, {1, 32, 100 << 10, nullptr}, x, 1) != 0, "not allowed");
    expect_fault("allowed 49152");
    CALL(kernel_allow_shared(kernel, 227 << 10));
    CALL(kernel_launch(large_kernel, {1, 32, 100 << 10, nullptr}, x, 2));
    CALL(kernel_launch(large_kernel, {1, 32, 227 << 10, nullptr}, x, 3));
    CALL(cudaMemcpy(&value, x, sizeof value, cudaMemcpyDeviceToHost));
    EXPECT(value == 3, "%d", value);
    EXPECT(kernel_allow_shared(kernel, 256 << 10) != 0, "more than there is");
    CALL(kernel_allow_shared(kernel, kernel_shared_default)); /* as the next order finds it */
    CALL(cudaFree(x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warp_operations_move_the_values_they_should),
        cmocka_unit_test(atomics_count),
        cmocka_unit_test(bfloat16_rounds_to_nearest_even),
        cmocka_unit_test(a_graph_replays_what_was_captured),
        cmocka_unit_test(an_async_copy_is_there_only_after_its_wait),
        cmocka_unit_test(an_absent_async_copy_is_zeros),
        cmocka_unit_test(an_async_copy_of_4_bytes_goes_to_any_word),
        cmocka_unit_test(ldmatrix_gives_each_lane_its_pair),
        cmocka_unit_test(exp2_knows_its_corners),
        cmocka_unit_test(lanes_that_trade_values_need_a_syncwarp),
        cmocka_unit_test(work_on_a_stream_is_done_when_somebody_waits),
        cmocka_unit_test(mistakes_in_kernels_are_faults),
        cmocka_unit_test(misuse_of_the_runtime_is_a_fault),
        cmocka_unit_test(more_shared_memory_than_the_default_must_be_allowed),
    };
    int failed = 0;
    for (const char *order : {"forward", "backward", "11", "12"}) {
        cuda_host_order(order);
        failed += cmocka_run_group_tests_name(order, tests, nullptr, nullptr);
    }
    return failed;
}
