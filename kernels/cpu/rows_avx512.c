/* The row functions (rows.h) for avx512. */
#include "kernels/cpu/rows.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw")
#define VECTOR_LANES 16
#else
#define VECTOR_LANES 4
#endif
#define ROWS_NAME rows_avx512
#include "kernels/cpu/rows.inl"
