/* NCCL, or under g++ its stand-in between processes (tests/cuda_host/host/nccl_host.h). */
#pragma once
#ifdef __CUDACC__
#include <nccl.h>
#else
#include "nccl_host.h"
#endif
