"""With CONCORDANT_REQUIRE_ALL set, a skipped test fails: CI must not pass because a browser or a server is missing.

Loaded by ``make test``. Tests on real comparisons may be skipped all the same where CONCORDANT_DATA is not set.
"""

import os
from collections.abc import Generator

import pytest


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"CONCORDANT_REQUIRE_ALL is set and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    excused = hasattr(report, "wasxfail") or (
        item.get_closest_marker("realdata") is not None and "CONCORDANT_DATA" not in os.environ
    )
    if report.skipped and os.environ.get("CONCORDANT_REQUIRE_ALL") and not excused:
        _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and os.environ.get("CONCORDANT_REQUIRE_ALL"):
        _refuse(report)
    return report
