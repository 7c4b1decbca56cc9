"""How a run computes: measured once, kept for as long as the run lasts."""

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from concordant.models import machine
from concordant.models.machine import FILE, Machine, best_threads, keep_memory
from concordant.runs import Run
from concordant.train_config import PreferenceModelConfig

CPU = torch.device("cpu")
FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]
"""Of glibc's struct mallinfo2."""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    best_threads.cache_clear()


def rates(monkeypatch: pytest.MonkeyPatch, by_threads: dict[int, float], bfloat16: float = 0.0) -> None:
    """A machine whose products run at these rates."""

    def rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.0) -> float:
        return bfloat16 if dtype == torch.bfloat16 else by_threads[threads[-1]]

    threads = [1]
    monkeypatch.setattr(machine, "product_rate", rate)
    monkeypatch.setattr(machine, "available_cores", lambda: max(by_threads))
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])


def a_run(folder: Path) -> Run:
    return Run.begin(folder / "run", "pm", {}, {})


@pytest.mark.parametrize(
    ("by_threads", "best"),
    [
        ({1: 70.0, 2: 137.0}, 2),
        ({1: 70.0, 2: 73.0}, 1),  # 4 % is not worth a core
        ({1: 70.0, 2: 120.0, 4: 118.0, 6: 30.0}, 2),  # a container that sees six cores and owns two
        ({1: 70.0}, 1),
    ],
)
def test_as_many_threads_as_gain(by_threads: dict[int, float], best: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rates(monkeypatch, by_threads)
    assert best_threads() == best
    assert torch.get_num_threads() == 1  # measuring changes nothing


def test_threads_that_the_environment_sets_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rates(monkeypatch, {1: 70.0, 2: 137.0})
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert best_threads() == 1


@pytest.mark.parametrize(("rate", "taken"), [(150.0, "bfloat16"), (149.0, "float32"), (0.3, "float32")])
def test_bfloat16_is_taken_where_it_is_half_as_fast_again(
    rate: float, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates(monkeypatch, {1: 100.0}, bfloat16=rate)
    assert Machine.measured(CPU, "auto").dtype == taken


def test_a_run_goes_on_as_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = a_run(tmp_path)
    rates(monkeypatch, {1: 70.0, 2: 137.0}, bfloat16=500.0)
    began = Machine.of_run(run, CPU, "auto")
    assert (began.threads, began.dtype, began.gflops) == (2, "bfloat16", {"float32": 137.0, "bfloat16": 500.0})
    best_threads.cache_clear()
    rates(monkeypatch, {1: 70.0, 2: 60.0}, bfloat16=1.0)  # another hour, busier
    assert Machine.of_run(run, CPU, "auto") == began
    # What is asked for by name is not what was measured.
    assert Machine.of_run(run, CPU, "float32").dtype == "float32"
    # On another kind of device nothing of it holds.
    (run.path / FILE).write_text('{"device": "cuda", "threads": 9, "dtype": "bfloat16", "gflops": {}}')
    assert Machine.of_run(run, CPU, "auto").threads == 1


def test_products_in_bfloat16_and_nothing_else() -> None:
    left, right = torch.randn(8, 8, requires_grad=True), torch.randn(8, 8, requires_grad=True)
    with Machine("cpu", 1, "bfloat16", {}).products():
        product = left @ right
    assert product.dtype == torch.bfloat16
    product.float().sum().backward()  # type: ignore[no-untyped-call]
    assert left.grad is not None and left.grad.dtype == torch.float32
    with Machine("cpu", 1, "float32", {}).products():
        assert torch.equal(left @ right, torch.matmul(left, right))


def test_a_real_machine_is_measured() -> None:
    found = Machine.measured(CPU, "auto")
    assert 1 <= found.threads <= machine.available_cores()
    assert found.gflops["float32"] > 1.0


def test_the_default_is_to_measure() -> None:
    assert PreferenceModelConfig().dtype == "auto"


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="not glibc")
def test_memory_is_kept_for_the_next_tensor() -> None:
    """A block that was mapped by itself would be counted as such (hblks) and given back when it is freed."""

    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]

    keep_memory()
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Info
    before = mallinfo()
    held = torch.ones(2**24)  # 64 MiB
    during = mallinfo()
    assert during.hblkhd == before.hblkhd
    size = during.arena
    del held
    assert mallinfo().arena == size
