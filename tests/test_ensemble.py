"""Several preference models as one: by hand with rules, and with real members that share no tokenizer."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.ensemble_scores import judge_items
from concordant.models.ensemble import REFERENCE_SIZE, Combine, Ensemble, load_scorer
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.pm_run import train_run
from concordant.runs import Run
from concordant.sampler import BatchScorer, BestOfK, Scorer, ScriptedSampler
from concordant.train.judging import Judges
from concordant.train.policy import train_policy
from concordant.train_config import PolicyConfig, PreferenceModelConfig
from toy_lessons import LetterModel, good_over_bad, preference
from toy_model import ToyModels, make_chat_model

ASK = Conversation().human("?")
Members = Callable[[], list[Path]]


class Rule:
    """A scorer that is a rule on the reply's text, with room for so many characters."""

    def __init__(self, rule: Callable[[str], float], room: int = 100) -> None:
        self.rule = rule
        self.max_tokens = room

    def has_room(self, prompt: Conversation, reply_tokens: int) -> bool:
        return reply_tokens <= self.max_tokens

    def row(self, prompt: Conversation, replies: Sequence[str]) -> str | None:
        return "".join(replies) if max(map(len, replies)) <= self.max_tokens else None

    def score_many(self, items: Sequence[tuple[Conversation, Sequence[str]]]) -> list[list[float]]:
        return [[self.rule(reply) for reply in replies] for _, replies in items]

    def score(self, prompt: Conversation, replies: Sequence[str]) -> list[float]:
        return self.score_many([(prompt, replies)])[0]


LENGTH, MINUS = Rule(lambda reply: float(len(reply))), Rule(lambda reply: 10.0 - len(reply))
REFERENCE = [preference("?", "aa", "aaaa")]  # mean length 3: LENGTH's offset is 3, MINUS's 7


def test_mean_minimum_and_spread_by_hand() -> None:
    """LENGTH gives length − 3, MINUS 3 − length: their mean is 0, their minimum −|length − 3|, their spread |…|."""
    items = [(ASK, ["a", "aaa"]), (ASK, ["aaaaaaa"])]
    mean = Ensemble.of([LENGTH, MINUS], "mean", REFERENCE)
    assert mean.offsets == (3.0, 7.0)
    assert mean.score_many(items) == [[0.0, 0.0], [0.0]]
    assert Ensemble.of([LENGTH, MINUS], "minimum", REFERENCE).score_many(items) == [[-2.0, 0.0], [-4.0]]
    combined, spread = mean.merge(np.array([[1.0, 3.0, 7.0], [9.0, 7.0, 3.0]]))
    assert (combined.tolist(), spread.tolist()) == ([0.0, 0.0, 0.0], [2.0, 0.0, 4.0])
    assert mean.score_many([]) == []


def test_an_offset_of_a_member_changes_nothing() -> None:
    """Without the reference, a member whose scores are all 100 higher would never be the minimum."""
    shifted = Rule(lambda reply: len(reply) + 100.0)
    for combine in ("mean", "minimum"):
        one, other = (Ensemble.of([member, MINUS], _combine(combine), REFERENCE) for member in (LENGTH, shifted))
        assert one.score(ASK, ["a", "aa", "aaaaaa"]) == other.score(ASK, ["a", "aa", "aaaaaa"])


def _combine(name: str) -> Combine:
    return "mean" if name == "mean" else "minimum"


def test_room_is_that_of_the_smallest_member() -> None:
    ensemble = Ensemble.of([Rule(LENGTH.rule, 5), Rule(LENGTH.rule, 50)], "mean", REFERENCE)
    assert isinstance(ensemble, Scorer) and isinstance(ensemble, BatchScorer)
    assert ensemble.max_tokens == 5
    assert ensemble.has_room(ASK, 5) and not ensemble.has_room(ASK, 6)
    row = ensemble.row(ASK, ["a", "aaaaa"])
    assert row is not None and len(row) == 6 and ensemble.row(ASK, ["a", "aaaaaa"]) is None


def test_only_so_many_reference_comparisons_are_scored_and_only_those_that_fit() -> None:
    asked = LetterModel(1.0)
    Ensemble.of([asked], "mean", [preference("?", "a", "b")] * (REFERENCE_SIZE + 7))
    assert sum(map(len, asked.asked)) == REFERENCE_SIZE
    short = Rule(lambda reply: float(len(reply)), room=4)
    assert Ensemble.of([short], "mean", [preference("?", "a" * 9, "a"), *REFERENCE]).offsets == (3.0,)
    with pytest.raises(UserError, match="none of the reference replies fits"):
        Ensemble.of([short], "mean", [preference("?", "a" * 9, "a")])


def test_best_of_k_by_an_ensemble() -> None:
    ensemble = Ensemble.of([LENGTH, Rule(lambda reply: 3.0 * len(reply))], "minimum", REFERENCE)
    replies = ScriptedSampler(("a", "aaaaa", "aaa"))
    best = BestOfK(replies, ensemble, 30).sample([ASK], 1, seed=0)[0][0]
    # On "aaaaa" the first says 2, the second 6: less is 2.
    assert (best.text, best.score) == ("aaaaa", 2.0)


@pytest.fixture(scope="module")
def members(toy: ToyModels, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three PMs: two seeds of one base, and one with another tokenizer and a smaller context."""
    folder = tmp_path_factory.mktemp("members")
    other = make_chat_model(folder / "other-base", vocabulary=290, context=160)
    made = []
    for name, base, seed in (("one", toy.chat, 0), ("two", toy.chat, 1), ("other", other, 2)):
        config = PreferenceModelConfig(learning_rate=5e-3, warmup_steps=2, batch_size=8, seed=seed)
        run = Run.begin(folder / name, "pm", config.model_dump(mode="json"), {})
        train_run(run, base, good_over_bad(60), config, lambda *_: None)
        made.append(run.path)
    return made


def test_members_with_other_tokenizers(members: list[Path]) -> None:
    reference, exam = good_over_bad(20, seed=5), good_over_bad(30, seed=6)
    models = [PreferenceModel.load(path) for path in members]
    assert len({len(model.format.tokenizer) for model in models}) == 2
    ensemble = load_scorer(members, "mean", reference)
    assert isinstance(ensemble, Ensemble) and ensemble.max_tokens == 160
    centred = [model.score_many([(p.prompt, [p.chosen, p.rejected]) for p in reference]) for model in models]
    assert ensemble.offsets == pytest.approx([float(np.mean(scores)) for scores in centred])
    items = [(p.prompt, [p.chosen, p.rejected]) for p in exam]
    each = np.array([model.score_many(items) for model in models]) - np.array(ensemble.offsets)[:, None, None]
    assert np.array(ensemble.score_many(items)) == pytest.approx(each.mean(axis=0), abs=1e-5)
    assert np.array(load_scorer(members, "minimum", reference).score_many(items)) == pytest.approx(
        each.min(axis=0), abs=1e-5
    )
    judged = [one for one in judge_items(ensemble, items) if one is not None]
    assert np.array([one.scores for one in judged]) == pytest.approx(each.mean(axis=0), abs=1e-5)
    assert np.array([one.spread for one in judged]) == pytest.approx(each.std(axis=0), abs=1e-5)
    right = sum(chosen > rejected for chosen, rejected in ensemble.score_many(items))
    assert right > 20


def test_a_policy_learns_from_an_ensemble_of_other_tokenizers(
    members: list[Path], toy: ToyModels, tmp_path: Path
) -> None:
    ensemble = load_scorer(members[1:], "minimum", good_over_bad(10))
    config = PolicyConfig(updates=2, prompts_per_update=2, replies_per_prompt=2, max_new_tokens=6, lora_rank=2)
    run = Run.begin(tmp_path / "policy", "policy", config.model_dump(mode="json"), {})
    prompts = {lesson.prompt: lesson.objective for lesson in good_over_bad(12)}
    result = train_policy(run, LanguageModel.load(toy.chat), Judges(ensemble), prompts, config, lambda *_: None)
    assert result["updates"] == 2 and all(np.isfinite(row["score"]) for row in run.metrics())


def test_loading(members: list[Path], tmp_path: Path) -> None:
    alone = load_scorer(members[:1])
    assert isinstance(alone, PreferenceModel)
    with pytest.raises(UserError, match="named twice"):
        load_scorer([members[0], members[0]], "mean", good_over_bad(3))
    with pytest.raises(UserError, match="can be compared only on reference comparisons"):
        load_scorer(members[:2])
    with pytest.raises(UserError, match="holds no model"):
        load_scorer([members[0], tmp_path / "absent"], "mean", good_over_bad(3))
    with pytest.raises(ValueError, match="not one for one"):
        Ensemble((), "mean", ())
