/* Sums and maxima over a warp and over a block of whole warps (blockDim.x % 32 == 0), in one
 * fixed order. */
#pragma once
#include "gpu.cuh"

template <class T> static __device__ inline T warp_sum(T x)
{
    for (int bits = 16; bits > 0; bits /= 2) x += __shfl_xor_sync(0xffffffffu, x, bits);
    return x;
}

static __device__ inline float warp_max(float x)
{
    for (int bits = 16; bits > 0; bits /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, bits));
    return x;
}

/* Every thread gets the same bits: each warp adds the same partial sums in the same order. */
template <class T> static __device__ inline T block_sum(T x)
{
    __shared__ T partial[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    x = warp_sum(x);
    if (lane == 0) partial[warp] = x;
    __syncthreads();
    x = warp_sum(lane < (int)blockDim.x / 32 ? partial[lane] : T(0));
    __syncthreads(); /* partial is free again */
    return x;
}

static __device__ inline float block_max(float x)
{
    __shared__ float partial[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    x = warp_max(x);
    if (lane == 0) partial[warp] = x;
    __syncthreads();
    x = warp_max(lane < (int)blockDim.x / 32 ? partial[lane] : -INFINITY);
    __syncthreads(); /* partial is free again */
    return x;
}
