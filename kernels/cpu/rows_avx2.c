/* The row functions (rows.h) for avx2. */
#include "kernels/cpu/rows.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#pragma GCC target("avx2")
#define VECTOR_LANES 8
#else
#define VECTOR_LANES 4
#endif
#define ROWS_NAME rows_avx2
#include "kernels/cpu/rows.inl"
