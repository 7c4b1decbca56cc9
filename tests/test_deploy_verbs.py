"""``concordant deploy …`` as typed: a policy's run, the best of k of a snapshot, and what it leaves of the rest."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from concordant.cli import main
from concordant.comparison import Tranche
from concordant.endpoint_sampler import EndpointSampler
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.programme import Programme
from concordant.runs import Run
from concordant.serving_models import snapshot_samplers
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.preferences import Filter, preferences
from concordant.store.registry import SnapshotKind, active_deployments, snapshot, snapshots
from concordant.store.reply_queue import claim
from concordant.store.talk_views import view
from stories import ask, draw, person, play
from toy_model import ToyModels


@pytest.fixture
def programme(toy: ToyModels, tmp_path: Path) -> Programme:
    return Programme.init(tmp_path / "p", f'model = "{toy.chat}"\n[sampling]\nmax_new_tokens = 4\n')


@pytest.fixture
def pm(toy: ToyModels, tmp_path: Path) -> Path:
    PreferenceModel.from_language_model(toy.chat, seed=0).save(tmp_path / "pm")
    return tmp_path / "pm"


def said(capsys: pytest.CaptureFixture[str], programme: Programme, *words: object) -> dict[str, Any]:
    assert main(["deploy", *map(str, words), "--dir", str(programme.path), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], programme: Programme, *words: object) -> str:
    assert main(["deploy", *map(str, words), "--dir", str(programme.path)]) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


def test_the_best_of_k_is_deployed_and_its_comparisons_are_rs(
    programme: Programme, pm: Path, toy: ToyModels, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the command to a snapshot that writes, and to preferences of tranche rs."""
    added = said(capsys, programme, "add", toy.chat, "--best-of", 4, "--pm", pm, "--weight", 3)
    label = added["snapshot"]
    assert label.startswith(f"{toy.chat} best of 4 by pm@") and (added["kind"], added["k"]) == ("best_of_k", 4)
    assert said(capsys, programme, "add", toy.chat, "--best-of", 4, "--pm", pm, "--weight", 3) == added
    database = Database.open(programme.store_url)
    threads = torch.get_num_threads()
    try:
        best, base = snapshot(database, label), snapshot(database, str(toy.chat))
        (reply,) = snapshot_samplers(programme, database)(best).sample([_asked()], 1, 0)[0]
        assert reply.score is not None and (reply.tokens or 0) <= 4
        worker = person(database)
        play(database, worker, draw(best), [1])
        play(database, worker, draw(base, best), [8])
        play(database, worker, draw(base), [8])
        found = [row.tranche for _, row in preferences(database, Filter())]
        assert found == [Tranche.RS, Tranche.RS, Tranche.BASE]
    finally:
        torch.set_num_threads(threads)
        database.close()
    listed = said(capsys, programme, "list")["deployments"]
    assert [(one["snapshot"], one["weight"]) for one in listed] == [(str(toy.chat), 1.0), (label, 3.0)]
    said(capsys, programme, "retire", label)
    assert [one["snapshot"] for one in said(capsys, programme, "list")["deployments"]] == [str(toy.chat)]
    assert "is not deployed" in refused(capsys, programme, "retire", label)


def _asked() -> Any:
    from concordant.conversation import Conversation

    return Conversation().human("how do I bake bread")


def make_run(path: Path, save: Any) -> Run:
    run = Run.begin(path, "policy", {}, {"base": "toy"})
    run.save_model(save)
    run.finish({"updates": 1})
    return run


def test_policies_by_their_runs_are_online(
    programme: Programme, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an adapter, or with all weights trained: then the folder alone would not tell it from a base model."""
    lora = make_run(tmp_path / "policy-1", LanguageModel.load(toy.chat).with_lora(2, 0).save_adapter)
    base = LanguageModel.load(toy.chat)

    def whole(folder: Path) -> None:
        base.network.save_pretrained(folder)
        base.tokenizer.save_pretrained(folder)

    full = make_run(tmp_path / "policy-2", whole)
    for run in (lora, full):
        assert said(capsys, programme, "add", run.path, "--objective", "helpful")["snapshot"] == run.name
    database = Database.open(programme.store_url)
    try:
        specs = [snapshot(database, run.name).spec for run in (lora, full)]
        assert specs == [
            {"folder": str(toy.chat), "adapter": str(lora.model)},
            {"folder": str(full.model), "adapter": None},
        ]
        worker = person(database)
        for run in (lora, full):
            play(database, worker, draw(snapshot(database, run.name)), [1])
        assert [row.tranche for _, row in preferences(database, Filter())] == [Tranche.ONLINE] * 2
        assert {one.objective for one in active_deployments(database)} == {None, "helpful"}
    finally:
        database.close()


def test_what_cannot_be_deployed_is_one_line(
    programme: Programme, pm: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Run.begin(tmp_path / "begun", "policy", {}, {})
    best = said(capsys, programme, "add", toy.chat, "--best-of", 2, "--pm", pm)["snapshot"]
    for words, message in (
        (["add", toy.chat, "--best-of", 4], "--best-of K and --pm RUN go together"),
        (["add", toy.chat, "--best-of", 1, "--pm", pm], "leaves nothing to choose"),
        (["add", toy.chat, "--best-of", 4, "--pm", toy.chat], "holds no preference model"),
        (["add", best, "--best-of", 4, "--pm", pm], "is a best-of-k already"),
        (["add", "absent"], "there is no snapshot 'absent'"),
        (["add", tmp_path / "begun"], "is no finished policy run"),
        (["add", toy.gpt2], "is a model and no run"),
        (["add", toy.chat, "--weight", 0], "must be above 0"),
    ):
        assert message in refused(capsys, programme, *words)


def test_endpoints_and_people_need_no_model_here(
    programme: Programme, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    added = said(
        capsys, programme, "add", "--endpoint", "http://host:8000/v1/", "--model", "big", "--key-env", "BIG_KEY"
    )
    assert (added["snapshot"], added["kind"]) == ("big at http://host:8000/v1", "endpoint")
    row = {"prompt": "why", "reply": "because", "writer": "Ann"}
    (tmp_path / "people.jsonl").write_text(json.dumps(row) + "\n{}\n")
    added = said(capsys, programme, "add", "--written", tmp_path / "people.jsonl", "--objective", "helpful")
    assert (added["snapshot"], added["kind"]) == ("people: people.jsonl", "written")
    assert said(capsys, programme, "add", "--written", tmp_path / "people.jsonl", "--objective", "helpful") == added
    named = said(
        capsys, programme, "add", "--endpoint", "http://h/v1", "--model", "m", "--label", "arm c", "--weight", 2
    )
    assert named["snapshot"] == "arm c"
    database = Database.open(programme.store_url)
    try:
        assert snapshot(database, "arm c").spec == {"url": "http://h/v1", "model": "m", "key_env": None}
        assert len(active_deployments(database)) == 3
        threads = torch.get_num_threads()
        sampler = snapshot_samplers(programme, database)(snapshot(database, "arm c"))
        torch.set_num_threads(threads)
        assert isinstance(sampler, EndpointSampler) and sampler.limits.max_tokens == 4
        assert {one.kind for one in snapshots(database)} == {SnapshotKind.ENDPOINT, SnapshotKind.WRITTEN}
    finally:
        database.close()


def test_weights_draining_and_the_kill_switch_as_typed(
    programme: Programme, toy: ToyModels, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, programme, "add", "--endpoint", "http://h/v1", "--model", "m", "--label", "other")
    said(capsys, programme, "add", toy.chat)
    assert said(capsys, programme, "weight", toy.chat, 4)["deployments"][0]["weight"] == 4.0
    database = Database.open(programme.store_url)
    try:
        chat, other = snapshot(database, str(toy.chat)), snapshot(database, "other")
        talk, _ = ask(database, person(database), draw(chat))
        assert said(capsys, programme, "drain", toy.chat)["drained"][0]["snapshot"] == str(toy.chat)
        listed = {one["snapshot"]: one for one in said(capsys, programme, "list")["deployments"]}
        assert (listed[str(toy.chat)]["state"], listed[str(toy.chat)]["waiting"]) == ("draining", 2)
        assert "nothing is drawn from it" in refused(capsys, programme, "weight", toy.chat, 2)
        stopped = said(capsys, programme, "stop", toy.chat)
        assert (stopped["redrawn"], stopped["failed"]) == (2, 0)
        pending = view(database, talk).pending
        assert pending is not None and {job.snapshot_id for job in claim(database, "w", 9, 60.0)} == {other.id}
        assert said(capsys, programme, "add", toy.chat, "--weight", 4)["state"] == "live"
        said(capsys, programme, "stop", toy.chat)
        said(capsys, programme, "stop", "other")
        threads = torch.get_num_threads()
        snapshot_samplers(programme, database)  # a new start does not bring back what was stopped
        torch.set_num_threads(threads)
        assert active_deployments(database) == []
        assert [act.act for act in acts(database, 2)] == ["deployment stopped"] * 2
    finally:
        database.close()


def test_what_does_not_go_together_is_one_line(
    programme: Programme, pm: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["add"], "give one of SNAPSHOT, --endpoint URL and --written FILE"),
        (["add", toy.chat, "--endpoint", "http://h/v1", "--model", "m"], "give one of"),
        (["add", "--endpoint", "http://h/v1"], "go together"),
        (["add", toy.chat, "--key-env", "K"], "go together"),
        (["add", toy.chat, "--label", "x"], "has its label already"),
        (["add", "--written", tmp_path / "none.jsonl"], "cannot be read"),
        (["add", "--written", tmp_path / "x", "--best-of", 2, "--pm", pm], "people wrote one"),
        (["add", "--endpoint", "h", "--model", "m"], "is no address"),
        (["weight", "absent", 2], "no snapshot 'absent'"),
    ):
        assert message in refused(capsys, programme, *words), words


def test_a_preference_model_that_scores_nothing_is_refused_at_once(
    programme: Programme, pm: Path, toy: ToyModels, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is deployed, and not by replies that fail."""
    model = PreferenceModel.load(pm)
    with torch.no_grad():
        model.network.score.weight.fill_(float("nan"))
    model.save(pm)
    assert "no number to choose by" in refused(capsys, programme, "add", toy.chat, "--best-of", 2, "--pm", pm)
    assert all(one["kind"] == "model" for one in said(capsys, programme, "list")["deployments"])
