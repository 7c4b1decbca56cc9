"""One turn of the online loop on a toy model: every step once, whatever happens between them.

The pages are served by a process of their own, which writes scripted replies; all else is the loop as it is.
"""

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from concordant.comparison import Objective, Preference, Tranche
from concordant.errors import UserError
from concordant.models.made_model import model_id
from concordant.models.preference_model import PreferenceModel
from concordant.online import Iteration, _freeze, _objectives, _pm, iterate, unfinished_iteration
from concordant.pm_run import train_run
from concordant.programme import Programme
from concordant.runs import Run, Watch
from concordant.serving_models import ensure_base
from concordant.store.database import Database
from concordant.store.datasets import FrozenDataset, freeze, load_dataset
from concordant.store.imports import import_files
from concordant.store.journal import finished_steps
from concordant.store.preferences import Filter, preferences
from concordant.store.registry import active_deployments, runs, snapshots
from concordant.train_config import PmpConfig
from hh_rows import write_hh
from served import Served
from toy_lessons import good_over_bad
from toy_model import ToyModels

STEPS = ["collect", "freeze", "pm", "policy", "deploy", "compare", "report"]

SETTINGS = """
model = "{model}"

[collect]
helpful_turns = 1
red_team_turns = 1

[iterate]
conversations = 12
board_conversations = 4
workers = 4
test_fraction = 0.3

[pm]
batch_size = 4
learning_rate = 1e-3
checkpoint_seconds = 0

[policy]
updates = 4
prompts_per_update = 2
replies_per_prompt = 2
max_new_tokens = 6
lora_rank = 2
trial_prompts = 2
checkpoint_seconds = 0
"""


class Stopped(Exception):
    """Somebody pulled the plug."""


class Seen:
    """Stages that remember which ones ran, and may be stopped in one: at its start, or at a report of progress."""

    def __init__(self, stop: str = "", at: int | None = None) -> None:
        self.ran: list[str] = []
        self._stop, self._at = stop, at

    @contextmanager
    def stage(self, name: str) -> Iterator[Watch]:
        self.ran.append(name)

        def watch(done: int, total: int, seen: str) -> None:
            if name == self._stop and done == self._at:
                raise Stopped

        if name == self._stop and self._at is None:
            raise Stopped
        yield watch


@pytest.fixture
def served(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    served = Served(tmp_path / "p", SETTINGS.format(model=toy.chat))
    programme = Programme.open(served.folder)
    database = Database.open(programme.store_url)
    ensure_base(programme, database)
    database.close()
    with served:
        yield served


@pytest.fixture
def store(served: Served) -> Iterator[Database]:
    database = Database.open(Programme.open(served.folder).store_url)
    yield database
    database.close()


def iteration(served: Served, store: Database, stages: Seen) -> Iteration:
    return Iteration(Programme.open(served.folder), store, unfinished_iteration(store), served.url, stages)


@pytest.mark.slow
def test_two_turns_of_the_loop(served: Served, store: Database, toy: ToyModels) -> None:
    base = str(toy.chat)
    stages = Seen()
    steps = iterate(iteration(served, store, stages))
    assert stages.ran == list(steps) == STEPS
    assert all(step["seconds"] >= 0 for step in steps.values())
    assert (steps["collect"]["choices"], steps["collect"]["deployed"]) == (12, [base])
    lessons = load_dataset(Path(steps["freeze"]["path"]))
    assert 6 <= len(lessons) <= 12
    assert steps["pm"]["trained_on"] + steps["pm"]["n"] <= len(lessons)  # the exam's openings were kept from training
    assert steps["deploy"]["deployed"] == {"old": base, "new": "policy-1"}
    assert {label for preference in studied(store, "board:iteration-1") for label in preference.models or ()} == {
        base,
        "policy-1",
    }
    assert all(len(set(preference.models or ())) == 2 for preference in studied(store, "board:iteration-1"))
    assert steps["report"]["worker_kinds"] == {"scripted": 16}
    assert (served.folder / "report/index.html").exists()

    programme = Programme.open(served.folder)
    pm, policy = (Run.open(programme.runs / name) for name in ("pm-1", "policy-1"))
    dataset = f"iteration-1@{steps['freeze']['digest'][:12]}"
    assert pm.head["parents"] == {"dataset": dataset, "base": base}
    assert policy.head["parents"] == {"pm": "pm-1", "prompts": dataset, "base": base}
    assert steps["policy"]["before"] == policy.result["before"]
    assert [record.name for record in runs(store)] == ["pm-1", "policy-1"]

    # The second turn collects from both, learns from all, and sets the two policies against each other.
    assert unfinished_iteration(store) == 2
    second = iterate(iteration(served, store, Seen()))
    assert second["collect"]["deployed"] == [base, "policy-1"]
    assert len(load_dataset(Path(second["freeze"]["path"]))) > len(lessons)
    assert second["deploy"]["deployed"] == {"old": "policy-1", "new": "policy-2"}
    assert {deployment.snapshot.label for deployment in active_deployments(store)} == {"policy-1", "policy-2"}
    assert {label for preference in studied(store, "board:iteration-2") for label in preference.models or ()} == {
        "policy-1",
        "policy-2",
    }
    assert [snapshot.label for snapshot in snapshots(store)] == [base, "policy-1", "policy-2"]
    assert finished_steps(store, 1) == steps


def studied(store: Database, study: str) -> list[Preference]:
    return [preference for _, preference in preferences(store, Filter(study=study, keep_weakest=True))]


def other_settings_are_refused(served: Served, store: Database) -> None:
    """An iteration is made with one config."""
    settings = served.folder / "concordant.toml"
    before = settings.read_text()
    settings.write_text(before.replace("conversations = 12", "conversations = 13"))
    with pytest.raises(UserError, match=r"step 'collect' was finished with other inputs .conversations was 12, now 13"):
        iterate(iteration(served, store, Seen()))
    settings.write_text(before)


def killed_after_freezing(served: Served, store: Database) -> FrozenDataset:
    """The data set of iteration 1 as a start leaves it that is killed before its journal row; then more is chosen."""
    frozen = freeze(store, "iteration-1", Filter(), Programme.open(served.folder).datasets)
    later = served.folder / "later.jsonl"
    talks = {side: f"\n\nHuman: and then?\n\nAssistant: {side}" for side in ("chosen", "rejected")}
    later.write_text(json.dumps(talks) + "\n")
    import_files(store, [later], Objective.HELPFUL, Tranche.BASE)
    return frozen


@pytest.mark.slow
def test_what_is_finished_is_not_made_again(served: Served, store: Database) -> None:
    """Stopped before and inside its steps, eight times."""
    ran = []
    stops = [
        ("collect", None),
        ("freeze", None),
        ("pm", 2),
        ("policy", None),
        ("policy", 1),
        ("deploy", None),
        ("compare", None),
        ("report", None),
    ]
    for name, at in stops:
        stages = Seen(name, at)
        with pytest.raises(Stopped):
            iterate(iteration(served, store, stages))
        assert stages.ran[-1] == name
        assert name not in finished_steps(store, 1)
        ran += stages.ran
        if name == "freeze":
            other_settings_are_refused(served, store)
            frozen = killed_after_freezing(served, store)
    last = Seen()
    steps = iterate(iteration(served, store, last))
    assert [*ran, *last.ran] == [
        "collect",
        "collect",
        "freeze",
        "freeze",
        "pm",
        "pm",
        "policy",
        "policy",
        "policy",
        "deploy",
        "deploy",
        "compare",
        "compare",
        "report",
        "report",
    ]
    assert list(steps) == STEPS
    assert steps["freeze"]["dataset"] == "iteration-1.2"
    assert steps["freeze"]["comparisons"] == frozen.counts["taken"] + 1
    assert steps["freeze"]["worker_kinds"] == {"scripted": frozen.counts["taken"], "unknown": 1}
    assert (steps["collect"]["choices"], steps["compare"]["choices"]) == (12, 4)
    for name in ("pm-1", "policy-1"):
        logged = [row["step"] for row in Run.open(Programme.open(served.folder).runs / name).metrics()]
        assert logged == list(range(1, len(logged) + 1))  # no step twice, though it was interrupted
    assert iterate(Iteration(Programme.open(served.folder), store, 1, served.url, Seen("collect"))) == steps


KILLED = """
    import os, signal, sqlite3, sys, time
    from pathlib import Path

    import concordant.online
    from concordant.cli import main

    folder = Path(sys.argv[1])

    def start():
        child = os.fork()
        if not child:
            os._exit(main(["iterate", "--dir", str(folder), "--json"]))
        return child

    def choices():
        with sqlite3.connect(folder / "store.sqlite", timeout=10) as store:
            return store.execute("SELECT count(*) FROM choices").fetchone()[0]

    for moment in (
        lambda: choices() >= 3,
        lambda: (folder / "runs/pm-1/config.json").exists(),
        lambda: (folder / "runs/policy-1/checkpoint").exists(),
    ):
        child = start()
        while not moment():
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "it ended before it was killed"
            time.sleep(0.002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with sqlite3.connect(folder / "store.sqlite", timeout=10) as store:
            names = store.execute("SELECT name FROM steps WHERE finished IS NOT NULL ORDER BY name")
            print("finished", *(name for name, in names), file=sys.stderr)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(start(), 0)[1]))
"""


@pytest.mark.slow
def test_killed_in_three_steps_it_ends_all_the_same(served: Served, store: Database) -> None:
    """``concordant iterate``, killed with SIGKILL while it collects, in the PM, and in the policy."""
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(served.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("finished")] == [
        "finished",
        "finished collect freeze",
        "finished collect freeze pm",
    ]
    (steps,) = json.loads(done.stdout)["iterations"].values()
    assert list(steps) == STEPS
    # Workers that were killed in the middle of a conversation leave it open; what they chose is kept.
    assert 12 <= steps["collect"]["choices"] <= 12 + 4
    for name in ("pm-1", "policy-1"):
        run = Run.open(Programme.open(served.folder).runs / name)
        logged = [row["step"] for row in run.metrics()]
        assert logged == list(range(1, len(logged) + 1))
        assert not run.checkpoint.exists()
    assert unfinished_iteration(store) == 2


def test_too_few_comparisons_do_not_block_an_iteration(tmp_path: Path) -> None:
    """Nothing is fixed while they cannot both teach and examine; with more, the same iteration goes on."""
    programme = Programme.init(tmp_path / "p")
    store = Database.open(programme.store_url)

    def collected(name: str, openings: int) -> None:
        rows = [
            {side: f"\n\nHuman: {name} {number}\n\nAssistant: {side}" for side in ("chosen", "rejected")}
            for number in range(openings)
        ]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        import_files(store, [tmp_path / name], Objective.HELPFUL, Tranche.BASE)

    made = Iteration(programme, store, 1, "", Seen())
    collected("one", 1)
    with pytest.raises(UserError, match=r"all 1 comparisons begin with one of 1 messages, too few .* collect more"):
        _freeze(made)
    collected("more", 40)
    assert _freeze(made)["comparisons"] == 41
    store.close()


def test_the_preference_model_may_begin_with_one_that_was_pretrained(toy: ToyModels, tmp_path: Path) -> None:
    """``[pm] model`` is a run of ``train pmp``, named from the programme's folder; without it, the first snapshot."""
    votes = Run.begin(tmp_path / "votes", "pmp", {}, {})
    config = PmpConfig(batch_size=8, warmup_steps=0, learning_rate=5e-3)
    train_run(votes, toy.chat, good_over_bad(16), config, lambda *_: None)
    found = {}
    for name, model in (("with", 'model = "../votes"\n'), ("without", "")):
        settings = f'model = "{toy.chat}"\n[pm]\n{model}learning_rate = 1e-12\n'
        programme = Programme.init(tmp_path / name, settings)
        store = Database.open(programme.store_url)
        ensure_base(programme, store)
        write_hh(tmp_path / "rows", good_over_bad(40))
        import_files(store, [tmp_path / "rows"], Objective.HELPFUL, Tranche.BASE)
        made = Iteration(programme, store, 1, "", Seen())
        frozen = _freeze(made)
        outputs = _pm(made, frozen, lambda *_: None)
        run = Run.open(programme.runs / outputs["run"])
        found[run.head["parents"]["base"]] = PreferenceModel.load(run.path).network.score.weight
        assert _pm(made, frozen, lambda *_: pytest.fail("it was made again")) == outputs
        store.close()
    assert list(found) == [model_id(votes.path), str(toy.chat)]
    learned = PreferenceModel.load(votes.path).network.score.weight
    assert torch.allclose(found[model_id(votes.path)], learned, atol=1e-7)
    assert not torch.allclose(found[str(toy.chat)], learned, atol=1e-3)


@pytest.mark.parametrize(("share", "expected"), [(0.0, "h"), (1.0, "r"), (0.5, "hr"), (0.25, "hhhr"), (0.8, "rrrrh")])
def test_objectives_in_turn(share: float, expected: str) -> None:
    names = {"h": Objective.HELPFUL, "r": Objective.HARMLESS}
    assert _objectives(share) == tuple(names[letter] for letter in expected)
