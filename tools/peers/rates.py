"""The copy bandwidth and the bf16 matrix rate that PyTorch reaches on random data, as
`regard bench` measures its own."""
import torch

import common

args = common.arguments()
shape, device = common.SHAPES[args.shape], args.device
n = shape["product"]
a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
b = torch.randn(n, n, device=device, dtype=torch.bfloat16)
out = torch.empty(n, n, device=device, dtype=torch.bfloat16)


def ten(call):
    def repeat():
        for _ in range(10):
            call()
    return repeat


product = common.seconds_of(ten(lambda: torch.matmul(a, b.t(), out=out)), 5, device) / 10
source = torch.empty(shape["copy_bytes"], device=device, dtype=torch.uint8).zero_()
target = torch.empty_like(source)
copy = common.seconds_of(ten(lambda: target.copy_(source)), 5, device) / 10
common.report(peer="rates", matmul_gflops=2 * n**3 / product * 1e-9,
              matmul_shape=f"m {n}, n {n}, k {n}, bf16",
              copy_gb_s=2 * shape["copy_bytes"] / copy * 1e-9)
