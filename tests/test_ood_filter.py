"""A filter: its threshold keeps its promise, its folder gives it back, and it judges prompts by a model."""

import json
from pathlib import Path

import numpy as np
import pytest

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.ood import split_sides
from concordant.evaluate.ood_filter import FilterPlan, PromptFilter, PromptScreen, conformal_threshold, make_filter
from concordant.evaluate.ood_scores import METHODS, Gaussian, Method
from concordant.models.activations import Reading, layer_states
from concordant.models.language_model import LanguageModel
from concordant.models.named_model import NamedModel
from concordant.sampler import Screen
from test_ood import sides
from toy_model import ToyModels


def made(method: Method, rate: float = 0.05, record: dict[str, object] | None = None) -> PromptFilter:
    inside, outside = sides()
    return make_filter(
        inside, outside, split_sides(inside, outside, 0.3, 0), FilterPlan(method, 3, rate), dict(record or {})
    )


def test_the_threshold_by_hand() -> None:
    """⌈0.8 · 10⌉ = 8: the eighth smallest of nine; with 95 % of 99 the 95th."""
    assert conformal_threshold(np.array([9.0, 1, 8, 2, 7, 3, 6, 4, 5]), 0.2) == 8.0
    assert conformal_threshold(np.arange(1.0, 100), 0.05) == 95.0
    assert conformal_threshold(np.arange(1.0, 20), 0.05) == 19.0


def test_a_rate_that_so_few_prompts_cannot_hold_is_refused() -> None:
    with pytest.raises(UserError, match=r"--false-declines 0\.05 needs at least 19 held-out inside prompts, not 18"):
        conformal_threshold(np.arange(18.0), 0.05)
    with pytest.raises(UserError, match=r"--false-declines 1 must lie between 0 and 1"):
        conformal_threshold(np.arange(18.0), 1.0)


def test_new_ordinary_prompts_are_declined_at_most_at_the_rate() -> None:
    """Over many draws of 39 held-out scores: exactly 5 % (39 + 1 is a multiple of 20), within four standard errors."""
    rng = np.random.default_rng(0)
    declined = [rng.normal(size=50) > conformal_threshold(rng.normal(size=39), 0.05) for _ in range(2000)]
    shares = np.array([part.mean() for part in declined])
    assert abs(shares.mean() - 0.05) < 4 * shares.std() / 2000**0.5


@pytest.mark.parametrize("method", METHODS)
def test_what_is_read_back_is_what_was_written(method: Method, tmp_path: Path) -> None:
    filter = made(method, record={"model": "toy"})
    filter.save(tmp_path / "filter")
    again = PromptFilter.load(tmp_path / "filter")
    x = np.random.default_rng(5).normal(size=(7, 6))
    assert np.array_equal(again.score(x), filter.score(x))
    assert (again.method, again.threshold, again.record) == (method, filter.threshold, filter.record)
    assert {path.name for path in (tmp_path / "filter").iterdir()} == {"filter.json", "filter.safetensors"}
    filter.save(tmp_path / "filter")  # in place of an older one
    assert [path.name for path in tmp_path.iterdir()] == ["filter"]


def test_it_says_how_well_it_does() -> None:
    record = made("exposed").record
    assert record["declined_inside"] <= 0.05
    assert record["declined_outside"] > 0.5
    assert (record["outliers"], record["fitted_on"], record["layer"]) == (140, 140, 3)
    assert made("plain").record["outliers"] == 0


def test_it_is_written_over_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and is no filter"):
        made("plain").save(tmp_path)


@pytest.mark.parametrize(
    ("breakage", "said"),
    [
        ("absent", "holds no filter"),
        ("format", "is not of the format"),
        ("tensors", "damaged filter"),
        ("threshold", "damaged filter"),
    ],
)
def test_a_damaged_folder_is_refused(breakage: str, said: str, tmp_path: Path) -> None:
    made("plain").save(tmp_path / "f")
    head = json.loads((tmp_path / "f/filter.json").read_text())
    if breakage == "absent":
        (tmp_path / "f/filter.json").unlink()
    elif breakage == "tensors":
        (tmp_path / "f/filter.safetensors").write_bytes(b"123456789")
    elif breakage == "format":
        (tmp_path / "f/filter.json").write_text(json.dumps(head | {"format": "other"}))
    else:
        (tmp_path / "f/filter.json").write_text(json.dumps({k: v for k, v in head.items() if k != "threshold"}))
    with pytest.raises(UserError, match=said):
        PromptFilter.load(tmp_path / "f")


def toy_filter(toy: ToyModels, folder: Path) -> None:
    """A filter of the toy model whose threshold lies between two prompts' scores."""
    named = NamedModel.find(str(toy.chat))
    model, reading = named.load(), Reading((1,), "last", 64)
    rng = np.random.default_rng(0)
    rows = [rng.integers(10, 200, size=8).tolist() for _ in range(60)]
    states = layer_states(model, rows, reading)[1].double().numpy()
    gaussian = Gaussian.fit(states, 0.5)
    two = layer_states(model, [reading.tokens(model, one) or [] for one in ASKED[:2]], reading)[1].double().numpy()
    threshold = float(gaussian.plain(two).mean())
    record = {"model": named.name, "digest": named.digest(), "layer": 1, "pooling": "last", "max_tokens": 64}
    PromptFilter("plain", gaussian, threshold, record).save(folder)


ASKED = [
    Conversation().human("how do I bake bread"),
    Conversation().human("Q"),
    Conversation().human("flour and water " * 40),  # far more than 64 tokens
]


def test_prompts_are_judged_by_the_models_activations(toy: ToyModels, tmp_path: Path) -> None:
    toy_filter(toy, tmp_path / "f")
    screen = PromptScreen.load(tmp_path / "f")
    assert isinstance(screen, Screen)
    first, second, third = screen.judge(ASKED)
    assert first.declined is not second.declined  # the threshold lies between them
    assert (third.score, third.declined) == (float("inf"), True)  # what cannot be read is declined
    assert screen.declines(ASKED) == [first.declined, second.declined, True]
    alone = [screen.judge([prompt])[0].score for prompt in ASKED[:2]]
    assert alone == pytest.approx([first.score, second.score], rel=1e-4)
    assert screen.judge([]) == []


def test_another_model_under_the_same_name_is_refused(toy: ToyModels, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    LanguageModel.load(toy.chat).network.save_pretrained(copy)
    LanguageModel.load(toy.chat).tokenizer.save_pretrained(copy)
    toy_filter(ToyModels(copy, toy.plain, toy.gpt2), tmp_path / "f")
    PromptScreen.load(tmp_path / "f")
    LanguageModel.load(toy.gpt2).network.save_pretrained(copy)
    with pytest.raises(UserError, match="was made from another model than"):
        PromptScreen.load(tmp_path / "f")


def test_a_filter_that_names_no_model_is_refused(tmp_path: Path) -> None:
    made("plain").save(tmp_path / "f")
    with pytest.raises(UserError, match="does not name its model and layer"):
        PromptScreen.load(tmp_path / "f")
