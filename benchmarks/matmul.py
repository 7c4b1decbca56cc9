"""The machine's rate of matrix products: what a benchmark prints beside its numbers, taken in the same minute."""

import time

import torch


def matmul_rate(repeats: int = 50) -> float:
    """GFLOP/s of a product of two square matrices in float32, with the threads that torch uses now."""
    left, right = torch.randn(1024, 1024), torch.randn(1024, 1024)
    left @ right
    began = time.perf_counter()
    for _ in range(repeats):
        left @ right
    return repeats * 2 * 1024**3 / (time.perf_counter() - began) / 1e9
