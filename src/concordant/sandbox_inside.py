"""What ``sandbox.py`` starts: shuts itself in, and runs one Python program there. Linux on x86-64 and arm64.

Two processes: the first makes the namespaces (user, mount, process, network, IPC, host name), the second is process 1
in them. It builds a file system of its own from read-only copies of what Python needs and a small private /tmp, and
starts the program as nobody, without capabilities, under resource limits and a filter of system calls. When process 1
ends, the kernel ends everything that the program started. Nothing is imported here but the standard library.
"""

import ctypes
import json
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

NOBODY = 65534
_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_NO_SUID, _NO_DEVICES, _BIND, _RECURSIVE, _PRIVATE = 2, 4, 4096, 16384, 1 << 18
_DETACH = 2
_HERE, _WHOLE_TREE = -100, 0x8000  # AT_FDCWD, AT_RECURSIVE
_SET_MOUNTS = 442  # mount_setattr: the same number on all architectures
_READ_ONLY, _SET_NO_SUID, _SET_NO_DEVICES = 1, 2, 4
_DIES_WITH_PARENT, _SECCOMP, _DROP_BOUND, _NO_NEW_PRIVILEGES = 1, 22, 24, 38
_DEVICES = ("null", "zero", "random", "urandom")

_NUMBERS = {
    "x86_64": {
        "audit": 0xC000003E,
        "clone": 56,
        "denied": {
            "shmget": 29, "socket": 41, "msgget": 68, "ptrace": 101, "pivot_root": 155, "mount": 165, "umount2": 166,
            "mq_open": 240, "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
            "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311,
            "memfd_create": 319, "bpf": 321, "userfaultfd": 323,
        },
    },
    "aarch64": {
        "audit": 0xC00000B7,
        "clone": 220,
        "denied": {
            "umount2": 39, "mount": 40, "pivot_root": 41, "unshare": 97, "ptrace": 117, "mq_open": 180, "msgget": 186,
            "shmget": 194, "socket": 198, "add_key": 217, "request_key": 218, "keyctl": 219, "perf_event_open": 241,
            "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270, "process_vm_writev": 271,
            "memfd_create": 279, "bpf": 280, "userfaultfd": 282,
        },
    },
}  # fmt: skip
"""System calls by number. Denied: a way out, a way to the network, or memory that no limit counts."""

_DENIED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 442, 447)
"""io_uring_*, open_tree, move_mount, fsopen, mount_setattr, memfd_secret."""
_CLONE3 = 435
_EPERM, _ENOSYS = 1, 38
_X32 = 0x40000000

_libc: Any = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    """``sandbox_inside.py STATUS_FD SETTINGS`` with the program on standard input; says what happens on STATUS_FD."""
    status, settings, program = int(sys.argv[1]), json.loads(sys.argv[2]), sys.stdin.buffer.read()
    try:
        _prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        _write(Path("/proc/self/oom_score_adj"), "1000")
        _enter_namespaces()
        awake, wake = os.pipe()
        first = os.fork()
        if first == 0:
            os.close(wake)
            _be_the_first(awake, status, settings, program)
        os.write(wake, b"!")
        _say(status, first=first)
        os.waitpid(first, 0)
    except OSError as error:
        _say(status, refused=f"{error.strerror}")
    return 0


def _say(status: int, **what: Any) -> None:
    os.write(status, json.dumps(what).encode() + b"\n")


def _call(name: str, *arguments: Any) -> None:
    """A function of the C library that returns 0 where it worked."""
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(option: int, value: int, more: Any = 0) -> None:
    _call("prctl", option, ctypes.c_ulong(value), more, ctypes.c_ulong(0), ctypes.c_ulong(0))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {os.strerror(error.errno or 0)}") from None


def _enter_namespaces() -> None:
    """Leave the system's namespaces; this process is nobody in the new ones, or root of them where it is root here.

    As an ordinary user, one name is mapped: nobody inside is this user outside. As root two are, so that the program
    can be nobody outside too: the limit on processes does not hold for root. Only a process that stays outside may
    write that map.
    """
    user, group = os.getuid(), os.getgid()
    spaces = _NEW_USER | _NEW_MOUNTS | _NEW_PID | _NEW_NET | _NEW_IPC | _NEW_UTS
    if user != 0:
        _call("unshare", spaces)
        _write(Path("/proc/self/setgroups"), "deny")
        _write(Path("/proc/self/uid_map"), f"{NOBODY} {user} 1\n")
        _write(Path("/proc/self/gid_map"), f"{NOBODY} {group} 1\n")
        return
    gone, went = os.pipe()
    me, outside = os.getpid(), os.fork()
    if outside == 0:
        os.close(went)
        try:
            if os.read(gone, 1):
                for name in ("uid_map", "gid_map"):
                    _write(Path(f"/proc/{me}/{name}"), f"0 0 1\n{NOBODY} {NOBODY} 1\n")
                os._exit(0)
        finally:
            os._exit(1)
    _call("unshare", spaces)
    os.write(went, b"!")
    if os.waitpid(outside, 0)[1] != 0:
        raise OSError(_EPERM, "uid_map: root here may not map another user")


def _be_the_first(awake: int, status: int, settings: dict[str, Any], program: bytes) -> NoReturn:
    """Process 1: builds the file system, starts the program, and ends with it."""
    try:
        _prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        if not os.read(awake, 1):
            os._exit(1)  # the parent died before it could take this process with it
        _build_root(settings, program)
        started = os.fork()
        if started == 0:
            os.close(status)
            _be_the_program(settings)
        ended, how = os.waitpid(-1, 0)
        while ended != started:
            ended, how = os.waitpid(-1, 0)
        _say(status, ended=os.waitstatus_to_exitcode(how))
    except OSError as error:
        _say(status, refused=f"{error.strerror}")
    finally:
        os._exit(0)


def _build_root(settings: dict[str, Any], program: bytes) -> None:
    """A root of its own: what Python needs, read-only; four devices; a private /tmp of limited size."""
    root = Path(settings["root"])
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NO_SUID | _NO_DEVICES, "size=8m,mode=755")
    for path in map(Path, settings["readable"]):
        place = root / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            place.symlink_to(path.readlink())
        elif path.exists():
            place.mkdir(exist_ok=True) if path.is_dir() else place.touch()
            _mount(path, place, None, _BIND | _RECURSIVE)
    for name in ("tmp", "dev", "code"):
        (root / name).mkdir(exist_ok=True)
    for name in _DEVICES:
        (root / "dev" / name).touch()
    (root / "code/program.py").write_bytes(program)
    attributes = struct.pack("QQQQ", _READ_ONLY | _SET_NO_SUID | _SET_NO_DEVICES, 0, 0, 0)
    place_, size = os.fsencode(root), ctypes.c_size_t(len(attributes))
    if _libc.syscall(_SET_MOUNTS, _HERE, place_, _WHOLE_TREE, attributes, size) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount_setattr: {os.strerror(number)}")
    for name in _DEVICES:
        _mount(Path("/dev") / name, root / "dev" / name, None, _BIND)
    _mount("tmpfs", root / "tmp", "tmpfs", _NO_SUID | _NO_DEVICES, f"size={settings['tmp_bytes']},nr_inodes=4096")
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")
    os.mkdir("/tmp/work")
    os.chown("/tmp/work", NOBODY, NOBODY)
    os.chmod("/tmp", 0o777)


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, data: str | None = None
) -> None:
    said = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    try:
        _call("mount", *said[:3], ctypes.c_ulong(flags), said[3])
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} ({target})") from None


def _be_the_program(settings: dict[str, Any]) -> NoReturn:
    """Give everything up, and become the program."""
    try:
        os.setsid()
        capability = 0
        while _libc.prctl(_DROP_BOUND, ctypes.c_ulong(capability), 0, 0, 0) == 0:
            capability += 1
        if os.getuid() == 0:
            os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        _prctl(_DIES_WITH_PARENT, signal.SIGKILL)
        for name, most in settings["limits"].items():
            resource.setrlimit(getattr(resource, name), (most, most))
        os.chdir("/tmp/work")
        nothing = os.open("/dev/null", os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(1, 2)
        _prctl(_NO_NEW_PRIVILEGES, 1)
        _filter_calls()
        python = settings["python"]
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/tmp/work", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
        os.closerange(3, 256)
        os.execve(python, [python, "-I", "-B", "/code/program.py"], environment)
    except OSError as error:
        os.write(1, f"the sandbox could not start the program: {error}\n".encode())
    finally:
        os._exit(125)


def _filter_calls() -> None:
    """Deny system calls that a program of text and numbers has no use for (seccomp)."""
    numbers: Any = _NUMBERS[platform.machine()]
    load, equal, at_least, any_bit, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, deny, kill = 0x7FFF0000, 0x00050000 | _EPERM, 0x80000000
    lines = [(load, 0, 0, 4), (equal, 1, 0, numbers["audit"]), (answer, 0, 0, kill), (load, 0, 0, 0)]
    lines += [(at_least, 0, 1, _X32), (answer, 0, 0, deny)]
    for number in (*numbers["denied"].values(), *_DENIED_EVERYWHERE):
        lines += [(equal, 0, 1, number), (answer, 0, 0, deny)]
    # Threads and processes are made by clone with plain flags; clone3's flags cannot be looked at, so it is "unknown".
    lines += [(equal, 0, 1, _CLONE3), (answer, 0, 0, 0x00050000 | _ENOSYS)]
    lines += [(equal, 0, 3, numbers["clone"]), (load, 0, 0, 16), (any_bit, 0, 1, _NEW_USER), (answer, 0, 0, deny)]
    lines += [(answer, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code)))
    _prctl(_SECCOMP, 2, described)


if __name__ == "__main__":
    sys.exit(main())
