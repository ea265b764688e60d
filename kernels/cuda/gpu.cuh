/* What a kernel file includes instead of CUDA's headers. It compiles under nvcc (real CUDA) and
 * under plain g++ (tests/cuda_host, tests without a GPU). Where the two differ - launches,
 * dynamic shared memory, PTX - the difference is here and nowhere else. */
#pragma once
#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#else
#include "cuda_host.h"
#endif
#include <stdint.h>

/* Where a shim looks at every access it must know each block's own bounds: no arena there. */
#ifdef __SANITIZE_THREAD__
static constexpr bool memory_is_checked = true;
#else
static constexpr bool memory_is_checked = false;
#endif

/* kernel_launch(kernel, {grid, block, shared bytes, stream}, arguments...) returns cudaError_t.
 * Grid and block are whole numbers or dim3; a negative or zero one is refused by the launch. */
static inline dim3 launch_extent(dim3 extent)
{
    return extent;
}
static inline dim3 launch_extent(int64_t x)
{
    return dim3(x > 0 && x <= 0x7fffffff ? (unsigned)x : 0u);
}
struct launch_shape {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
#ifdef __CUDACC__
    template <class G, class B>
    launch_shape(G g, B b, size_t bytes, cudaStream_t s)
        : grid(launch_extent(g)), block(launch_extent(b)), shared(bytes), stream(s)
    {
    }
#else
    const char *file;
    int line;
    template <class G, class B>
    launch_shape(G g, B b, size_t bytes, cudaStream_t s, const char *f = __builtin_FILE(),
                 int l = __builtin_LINE())
        : grid(launch_extent(g)), block(launch_extent(b)), shared(bytes), stream(s), file(f),
          line(l)
    {
    }
#endif
};

#ifdef __CUDACC__

/* Before a loop whose arrays must become registers. */
#define GPU_UNROLL _Pragma("unroll")

template <class... P, class... A>
static inline cudaError_t kernel_launch(void (*kernel)(P...), const launch_shape &shape,
                                        A... arguments)
{
    cudaLaunchConfig_t config = {};
    config.gridDim = shape.grid;
    config.blockDim = shape.block;
    config.dynamicSmemBytes = shape.shared;
    config.stream = shape.stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
}

template <class T> static __device__ inline T *dynamic_shared()
{
    extern __shared__ __align__(16) unsigned char dynamic_shared_bytes[];
    return reinterpret_cast<T *>(dynamic_shared_bytes);
}

#else

#define GPU_UNROLL

template <class... P, class... A>
cudaError_t kernel_launch_named(const char *name, void (*kernel)(P...), const launch_shape &shape,
                                A... arguments)
{
    auto *call = new cuda_host::kernel_call<P...>(kernel, static_cast<P>(arguments)...);
    call->name = name, call->file = shape.file, call->line = shape.line, call->bytes = sizeof *call;
    call->address = reinterpret_cast<const void *>(kernel);
    call->grid = shape.grid, call->block = shape.block, call->shared = shape.shared;
    return cuda_host::launch(call, shape.stream);
}
#define kernel_launch(kernel, ...) kernel_launch_named(#kernel, kernel, __VA_ARGS__)

template <class T> static inline T *dynamic_shared()
{
    return static_cast<T *>(cuda_host::dynamic_shared());
}

#endif

/* Dynamic shared memory that every kernel may have without having been allowed more. */
constexpr size_t kernel_shared_default = 48 * 1024;

/* Lets a kernel have all the dynamic shared memory that a block of this device can have beside the
 * kernel's own variables: once a kernel, before its first launch with more than the default.
 * block_shared: cudaDevAttrMaxSharedMemoryPerBlockOptin. */
static inline cudaError_t kernel_allow_shared(const void *kernel, int block_shared)
{
    cudaFuncAttributes attributes;
    const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
    if (error != cudaSuccess) return error;
    return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                block_shared - int(attributes.sharedSizeBytes));
}

template <class... P> static inline const void *kernel_address(void (*kernel)(P...))
{
    return reinterpret_cast<const void *>(kernel);
}

/* cp.async: 16 bytes from global to shared memory, behind the thread's back. */
static __device__ inline void copy_async_16(void *shared, const void *global)
{
#ifdef __CUDACC__
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
#else
    cuda_host::copy_later(shared, global, 16);
#endif
}

/* The same where `present`, else 16 zero bytes; nothing is read then. */
static __device__ inline void copy_async_16_or_zero(void *shared, const void *global, bool present)
{
#ifdef __CUDACC__
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared)), bytes = present ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(bytes)
                 : "memory");
#else
    if (present)
        cuda_host::copy_later(shared, global, 16);
    else
        *static_cast<uint4 *>(shared) = make_uint4(0, 0, 0, 0);
#endif
}

/* As copy_async_16, of 4 bytes. */
static __device__ inline void copy_async_4(void *shared, const void *global)
{
#ifdef __CUDACC__
    unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
#else
    cuda_host::copy_later(shared, global, 4);
#endif
}

static __device__ inline void copy_async_commit()
{
#ifdef __CUDACC__
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    cuda_host::copy_commit();
#endif
}

/* Returns when at most `groups_left` committed groups of this thread are still under way. */
template <int groups_left> static __device__ inline void copy_async_wait()
{
#ifdef __CUDACC__
    asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
#else
    cuda_host::copy_wait(groups_left);
#endif
}

/* mma: d += a b for one warp, a [16,16] and b [16,8] bf16, d [16,8] fp32
 * Fragments as in the PTX manual, mma.m16n8k16: with g = lane / 4 and t = lane % 4,
 *   a[0] = A[g][2t..], a[1] = A[g+8][2t..], a[2] = A[g][2t+8..], a[3] = A[g+8][2t+8..]
 *   b[0] = B[2t..][g], b[1] = B[2t+8..][g]      (two bf16 a register, the lower index low)
 *   d[0], d[1] = D[g][2t..], d[2], d[3] = D[g+8][2t..] */
#ifndef __CUDACC__
struct mma_fragments {
    float *d;
    const uint32_t *a, *b;
};
CUDA_HOST_UNCHECKED static inline void mma_reference(void *const lanes[32], unsigned)
{
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const auto *f = static_cast<const mma_fragments *>(lanes[lane]);
        for (int r = 0; r < 4; r++)
            for (int half = 0; half < 2; half++) {
                int column = lane % 4 * 2 + half;
                a[lane / 4 + r % 2 * 8][column + r / 2 * 8] =
                    __uint_as_float(f->a[r] >> 16 * half << 16);
                if (r < 2)
                    b[column + r * 8][lane / 4] = __uint_as_float(f->b[r] >> 16 * half << 16);
            }
    }
    for (int lane = 0; lane < 32; lane++) {
        const auto *f = static_cast<const mma_fragments *>(lanes[lane]);
        for (int r = 0; r < 4; r++) {
            float sum = f->d[r];
            for (int k = 0; k < 16; k++)
                sum += a[lane / 4 + r / 2 * 8][k] * b[k][lane % 4 * 2 + r % 2];
            f->d[r] = sum;
        }
    }
}
#endif

static __device__ inline void mma_m16n8k16(float d[4], const uint32_t a[4], const uint32_t b[2])
{
#ifdef __CUDACC__
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    mma_fragments fragments = {d, a, b};
    cuda_host::warp_meet(0xffffffffu, "mma", mma_reference, &fragments, __builtin_FILE(),
                         __builtin_LINE());
#endif
}

/* ldmatrix: four 8 x 8 matrices of bf16 for one warp.  Lane 8 i + r gives the address of row r (16
 * bytes, aligned) of matrix i in shared memory and gets, with g = lane / 4 and t = lane % 4,
 *   to[i] = matrix i [g][2t..], or [2t..][g] when transposed (the lower index low) */
#ifndef __CUDACC__
struct matrix_rows {
    uint16_t row[8];
    uint32_t *to;
};
template <bool transposed>
CUDA_HOST_UNCHECKED static inline void ldmatrix_reference(void *const lanes[32], unsigned)
{
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            uint32_t two = 0;
            for (int half = 0; half < 2; half++) {
                const int g = lane / 4, u = lane % 4 * 2 + half;
                const auto *from =
                    static_cast<const matrix_rows *>(lanes[8 * i + (transposed ? u : g)]);
                two |= (uint32_t)from->row[transposed ? g : u] << 16 * half;
            }
            static_cast<matrix_rows *>(lanes[lane])->to[i] = two;
        }
}
#endif

template <bool transposed>
static __device__ inline void ldmatrix_x4(uint32_t to[4], const __nv_bfloat16 *row)
{
#ifdef __CUDACC__
    unsigned from = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if (transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(from)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "r"(from)
                     : "memory");
#else
    const uint4 four = *reinterpret_cast<const uint4 *>(row); /* the access that is checked */
    matrix_rows rows = {{}, to};
    memcpy(rows.row, &four, sizeof four);
    cuda_host::warp_meet(0xffffffffu, "ldmatrix", ldmatrix_reference<transposed>, &rows,
                         __builtin_FILE(), __builtin_LINE());
#endif
}

/* 2^x by the special function unit: relative error below 2^-22, results below 2^-126 become 0.
 * 2^-inf is 0 and NaN stays. */
static __device__ inline float exp2_approximate(float x)
{
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return exp2f(x);
#endif
}
