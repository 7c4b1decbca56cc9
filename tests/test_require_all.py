"""The plugin that lets no skipped test pass unseen in CI."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import pytest

def test_passes(): pass
@pytest.mark.skip(reason="no browser")
def test_skipped(): pass
@pytest.mark.realdata
def test_on_real_data(): pytest.skip("no data")
@pytest.mark.xfail(reason="known")
def test_expected_to_fail(): assert False
"""


@pytest.fixture(autouse=True)
def plugin_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.mark.parametrize(
    ("variables", "outcomes"),
    [
        ({}, {"passed": 1, "skipped": 2, "xfailed": 1}),
        ({"CONCORDANT_REQUIRE_ALL": "1"}, {"passed": 1, "skipped": 1, "xfailed": 1, "errors": 1}),
        (
            {"CONCORDANT_REQUIRE_ALL": "1", "CONCORDANT_DATA": "data"},
            {"passed": 1, "xfailed": 1, "failed": 1, "errors": 1},
        ),
    ],
)
def test_a_skip_fails_only_where_all_is_required(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    outcomes: dict[str, int],
) -> None:
    for name in ("CONCORDANT_REQUIRE_ALL", "CONCORDANT_DATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    pytester.makeini("[pytest]\nmarkers = realdata: x")
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-p", "require_all")
    result.assert_outcomes(**outcomes)


def test_a_skipped_module_fails_too(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORDANT_REQUIRE_ALL", "1")
    pytester.makepyfile("import pytest\npytest.importorskip('no_such_module')")
    result = pytester.runpytest_subprocess("-p", "require_all")
    result.assert_outcomes(errors=1)
    assert result.ret != 0
