"""Snapshots as samplers: the programme's first model, policies with their adapters, best-of-k; each loaded once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.ood_filter import PromptScreen
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.programme import Programme
from concordant.serving_models import ensure_base, snapshot_samplers
from concordant.store.database import Database
from concordant.store.registry import SnapshotKind, active_deployments, add_snapshot, deploy, retire, snapshots
from test_ood_filter import ASKED as FILTERED
from test_ood_filter import toy_filter
from toy_model import ToyModels

ASKED = [Conversation().human("how do I bake bread")]


@pytest.fixture
def programme(toy: ToyModels, tmp_path: Path) -> Programme:
    return Programme.init(tmp_path / "p", f'model = "{toy.chat}"\n[sampling]\nmax_new_tokens = 8\n')


@pytest.fixture
def store(programme: Programme) -> Iterator[Database]:
    database = Database.open(programme.store_url)
    yield database
    database.close()


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Serving takes a thread less; the tests after it shall have theirs."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_first_snapshot_is_the_programmes_model(programme: Programme, store: Database, toy: ToyModels) -> None:
    first = ensure_base(programme, store)
    assert (first.label, first.kind) == (str(toy.chat), SnapshotKind.MODEL)
    assert first.spec == {"folder": str(toy.chat), "adapter": None}
    assert ensure_base(programme, store) == first
    assert [snapshot.label for snapshot in snapshots(store)] == [first.label]
    assert [(deployment.snapshot.id, deployment.weight) for deployment in active_deployments(store)] == [(first.id, 1)]


def test_what_is_deployed_is_left_alone(programme: Programme, store: Database) -> None:
    """Unless nothing is: then the first model goes out again."""
    first = ensure_base(programme, store)
    other = add_snapshot(store, "other", SnapshotKind.MODEL, {"folder": "x", "adapter": None})
    deployed = active_deployments(store)[0]
    deploy(store, other.id, 2.0)
    retire(store, deployed.id)
    ensure_base(programme, store)
    assert [deployment.snapshot.label for deployment in active_deployments(store)] == ["other"]
    retire(store, active_deployments(store)[0].id)
    ensure_base(programme, store)
    assert [deployment.snapshot.id for deployment in active_deployments(store)] == [first.id]


def test_a_programme_keeps_its_first_model(programme: Programme, store: Database, toy: ToyModels) -> None:
    ensure_base(programme, store)
    other = Programme.open(programme.path, [f"model={toy.gpt2}"])
    with pytest.raises(UserError, match=r"model is '.*gpt2', but this programme began with '.*chat', to which"):
        ensure_base(other, store)


def test_every_kind_of_snapshot_writes(
    programme: Programme, store: Database, toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base model, a policy (its adapter merged), and the best of 4 of that policy; models are loaded once."""
    policy = LanguageModel.load(toy.chat).with_lora(rank=2, seed=0)
    with torch.no_grad():
        for name, weight in policy.network.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.3)
    policy.network.save_pretrained(tmp_path / "adapter")
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm")
    base = ensure_base(programme, store)
    spec = {"folder": str(toy.chat), "adapter": str(tmp_path / "adapter")}
    trained = add_snapshot(store, "policy-1", SnapshotKind.MODEL, spec)
    best = add_snapshot(
        store, "best of 4", SnapshotKind.BEST_OF_K, {"of": trained.id, "pm": str(tmp_path / "pm"), "k": 4}
    )
    for one in (trained, best):
        deploy(store, one.id, 1.0)
    loads: list[tuple[Any, ...]] = []
    load = LanguageModel.load

    def counting(*arguments: Any) -> LanguageModel:
        loads.append(arguments)
        return load(*arguments)

    monkeypatch.setattr(LanguageModel, "load", counting)
    sampler = snapshot_samplers(programme, store)
    texts = {}
    for snapshot in (best, base, trained, base):
        ((reply,),) = sampler(snapshot).sample(ASKED, 1, 0)
        assert (reply.tokens or 0) <= 8
        texts[snapshot.label] = reply.text
    assert loads == [(toy.chat, tmp_path / "adapter"), (toy.chat, None)]
    assert texts[base.label] != texts[trained.label]
    candidates = sampler(trained).sample(ASKED, 4, 0)[0]
    scores = PreferenceModel.load(tmp_path / "pm").score(ASKED[0], [reply.text for reply in candidates])
    assert texts[best.label] == candidates[scores.index(max(scores))].text


def test_models_no_longer_deployed_are_let_go(programme: Programme, store: Database, toy: ToyModels) -> None:
    """A programme that goes on for months must not hold every policy it ever had."""
    base = ensure_base(programme, store)
    others = [
        add_snapshot(store, f"policy-{number}", SnapshotKind.MODEL, {"folder": str(folder), "adapter": None})
        for number, folder in enumerate((toy.gpt2, toy.plain), start=1)
    ]
    first = deploy(store, others[0].id, 1.0)
    sampler = snapshot_samplers(programme, store)
    kept, gone = sampler(base), sampler(others[0])
    assert sampler(others[0]) is gone
    retire(store, first.id)
    sampler(others[1])
    assert sampler(base) is kept
    assert sampler(others[0]) is not gone


def test_serving_leaves_a_core(programme: Programme, store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    snapshot_samplers(programme, store)
    assert torch.get_num_threads() == 7


def test_every_deployment_stands_behind_the_programmes_filter(toy: ToyModels, tmp_path: Path) -> None:
    """A path from the programme's folder; what it declines is answered with the refusal, the rest as without it."""
    filtered = Programme.init(
        tmp_path / "f", f'model = "{toy.chat}"\n[sampling]\nmax_new_tokens = 8\nfilter = "strange"\nrefusal = "No."\n'
    )
    toy_filter(toy, filtered.path / "strange")
    declined = PromptScreen.load(filtered.path / "strange").declines(FILTERED)
    assert sorted(declined) == [False, True, True]
    store = Database.open(filtered.store_url)
    base = ensure_base(filtered, store)
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm")
    spec = {"of": base.id, "pm": str(tmp_path / "pm"), "k": 2}
    best = add_snapshot(store, "best of 2", SnapshotKind.BEST_OF_K, spec)
    sampler = snapshot_samplers(filtered, store)
    for snapshot in (base, best):
        replies = sampler(snapshot).sample(FILTERED, 1, 0)
        assert [reply[0].text == "No." for reply in replies] == declined
    with pytest.raises(UserError, match="absent holds no filter"):
        snapshot_samplers(Programme.open(filtered.path, ["sampling.filter=absent"]), store)
    store.close()
