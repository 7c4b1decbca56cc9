"""Promises and votes: four measurements whose Elo is known beforehand."""

import json
import math
from pathlib import Path

import pytest

from concordant.bradley_terry import ELO_PER_UNIT
from concordant.cli import main
from concordant.comparison import Comparison, Objective, Preference, Side
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.snapshot_figures import snapshot_figure
from concordant.evaluate.snapshots import measure_snapshots
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Run
from lengths import LENGTHS


def silent(*_: object) -> None:
    pass


def votes() -> list[Preference]:
    """60 votes between old and new: people prefer new in 40, its reply is longer in 45, shorter in 15."""
    found = []
    for number in range(60):
        mine, theirs = (4, 2) if number % 4 else (1, 3)
        comparison = Comparison(Conversation().human(f"ask {number}"), "n" * mine, "o" * theirs)
        models = ("new", "old")
        if number % 2:  # sides are drawn
            comparison, models = comparison.swap(), ("old", "new")
        preferred: Side = "a" if (number % 3 != 0) == (models[0] == "new") else "b"
        found.append(
            Preference(comparison, preferred, Objective.HELPFUL, strength=3, worker=f"w{number % 7}", models=models)
        )
    return found


def test_by_hand() -> None:
    found = measure_snapshots(LENGTHS, votes(), "old", {"new": (1.0, 0.1)}, silent)
    (row,) = found["snapshots"]
    assert (found["n"], row["model"], row["games"]) == (60, "new", 60)
    assert row["people"]["elo"] == pytest.approx(400 * math.log10(2), abs=0.01)
    assert row["ranking"]["elo"] == pytest.approx(400 * math.log10(3), abs=0.01)
    # mean lengths: new (45·4 + 15·1)/60 = 3.25, old (45·2 + 15·3)/60 = 2.25
    assert row["score"]["elo"] == pytest.approx(ELO_PER_UNIT)
    # an opening is +2 or −2 apart, and 1 on average: residuals (+1)/60 of 45, (−3)/60 of 15
    error = math.sqrt(60 / 59 * (45 * 1 + 15 * 9) / 3600)
    assert row["score"]["ci95"][1] == pytest.approx(ELO_PER_UNIT * (1 + 1.959964 * error))
    assert row["naive"]["elo"] == pytest.approx(ELO_PER_UNIT)
    assert row["naive"]["ci95"] == pytest.approx([ELO_PER_UNIT * 0.8040036, ELO_PER_UNIT * 1.1959964])


def test_what_is_level_or_of_one_model_is_left_out_and_counted() -> None:
    level = Comparison(Conversation().human("level"), "nn", "oo")
    more = Preference(level, "a", Objective.HELPFUL, strength=3, worker="w1", models=("new", "old"))
    same = Preference(level, "a", Objective.HELPFUL, strength=3, worker="w1", models=("old", "old"))
    found = measure_snapshots(LENGTHS, [*votes(), more, same], "old", {}, silent)
    assert found["n"] == 61
    assert list(found["dropped"].values()) == [1]
    assert found["snapshots"][0]["ranking"]["elo"] == pytest.approx(400 * math.log10(3), abs=0.01)
    assert found["snapshots"][0]["naive"] is None


def test_where_the_model_prefers_one_every_time_there_is_no_ranking_and_all_else() -> None:
    sure = [one for one in votes() if len(one.comparison.reply_a) + len(one.comparison.reply_b) == 6]
    found = measure_snapshots(LENGTHS, sure, "old", {}, silent)
    (row,) = found["snapshots"]
    assert row["ranking"] is None and row["score"]["elo"] > 0 and row["people"]["elo"] > 0
    assert any("no ranking by the preference model" in reason for reason in found["dropped"])


def test_a_promise_for_a_snapshot_that_nobody_met_is_refused() -> None:
    with pytest.raises(UserError, match="'typo' is not among the snapshots"):
        measure_snapshots(LENGTHS, votes(), "old", {"typo": (1.0, 0.1)}, silent)


def test_an_anchor_that_nobody_met_is_refused() -> None:
    with pytest.raises(UserError, match="elsewhere"):
        measure_snapshots(LENGTHS, votes(), "elsewhere", {}, silent)


def test_the_figure_sets_the_promise_beside_the_votes() -> None:
    figure = snapshot_figure(measure_snapshots(LENGTHS, votes(), "old", {"new": (2.0, 0.1)}, silent))
    assert figure.title.startswith("new: people say +120 Elo (")
    assert figure.title.endswith("held-out prompts promised +347")
    assert len(figure.csv.splitlines()) == 5
    without = snapshot_figure(measure_snapshots(LENGTHS, votes(), "old", {}, silent))
    assert without.title.endswith("scores of the same replies say +174")


def test_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(PreferenceModel, "load", lambda *_: LENGTHS)
    monkeypatch.setattr("concordant.commands.comparison_files.is_dataset", lambda path: True)
    monkeypatch.setattr("concordant.store.datasets.load_dataset", lambda path: votes())
    policy = Run.begin(tmp_path / "policy", "policy", {}, {"pm": "pm"})
    before = {"n": 8, "score": 0.0, "score_se": 0.3, "kl": 0.0}
    policy.finish({"before": before, "after": before | {"score": 1.0, "score_se": 0.4}})
    words = ["evaluate", "snapshots", "pm", "--data", "votes", "--anchor", "old", "--policy", f"new={policy.path}"]
    assert main([*words, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["snapshots"]
    assert row["naive"]["ci95"][0] == pytest.approx(ELO_PER_UNIT * (1 - 1.959964 * 0.5))  # √(0.09 + 0.16)
    assert main(words) == 0
    assert "+120 [" in capsys.readouterr().out
    other = Run.begin(tmp_path / "other", "policy", {}, {"pm": "another"})
    other.finish(policy.result)
    assert main([*words[:-1], f"new={other.path}"]) == 2
    assert "was trained against another, and RUN is pm" in capsys.readouterr().err
    assert main([*words[:-1], f"new={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_files_that_name_no_snapshot_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hh.jsonl").write_text('{"chosen": "x", "rejected": "y"}')
    assert main(["evaluate", "snapshots", "pm", "--data", str(tmp_path / "hh.jsonl"), "--anchor", "old"]) == 2
    assert "does not say which snapshots wrote its replies" in capsys.readouterr().err
