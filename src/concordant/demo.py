"""The demo: a programme from nothing, its pages, and one iteration of the online loop by scripted workers.

Nothing here is special to it but its settings and its table: ``init``, ``serve`` and ``iterate`` do the work. The pages
run in a process of their own, as they would on a server, and stay when the circle is closed.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.collect.serving import Links, links, running_server
from concordant.errors import UserError
from concordant.online import Iteration, Stages, iterate
from concordant.programme import Programme
from concordant.serving_models import ensure_base
from concordant.store.database import Database

Json = dict[str, Any]

FULL = """\
# The demo: one iteration with scripted workers, sized for two cores and fifteen minutes.

[sampling]
max_new_tokens = 32

[collect]
port = 0
helpful_turns = 2
red_team_turns = 2

[iterate]
conversations = 112
board_conversations = 36
workers = 32
sharpness = 6.0

[pm]
lora_rank = 16
learning_rate = 5e-4
batch_size = 8
warmup_steps = 4
frozen_layers = 8
row_tokens = 2048

[policy]
updates = 7
prompts_per_update = 8
replies_per_prompt = 4
max_new_tokens = 32
passes = 1
minibatches = 4
warmup_updates = 0
gae_lambda = 1.0
learning_rate = 5e-4
trial_prompts = 12
row_tokens = 2048
"""

QUICK = """\
# The small demo, for a first look and for CI: every step is real, and too short to teach much.

[sampling]
max_new_tokens = 16

[collect]
port = 0
helpful_turns = 1
red_team_turns = 1

[iterate]
conversations = 40
board_conversations = 16
workers = 20
sharpness = 6.0

[pm]
lora_rank = 16
learning_rate = 5e-4
batch_size = 8
warmup_steps = 2
frozen_layers = 15
row_tokens = 2048

[policy]
updates = 2
prompts_per_update = 4
replies_per_prompt = 4
max_new_tokens = 16
passes = 1
minibatches = 2
warmup_updates = 0
gae_lambda = 1.0
learning_rate = 5e-4
trial_prompts = 4
row_tokens = 2048
"""

_SERVER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that has run.

    Attributes:
        steps: outputs of the iteration's steps by name.
        links: where the pages are.
    """

    steps: dict[str, Json]
    links: Links


@contextmanager
def running_demo(folder: Path, settings: str, stages: Stages) -> Iterator[Demo]:
    """Make the programme, serve it, close the circle once; the pages end with the block.

    Raises:
        UserError: the folder is another programme, or a step cannot be done.
    """
    programme = Programme.init(folder, settings)
    database = Database.open(programme.store_url)
    try:
        with _pages(programme) as url:
            found = links(database, programme.path, url)
            print(
                f"The pages are up, and yours to try while it runs.\n"
                f"  worker      {found.worker}\n  researcher  {found.researcher}\n",
                file=sys.stderr,
                flush=True,
            )
            with stages.stage("model") as watch:
                ensure_base(programme, database, say=lambda line: watch(0, 0, line))
            steps = iterate(Iteration(programme, database, 1, url, stages))
            yield Demo(steps, links(database, programme.path, url))  # the first one may have been used
    finally:
        database.close()


@contextmanager
def _pages(programme: Programme) -> Iterator[str]:
    """``concordant serve`` as a child while the block lasts; yields its URL."""
    if (url := running_server(programme.path)) is not None:
        yield url
        return
    log = programme.path / "logs" / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "concordant.cli", "serve", "--dir", str(programme.path)]
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield _wait_for_pages(programme, child, log)
    finally:
        child.terminate()
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for_pages(programme: Programme, child: "subprocess.Popen[bytes]", log: Path) -> str:
    end = time.monotonic() + _SERVER_SECONDS
    while time.monotonic() < end:
        if (url := running_server(programme.path)) is not None:
            return url
        if child.poll() is not None:
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(f"the pages ended at once: {last.removeprefix('concordant: ')}")
        time.sleep(0.2)
    raise UserError(f"the pages did not come up within {_SERVER_SECONDS:.0f} s; see {log}")
