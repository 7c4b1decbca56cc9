"""Where a policy lies among the data: shares worked out by hand, objectives by opening, and the verb around it."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.tension import measure_tension
from concordant.evaluate.tension_figure import tension_figure
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Json, Run
from lengths import LENGTHS


def preference(asked: str, chosen: int, rejected: int, objective: Objective) -> Preference:
    """Replies of so many characters."""
    return Preference(Comparison(Conversation().human(asked), "x" * chosen, "y" * rejected), "a", objective)


# Helpful scores 10, 8, 6, 4 and harmless ones 4, 2, 3, 3: the mean of all is 5.
DATA = [
    preference("h1", 10, 8, Objective.HELPFUL),
    preference("h2", 6, 4, Objective.HELPFUL),
    preference("r1", 4, 2, Objective.HARMLESS),
    preference("r2", 3, 3, Objective.HARMLESS),
]


def sample(step: int, asked: str, reply: str) -> Json:
    return {"step": step, "trial": 0, "prompt": [["human", asked]], "reply": reply}


SAMPLES = [
    sample(0, "H1?", "x" * 3),
    sample(0, "r1", "x" * 3),
    sample(0, "elsewhere", "x"),
    sample(4, "h1", "x" * 3),
    sample(8, "h1", "x" * 7),
    sample(8, "r1", "x" * 5),
    sample(8, "elsewhere", "x"),
]


def silent(done: int, total: int, seen: str) -> None:
    pass


def test_scores_of_the_data_by_objective_their_common_mean_taken_off() -> None:
    result = measure_tension(LENGTHS, DATA, [], silent)
    helpful, harmless = (result["objectives"][name] for name in ("helpful", "harmless"))
    assert (result["n"], result["mean"]) == (4, 5.0)
    assert (helpful["mean"], harmless["mean"]) == (2.0, -2.0)
    assert (helpful["chosen_mean"], helpful["rejected_mean"]) == (3.0, 1.0)
    assert (helpful["replies"], helpful["openings"], helpful["policy"]) == (4, 2, None)
    assert helpful["quantiles"][19] == [0.5, 2.0]  # the median of 5, 3, 1, −1


def test_the_policys_place_before_and_after_its_last_step() -> None:
    result = measure_tension(LENGTHS, DATA, SAMPLES, silent)
    helpful, harmless = (result["objectives"][name]["policy"] for name in ("helpful", "harmless"))
    assert (helpful["first_step"], helpful["last_step"]) == (0, 8)
    assert (helpful["before"]["mean"], helpful["after"]["mean"]) == (-2.0, 2.0)
    assert (helpful["before"]["above_data"], helpful["after"]["above_data"]) == (0.0, 0.5)  # 7 lies above 6 and 4
    assert (harmless["before"]["above_data"], harmless["after"]["above_data"]) == (0.5, 1.0)  # 3 above 2, ties with two
    assert result["dropped"] == {"policy's reply whose opening is in the data of neither or both objectives": 2}


def test_an_opening_of_both_objectives_tells_nothing() -> None:
    both = [*DATA, preference("h1", 1, 2, Objective.HARMLESS)]
    result = measure_tension(LENGTHS, both, SAMPLES, silent)
    assert result["objectives"]["helpful"]["policy"] is None
    assert result["objectives"]["harmless"]["policy"]["after"]["n"] == 1


def test_a_prompt_with_an_objective_of_its_own_needs_no_data_that_begins_alike() -> None:
    rows = [{**sample(step, "never seen", "x" * 3), "objective": "helpful"} for step in (0, 8)]
    result = measure_tension(LENGTHS, DATA, rows, silent)
    assert result["objectives"]["helpful"]["policy"]["after"]["n"] == 1 and result["dropped"] == {}


def test_replies_that_do_not_fit_are_not_placed() -> None:
    rows = [sample(0, "h1", "too long"), sample(0, "r1", "x"), sample(8, "h1", "x"), sample(8, "r1", "x")]
    result = measure_tension(LENGTHS, DATA, rows, silent)
    assert result["objectives"]["helpful"]["policy"] is None
    assert result["objectives"]["harmless"]["policy"]["before"]["above_data"] == 0.0


def test_an_objective_without_comparisons_is_named() -> None:
    with pytest.raises(UserError, match=r"no harmless comparison could be scored; name a file with --data harmless="):
        measure_tension(LENGTHS, DATA[:2], [], silent)


def test_the_figure_says_what_was_found() -> None:
    figure = tension_figure(measure_tension(LENGTHS, DATA, SAMPLES, silent))
    assert figure.title == (
        "After training, replies score above 50\u202f% of the helpful and 100\u202f% of the harmless data"
    )
    assert "Helpful: the policy's replies to 1 prompts lie above 0.0\u202f% of the data before" in figure.caption
    assert figure.csv.splitlines()[-1] == "harmless,policy after,1.0,0.0"
    ElementTree.fromstring(figure.svg)
    alone = tension_figure(measure_tension(LENGTHS, DATA, [], silent))
    assert alone.title == "Replies of the helpful data score 4.00 higher; no policy was given"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setattr(PreferenceModel, "load", lambda *_: LENGTHS)
    found = {}
    for objective in Objective:
        rows = [
            {name: f"\n\nHuman: {row.prompt.first_human_turn}\n\nAssistant: {reply}" for name, reply in pair}
            for row in DATA
            if row.objective is objective
            for pair in [(("chosen", row.chosen), ("rejected", row.rejected))]
        ]
        found[str(objective)] = tmp_path / f"{objective}.jsonl"
        found[str(objective)].write_text("\n".join(map(json.dumps, rows)))
    run = Run.begin(tmp_path / "policy-1", "policy", {}, {"pm": "pm-1"})
    for step in (0, 8):
        run.replace_samples(step, [row for row in SAMPLES if row["step"] == step])
    found["policy"] = run.path
    return found


def test_the_verb(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "tension", "pm"]
    words += ["--data", f"helpful={files['helpful']}", f"harmless={files['harmless']}"]
    assert main([*words, "--policy", str(files["policy"]), "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["objectives"]["harmless"]["policy"]["after"]["above_data"] == 1.0
    assert [Path(file).name for file in result["files"]] == ["tension.svg", "tension.csv", "tension.json"]
    kept = json.loads((tmp_path / "out/tension.json").read_text())
    assert kept["objectives"]["harmless"]["policy"]["after"] == result["objectives"]["harmless"]["policy"]["after"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 comparisons; scores less their mean of +5.000\nhelpful   data: mean +2.000")
    assert main([*words, "--limit", "1"]) == 0
    assert capsys.readouterr().out.startswith("2 comparisons")


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--data", "{helpful}"], "does not say what is better in it; write helpful= or harmless= first"),
        (["--data", "helpful={helpful}"], "no harmless comparison could be scored"),
        (["--policy", "{home}"], "does not exist"),
        (["--limit", "0"], "--limit 0 must be at least 1"),
    ],
)
def test_one_line_says_what_is_wrong(
    more: list[str], line: str, files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", f"helpful={files['helpful']}", f"harmless={files['harmless']}"]
    more = [word.format(helpful=files["helpful"], home=tmp_path) for word in more]
    assert main(["evaluate", "tension", "pm", *words, *more]) == 2
    assert line in capsys.readouterr().err
