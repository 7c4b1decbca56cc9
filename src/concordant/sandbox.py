"""Runs Python programs that nobody has read, such as a model's: shut in, limited, and ended whole (paper §5.3).

A program sees no network, no file but Python's own and a private /tmp, and no other process; time, memory, processes,
files and output have limits. How, is in ``sandbox_inside.py``. Where the system cannot do all of that, nothing is run:
``check`` says so in one line. Left out: other systems than Linux, other languages, and a program that lies about its
own success: it can read its own tests.
"""

import json
import os
import platform
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from concordant.errors import UserError

End = Literal["ended", "failed", "time", "memory", "output"]

_MACHINES = ("x86_64", "aarch64")
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache")
_SETUP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use.

    Attributes:
        seconds: by the clock; the same number of processor seconds for each of its processes.
        memory_mb: address space of each process, and resident memory of all together.
        processes: at once, itself included.
        file_mb: size of a file; the private /tmp holds twice as much.
        files: open at once in a process.
        output_bytes: of what it prints.
    """

    seconds: float = 10.0
    memory_mb: int = 512
    processes: int = 8
    file_mb: int = 16
    files: int = 64
    output_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a program ended.

    Attributes:
        end: "ended" by itself with status 0; "failed" with another status or by a signal; or stopped for its time,
            memory or output.
        status: its exit status, negative for a signal; None where it was stopped.
        output: what it printed, errors too, up to the limit.
        seconds: by the clock.
    """

    end: End
    status: int | None
    output: str
    seconds: float


class Refused(Exception):
    """This system cannot shut a program in."""


def run_program(program: str, limits: Limits | None = None) -> Verdict:
    """Run a Python program in the sandbox.

    Args:
        program: its source.
        limits: what it may use.

    Raises:
        Refused: the system did not allow what the sandbox is made of; the program was not started.
    """
    limits = limits or Limits()
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        raise Refused(f"it works on Linux with {' or '.join(_MACHINES)}, and this is {sys.platform}")
    with tempfile.TemporaryDirectory(prefix="concordant-sandbox-") as root:
        reading, writing = os.pipe()
        command = [sys.executable, "-I", "-S", "-B", str(Path(__file__).with_name("sandbox_inside.py"))]
        process = subprocess.Popen(
            [*command, str(writing), json.dumps(_settings(limits, root))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
            env={},
            start_new_session=True,
        )
        os.close(writing)
        watched = _Watched(process, reading, limits)
        with process:
            try:
                return watched.to_the_end(program)
            finally:
                watched.kill()
                os.close(reading)


@cache
def check() -> None:
    """Make sure, once, that the sandbox holds: a program tries to get out, and must not.

    Raises:
        UserError: it does not, or cannot be made here.
    """
    try:
        verdict = run_program(_PROBE, Limits(seconds=20.0, processes=4))
        why = None if verdict.output.strip() == "shut in" else f"a trial got out: {verdict.output.strip()[-200:]}"
    except Refused as refusal:
        why = str(refusal)
    if why:
        raise UserError(
            f"generated code is run in a sandbox only, and this system gives none ({why}); allow user namespaces "
            "(sysctl user.max_user_namespaces; in Docker --security-opt seccomp=unconfined), or leave humaneval out"
        )


_PROBE = """
import os, socket
found = [path for path in ("/proc/1", "/etc/passwd", "/sys/kernel", "/var") if os.path.exists(path)]
for family, address in ((socket.AF_INET, ("127.0.0.1", 9)), (socket.AF_UNIX, "/tmp/work/socket")):
    try:
        socket.socket(family).bind(address)
        found.append(f"socket {address}")
    except OSError:
        pass
try:
    open("/usr/written", "w")
    found.append("/usr can be written")
except OSError:
    pass
children = []
try:
    for _ in range(16):
        child = os.fork()
        if child == 0:
            os.read(os.pipe()[0], 1)
        children.append(child)
    found.append("16 processes")
except OSError:
    pass
print(", ".join(found) or "shut in")
"""


def _settings(limits: Limits, root: str) -> dict[str, Any]:
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    own = {str(Path(python).parents[1]), os.path.realpath(sys.base_prefix)}
    readable = [*_SYSTEM, *sorted(path for path in own if path != "/" and not path.startswith("/usr"))]
    seconds, memory, file = int(limits.seconds) + 1, limits.memory_mb * _MEGABYTE, limits.file_mb * _MEGABYTE
    return {
        "root": root,
        "python": python,
        "readable": readable,
        "tmp_bytes": 2 * file,
        "limits": {
            "RLIMIT_CPU": seconds,
            "RLIMIT_AS": memory,
            "RLIMIT_FSIZE": file,
            "RLIMIT_NOFILE": limits.files,
            "RLIMIT_NPROC": limits.processes + (0 if os.getuid() == 0 else 2),  # its two keepers have the same user
            "RLIMIT_CORE": 0,
        },
    }


class _Watched:
    """A started sandbox."""

    def __init__(self, process: "subprocess.Popen[bytes]", status: int, limits: Limits) -> None:
        self._process = process
        self._status = status
        self._limits = limits
        self._first: int | None = None
        self._ended: int | None = None
        self._refused: str | None = None
        self._said = b""
        self._output = bytearray()

    def to_the_end(self, program: str) -> Verdict:
        """Feed it, read what it says, and stop it where it goes beyond its limits."""
        assert self._process.stdin is not None and self._process.stdout is not None
        began = time.monotonic()
        with suppress(BrokenPipeError):  # it refused before it read, and says why
            self._process.stdin.write(program.encode("utf-8", "surrogatepass"))
            self._process.stdin.close()
        open_ends = {self._status, self._process.stdout.fileno()}
        stopped: End | None = None
        while open_ends and stopped is None:
            for end in select.select(list(open_ends), [], [], _LOOK_SECONDS)[0]:
                data = os.read(end, 1 << 16)
                if not data:
                    open_ends.discard(end)
                elif end == self._status:
                    self._said += data
                    began = self._listen(began)
                else:
                    self._output += data
            if self._ended is not None or self._refused is not None:
                break
            stopped = self._beyond(time.monotonic() - began)
        return self._verdict(stopped, time.monotonic() - began)

    def _listen(self, began: float) -> float:
        """Take in what the inside says; the clock starts when the program's process does."""
        *lines, self._said = self._said.split(b"\n")
        for line in map(json.loads, lines):
            self._first = line.get("first", self._first)
            self._ended = line.get("ended", self._ended)
            self._refused = line.get("refused", self._refused)
            began = time.monotonic() if "first" in line else began
        return began

    def _beyond(self, seconds: float) -> End | None:
        if seconds > (_SETUP_SECONDS if self._first is None else self._limits.seconds):
            return "time"
        if len(self._output) > self._limits.output_bytes:
            return "output"
        if self._first is not None and _resident(self._first) > self._limits.memory_mb * _MEGABYTE:
            return "memory"
        return None

    def _verdict(self, stopped: End | None, seconds: float) -> Verdict:
        self.kill()
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        while len(self._output) <= self._limits.output_bytes and (rest := self._process.stdout.read(1 << 16)):
            self._output += rest
        text = bytes(self._output[: self._limits.output_bytes]).decode("utf-8", "replace")
        if stopped is None and self._ended is None:
            raise Refused(self._refused or (text.strip().splitlines() or ["it ended without a word"])[-1])
        if stopped is None and len(self._output) > self._limits.output_bytes:
            stopped = "output"
        if stopped is not None:
            return Verdict(stopped, None, text, seconds)
        if self._ended in (-signal.SIGXCPU, -signal.SIGKILL):
            return Verdict("time", self._ended, text, seconds)  # the limit on processor seconds
        if self._ended and "MemoryError" in text.strip().rpartition("\n")[2]:
            return Verdict("memory", self._ended, text, seconds)
        return Verdict("failed" if self._ended else "ended", self._ended, text, seconds)

    def kill(self) -> None:
        """End the sandbox; returns when none of its processes is left.

        Process 1 is ended first: its parent, ours, can only go on when the kernel has ended all that lived under it.
        """
        if self._process.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self._first or self._process.pid, signal.SIGKILL)
            self._process.wait()


def _resident(first: int) -> int:
    """Bytes of memory that process 1 and all below it hold; shared pages count for each."""
    total, left = 0, [first]
    while left:
        process = left.pop()
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            # A child belongs to the thread that made it.
            for children in Path(f"/proc/{process}/task").glob("*/children"):
                left += map(int, children.read_text().split())
        except (OSError, IndexError):
            continue  # it has just ended
    return total
