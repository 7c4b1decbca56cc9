"""Trains toy policies in processes of their own and kills them (SIGKILL) at given moments: nothing is told before.

A moment is a call, of Python's or of a library's functions, counted from the start of a process within one phase: while
replies are sampled, while weights are updated, while something is written. ``python policy_killer.py MODEL OUT KILLS``
makes ``OUT/straight``, which nobody interrupts, and runs ``OUT/0``, ``OUT/1``, … that are killed KILLS times in all,
each gone on with until it ends; OUT/kills.jsonl says where. A run's last checkpoint stays in ``last/``.
"""

import inspect
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from concordant.conversation import Conversation
from concordant.models.checkpoints import Checkpoint
from concordant.models.generation import generate
from concordant.models.language_model import LanguageModel
from concordant.runs import Run
from concordant.train.judging import Judges
from concordant.train.policy import train_policy
from concordant.train.ppo_update import update
from concordant.train_config import PolicyConfig
from toy_lessons import LetterModel

UPDATES = 5
CONFIG = PolicyConfig(
    updates=UPDATES,
    prompts_per_update=3,
    replies_per_prompt=2,
    max_new_tokens=6,
    lora_rank=2,
    learning_rate=1e-2,
    warmup_samples=12,
    halving_samples=18,
    trial_prompts=2,
    samples_every=1,
    keep_step=0.05,
    keep_most=2,
    checkpoint_seconds=0,
)
PHASES: Mapping[str, tuple[Callable[..., Any], ...]] = {
    "rollout": (generate,),
    "update": (update,),
    "save": (Checkpoint.save, Run.log, Run.replace_samples, Run.keep_model, Run.save_model, Run.rewind, Run.finish),
}
_PHASE_OF: dict[CodeType, str] = {
    inspect.unwrap(function).__code__: phase for phase, functions in PHASES.items() for function in functions
}


class Moments:
    """Counts the calls of each phase; at the wanted one, the process is no more."""

    def __init__(self, phase: str = "", number: int = 0, note: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self._wanted = phase, number
        self._note = note
        self._inside: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        phase = _PHASE_OF.get(frame.f_code)
        if phase and event == "call":
            self._inside.append(phase)
        if self._inside and event in ("call", "c_call"):
            inside = self._inside[0]
            self.counts[inside] += 1
            if (inside, self.counts[inside]) == self._wanted and self._note is not None:
                name = frame.f_code.co_name if event == "call" else getattr(argument, "__name__", "?")
                with self._note.open("a") as file:
                    file.write(json.dumps({"phase": inside, "call": self.counts[inside], "function": name}) + "\n")
                os.kill(os.getpid(), signal.SIGKILL)
        if phase and event == "return":
            self._inside.pop()


def train(model: Path, folder: Path) -> None:
    """Begin the run, or go on with it."""
    finish = Run.finish

    def finish_and_leave_the_last_state(run: Run, result: Mapping[str, Any]) -> None:
        shutil.copytree(run.checkpoint, run.path / "last", dirs_exist_ok=True)
        finish(run, result)

    Run.finish = finish_and_leave_the_last_state  # type: ignore[method-assign, assignment]
    run = Run.begin(folder, "policy", CONFIG.model_dump(mode="json"), {})
    if run.finished:
        return
    prompts = {Conversation().human(f"question {number}"): None for number in range(10)}
    judges = Judges(LetterModel(), LetterModel(-0.1))
    train_policy(run, LanguageModel.load(model), judges, prompts, CONFIG, lambda *_: None)


def in_a_process(work: Callable[[], None], moments: Moments) -> int:
    """Do it in a child; returns how that ended, as ``os.waitpid`` says it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.setprofile(moments)
            work()
            status = 0
        except Exception:
            traceback.print_exc()
        finally:
            sys.setprofile(None)
            os._exit(status)
    return os.waitpid(child, 0)[1]


def main(model: Path, out: Path, kills: int) -> None:
    LanguageModel.load(model).with_lora(1, seed=0)  # so that no child has to import
    counts = out / "counts.json"

    def straight() -> None:
        train(model, out / "straight")
        counts.write_text(json.dumps(moments.counts))

    moments = Moments()
    assert in_a_process(straight, moments) == 0
    whole = json.loads(counts.read_text())
    stream, number, made = random.Random(0), 0, 0
    while made < kills:
        phase = tuple(PHASES)[made % len(PHASES)]
        call = stream.randint(1, 2 * whole[phase] // UPDATES)
        work = partial(train, model, out / str(number))
        status = in_a_process(work, Moments(phase, call, out / "kills.jsonl"))
        made += os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status):
            assert status == 0
            number += 1
    assert in_a_process(partial(train, model, out / str(number)), Moments()) == 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
