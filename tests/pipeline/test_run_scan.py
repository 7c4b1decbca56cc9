"""Whole scans on a toy model, as typed: killed between cells and inside one, extended, refused."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from concordant.cli import main
from concordant.pm_run import measure_run, train_run
from concordant.runs import Run, replace_folder
from hh_rows import write_hh
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels

SMALL = ["batch_size=8", "learning_rate=5e-3", "warmup_steps=2", "checkpoint_seconds=0"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Helpful comparisons in which "good" is right, harmless ones in which it is wrong."""
    write_hh(tmp_path / "help.jsonl", good_over_bad(120))
    turned = [preference(f"{p.prompt.first_human_turn} really", p.rejected, p.chosen) for p in good_over_bad(120, 1)]
    write_hh(tmp_path / "harm.jsonl", turned)
    return [f"helpful={tmp_path}/help.jsonl", f"harmless={tmp_path}/harm.jsonl"]


def scan(what: str, files: list[str], toy: ToyModels, out: Path, *rest: str) -> list[str]:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    test = ["--test-fraction", "0.3", "--models", str(toy.chat), "--out", str(out), "--json"]
    return ["scan", what, "--data", *files, *test, *settings, *rest]


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "train_seconds"} for row in rows]


def test_a_scan_of_comparisons(
    files: list[str], toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scan"
    command = scan("comparisons", files[:1], toy, out, "--sizes", "8", "32", "--seeds", "0", "1")
    assert main(command) == 0
    result = said(capsys)
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "cells",
        "scan-comparisons.csv",
        "scan-comparisons.svg",
        "scan.json",
        "table.csv",
        "table.json",
    ]
    assert [(row["comparisons"], row["seed"], row["used"]) for row in result["rows"]] == [
        (8, 0, 8),
        (8, 1, 8),
        (32, 0, 32),
        (32, 1, 32),
    ]
    assert len({row["helpful_n"] for row in result["rows"]}) == 1 and result["rows"][0]["parameters"] > 1000
    assert [point["x"] for point in result["points"]] == [8, 32]
    table = list(csv.DictReader(io.StringIO((out / "table.csv").read_text())))
    assert [float(row["helpful_accuracy"]) for row in table] == [row["helpful_accuracy"] for row in result["rows"]]
    assert "the paper" in (out / "scan-comparisons.svg").read_text()
    # A cell is a run like any other.
    cell = Run.open(out / "cells/comparisons-32-chat-seed-1")
    assert cell.finished and (cell.model / "model.safetensors").exists()
    assert cell.head["parents"]["mixed"] == "32 of helpful=help.jsonl"
    assert main(["evaluate", "pm", str(cell.path), "--data", files[0].removeprefix("helpful="), "--json"]) == 0
    assert said(capsys)["n"] == 120

    # Asked again, it makes nothing; with one seed more, what is missing.
    written = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/model/model.safetensors")}
    assert main(command) == 0
    assert said(capsys) == result
    assert main([*command, "2"]) == 0
    assert [row["seed"] for row in said(capsys)["rows"]] == [0, 1, 2] * 2
    assert {path: path.stat().st_mtime_ns for path in written} == written


def weights(out: Path, size: int) -> bytes:
    return (out / f"cells/comparisons-{size}-chat-seed-0/model/model.safetensors").read_bytes()


def config(out: Path, size: int) -> dict[str, Any]:
    found: dict[str, Any] = Run(out / f"cells/comparisons-{size}-chat-seed-0").head["config"]
    return found


def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that are trained from now on, in order."""
    names: list[str] = []

    def watched(run: Run, *rest: Any) -> Any:
        names.append(run.name.removesuffix("-chat-seed-0"))
        return train_run(run, *rest)

    monkeypatch.setattr("concordant.scan_run.train_run", watched)
    return names


def test_a_learning_curve_costs_one_run(
    files: list[str],
    toy: ToyModels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its other sizes are copies from on the way, the same bit for bit as if each had been trained by itself."""
    one, by_itself = tmp_path / "one", tmp_path / "by-itself"
    names = trained(monkeypatch)
    mixed = [f"{files[0]},3", f"{files[1]},1"]
    assert main(scan("comparisons", mixed, toy, one, "--sizes", "8", "12", "16", "32", "--discard-models")) == 0
    result = said(capsys)
    assert names == ["comparisons-32", "comparisons-12"]  # 12 is no multiple of the batch of 8
    assert [(row["drawn"], row["drawn_helpful"], row["used"]) for row in result["rows"]] == [
        (8, 6, 8),
        (12, 9, 12),
        (16, 12, 16),
        (32, 24, 32),
    ]
    assert list(one.glob("cells/*/model")) == list(one.glob("cells/*/kept")) == []
    assert (config(one, 32)["keep_at"], "keep_at" in config(one, 16)) == ([8, 16], False)
    for size in (8, 16):
        assert main(scan("comparisons", mixed, toy, by_itself, "--sizes", str(size))) == 0
    alone = said_last(capsys)
    assert names[2:] == ["comparisons-8", "comparisons-16"]
    assert without_seconds(alone["rows"]) == without_seconds([result["rows"][0], result["rows"][2]])
    assert main(scan("comparisons", mixed, toy, by_itself, "--sizes", "32", "24", "16")) == 0
    assert names[4:] == ["comparisons-32"] and list(by_itself.glob("cells/*/kept")) == []
    assert main(scan("comparisons", mixed, toy, tmp_path / "24", "--sizes", "24")) == 0
    assert weights(by_itself, 24) == weights(tmp_path / "24", 24)
    cells = [out / "cells/comparisons-24-chat-seed-0" for out in (by_itself, tmp_path / "24")]
    assert Run(cells[0]).head == Run(cells[1]).head
    assert (cells[0] / "model/README.md").read_text() == (cells[1] / "model/README.md").read_text()


def said_last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.parametrize("where", ["inside", "handing out", "measuring"])
def test_a_killed_learning_curve_goes_on(
    where: str,
    files: list[str],
    toy: ToyModels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Inside its one run, between two copies that are put in place, and between two measurements; then more sizes."""
    sizes = ["--sizes", "8", "16", "32"]
    assert main(scan("comparisons", files[:1], toy, tmp_path / "whole", *sizes)) == 0
    expected = said(capsys)
    names = trained(monkeypatch)
    with monkeypatch.context() as patch:
        kill_curve(patch, where)
        assert main(scan("comparisons", files[:1], toy, tmp_path / "stopped", *sizes)) == 130
    assert main(scan("comparisons", files[:1], toy, tmp_path / "stopped", *sizes, "24")) == 0
    rows = said(capsys)["rows"]
    again = ["comparisons-32"] if where == "inside" else []
    assert names == ["comparisons-32", *again, "comparisons-24"]  # which came when that run had its copies already
    assert without_seconds([row for row in rows if row["x"] != 24]) == without_seconds(expected["rows"])
    for size in (8, 16, 32):
        assert weights(tmp_path / "stopped", size) == weights(tmp_path / "whole", size)


def kill_curve(patch: pytest.MonkeyPatch, where: str) -> None:
    """Ctrl-C in a learning curve."""
    log = Run.log

    def logged(run: Run, metrics: Mapping[str, Any]) -> None:
        log(run, metrics)
        if metrics["step"] == 3:
            raise KeyboardInterrupt

    def placed(copy: Path, final: Path) -> None:
        if copy.name == "16":
            raise KeyboardInterrupt
        replace_folder(copy, final)

    def measured(run: Run, *rest: Any) -> Any:
        if run.name.startswith("comparisons-16"):
            raise KeyboardInterrupt
        return measure_run(run, *rest)

    if where == "inside":
        patch.setattr(Run, "log", logged)
    elif where == "handing out":
        patch.setattr("concordant.scan_run.replace_folder", placed)
    else:
        patch.setattr("concordant.scan_run.measure_run", measured)


def test_a_size_that_the_run_does_not_pass_gets_its_own(
    toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is too long for the context is dropped in training, so that the run of 32 ends before it has seen 24."""
    long = [preference(f"{number} " + "long " * 100, "good", "bad") for number in range(60)]
    write_hh(tmp_path / "long.jsonl", [*good_over_bad(60), *long])
    names = trained(monkeypatch)
    sizes = ["--sizes", "8", "24", "32", "--set", "max_tokens=64"]
    assert main(scan("comparisons", [f"helpful={tmp_path}/long.jsonl"], toy, tmp_path / "scan", *sizes)) == 0
    rows = {row["x"]: row for row in said(capsys)["rows"]}
    assert rows[32]["used"] < 24 and names == ["comparisons-32", "comparisons-24"]
    assert (rows[8]["used"], rows[24]["drawn"]) == (8, 24) and 8 < rows[24]["used"] < rows[32]["used"]


def test_a_scan_of_mixtures_sees_the_two_objectives_pull_apart(
    files: list[str], toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = scan("mixture", files, toy, tmp_path / "scan", "--shares", "0", "0.5", "1", "--discard-models")
    assert main(command) == 0
    result = said(capsys)
    assert len({row["used"] for row in result["rows"]}) == 1
    drawn = result["rows"][0]["used"]
    assert [row["drawn_helpful"] for row in result["rows"]] == [drawn, pytest.approx(drawn / 2, abs=0.5), 0]
    pure = {row["harmless_share"]: row for row in result["rows"]}
    assert pure[0]["helpful_accuracy"] > 0.7 > 0.3 > pure[0]["harmless_accuracy"]
    assert pure[1]["harmless_accuracy"] > 0.7 > 0.3 > pure[1]["helpful_accuracy"]
    assert pure[0]["mean_accuracy"] == (pure[0]["helpful_accuracy"] + pure[0]["harmless_accuracy"]) / 2
    assert list(tmp_path.glob("scan/cells/*/model")) == []
    assert main(command) == 0  # without their models the cells are finished all the same
    assert said(capsys) == result


@pytest.mark.parametrize("where", ["inside", "between", "tested"])
def test_a_killed_scan_goes_on_where_it_was(
    where: str,
    files: list[str],
    toy: ToyModels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Inside the second model, before it has begun, and after one of its two tests."""
    values = ["--key", "learning_rate", "--values", "1e-3", "5e-3"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert main(scan("setting", files, toy, whole, *values)) == 0
    expected = said(capsys)
    kill(monkeypatch, where)
    assert main(scan("setting", files, toy, stopped, *values)) == 130
    assert capsys.readouterr().err.endswith("interrupted; the same command goes on where it stopped\n")
    monkeypatch.undo()
    first, second = (stopped / f"cells/learning_rate-{value}-chat-seed-0" for value in ("0.001", "0.005"))
    assert json.loads((stopped / "table.json").read_text())["rows"][0]["x"] == 0.001
    assert (first / "cell.json").exists() and not (second / "cell.json").exists()
    kept = first / "model/model.safetensors", second / "evaluation-helpful.json"
    before = [path.stat().st_mtime_ns for path in kept if path.exists()]
    steps = Run(second).metrics() if second.exists() else []
    assert len(steps) == {"inside": 3, "between": 0, "tested": len(Run(whole / "cells" / second.name).metrics())}[where]

    assert main(scan("setting", files, toy, stopped, *values)) == 0
    assert without_seconds(said(capsys)["rows"]) == without_seconds(expected["rows"])
    assert [path.stat().st_mtime_ns for path in kept if path.exists()][: len(before)] == before
    for name in (first.name, second.name):
        one, other = (folder / "cells" / name / "model/model.safetensors" for folder in (whole, stopped))
        assert one.read_bytes() == other.read_bytes()
    kept_steps = steps[:-1] if where == "inside" else steps  # killed before the checkpoint of its last step
    assert Run(second).metrics()[: len(kept_steps)] == kept_steps


def kill(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Ctrl-C in the second model of a scan."""
    log, begin, measure = Run.log, Run.begin, measure_run

    def logged(run: Run, metrics: Mapping[str, Any]) -> None:
        log(run, metrics)
        if run.name.startswith("learning_rate-0.005") and metrics["step"] == 3:
            raise KeyboardInterrupt

    def begun(path: Path, *rest: Any) -> Run:
        if path.name.startswith("learning_rate-0.005"):
            raise KeyboardInterrupt
        return begin(path, *rest)

    def measured(run: Run, *rest: Any) -> Any:
        if run.name.startswith("learning_rate-0.005") and rest[2] == "evaluation-harmless.json":
            raise KeyboardInterrupt
        return measure(run, *rest)

    if where == "inside":
        monkeypatch.setattr(Run, "log", logged)
    elif where == "between":
        monkeypatch.setattr(Run, "begin", staticmethod(begun))
    else:
        monkeypatch.setattr("concordant.scan_run.measure_run", measured)


def test_another_scan_in_the_folder_is_refused(
    files: list[str], toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scan"
    assert main(scan("setting", files[:1], toy, out, "--key", "learning_rate", "--values", "1e-3", "--limit", "8")) == 0
    title = said(capsys)
    assert "title" not in title and [Path(file).name for file in title["files"]] == ["table.csv", "table.json"]
    for command, part in (
        (scan("setting", files, toy, out, "--key", "learning_rate", "--values", "1e-3"), "tests"),
        (scan("setting", files[:1], toy, out, "--key", "seed", "--values", "1"), "key"),
        (
            [
                *scan("setting", files[:1], toy, out, "--key", "learning_rate", "--values", "2e-3"),
                "--set",
                "lora_rank=2",
            ],
            "config",
        ),
    ):
        assert main(command) == 2
        assert f"holds another scan, whose {part} differ" in capsys.readouterr().err
    assert main(scan("comparisons", files, toy, tmp_path, "--sizes", "8")) == 2
    assert "is not empty and holds no scan" in capsys.readouterr().err


def test_a_model_that_cannot_be_trained_is_named(
    files: list[str], toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = scan("setting", files, toy, tmp_path / "scan", "--key", "frozen_layers", "--values", "2")
    assert main(command) == 2
    assert "frozen_layers-2-chat-seed-0: pm.frozen_layers is 2, and the model has 2 layers" in capsys.readouterr().err


def test_a_scan_of_a_second_task(
    files: list[str], toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second task turns the first round, so each alone is wrong on the other's test."""
    out = tmp_path / "scan"
    command = scan("skill", files[:1], toy, out, "--skill", files[1], "--names", "good", "bad")
    assert main(command) == 0
    result = said(capsys)
    rows = {row["x"]: row for row in result["rows"]}
    assert set(rows) == {0, 1, 2}
    assert rows[0]["good_accuracy"] > 0.9 and rows[0]["bad_accuracy"] < 0.1
    assert rows[1]["bad_accuracy"] > 0.9 and rows[1]["good_accuracy"] < 0.1
    assert rows[2]["used"] == rows[0]["used"] + rows[1]["used"]
    assert (out / "scan-skill.svg").exists() and result["title"].startswith("After learning both, chat stands ")
    for words, why in (
        (["--names", "one", "one"], "two different words"),
        (["--test", files[0]], "cuts both tests by --test-fraction"),
    ):
        assert main([*command, *words]) == 2
        assert why in capsys.readouterr().err
