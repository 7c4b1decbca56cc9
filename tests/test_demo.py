"""The demo on a toy model: the pages, the reply generator and the loop, each in its real process."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from concordant.collect.serving import running_server
from concordant.config import load_config
from concordant.demo import FULL, QUICK, running_demo
from concordant.errors import UserError
from concordant.programme_config import ProgrammeConfig
from concordant.runs import Watch
from toy_model import ToyModels

SETTINGS = """
model = "{model}"

[sampling]
max_new_tokens = 8

[collect]
port = 0
helpful_turns = 1

[iterate]
conversations = 12
board_conversations = 4
workers = 6
test_fraction = 0.3

[pm]
batch_size = 4
learning_rate = 1e-3

[policy]
updates = 1
prompts_per_update = 2
replies_per_prompt = 2
max_new_tokens = 6
lora_rank = 2
trial_prompts = 2
"""


class Seen:
    """Stages that remember which ones ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Watch]:
        self.ran.append(name)
        yield lambda done, total, seen: None


@pytest.mark.parametrize("settings", [FULL, QUICK], ids=["full", "quick"])
def test_the_demos_settings_are_valid(settings: str, tmp_path: Path) -> None:
    (tmp_path / "concordant.toml").write_text(settings)
    config = load_config(ProgrammeConfig, tmp_path / "concordant.toml")
    assert (config.model, config.collect.port) == ("smollm2-135m", 0)


@pytest.mark.slow
def test_the_whole_circle(
    toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From nothing to a rated policy, with replies that the toy wrote; started again, it is only served."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder, settings = tmp_path / "demo", SETTINGS.format(model=toy.chat)
    stages = Seen()
    with running_demo(folder, settings, stages) as demo:
        assert stages.ran == ["model", "collect", "freeze", "pm", "policy", "deploy", "compare", "report"]
        assert (demo.steps["collect"]["choices"], demo.steps["compare"]["choices"]) == (12, 4)
        assert demo.steps["deploy"]["deployed"] == {"old": str(toy.chat), "new": "policy-1"}
        told = capsys.readouterr().err
        assert demo.links.worker in told and "/staff/link/" in told
        for link in (demo.links.worker, demo.links.researcher):
            assert httpx.get(link, follow_redirects=True).status_code == 200
        assert (folder / "report/index.html").exists()
        url = running_server(folder)
        assert url is not None and demo.links.worker.startswith(url)
    assert running_server(folder) is None
    again = Seen()
    with running_demo(folder, settings, again) as second:
        assert again.ran == ["model"]
        assert second.steps == demo.steps
        assert second.links.worker.split("/w/")[1] == demo.links.worker.split("/w/")[1]


def test_pages_that_cannot_come_up_are_one_line(toy: ToyModels, tmp_path: Path) -> None:
    settings = SETTINGS.format(model=toy.chat).replace("port = 0", 'port = 0\nhost = "203.0.113.1"')
    with (
        pytest.raises(UserError, match=r"the pages ended at once: host 203\.0\.113\.1 can be reached"),
        running_demo(tmp_path / "demo", settings, Seen()),
    ):
        pass
