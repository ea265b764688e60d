/* Eight neighbours, moved 16 bytes at a time: bf16 in one piece, fp32 in two. */
#pragma once
#include "cuda.cuh"

template <class T> struct __align__(16) octet
{
    T v[8];
};

template <class T> static __device__ inline octet<T> octet_load(const T *p)
{
    return *(const octet<T> *)p;
}

template <class T> static __device__ inline void octet_store(T *p, const octet<T> &x)
{
    *(octet<T> *)p = x;
}

/* Whether rows of so many elements from these pointers on consist of octets. */
template <class... P> static inline bool octets_fit(int64_t columns, const P *...pointers)
{
    return columns % 8 == 0 && (((uintptr_t)pointers % 16 == 0) && ...);
}
