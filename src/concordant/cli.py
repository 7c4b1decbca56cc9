"""``concordant <verb> <what>``: parses, then imports. Nothing heavy is loaded before a command is known.

Exit status: 0 done; 2 the input is wrong (one line says what, which value, and the way out); 130 interrupted.
The verbs are in ``commands/``, one file for each group; each handler returns an ``Outcome``.
"""

import argparse
import errno
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from concordant import __version__
from concordant.commands import (
    data_verbs,
    demo_verbs,
    deploy_verbs,
    doctor_verbs,
    evaluate_verbs,
    key_verbs,
    message_verbs,
    model_verbs,
    ood_verbs,
    prompt_verbs,
    report_verbs,
    scan_verbs,
    score_verbs,
    serve_verbs,
    staff_verbs,
    train_verbs,
    worker_verbs,
)
from concordant.commands.outcome import SILENCE, Outcome, Verbs, for_terminal, plain
from concordant.errors import StoreBusy, UserError

GROUPS = (
    demo_verbs,
    serve_verbs,
    worker_verbs,
    staff_verbs,
    message_verbs,
    data_verbs,
    deploy_verbs,
    key_verbs,
    model_verbs,
    score_verbs,
    prompt_verbs,
    train_verbs,
    scan_verbs,
    evaluate_verbs,
    ood_verbs,
    report_verbs,
    doctor_verbs,
)


class _Parser(argparse.ArgumentParser):
    """argparse with one line for an error, as everywhere else, instead of a usage block."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see '{self.prog} --help'")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        sys.stdout.flush()  # `--help | head` ends here, where `main` handles it, and not at shutdown
        super().exit(status, message)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. Imports no room that loads torch, SQL or HTTP."""
    parser = _Parser(
        prog="concordant",
        description="Train language models from human preferences: from people's choices to better models.",
    )
    parser.add_argument("--version", action="version", version=f"concordant {__version__}")
    verbs: Verbs = parser.add_subparsers(title="verbs", metavar="<verb>", required=True, parser_class=_Parser)
    for group in GROUPS:
        group.add(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    # A plain kill ends a command as Ctrl-C does: what it started ends with it, and what it holds is let go.
    signal.signal(signal.SIGTERM, _terminate)
    try:
        args = build_parser().parse_args(arguments)
        outcome: Outcome = args.run(args)
        if getattr(args, "json", False) and outcome != SILENCE:
            print(json.dumps(plain(outcome.json), allow_nan=False))
        elif outcome.text:
            print(for_terminal(outcome.text))
        sys.stdout.flush()
        return outcome.status
    except (UserError, StoreBusy) as error:
        return _say(f"concordant: {error}", 2)
    except KeyboardInterrupt:
        return _say("concordant: interrupted; the same command goes on where it stopped", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ConnectionError as error:
        return _say(f"concordant: {error}; check the server and try again: what was finished is kept", 2)
    except Exception as error:
        line = _what_the_disk_said(error)
        if line is None:
            raise
        return _say(f"concordant: {line}", 2)


def _what_the_disk_said(error: Exception) -> str | None:
    """The line for a disk that is full or may not be written; None for another error."""
    number = error.errno if isinstance(error, OSError) else None
    file = error.filename if isinstance(error, OSError) else None
    if type(error).__name__ == "SafetensorError":  # it tells what the system said in words only
        said = re.search(r"os error (\d+)", str(error))
        number = int(said[1]) if said else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({file or 'while writing'}); make room and try again"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{file or 'a file'}: {os.strerror(number)}; choose a folder that can be written"
    return None


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str, status: int) -> int:
    print(for_terminal(" ".join(line.split())), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
