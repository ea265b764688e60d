/* What the module calls of NVTX.  Both give the depth of the range, from 0; less than 0: an error.
 */
#pragma once

int nvtxRangePushA(const char *name);
int nvtxRangePop();
