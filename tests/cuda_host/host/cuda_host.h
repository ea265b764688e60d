/* CUDA on the CPU, as a test aid: with this header the kernels of kernels/cuda compile with
 * plain g++ (C++17, no CUDA toolkit) and run with CUDA's block semantics. It is for finding
 * mistakes, not for speed. cuda_host.cc owns the blocks, the device memory and the streams;
 * cuda_check.cc adds access checks to code compiled with -fsanitize=thread.
 *
 * A fault (divergent barrier, absent lane, damaged guard bytes, host pointer, ...) prints one
 * line, stops the kernel and makes every later CUDA call return cudaErrorLaunchFailure until
 * cuda_host_faults_clear().
 *
 * Environment: CUDA_HOST_ORDER = forward | backward | <seed>   order of threads and blocks, of
 *                                                              streams created from now on
 *              CUDA_HOST_STREAMS = eager | lazy                lazy: work runs when waited for
 *              CUDA_HOST_PROTECT = 1                           host code that touches device
 *                                                              memory ends there
 *              CUDA_HOST_MEMORY = bytes                        of the device
 *              CUDA_HOST_SHARED = bytes                        that a block can have
 *              CUDA_HOST_LAUNCHES = file                       gets kernels' names and launches */
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
/* One section holds all shared variables, so that a fresh block finds NaN in every one of them.
 * g++ wants every function that declares one to be static (internal linkage). */
#define __shared__ static __attribute__((section("device_shared")))
#define CUDA_HOST_UNCHECKED                                                                        \
    __attribute__((no_sanitize("thread"))) /* runtime code, not kernel code */
#define CUDA_HOST_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* vectors */
#define CUDA_HOST_VECTOR(type, name)                                                               \
    struct name##2                                                                                 \
    {                                                                                              \
        alignas(2 * sizeof(type)) type x;                                                          \
        type y;                                                                                    \
    };                                                                                             \
    struct alignas(4 * sizeof(type) > 16 ? 16 : 4 * sizeof(type)) name##4                          \
    {                                                                                              \
        type x, y, z, w;                                                                           \
    };                                                                                             \
    static inline name##2 make_##name##2(type x, type y)                                           \
    {                                                                                              \
        return {x, y};                                                                             \
    }                                                                                              \
    static inline name##4 make_##name##4(type x, type y, type z, type w)                           \
    {                                                                                              \
        return {x, y, z, w};                                                                       \
    }
CUDA_HOST_VECTOR(float, float)
CUDA_HOST_VECTOR(int, int)
CUDA_HOST_VECTOR(unsigned, uint)
struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};
extern uint3 threadIdx, blockIdx; /* of the thread that runs now */
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

/* runtime */
typedef enum {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900
} cudaError_t;
typedef enum {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
} cudaMemcpyKind;
typedef enum {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
} cudaStreamCaptureMode;
typedef enum { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 } cudaFuncAttribute;
struct cudaFuncAttributes {
    size_t sharedSizeBytes; /* of the kernel's own variables; here always 0 */
};
typedef enum { cudaDevAttrMaxSharedMemoryPerBlockOptin = 97 } cudaDeviceAttr;
typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;
typedef struct CUgraph_st *cudaGraph_t;
typedef struct CUgraph_st *cudaGraphExec_t;
constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2,
                   cudaEventRecordExternal = 1;

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, const void *kernel);
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaDeviceGetPCIBusId(char *name, int bytes, int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaMallocBytes(void **pointer, size_t bytes);
template <class T> cudaError_t cudaMalloc(T **pointer, size_t bytes)
{
    return cudaMallocBytes(reinterpret_cast<void **>(pointer), bytes);
}
cudaError_t cudaFree(void *pointer);
template <class T> cudaError_t cudaMallocAsync(T **pointer, size_t bytes, cudaStream_t)
{
    return cudaMalloc(pointer, bytes);
}
cudaError_t cudaFreeAsync(void *pointer, cudaStream_t stream);
cudaError_t cudaMallocHostBytes(void **pointer, size_t bytes);
template <class T> cudaError_t cudaMallocHost(T **pointer, size_t bytes)
{
    return cudaMallocHostBytes(reinterpret_cast<void **>(pointer), bytes);
}
cudaError_t cudaFreeHost(void *pointer);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemset(void *to, int value, size_t bytes);
cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t stop);

/* what tests ask, through dlsym as well */
#pragma GCC visibility push(default)
extern "C" {
void cuda_host_order(const char *order); /* of the default stream */
int cuda_host_faults(void);              /* faults so far; looks at every guard byte first */
const char *cuda_host_fault_message(void);
void cuda_host_faults_clear(void);
bool cuda_host_is_device(const void *pointer, size_t bytes); /* inside one live allocation */
size_t cuda_host_allocations(void);                          /* live ones: 0 at the end of a test */
}
#pragma GCC visibility pop

/* launch */
namespace cuda_host
{
struct call { /* a kernel and its arguments, kept by value as a launch keeps them */
    const char *name, *file;
    int line;
    dim3 grid, block;
    size_t shared, bytes; /* bytes: of the whole object, which the kernel may read */
    const void *address;  /* of the kernel */
    virtual void run() const = 0;
    virtual bool pointers_are_device() const = 0;
    virtual ~call() = default;
};
cudaError_t launch(call *owned, cudaStream_t stream);
bool check_argument(const call &of, int index, const void *pointer);
template <class T> bool check_argument(const call &, int, const T &)
{
    return true;
}
template <class T> bool check_argument(const call &of, int index, T *const &pointer)
{
    return check_argument(of, index, static_cast<const void *>(pointer));
}
template <class... P> struct kernel_call final : call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
    kernel_call(void (*k)(P...), P... a) : kernel(k), arguments(a...)
    {
    }
    template <size_t... I> CUDA_HOST_UNCHECKED void apply(std::index_sequence<I...>) const
    {
        kernel(reinterpret_cast<const std::tuple_element_t<I, std::tuple<P...>> &>(
            std::get<I>(arguments))...);
    }
    CUDA_HOST_UNCHECKED void run() const override
    {
        apply(std::index_sequence_for<P...>());
    }
    template <size_t... I> bool check(std::index_sequence<I...>) const
    {
        return (check_argument(*this, int(I), std::get<I>(arguments)) && ...);
    }
    bool pointers_are_device() const override
    {
        return check(std::index_sequence_for<P...>());
    }
};

/* threads of a block */
void *dynamic_shared();
void barrier(const char *file, int line);
/* All lanes of `mask` meet at one operation; the last to come runs combine over their arguments
 * (null for lanes outside the mask). `name` tells operations apart. */
using combine_fn = void (*)(void *const lane[32], unsigned mask);
void warp_meet(unsigned mask, const char *name, combine_fn combine, void *argument,
               const char *file, int line);
unsigned lane(); /* of the thread that runs now */
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
void atomic_access(void *address, size_t bytes);
void fence();
void copy_later(void *to, const void *from,
                size_t bytes); /* cp.async: nothing is there before the wait */
void copy_commit();
void copy_wait(unsigned groups_left);

template <class T> struct exchange {
    T value;
    int source;
};
template <class T> CUDA_HOST_UNCHECKED void combine_shuffle(void *const lanes[32], unsigned mask)
{
    T value[32];
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) value[i] = static_cast<exchange<T> *>(lanes[i])->value;
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        auto *e = static_cast<exchange<T> *>(lanes[i]);
        if (!(mask >> e->source & 1))
            fault("lane %d shuffles from lane %d, which is not in mask %08x", i, e->source, mask);
        e->value = value[e->source];
    }
}
template <class T> T shuffle(unsigned mask, T value, int source, const char *file, int line)
{
    exchange<T> e = {value, source};
    warp_meet(mask, "__shfl", combine_shuffle<T>, &e, file, line);
    return e.value;
}
template <class T, class F>
CUDA_HOST_UNCHECKED void combine_reduce(void *const lanes[32], unsigned mask)
{
    T total{};
    bool first = true;
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        T value = *static_cast<T *>(lanes[i]);
        total = first ? value : F()(total, value);
        first = false;
    }
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) *static_cast<T *>(lanes[i]) = total;
}
template <class F, class T>
T reduce(unsigned mask, T value, const char *name, const char *file, int line)
{
    warp_meet(mask, name, combine_reduce<T, F>, &value, file, line);
    return value;
}
struct lesser {
    template <class T> T operator()(T a, T b) const
    {
        return b < a ? b : a;
    }
};
struct greater {
    template <class T> T operator()(T a, T b) const
    {
        return a < b ? b : a;
    }
};
} /* namespace cuda_host */

static inline void __syncthreads(CUDA_HOST_SITE)
{
    cuda_host::barrier(file, line);
}
void __syncwarp(unsigned mask = 0xffffffffu, CUDA_HOST_SITE);
static inline void __threadfence()
{
    cuda_host::fence();
}
static inline void __threadfence_block()
{
}

template <class T> T __shfl_sync(unsigned mask, T v, int source, int width = 32, CUDA_HOST_SITE)
{
    int me = int(cuda_host::lane());
    return cuda_host::shuffle(mask, v, (me & -width) | (source & (width - 1)), file, line);
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32, CUDA_HOST_SITE)
{
    int me = int(cuda_host::lane()), from = me ^ bits;
    return cuda_host::shuffle(mask, v, from < (me & -width) + width ? from : me, file, line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32, CUDA_HOST_SITE)
{
    int me = int(cuda_host::lane()), from = me + int(by);
    return cuda_host::shuffle(mask, v, from < (me & -width) + width ? from : me, file, line);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32, CUDA_HOST_SITE)
{
    int me = int(cuda_host::lane()), from = me - int(by);
    return cuda_host::shuffle(mask, v, from >= (me & -width) ? from : me, file, line);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, CUDA_HOST_SITE)
{
    return cuda_host::reduce<std::bit_or<>>(mask, predicate ? 1u << cuda_host::lane() : 0u,
                                            "__ballot_sync", file, line);
}
static inline int __any_sync(unsigned mask, int predicate, CUDA_HOST_SITE)
{
    return cuda_host::reduce<std::bit_or<>>(mask, int(predicate != 0), "__any_sync", file, line);
}
static inline int __all_sync(unsigned mask, int predicate, CUDA_HOST_SITE)
{
    return cuda_host::reduce<std::bit_and<>>(mask, int(predicate != 0), "__all_sync", file, line);
}
#define CUDA_HOST_REDUCE(name, function)                                                           \
    template <class T> T name(unsigned mask, T value, CUDA_HOST_SITE)                              \
    {                                                                                              \
        static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned>,                       \
                      #name ": int or unsigned");                                                  \
        return cuda_host::reduce<function>(mask, value, #name, file, line);                        \
    }
CUDA_HOST_REDUCE(__reduce_add_sync, std::plus<>)
CUDA_HOST_REDUCE(__reduce_min_sync, cuda_host::lesser)
CUDA_HOST_REDUCE(__reduce_max_sync, cuda_host::greater)
CUDA_HOST_REDUCE(__reduce_or_sync, std::bit_or<>)
CUDA_HOST_REDUCE(__reduce_and_sync, std::bit_and<>)

/* atomics: blocks run one after another, so a plain update is atomic */
#define CUDA_HOST_ATOMIC(name, expression)                                                         \
    template <class T> CUDA_HOST_UNCHECKED T name(T *address, std::common_type_t<T> value)         \
    {                                                                                              \
        cuda_host::atomic_access(address, sizeof(T));                                              \
        T old = *address;                                                                          \
        *address = (expression);                                                                   \
        return old;                                                                                \
    }
CUDA_HOST_ATOMIC(atomicAdd, T(old + value))
CUDA_HOST_ATOMIC(atomicSub, T(old - value))
CUDA_HOST_ATOMIC(atomicMax, old < value ? value : old)
CUDA_HOST_ATOMIC(atomicMin, value < old ? value : old)
CUDA_HOST_ATOMIC(atomicOr, old | value)
CUDA_HOST_ATOMIC(atomicAnd, old &value)
CUDA_HOST_ATOMIC(atomicExch, value)
CUDA_HOST_ATOMIC(atomicInc, old >= value ? T(0) : T(old + 1))
template <class T>
CUDA_HOST_UNCHECKED T atomicCAS(T *address, std::common_type_t<T> compare,
                                std::common_type_t<T> value)
{
    cuda_host::atomic_access(address, sizeof(T));
    T old = *address;
    if (old == compare) *address = value;
    return old;
}

/* loads, bits, arithmetic */
template <class T> T __ldg(const T *p)
{
    return *p;
}
template <class T> T __ldcs(const T *p)
{
    return *p;
}
template <class T> void __stcs(T *p, T v)
{
    *p = v;
}
template <class To, class From> To cuda_host_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline unsigned __float_as_uint(float x)
{
    return cuda_host_bits<unsigned>(x);
}
static inline float __uint_as_float(unsigned x)
{
    return cuda_host_bits<float>(x);
}
static inline int __float_as_int(float x)
{
    return cuda_host_bits<int>(x);
}
static inline float __int_as_float(int x)
{
    return cuda_host_bits<float>(x);
}
static inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}
static inline int __clz(int x)
{
    return x ? __builtin_clz(unsigned(x)) : 32;
}
static inline int __ffs(int x)
{
    return __builtin_ffs(x);
}
static inline unsigned __umulhi(unsigned a, unsigned b)
{
    return unsigned(uint64_t(a) * b >> 32);
}
#define __expf expf /* macros: glibc declares functions of these names */
#define __logf logf
static inline float __fdividef(float a, float b)
{
    return a / b;
}
static inline float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fmul_rn(float a, float b)
{
    return a * b;
} /* compile with -ffp-contract=off */
static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}
static inline float __fsqrt_rn(float x)
{
    return sqrtf(x);
}
static inline float __frcp_rn(float x)
{
    return 1.0f / x;
}
static inline float __saturatef(float x)
{
    return x > 0.0f ? fminf(x, 1.0f) : 0.0f;
}
using std::isfinite, std::isinf, std::isnan; /* CUDA has them as global functions */
template <class A, class B> std::common_type_t<A, B> min(A a, B b)
{
    return b < a ? b : a;
}
template <class A, class B> std::common_type_t<A, B> max(A a, B b)
{
    return a < b ? b : a;
}

/* bfloat16 */
struct __nv_bfloat16 {
    uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
static inline __nv_bfloat16 __float2bfloat16(float x)
{ /* to nearest, ties to even; NaN is 0x7fff */
    unsigned u = __float_as_uint(x);
    return {uint16_t(x != x ? 0x7fffu : (u + 0x7fffu + (u >> 16 & 1)) >> 16)};
}
static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    return __float2bfloat16(x);
}
static inline float __bfloat162float(__nv_bfloat16 x)
{
    return __uint_as_float(unsigned(x.bits) << 16);
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short x)
{
    return {x};
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return {__float2bfloat16(x), __float2bfloat16(y)};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 v)
{
    return {__bfloat162float(v.x), __bfloat162float(v.y)};
}
static inline float __low2float(__nv_bfloat162 v)
{
    return __bfloat162float(v.x);
}
static inline float __high2float(__nv_bfloat162 v)
{
    return __bfloat162float(v.y);
}
