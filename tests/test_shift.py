"""How tranches moved: every number worked out by hand, on a preference model that scores a reply by its length."""

import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.figures import Figure
from concordant.evaluate.shift import measure_shift
from concordant.evaluate.shift_figure import shift_figure
from concordant.models.preference_model import PreferenceModel
from lengths import LENGTHS


def silent(*_: object) -> None:
    pass


def lengths(asked: str, chosen: int, rejected: int, strength: int | None = None) -> Preference:
    comparison = Comparison(Conversation().human(asked), "x" * chosen, "y" * rejected)
    return Preference(comparison, "a", Objective.HELPFUL, strength=strength)


BASE = [lengths("one", 3, 1), lengths("two", 2, 2)]
ONLINE = [lengths("three", 4, 2), lengths("four", 5, 5)]


def test_by_hand() -> None:
    result = measure_shift(LENGTHS, {"base": BASE, "online": ONLINE}, silent, {"empty": 2})
    first, second = result["tranches"]
    assert (result["n"], result["dropped"]) == (4, {"empty": 2})
    # base scores 3 1 2 2 (mean 2, taken off), online 4 2 5 5 (mean 4)
    assert first["mean"] == 0.0 and second["mean"] == pytest.approx(2.0)
    assert second["moved"] == pytest.approx(2.0)
    # by opening, residuals over four replies: one 0, two 0, three −½, four +½; √(4/3 · ½)
    assert second["moved_se"] == pytest.approx((2 / 3) ** 0.5)
    # of 16 pairs online is above in 4 + 1 + 4 + 4 and level in 2
    assert second["above_first"] == pytest.approx(14 / 16)
    # the 90 % quantile of −1 0 0 1 is 0.7; online has 2 0 3 3
    assert second["upper"] == pytest.approx(3 / 4)
    assert "moved" not in first and first["upper"] == pytest.approx(1 / 4)
    widths = [high - low for low, high in zip(result["edges"][:-1], result["edges"][1:], strict=True)]
    for row in result["tranches"]:
        assert sum(d * w for d, w in zip(row["density"], widths, strict=True)) == pytest.approx(1.0)


def test_the_same_replies_have_not_moved() -> None:
    result = measure_shift(LENGTHS, {"then": BASE, "now": BASE}, silent)
    assert result["tranches"][1]["moved"] == pytest.approx(0.0)
    assert result["tranches"][1]["moved_se"] == pytest.approx(0.0), "shared openings move both sides alike"
    assert result["tranches"][1]["above_first"] == pytest.approx(0.5)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UserError, match="1 tranche cannot move"):
        measure_shift(LENGTHS, {"base": BASE}, silent)
    with pytest.raises(UserError, match="no comparison of 'online' could be scored"):
        measure_shift(LENGTHS, {"base": BASE, "online": [lengths("x", 1, 2, strength=1)]}, silent)


def test_the_figure_says_how_far() -> None:
    figure = shift_figure(measure_shift(LENGTHS, {"base": BASE, "online": ONLINE}, silent))
    assert isinstance(figure, Figure)
    assert figure.title == "online scores +2.00 ± 1.60 against base"  # 1.96 · 0.8165
    assert "75\u202f% of online above the 90\u202f% quantile of base" in figure.caption
    assert figure.csv.splitlines()[0] == "tranche,bin_low,bin_high,density"


def test_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(PreferenceModel, "load", lambda *_: LENGTHS)
    for name, tranche in (("base", BASE), ("online", ONLINE)):
        rows = [
            json.dumps({side: f"\n\nHuman: {one.prompt.turns[0].text}\n\nAssistant: {getattr(one, side)}"
                        for side in ("chosen", "rejected")})
            for one in tranche
        ]  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    files = [f"{name}={tmp_path / name}.jsonl" for name in ("base", "online")]
    out = tmp_path / "out"
    assert main(["evaluate", "shift", "pm", "--data", *files, "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["tranches"][1]["moved"] == pytest.approx(2.0)
    assert sorted(path.name for path in out.iterdir()) == ["score-by-tranche.csv", "score-by-tranche.svg", "shift.json"]
    assert main(["evaluate", "shift", "pm", "--data", *files]) == 0
    assert "moved +2.000 ± 0.816  above the first 87.5%" in capsys.readouterr().out
    assert main(["evaluate", "shift", "pm", "--data", str(tmp_path / "base.jsonl")]) == 2
    assert "write NAME=" in capsys.readouterr().err
