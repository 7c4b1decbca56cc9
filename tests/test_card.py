"""The model card of a finished run, and that the lines in it and in the guide load the model and give its scores."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.conversation import Conversation
from concordant.evaluate.run_material import save_evaluation
from concordant.models.card import write_card
from concordant.models.preference_model import PreferenceModel
from concordant.runs import Json, Run
from concordant.train.pm import train_pm
from concordant.train_config import PreferenceModelConfig
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels

GUIDE = Path(__file__).parents[1] / "docs/guide.md"
EGG = Conversation().human("How long do I boil an egg?")
REPLIES = ["Seven minutes for a soft yolk.", "Eggs are oval."]
EVALUATION: Json = {
    "n": 40,
    "accuracy": 0.675,
    "ci95": [0.52, 0.799],
    "ties": 0.0,
    "nll": 0.61,
    "ece": 0.052,
    "length_baseline": {"longer_wins": 0.55, "ci95": [0.4, 0.7], "n": 40},
    "by_file": {"a|b.jsonl": {"n": 40, "accuracy": 0.675, "ci95": [0.52, 0.799]}},
    "collapsed": False,
}


def trained(folder: Path, model: Path, **parents: str) -> Run:
    """A PM's run on 16 comparisons and two that teach nothing."""
    config = PreferenceModelConfig(model=str(model), batch_size=8, learning_rate=5e-3, max_tokens=200)
    given = {"data": "lessons.jsonl@0123456789ab", "objective": "helpful", "base": str(model), **parents}
    run = Run.begin(folder, "pm", config.model_dump(mode="json"), given)
    lessons = [*good_over_bad(16), preference("why", "yes", "yes"), preference("why", "yes", "no", strength=1)]
    train_pm(run, PreferenceModel.from_language_model(model, 0, 200), lessons, config, lambda done, total, seen: None)
    return run


@pytest.fixture(scope="module", params=["chat", "gpt2"])
def run(request: pytest.FixtureRequest, toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("runs") / "pm-7", getattr(toy, request.param))


def card_of(run: Run) -> str:
    return (run.model / "README.md").read_text()


def python_in(page: str) -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    return str(code)


def scores_by(code: str, folder: Path) -> list[float]:
    """What the lines leave in ``scores``, with the model's folder put in."""
    code, places = re.subn(r'^folder = ".*"$', f"folder = {str(folder)!r}", code, flags=re.M)
    assert places == 1
    left: dict[str, Any] = {}
    exec(code, left)
    scores: list[float] = left["scores"].tolist()
    return scores


def test_the_lines_in_the_card_give_the_scores(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain transformers, one row a reply, padded on the right, from the folder of a finished run."""
    ours = PreferenceModel.load(run.path).score(EGG, REPLIES)
    assert abs(ours[0] - ours[1]) > 1e-3
    assert scores_by(python_in(card_of(run)), run.model) == pytest.approx(ours, abs=1e-4)
    said = float(capsys.readouterr().out.rsplit(" ", 1)[1])
    assert said == pytest.approx(torch.sigmoid(torch.tensor(ours[0] - ours[1])).item(), abs=1e-4)


def test_the_lines_in_the_guide_give_the_scores(toy: ToyModels, tmp_path: Path) -> None:
    run = trained(tmp_path / "pm", toy.chat)
    ours = PreferenceModel.load(run.path).score(EGG, REPLIES)
    assert scores_by(python_in(GUIDE.read_text()), run.model) == pytest.approx(ours, abs=1e-4)


def test_what_the_card_says(run: Run) -> None:
    card = card_of(run)
    front = card.split("---\n")[1].splitlines()
    assert front[:2] == ["library_name: transformers", "pipeline_tag: text-classification"]
    assert "base_model" not in card.split("---\n")[1]  # a folder is not a model of the hub
    for piece in (
        "# pm-7: a preference model",
        "16 comparisons",
        "`lessons.jsonl@0123456789ab`",
        "Objective: helpful.",
        "| equal replies | 1 |",
        "| weakest strength | 1 |",
        "- 16 from files that do not say who chose",
        "| `learning_rate` | 0.005 |",
        "Over the last quarter of its steps: train loss ",
        "Not measured yet.",
        "at most 200 tokens",
        "Only the difference",
        "| this run | pm-7 |",
        "| data | lessons.jsonl@0123456789ab |",
    ):
        assert piece in card, piece
    assert oct((run.model / "README.md").stat().st_mode & 0o777) == "0o644"


def test_a_card_names_no_folder_of_this_machine(run: Run) -> None:
    """Not the base model's, though the config and the parents have it."""
    base = Path(run.head["config"]["model"])
    assert f"| base | {base.name} |" in card_of(run) and "`model`" not in card_of(run)
    assert str(base.parent) not in card_of(run) and str(run.path.parent) not in card_of(run)


def test_a_measurement_is_added(toy: ToyModels, tmp_path: Path) -> None:
    run = trained(tmp_path / "pm", toy.chat)
    save_evaluation(run, EVALUATION)
    card = card_of(run)
    assert "Not measured yet." not in card
    assert "| accuracy on comparisons | 67.5% [52.0%, 79.9%], n = 40 |" in card
    assert '| "the longer reply wins" | 55.0% |' in card
    assert "| accuracy on a\\|b.jsonl | 67.5%, n = 40 |" in card
    assert "say nothing" not in card
    save_evaluation(run, EVALUATION | {"collapsed": True})
    assert "these numbers say nothing" in card_of(run)


def test_a_run_of_a_programme(toy: ToyModels, tmp_path: Path) -> None:
    """Its data set and its base model are its parents; the config's own base model was not used."""
    run = Run.begin(
        tmp_path / "pm", "pm", {"model": "org/other", "seed": 3}, {"dataset": "spring@12ab", "base": "smollm2-135m"}
    )
    run.save_model(PreferenceModel.from_language_model(toy.chat, seed=0).save)
    write_card(run, {"comparisons": 1, "dropped": {}})
    card = card_of(run)
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in card and "org/other" not in card
    assert "from `spring@12ab`" in card and "Objective" not in card and "| `seed` | 3 |" in card


@pytest.mark.parametrize(
    ("base", "front", "words"),
    [
        (
            "smollm2-135m",
            "base_model: HuggingFaceTB/SmolLM2-135M-Instruct\n",
            "from HuggingFaceTB/SmolLM2-135M-Instruct",
        ),
        ("org/model-1.5", "base_model: org/model-1.5\n", "from org/model-1.5 by"),
        ("ladder-42m@3", "", "from ladder-42m@3, a transformer that was not trained before, by"),
        ("/home/someone/runs/pmp-2/model", "", "from the model pmp-2 by"),
        ("../here", "", "from the model here by"),
        ("runs/pmp-2/kept/320", "", "from the model pmp-2/kept/320 by"),
    ],
)
def test_base_models(base: str, front: str, words: str, toy: ToyModels, tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "pm", "pm", {"model": base}, {"data": "a@1, b@2"})
    run.save_model(PreferenceModel.from_language_model(toy.chat, seed=0).save)
    write_card(run, {"comparisons": 1200, "dropped": {}, "worker_kinds": {"scripted": 1000, "person": 200}})
    card = card_of(run)
    assert words in card and card.count("base_model:") == bool(front) and front in card
    assert "1,200 comparisons" in card and "`a@1`, `b@2`" in card and "Nothing was left out." in card
    assert "- 1,000 by scripted workers, programs with a fixed taste: **this is not human judgement**" in card
    assert "- 200 by people" in card
    assert "someone" not in card
