"""``serve`` and ``simulate`` as typed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from served import Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(
        tmp_path_factory.mktemp("programme") / "p", "[collect]\nhelpful_turns = 2\nred_team_turns = 1\n"
    ) as found:
        yield found


def test_simulate_says_what_was_done(served: Served, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["simulate", "2", "--dir", str(served.folder), "--study", "first", "--objective", "both", "--seed", "4"]
    log = tmp_path / "log.jsonl"
    assert main([*arguments, "--concurrency", "2", "--log", str(log), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("seconds") > 0
    assert found == {"conversations": 2, "choices": 3, "repeats": 0, "worker": "scripted", "study": "first"}
    assert len(log.read_text().splitlines()) == 3
    assert main(["simulate", "1", "--dir", str(served.folder), "--url", served.url]) == 0
    assert "1 conversations and 2 choices by scripted workers" in capsys.readouterr().out


def test_simulate_goes_on_where_it_stopped(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """The same command after a kill holds what was left; after that, it begins anew."""
    asked = {"conversations": 3, "objective": "harmless", "study": "left", "seed": 5}
    Programme.open(served.folder).errand("simulate", asked).keep(1)
    command = [
        "simulate",
        "3",
        "--dir",
        str(served.folder),
        "--objective",
        "harmless",
        "--study",
        "left",
        "--seed",
        "5",
    ]
    for held in (1, 3):
        assert main([*command, "--json"]) == 0
        found = capsys.readouterr()
        assert json.loads(found.out)["conversations"] == held
        assert ("going on with the 1 conversations" in found.err) == (held == 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["simulate", "3"], "no pages are served from"),
        (["simulate", "3", "--url", "nowhere"], "no pages of concordant answer at nowhere"),
        (["simulate", "3", "--url", "http://127.0.0.1:1/"], "answer at http://127.0.0.1:1;"),
        (["simulate", "0"], "must be at least 1"),
        (["simulate", "3", "--concurrency", "0"], "must be at least 1"),
        (["simulate", "3", "--pause", "-1"], "--pause -1 is not between 0 and 3600 seconds"),
        (["simulate", "3", "--pause", "nan"], "--pause nan is not between 0 and 3600 seconds"),
        (["simulate", "3", "--worker", "pm"], "invalid choice"),
        (["serve", "--port", "70000"], "port"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Programme.init(tmp_path / "p")
    assert main([*arguments, "--dir", str(tmp_path / "p")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize("half", [[], ["--only", "pages"]])
def test_nobody_is_served_from_elsewhere_before_there_is_an_account(
    half: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Programme.init(tmp_path / "p")
    assert main(["serve", "--dir", str(tmp_path / "p"), "--host", "0.0.0.0", "--port", "0", *half]) == 2
    error = capsys.readouterr().err
    assert "host 0.0.0.0 can be reached from other machines" in error and error.count("\n") == 1


def test_single_sign_on_needs_its_secret_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONCORDANT_OIDC_SECRET", raising=False)
    provider = 'issuer = "https://id.example"\nclient_id = "c"\nemails = {"a@b.example" = "researcher"}\n'
    Programme.init(tmp_path / "p", f"[staff.oidc]\n{provider}")
    assert main(["serve", "--dir", str(tmp_path / "p"), "--port", "0"]) == 2
    assert "set CONCORDANT_OIDC_SECRET before serve" in capsys.readouterr().err


def test_a_log_needs_its_folder(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "1", "--dir", str(served.folder), "--log", str(tmp_path / "none/log.jsonl")]
    assert main(arguments) == 2
    assert "none does not exist" in capsys.readouterr().err


def test_a_folder_without_a_programme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["serve"], ["simulate", "1"]):
        assert main([*verb, "--dir", str(tmp_path)]) == 2
        assert "is no programme" in capsys.readouterr().err


def test_a_programme_is_served_once(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--dir", str(served.folder), "--port", "0"]) == 2
    assert f"is served already, at {served.url}" in capsys.readouterr().err


def test_a_port_in_use_is_one_line(served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Programme.init(tmp_path / "p")
    assert main(["serve", "--dir", str(tmp_path / "p"), "--port", str(served.port)]) == 2
    error = capsys.readouterr().err
    assert f"port {served.port} on 127.0.0.1 cannot be used" in error and error.count("\n") == 1
    assert not (tmp_path / "p/serve.json").exists()
