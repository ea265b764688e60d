/* The row functions (rows.h) for every processor. */
#include "kernels/cpu/rows.h"

#define VECTOR_LANES 4
#define ROWS_NAME rows_c
#include "kernels/cpu/rows.inl"
