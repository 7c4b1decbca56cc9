"""``train pm`` and ``train policy`` as typed, from files, on a toy model."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from concordant.cli import main
from concordant.models.made_model import model_id
from concordant.runs import Run
from hh_rows import write_hh
from toy_lessons import good_over_bad, preference
from toy_model import ToyModels

LESSONS = good_over_bad(60)
SMALL = ["--set", "batch_size=8", "--set", "learning_rate=5e-3", "--set", "warmup_steps=2"]
TINY = ["updates=2", "prompts_per_update=2", "replies_per_prompt=2", "max_new_tokens=6", "lora_rank=2"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_hh(tmp_path / "data.jsonl", LESSONS)
    with (tmp_path / "data.jsonl").open("a") as file:
        file.write(json.dumps({"chosen": "\n\nHuman: a\n\nAssistant: b"}) + "\n")
    return tmp_path / "data.jsonl"


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    """What a command that cannot be done says, in one line."""
    assert main(command) == 2
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    return found.err


def test_pm_and_policy(data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "pm"
    command = ["train", "pm", "--data", str(data), "--model", str(toy.chat), "--out", str(run), *SMALL]
    assert main([*command, "--test-fraction", "0.25", "--json"]) == 0
    result = said(capsys)
    exam = result["evaluation"]["n"]
    assert result["comparisons"] + exam == 60 and 5 <= exam <= 25
    assert (result["run"], result["unread"]) == (str(run), {"missing 'rejected'": 1})
    assert json.loads((run / "evaluation.json").read_text()) == result["evaluation"]

    # The same command again trains nothing, and measures again.
    written = (run / "model/model.safetensors").stat().st_mtime_ns
    assert main([*command, "--test-fraction", "0.25", "--json"]) == 0
    assert said(capsys) == result
    assert (run / "model/model.safetensors").stat().st_mtime_ns == written
    # With another share, openings of the exam would have been trained on.
    for other in (["--test-fraction", "0.5"], []):
        assert "holds another run (parents.test_fraction was '0.25'" in refused(capsys, [*command, *other])

    policy = ["train", "policy", "--data", str(data), "--pm", str(run), "--model", str(toy.chat)]
    settings = [word for setting in TINY for word in ("--set", setting)]
    assert main([*policy, "--out", str(tmp_path / "policy"), *settings]) == 0
    text = capsys.readouterr().out.splitlines()
    assert (
        text[0].startswith("2 updates in ") and text[1].startswith("score  ") and text[2].startswith("KL     0.00 → ")
    )
    assert text[-1] == str(tmp_path / "policy")
    parents = Run.open(tmp_path / "policy").head["parents"]
    assert (parents["base"], parents["objective"]) == (model_id(toy.chat), "any")
    digest = hashlib.sha256((run / "model/model.safetensors").read_bytes()).hexdigest()
    assert parents["pm"] == f"pm@{digest[:12]}"
    assert parents["data"].startswith("data.jsonl@")
    assert main([*policy, "--out", str(tmp_path / "policy"), *settings, "--json"]) == 0
    assert said(capsys)["updates"] == 2


def test_a_test_file_shares_no_opening(
    data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = tmp_path / "test.jsonl"
    unseen = [preference(f"what is {number}", "a good one", "a bad one") for number in range(6)]
    write_hh(test, [*LESSONS[:4], *unseen])
    command = ["train", "pm", "--data", str(data), "--test", str(test), "--model", str(toy.chat), *SMALL, "--json"]
    for limit, tested in (("9", 6), ("4", 4)):
        assert main([*command, "--out", str(tmp_path / "pm"), "--limit", "20", "--test-limit", limit]) == 0
        result = said(capsys)
        assert (result["comparisons"], result["evaluation"]["n"]) == (20, tested)
    assert result["unread"]["test comparison whose opening is trained on"] == 4
    write_hh(test, LESSONS[:4])
    assert "all 4 test comparisons begin with a message that stands in --data too" in refused(
        capsys, [*command, "--out", str(tmp_path / "other")]
    )


def test_a_mixture_is_drawn_and_another_one_is_refused(
    data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hh(tmp_path / "harm.jsonl", [preference(f"how do I steal {n}", "you do not", "so") for n in range(30)])
    rest = ["--model", str(toy.chat), "--out", str(tmp_path / "pm"), *SMALL, "--limit", "20", "--json"]
    files = [f"helpful={data},3", f"harmless={tmp_path}/harm.jsonl,1"]
    assert main(["train", "pm", "--data", *files, *rest]) == 0
    assert said(capsys)["comparisons"] == 20
    parents = Run.open(tmp_path / "pm").head["parents"]
    assert parents["mixed"] == "15 of helpful=data.jsonl, 5 of harmless=harm.jsonl"
    message = refused(capsys, ["train", "pm", "--data", files[0], f"{files[1][:-1]}3", *rest])
    assert "holds another run" in message and "10 of harmless=harm.jsonl" in message
    assert "harm.jsonl has 30 comparisons, and its share of 80 is 40" in refused(
        capsys, ["train", "pm", "--data", f"{data},1", f"{tmp_path}/harm.jsonl,1", *rest, "--limit", "80"]
    )
    assert "a weight is a number above 0" in refused(capsys, ["train", "pm", "--data", f"{data},0", *rest])


def test_two_parts_and_a_policy_against_both(
    data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The two PMs of a 50/50 split have no comparison in common, and the same test."""
    found = []
    for part in "ab":
        words = ["train", "pm", "--data", str(data), "--model", str(toy.chat), "--out", str(tmp_path / part), *SMALL]
        assert main([*words, "--test-fraction", "0.2", "--split", "50/50", "--part", part, "--json"]) == 0
        found.append(said(capsys))
    assert found[0]["evaluation"]["n"] == found[1]["evaluation"]["n"]
    assert sum(result["comparisons"] for result in found) + found[0]["evaluation"]["n"] == 60
    assert [Run.open(tmp_path / part).head["parents"]["split"] for part in "ab"] == ["50/50 a", "50/50 b"]

    policy = ["train", "policy", "--data", str(data), "--model", str(toy.chat), "--out", str(tmp_path / "policy")]
    policy += [word for setting in TINY for word in ("--set", setting)]
    members = [str(tmp_path / part) for part in "ab"]
    assert main([*policy, "--pm", *members, "--combine", "minimum", "--json"]) == 0
    assert said(capsys)["updates"] == 2
    named = Run.open(tmp_path / "policy").head["parents"]["pm"]
    assert re.fullmatch(r"minimum of a@[0-9a-f]{12}, b@[0-9a-f]{12}", named)
    assert f"parents.pm was '{named}', now 'mean of a@" in refused(capsys, [*policy, "--pm", *members])

    # One trains the policy, and the other one looks on.
    policy[policy.index("--out") + 1] = str(tmp_path / "watched")
    assert main([*policy, "--pm", members[0], "--test-pm", members[1], "--set", "keep_step=9", "--json"]) == 0
    result = said(capsys)
    assert result["parted"] is None and result["kept"] == []
    assert result["after"].keys() >= {"score", "test_score", "test_score_se"}
    assert re.fullmatch(r"b@[0-9a-f]{12}", Run.open(tmp_path / "watched").head["parents"]["test_pm"])
    assert main([*policy, "--pm", members[0], "--test-pm", members[1], "--set", "keep_step=9"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("test   ")
    for words, message in (
        (["--pm", *members, "--test-pm", members[1]], f"--test-pm {members[1]} trains the policy (--pm)"),
        (["--pm", members[0], "--set", "stop_when_parted=true"], "there is no test preference model; name one"),
        (
            ["--pm", members[0], "--set", "advantage=leave_one_out", "--set", "replies_per_prompt=1"],
            "advantage is 'leave_one_out': it needs replies_per_prompt of 2 or more, which is 1",
        ),
    ):
        assert message in refused(capsys, [*policy, *words, "--out", str(tmp_path / "never")])


def test_an_interrupted_run_goes_on_with_the_same_command(
    data: Path, toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the middle: one line, status 130, and then the result of a run that was never interrupted."""
    rest = ["--data", str(data), "--model", str(toy.chat), *SMALL, "--set", "checkpoint_seconds=0", "--json"]
    log = Run.log

    def interrupted(run: Run, metrics: dict[str, Any]) -> None:
        log(run, metrics)
        if metrics["step"] == 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", interrupted)
        assert main(["train", "pm", "--out", str(tmp_path / "stopped"), *rest]) == 130
    assert capsys.readouterr().err == "concordant: interrupted; the same command goes on where it stopped\n"
    for name in ("stopped", "straight"):
        assert main(["train", "pm", "--out", str(tmp_path / name), *rest]) == 0
    one, other = ((tmp_path / name / "model/model.safetensors").read_bytes() for name in ("stopped", "straight"))
    assert one == other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--test-fraction", "1.5"], "--test-fraction 1.5 must lie between 0 and 1"),
        (["--limit", "0"], "--limit 0 must be at least 1"),
        (["--test-fraction", "0.2", "--test-limit", "0"], "--test-limit 0 must be at least 1"),
        (["--set", "learning_rate=-1"], "learning_rate is -1: input should be greater than 0"),
        (["--set", "learningrate=1"], "unknown key 'learningrate'"),
        (["--set", f"seed={10**20}"], "seed is 100000000000000000000: input should be less than"),
        (["--config", "absent.toml"], "config file absent.toml cannot be read"),
        (["--model", "smolm"], "model 'smolm' is unknown"),
        (["--set", "frozen_layers=2"], "pm.frozen_layers is 2, and the model has 2 layers"),
        (["--objective", "kind"], "invalid choice: 'kind'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], message: str, data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "pm", "--data", str(data), "--model", str(toy.chat), "--out", str(tmp_path / "run")]
    assert message in refused(capsys, [*command, *arguments])
    assert not (tmp_path / "run/model").exists()


def test_files_that_cannot_be_used(
    data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "pm", "--model", str(toy.chat), "--out", str(tmp_path / "run"), "--data"]
    assert "absent.jsonl does not exist" in refused(capsys, [*command, str(tmp_path / "absent.jsonl")])
    (tmp_path / "poem.txt").write_text("Roses are red\n")
    assert "poem.txt holds no usable comparison" in refused(capsys, [*command, str(tmp_path / "poem.txt")])
    assert "is not empty and is no run's folder" in refused(
        capsys, ["train", "pm", "--model", str(toy.chat), "--data", str(data), "--out", str(tmp_path)]
    )
    assert not (tmp_path / "run").exists()


def test_a_policy_needs_a_preference_model(
    data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "policy", "--data", str(data), "--out", str(tmp_path / "run"), "--model", str(toy.chat), "--pm"]
    assert "holds no model" in refused(capsys, [*command, str(tmp_path / "absent")])
    assert "is no preference model" in refused(capsys, [*command, str(toy.chat)])
    assert not (tmp_path / "run").exists()


def dump(path: Path, questions: int = 30) -> Path:
    """A dump whose questions have three answers of 0, 1 and 7 votes."""
    rows = [
        f'<row Id="{number}" PostTypeId="1" Score="1" Title="how to {number}" Body="&lt;p&gt;please&lt;/p&gt;" />'
        + "".join(
            f'<row Id="{number + i}" PostTypeId="2" ParentId="{number}" Score="{votes}" Body="{word} {number}" />'
            for i, (votes, word) in enumerate([(0, "bad"), (1, "fair"), (7, "good")], start=1)
        )
        for number in range(10, 10 * questions + 1, 10)
    ]
    path.write_text("<posts>" + "".join(rows) + "</posts>")
    return path


def test_pmp_then_pm(data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    posts = dump(tmp_path / "Posts.xml")
    command = ["train", "pmp", "--data", str(posts), "--model", str(toy.chat), "--out", str(tmp_path / "pmp"), *SMALL]
    command += ["--set", "pairs_per_question=2", "--json"]
    assert main([*command, "--limit", "50", "--test-fraction", "0.2"]) == 0
    result = said(capsys)
    # 30 questions with three pairs each; two of each are kept, 50 of those, and each becomes two comparisons.
    assert result["comparisons"] + result["evaluation"]["n"] == 100 and result["evaluation"]["n"] >= 4
    assert result["unread"] == {"pair beyond 2 of one question": 30, "pair beyond the limit": 10}
    assert result["worker_kinds"] == {"person": result["comparisons"]} and result["train_lm_loss"] > 0
    head = Run.open(tmp_path / "pmp").head
    assert (head["kind"], head["config"]["lm_coef"], head["parents"]["test_fraction"]) == ("pmp", 1.0, "0.2")
    assert head["parents"]["data"].startswith("Posts.xml@")
    assert main([*command, "--limit", "50", "--test-fraction", "0.2"]) == 0
    assert said(capsys) == result

    pm = ["train", "pm", "--data", str(data), "--model", str(tmp_path / "pmp"), "--out", str(tmp_path / "pm"), *SMALL]
    assert main(pm) == 0
    assert Run.open(tmp_path / "pm").head["parents"]["base"] == model_id(tmp_path / "pmp")
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "pm")


def test_pretraining_that_cannot_be_done_is_one_line(
    data: Path, toy: ToyModels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    posts = dump(tmp_path / "Posts.xml", 2)
    command = ["train", "pmp", "--model", str(toy.chat), "--out", str(tmp_path / "run"), "--data"]
    assert "data.jsonl is no XML, or is cut short" in refused(capsys, [*command, str(data)])
    assert "absent.xml does not exist" in refused(capsys, [*command, str(tmp_path / "absent.xml")])
    for arguments, message in (
        (["--test-fraction", "1"], "--test-fraction 1.0 must lie between 0 and 1"),
        (["--limit", "0"], "--limit 0 must be at least 1"),
        (["--set", "rate_ratio=0"], "rate_ratio is 0: input should be greater than 0"),
    ):
        assert message in refused(capsys, [*command, str(posts), *arguments])
    assert not (tmp_path / "run").exists()
