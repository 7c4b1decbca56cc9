"""Pages stay quick beside open streams and active workers, in small; the full size is ``benchmarks/load.py``."""

from pathlib import Path

import pytest

from load_run import Measured, Size, run_load, summary


@pytest.mark.slow
def test_other_pages_stay_quick_beside_streams_and_workers(store_url: str, tmp_path: Path) -> None:
    size = Size(streams=40, workers=8, seconds=4.0, pace=0.01, turns=2)
    measured = run_load(tmp_path / "p", store_url, size)
    assert measured.statuses == {200} and measured.streams_lost == 0
    assert measured.choices >= size.workers, "the workers worked meanwhile"
    assert measured.pieces >= size.streams, "every stream said something"
    # Half under 200 ms on any machine that runs tests; the aim for 95 of 100 is the benchmark's, alone on its machine.
    assert measured.quantile(0.5) < 200 and measured.quantile(0.95) < 2000, summary(measured, size)["milliseconds"]
    assert measured.growth("pages") < 8, "MB, of a process that has hardly begun"


def test_quantiles_and_growth_are_what_they_say() -> None:
    measured = Measured()
    measured.milliseconds.update({"/a": [1.0, 3.0], "/b": [2.0, 100.0]})
    assert (measured.quantile(0.5), measured.quantile(0.95), measured.quantile(0.95, "/a")) == (3.0, 100.0, 3.0)
    measured.resident["pages"] = [1.0, 1.0, 2.0, 2.0, 5.0, 5.0]
    assert measured.growth("pages") == 3.0
