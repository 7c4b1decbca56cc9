"""The command line's contract: exit status, one line for an error, one JSON object with --json."""

import argparse
import errno
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable

import pytest
from safetensors import SafetensorError

from concordant import __version__, cli
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import StoreBusy, UserError

Handler = Callable[[argparse.Namespace], Outcome]


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Handler], None]:
    """Gives the command line one verb, ``act``, that runs the handler given."""

    def install(handler: Handler) -> None:
        def add(verbs: Verbs) -> None:
            parser = verbs.add_parser("act", help="does it")
            parser.add_argument("--times", type=int)
            add_json(parser)
            parser.set_defaults(run=handler)

        monkeypatch.setattr(cli, "GROUPS", (types.SimpleNamespace(add=add),))

    return install


def raising(error: BaseException) -> Handler:
    def handler(_: argparse.Namespace) -> Outcome:
        raise error

    return handler


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["frobnicate"], "'frobnicate'"),
        ([], "required"),
        (["act", "--bogus"], "--bogus"),
        (["act", "--times", "twice"], "'twice'"),
    ],
)
def test_a_wrong_command_is_one_line_that_names_it_and_status_2(
    verb: Callable[[Handler], None],
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    verb(lambda _: Outcome("done"))
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("concordant: ") and named in err and "--help'" in err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("port 80 is taken;\n  choose another"), 2, "concordant: port 80 is taken; choose another\n"),
        (StoreBusy("the store x is locked; try again"), 2, "concordant: the store x is locked; try again\n"),
        (
            KeyboardInterrupt(),
            130,
            "concordant: interrupted; the same command goes on where it stopped\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "runs/pm"),
            2,
            "concordant: the disk is full (runs/pm); make room and try again\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "concordant: the disk is full (while writing); make room and try again\n",
        ),
        (
            ConnectionError("the connection to postgresql://db was lost"),
            2,
            "concordant: the connection to postgresql://db was lost; check the server and try again: what was finished "
            "is kept\n",
        ),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            2,
            "concordant: the disk is full (while writing); make room and try again\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            2,
            "concordant: /root/x: Permission denied; choose a folder that can be written\n",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    verb: Callable[[Handler], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
) -> None:
    verb(raising(error))
    assert cli.main(["act"]) == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EIO, "Input/output error")])
def test_a_defect_of_ours_keeps_its_traceback(verb: Callable[[Handler], None], error: Exception) -> None:
    verb(raising(error))
    with pytest.raises(type(error)):
        cli.main(["act"])


def test_text_or_with_json_one_object_and_nothing_else(
    verb: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb(lambda _: Outcome("accuracy 0.65", {"accuracy": 0.65, "n": 300}))
    assert cli.main(["act"]) == 0
    assert capsys.readouterr() == ("accuracy 0.65\n", "")
    assert cli.main(["act", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"accuracy": 0.65, "n": 300} and out.count("\n") == 1 and err == ""


def test_json_never_holds_what_json_cannot_say(
    verb: Callable[[Handler], None], capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"nll": float("nan"), "rows": [{"gap": float("inf")}, (1.5, "x")], "n": 3}
    verb(lambda args: Outcome("", found))
    assert cli.main(["act", "--json"]) == 0
    assert capsys.readouterr().out == '{"nll": null, "rows": [{"gap": null}, [1.5, "x"]], "n": 3}\n'


def test_a_verdict_sets_the_exit_status(verb: Callable[[Handler], None]) -> None:
    verb(lambda _: Outcome("1 of 6 checks failed", status=1))
    assert cli.main(["act"]) == 1


def test_a_reader_that_went_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "concordant.cli", "--help"]
    done = subprocess.run(command, env=buffered, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"concordant {__version__}\n"


def test_every_verb_has_a_help_line_a_handler_and_help_for_each_option() -> None:
    def walk(parser: argparse.ArgumentParser) -> None:
        inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        for action in parser._actions:
            assert action in inner or action.help, f"{parser.prog}: {action.option_strings or action.dest} has no help"
        for group in inner:
            described = {choice.dest for choice in group._choices_actions if choice.help}
            assert described == set(group.choices), f"{parser.prog}: a verb has no help line"
            for verb_parser in group.choices.values():
                walk(verb_parser)
        assert inner or parser.get_default("run"), f"{parser.prog} does nothing"

    walk(cli.build_parser())
