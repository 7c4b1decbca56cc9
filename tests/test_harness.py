import builtins
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark_folder import make_benchmarks
from concordant.errors import UserError
from concordant.evaluate.asked_model import Opening, Writing
from concordant.evaluate.capability_tasks import TASKS, Material, material_of
from concordant.evaluate.harness import Plan, hub_rows, require_harness, run_task
from concordant.evaluate.hub_material import hub_material
from scripted_asked import ScriptedAsked


@pytest.fixture
def material(tmp_path: Path) -> Callable[[str], Material]:
    folder = make_benchmarks(tmp_path / "data")

    def of(name: str) -> Material:
        found = material_of(TASKS[name], [folder])
        assert found is not None
        return found

    return of


def ask(asked: ScriptedAsked, of: Material, shots: int = 0) -> list[dict[str, Any]]:
    return run_task(asked, of.task, Plan("paper", shots), of.items, of.examples)


def test_the_likeliest_option_is_the_answer(tmp_path: Path, material: Callable[[str], Material]) -> None:
    """The rule likes "water" best: right where water is the right one."""
    arc = material("arc-easy")
    rows = ask(ScriptedAsked(tmp_path, lambda _, option: 0.0 if option == " water" else -3.0), arc)
    water = [item.options.index("water") if "water" in item.options else None for item in arc.items]
    assert [row["item"] for row in rows] == [item.key for item in arc.items]
    right = [row["acc"] for place, row in zip(water, rows, strict=True) if place is not None]
    gold = [float(item.gold == place) for place, item in zip(water, arc.items, strict=True) if place is not None]
    assert right == gold and set(gold) == {0.0, 1.0}
    assert rows[0]["answered"] == [0.0, -3.0, -3.0, -3.0]


def test_a_longer_option_may_be_likelier_by_the_character(tmp_path: Path, material: Callable[[str], Material]) -> None:
    lengths = {"takes water.": -2.0, "takes salt.": -1.9, "takes bread.": -1.99, "takes flour.": -1.98}
    swag = material("hellaswag")
    rows = ask(ScriptedAsked(tmp_path, lambda _, option: lengths[option.strip()]), swag)
    assert [row["acc"] for row in rows] == [float(item.gold == 1) for item in swag.items]
    assert [row["acc_norm"] for row in rows] == [float(item.gold == 3) for item in swag.items]


def test_examples_stand_before_the_question(tmp_path: Path, material: Callable[[str], Material]) -> None:
    seen: list[str] = []

    def rule(context: str, option: str) -> float:
        seen.append(context)
        return 0.0

    ask(ScriptedAsked(tmp_path, rule), material("arc-easy"), shots=2)
    first = seen[0].split("\n\n")
    assert len(first) == 3
    assert first[0] == "Question: What is thing 100?\nChoices: (A) answers (B) hello (C) wait (D) bake\nAnswer: answers"
    assert first[1].endswith("Answer: wait") and first[2].endswith("(D) flour\nAnswer:")
    assert len(set(context.rpartition("\n\n")[0] for context in seen)) == 1
    seen.clear()
    ask(ScriptedAsked(tmp_path, rule), material("mmlu"), shots=1)
    assert all(("of law" in part) == ("of law" in rest) for part, rest in (text.split("\n\n") for text in seen))


def test_a_word_is_right_where_it_is_the_likeliest(tmp_path: Path, material: Callable[[str], Material]) -> None:
    rows = ask(ScriptedAsked(tmp_path, lambda *_: -1.0), material("lambada"))
    assert {row["acc"] for row in rows} == {0.0}  # none of the rule's answers is greedy
    assert rows[0]["answered"] == -1.0


def test_written_answers_are_compared_with_all_names(tmp_path: Path, material: Callable[[str], Material]) -> None:
    def write(context: str) -> str:
        assert context.startswith("Question: Who is") and context.endswith("\nAnswer:")
        return " tommy" if "0" in context else " nobody"

    rows = ask(ScriptedAsked(tmp_path, lambda *_: 0.0, write), material("triviaqa"))
    assert [row["exact_match"] for row in rows] == [1.0, 0, 0, 0, 0, 0]
    assert rows[0]["answered"] == "tommy"


def test_too_few_examples_are_named(tmp_path: Path, material: Callable[[str], Material]) -> None:
    with pytest.raises(UserError, match="--shots 9: arc-easy has 3 examples"):
        ask(ScriptedAsked(tmp_path, lambda *_: 0.0), material("arc-easy"), shots=9)


def test_without_the_extra_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith(("lm_eval", "datasets")):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for wants in (require_harness, lambda: hub_rows("a/b", None, "test")):
        with pytest.raises(UserError, match=r"install it with 'pip install \"concordant\[capabilities\]\"'"):
            wants()


def test_nothing_is_asked_of_any_network(
    tmp_path: Path, material: Callable[[str], Material], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it went to the network"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("it asked for an address"))
    assert len(ask(ScriptedAsked(tmp_path, lambda *_: 0.0), material("mmlu"), shots=1)) == 6


def test_rows_of_the_hub_become_the_same_items(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: list[tuple[str, str | None, str]] = []

    def load(path: str, config: str | None, split: str) -> list[dict[str, Any]]:
        asked.append((path, config, split))
        stem = "What is hot?" if split == "test" else "What is cold?"
        return [{"question": stem, "choices": {"text": ["ice", "steam"], "label": ["A", "B"]}, "answerKey": "B"}]

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = hub_material(TASKS["arc-easy"], few=True)
    assert ([item.prompt for item in found.items], [item.prompt for item in found.examples]) == (
        ["What is hot?"], ["What is cold?"]
    )  # fmt: skip
    assert asked == [("allenai/ai2_arc", "ARC-Easy", "test"), ("allenai/ai2_arc", "ARC-Easy", "validation")]

    def fails(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route\nto the hub")

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(
        UserError, match=r"allenai/ai2_arc cannot be had from the hub \(no route to the hub\); give local"
    ):
        hub_material(TASKS["arc-easy"], few=False)


def test_an_opening_is_what_it_says() -> None:
    assert Opening("a") == Opening("a", "") and Writing() == Writing(1, 128, 1.0, (), 0)
