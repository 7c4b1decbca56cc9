from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant import sandbox
from concordant.errors import UserError
from concordant.evaluate import pass_at_k as module
from concordant.evaluate.asked_model import Writing
from concordant.evaluate.benchmark_files import read_rows
from concordant.evaluate.benchmark_items import Item, humaneval, items_of
from concordant.evaluate.pass_at_k import pass_at_k, passes, run_humaneval
from scripted_asked import ScriptedAsked

ITEM = Item("add", "def add(a, b):\n", extra=("def check(f):\n    assert f(1, 2) == 3\n", "add"))


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(5, 2, 1) == pytest.approx(2 / 5)
    assert pass_at_k(5, 2, 2) == pytest.approx(1 - 3 / 10)  # 3 of the 10 pairs have no program that passes
    assert pass_at_k(5, 2, 3) == pytest.approx(1 - 1 / 10)
    assert pass_at_k(5, 2, 4) == 1
    assert (pass_at_k(5, 0, 5), pass_at_k(5, 5, 1), pass_at_k(1, 1, 1)) == (0, 1, 1)
    for wrong in ((5, 6, 1), (5, -1, 1), (5, 2, 6), (5, 2, 0)):
        with pytest.raises(ValueError, match="is not defined"):
            pass_at_k(*wrong)


@given(st.integers(1, 40), st.data())
def test_more_tries_and_more_passes_never_hurt(n: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    value = pass_at_k(n, passed, k)
    assert 0 <= value <= 1
    assert pass_at_k(n, passed, 1) == pytest.approx(passed / n)
    assert passed == n or pass_at_k(n, passed + 1, k) >= value
    assert k == n or pass_at_k(n, passed, k + 1) >= value


def test_the_mean_over_problems() -> None:
    rows = [{"item": "a", "n": 5, "passed": 2}, {"item": "b", "n": 5, "passed": 0}]
    found = passes(rows)
    assert list(found) == ["1", "5"]
    assert (found["1"]["value"], found["5"]["value"]) == (pytest.approx(0.2), pytest.approx(0.5))
    assert found["5"]["ci95"] == [0, 1]
    none = passes([{"item": str(number), "n": 1, "passed": 0} for number in range(10)])["1"]
    assert none["value"] == 0 and none["ci95"] == pytest.approx([0, 0.2775], abs=1e-4)  # Wilson's, 0 of 10


@pytest.fixture
def shut_in() -> None:
    try:
        sandbox.check()
    except UserError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("shut_in")
@pytest.mark.parametrize(
    ("body", "passed", "end"),
    [
        ("    return a + b", True, "ended"),
        ("    return a - b", False, "failed"),
        ("    import os\n    os._exit(0)", False, "ended"),  # status 0, and never came to its end
        ("    raise SystemExit(0)", False, "ended"),
        ("    return a +", False, "failed"),
    ],
)
def test_a_program_passes_where_its_tests_do(tmp_path: Path, body: str, passed: bool, end: str) -> None:
    asked = ScriptedAsked(tmp_path, lambda *_: 0.0, lambda _: body)
    (row,) = run_humaneval(asked, [ITEM], Writing(n=2), lambda *_: None)
    assert row["pass@1"] == float(passed)
    assert [(one["passed"], one["end"], one["text"]) for one in row["answered"]] == [(passed, end, body)] * 2


@pytest.mark.usefixtures("shut_in")
def test_a_program_is_run_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ScriptedAsked(tmp_path, lambda *_: 0.0, lambda _: "    return a + b")
    first = run_humaneval(asked, [ITEM], Writing(), lambda *_: None)
    monkeypatch.setattr(module, "run_program", lambda *_: pytest.fail("it was run again"))
    again = ScriptedAsked(tmp_path, lambda *_: 0.0, lambda _: "    return a + b")
    assert run_humaneval(again, [ITEM], Writing(), lambda *_: None) == first


@pytest.mark.realdata
@pytest.mark.usefixtures("shut_in")
def test_the_real_solutions_pass(real_data: Path, tmp_path: Path) -> None:
    rows = read_rows(real_data / "evals/HumanEval.jsonl.gz")[::10]
    items, _ = items_of(rows, humaneval)
    solutions = {row["prompt"]: row["canonical_solution"] for row in rows}
    asked = ScriptedAsked(tmp_path, lambda *_: 0.0, lambda prompt: solutions[prompt])
    assert [row["pass@1"] for row in run_humaneval(asked, items, Writing(), lambda *_: None)] == [1.0] * 17
