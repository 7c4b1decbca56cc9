"""``evaluate ood`` and ``screen`` on a toy model: short words inside, strings of digits outside."""

import json
import random
from itertools import permutations
from pathlib import Path

import pytest

from concordant.cli import main
from toy_model import ToyModels


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """90 prompts a side, one of them on both, and a row that is none."""
    folder = tmp_path_factory.mktemp("prompts")
    rng = random.Random(0)
    words = ["bread", "water", "salt", "flour", "take", "good", "bake", "wait"]
    inside = [f"how do I {' '.join(four)}?" for four in rng.sample(list(permutations(words, 4)), 90)]
    outside = [f"{rng.randrange(10**9)} {rng.randrange(10**9)}!" for _ in range(90)]
    (folder / "in.jsonl").write_text(
        "\n".join(
            json.dumps({key: f"\n\nHuman: {text}\n\nAssistant: {key}" for key in ("chosen", "rejected")})
            for text in [*inside, "the same"]
        )
        + "\nnonsense"
    )
    (folder / "out.jsonl").write_text("\n".join(json.dumps({"prompt": text}) for text in [*outside, "The same."]))
    return folder / "in.jsonl", folder / "out.jsonl"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONCORDANT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def command(toy: ToyModels, files: tuple[Path, Path], *more: str) -> list[str]:
    return ["evaluate", "ood", str(toy.chat), "--inside", str(files[0]), "--outside", str(files[1]), *more]


def test_numbers_figures_and_a_filter_that_screens(
    toy: ToyModels, files: tuple[Path, Path], cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = ("--save-filter", str(tmp_path / "filter"), "--out", str(tmp_path / "figures"))
    assert main(command(toy, files, *made, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["layer"], result["layers"], result["pooling"]) == (2, 2, "last")
    assert result["dropped"]["opening stands inside and outside"] == 2
    assert result["dropped"]["not JSON"] == 1
    assert [row["layer"] for row in result["by_layer"]] == [1, 2]
    assert [row["outliers"] for row in result["by_outliers"]] == [1, 3, 10, 30]
    assert result["by_outliers"][-1]["auroc"] > 0.9  # digits and words are not hard to tell apart
    assert result["filter"]["method"] == "exposed"
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "ood-by-layer.csv",
        "ood-by-layer.svg",
        "ood-by-outliers.csv",
        "ood-by-outliers.svg",
        "ood.json",
    ]
    assert list((cache / "activations").glob("*/*.safetensors"))

    assert main(["screen", str(tmp_path / "filter"), str(files[1]), "--json"]) == 0
    screened = json.loads(capsys.readouterr().out)
    assert (screened["n"], screened["read"]) == (91, 91)
    assert screened["share"] > 0.5
    assert screened["share"] == screened["declined"] / 91
    threshold = result["filter"]["threshold"]
    assert all(row["declined"] is (row["score"] > threshold) for row in screened["rows"])

    out = tmp_path / "verdicts.jsonl"
    assert main(["screen", str(tmp_path / "filter"), str(files[0]), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "of 91 prompts declined" in said
    assert "left out: 1 not JSON" in said
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 92
    assert rows[-1] == {"line": 92, "unusable": "not JSON"}


def test_what_a_person_is_told(
    toy: ToyModels, files: tuple[Path, Path], cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(toy, files, "--layer", "1", "--layers", "1", "--draws", "1", "--seeds", "5")) == 0
    said = capsys.readouterr().out
    assert said.startswith("90 inside and 90 outside prompts; a split fits on 63 and examines 27 against 27; 1 splits")
    assert "AUROC at layer 1 of 2, last token\n  relative Mahalanobis" in said
    assert "left out: 2 opening stands inside and outside" in said


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--layer", "3"], "layer 3 is none of"),
        (["--layers", "0", "1"], "layer 0 is none of"),
        (["--limit", "0"], "--limit 0 must be at least 1"),
        (["--limit", "30"], "30 inside and 30 outside prompts leave 9 in one part, fewer than 20"),
        (["--shrinkage", "2"], "--shrinkage 2 must lie between 0 and 1"),
        (["--penalty", "0"], "--penalty 0 must be above 0"),
        (["--exam-share", "1"], "--exam-share 1 must lie between 0 and 1"),
        (["--false-declines", "0"], "--false-declines 0 must lie between 0 and 1"),
        (["--seeds", "1", "1"], "--seeds 1 1 names one twice"),
        (["--false-declines", "0.01", "--save-filter", "f"], "needs at least 99 held-out inside prompts, not 27"),
    ],
)
def test_one_line_says_what_is_wrong(
    more: list[str], line: str, toy: ToyModels, files: tuple[Path, Path], cache: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(command(toy, files, "--draws", "1", *more)) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in said
    assert not (tmp_path / "f").exists()


def test_files_without_prompts_are_named(
    toy: ToyModels, files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.jsonl").write_text('{"reply": "yes"}\n')
    assert main(command(toy, (files[0], tmp_path / "none.jsonl"))) == 2
    assert "none.jsonl holds no prompt" in capsys.readouterr().err
    assert main(["screen", str(tmp_path), str(files[0])]) == 2
    assert "holds no filter" in capsys.readouterr().err
