"""The machine's rate of matrix products: what a benchmark prints beside its numbers, taken in the same minute."""

import time

import torch


def matmul_rate(repeats: int = 50, device: str = "cpu") -> float:
    """GFLOP/s of a product of two square matrices in float32, with the threads, or the card, that torch uses now."""
    size = 1024 if device == "cpu" else 8192
    left, right = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    (left @ right)[0, 0].item()
    began = time.perf_counter()
    for _ in range(repeats):
        product = left @ right
    product[0, 0].item()  # a card works on its own: this waits for it
    return repeats * 2 * size**3 / (time.perf_counter() - began) / 1e9
