"""Programs that try to get out, to stay, or to take more than their share. Each ends within its limits."""

import os
import socket
import sys
import time
from pathlib import Path

import pytest

from concordant import sandbox
from concordant.errors import UserError
from concordant.sandbox import Limits, Refused, Verdict, run_program

SHORT = Limits(seconds=1.0, memory_mb=128, processes=6, file_mb=4, output_bytes=10_000)


@pytest.fixture(scope="module", autouse=True)
def shut_in() -> None:
    """A system that has no sandbox cannot test one; it must say so and run nothing."""
    try:
        sandbox.check()
    except UserError as error:
        pytest.skip(str(error))


def run(program: str, limits: Limits = SHORT) -> Verdict:
    """The verdict; whatever the program did, nothing of it is left, and it took no longer than it may."""
    before = programs()
    began = time.monotonic()
    verdict = run_program(program, limits)
    assert time.monotonic() - began < limits.seconds + 10  # the machine may be busy while it starts
    assert verdict.seconds < limits.seconds + 2
    assert programs() <= before
    return verdict


def programs() -> set[str]:
    """Processes of this machine that run a sandbox's program."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"/code/program.py" in (folder / "cmdline").read_bytes():
                found.add(folder.name)
        except OSError:
            continue
    return found


def test_a_program_runs_and_its_output_and_status_come_back() -> None:
    verdict = run("import math; print('sum', math.fsum([1, 2]))")
    assert (verdict.end, verdict.status, verdict.output) == ("ended", 0, "sum 3.0\n")
    assert run("raise SystemExit(3)").status == 3
    verdict = run("assert 1 == 2, 'no'")
    assert (verdict.end, verdict.status) == ("failed", 1)
    assert verdict.output.endswith("AssertionError: no\n")


def test_an_endless_loop_is_stopped() -> None:
    verdict = run("while True: pass")
    assert (verdict.end, verdict.status) == ("time", None)


def test_a_sleeper_that_ignores_signals_is_stopped() -> None:
    program = """
import signal, time
for number in range(1, 32):
    try: signal.signal(number, signal.SIG_IGN)
    except OSError: pass
print("ignoring", flush=True)
while True: time.sleep(0.01)
"""
    verdict = run(program)
    assert (verdict.end, verdict.output) == ("time", "ignoring\n")


def test_a_fork_bomb_finds_few_processes_and_is_stopped() -> None:
    program = """
import os
while True:
    try: os.fork()
    except OSError: pass
"""
    assert run(program).end == "time"


def test_processes_are_counted() -> None:
    program = """
import os, time
made = 0
try:
    while made < 50:
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError: pass
print(made)
"""
    verdict = run(program)
    assert (verdict.end, verdict.output) == ("ended", "5\n")  # itself and five others


def test_ten_gigabytes_are_not_there() -> None:
    verdict = run("held = bytearray(10 * 2**30)")
    assert (verdict.end, verdict.status) == ("memory", 1)


def test_processes_together_have_one_memory() -> None:
    """Each is within its own limit of 128 MB."""
    program = """
import os, time
for _ in range(3): os.fork()
held = bytearray(90 * 2**20)
for place in range(0, len(held), 4096): held[place] = 1
time.sleep(30)
"""
    assert run(program, Limits(seconds=5.0, memory_mb=128, processes=10)).end == "memory"


def test_memory_of_a_threads_children_counts_too() -> None:
    program = """
import os, threading, time
def fork_and_hold():
    os.fork()
    held = bytearray(90 * 2**20)
    for place in range(0, len(held), 4096): held[place] = 1
    time.sleep(30)
threading.Thread(target=fork_and_hold).start()
time.sleep(30)
"""
    assert run(program, Limits(seconds=5.0, memory_mb=128, processes=10)).end == "memory"


def test_memory_outside_of_processes_is_not_given() -> None:
    program = """
import ctypes, os
for call in (lambda: os.memfd_create("x"), lambda: os.open("/dev/shm/x", os.O_CREAT | os.O_RDWR)):
    try: call(); print("given")
    except OSError: pass
libc = ctypes.CDLL(None, use_errno=True)
print(libc.shmget(0, 4096, 0o1600), libc.mq_open(b"/x", 0o102, 0o600, None), libc.msgget(0, 0o1600))
"""
    assert run(program).output == "-1 -1 -1\n"


def test_files_have_a_size_and_so_has_the_folder() -> None:
    program = """
import errno, os
def fill(name):
    try:
        with open(name, "wb") as file:
            while True: file.write(bytes(2**20))
    except OSError as error: return errno.errorcode[error.errno]
print(fill("one"), os.path.getsize("one"), [fill(str(number)) for number in range(3)])
"""
    verdict = run(program)
    assert (verdict.end, verdict.output) == ("ended", f"EFBIG {4 * 2**20} ['EFBIG', 'ENOSPC', 'ENOSPC']\n")


def test_endless_printing_is_stopped_and_cut() -> None:
    verdict = run("while True: print('on and on' * 1000)")
    assert (verdict.end, len(verdict.output)) == ("output", 10_000)


def test_no_file_of_this_machine_is_seen(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("seen")
    here = Path(__file__).resolve()
    paths = [secret, here, here.parents[1] / "pyproject.toml", "/etc/shadow", "/etc/passwd", "/proc/1/environ", "/sys"]
    program = f"""
import os
for path in {[str(path) for path in paths]}:
    if os.path.exists(path): print("seen", path)
print(os.listdir("/tmp"), os.listdir("/etc") if os.path.exists("/etc") else [], os.getuid(), os.getpid() < 5)
print(sorted(os.environ))
"""
    lines = run(program).output.splitlines()
    assert lines[0] in (f"{listed} 65534 True" for listed in ("['work'] ['ld.so.cache']", "['work'] []"))
    assert lines[1:] == [str(sorted(["HOME", "LANG", "PATH", "PYTHONHASHSEED"]))] or "LC_CTYPE" in lines[1]


def test_what_is_seen_cannot_be_written() -> None:
    program = """
import os, sys
for folder in ("/", "/usr", "/code", "/dev", os.path.dirname(os.__file__)):
    try:
        open(os.path.join(folder, "written"), "w"); print("written in", folder)
    except OSError: pass
os.mknod("/tmp/work/null", 0o20666, os.makedev(1, 3))
"""
    verdict = run(program)
    assert "written" not in verdict.output
    assert "PermissionError" in verdict.output  # no devices either


def test_there_is_no_network_not_even_to_itself() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"""
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", {port})), (socket.AF_INET6, ("::1", {port}))):
    try: socket.socket(family).connect(address); print("connected")
    except OSError as error: print(error.strerror)
"""
        assert run(program).output == "Operation not permitted\n" * 2


def test_a_way_out_by_system_calls_is_shut() -> None:
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
tried = [libc.unshare(0x10000000), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.ptrace(0, 0, 0, 0),
         libc.syscall(435, 0, 0), libc.umount2(b"/tmp", 2)]
print(tried, libc.prctl(39, 0, 0, 0, 0))
try: os.kill(1, 9)
except PermissionError: pass
print("still here")
"""
    assert run(program).output == "[-1, -1, -1, -1, -1] 1\nstill here\n"


def test_a_daemon_ends_with_the_program() -> None:
    program = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(1); os.close(2)
        while True: time.sleep(0.01)
    os._exit(0)
os.wait()
print("left one behind")
"""
    verdict = run(program)
    assert (verdict.end, verdict.output) == ("ended", "left one behind\n")


def test_it_may_delete_its_own_folder() -> None:
    verdict = run("import shutil; shutil.rmtree('/tmp', ignore_errors=True); print('gone')")
    assert (verdict.end, verdict.output) == ("ended", "gone\n")


def test_text_that_is_no_utf8_and_a_program_that_is_none() -> None:
    assert run("import sys; sys.stdout.buffer.write(bytes([255, 10]))").output == "\ufffd\n"
    verdict = run("def broken(:")
    assert (verdict.end, verdict.status) == ("failed", 1)
    assert "SyntaxError" in verdict.output
    assert run("\ud800").end == "failed"


def test_threads_work() -> None:
    program = "import threading\nt = threading.Thread(target=print, args=('from a thread',))\nt.start(); t.join()"
    assert run(program).output == "from a thread\n"


def test_where_nothing_can_be_shut_in_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_MACHINES", ("vax",))
    with pytest.raises(Refused, match=f"this is {sys.platform}"):
        run_program("print('ran')")
    monkeypatch.undo()
    monkeypatch.setattr(sandbox, "_PROBE", "print('/etc/passwd')")
    sandbox.check.cache_clear()
    with pytest.raises(UserError, match=r"a trial got out: /etc/passwd.*or leave humaneval out"):
        sandbox.check()
    sandbox.check.cache_clear()


def test_a_refusal_inside_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_settings", lambda limits, root: {"root": f"{root}/absent", "readable": []})
    with pytest.raises(Refused, match="No such file or directory"):
        run_program("print('ran')")


def test_the_caller_may_have_files_open() -> None:
    """The program has none of them: what a process of ours holds open is not for it."""
    with open(__file__) as held:
        os.set_inheritable(held.fileno(), True)
        program = "import os\nfor fd in range(3, 60):\n    try: os.fstat(fd); print(fd)\n    except OSError: pass"
        assert run(program).output == ""
