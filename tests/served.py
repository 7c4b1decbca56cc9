"""A programme served by real processes, for tests that kill them and for tests that drive a browser."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from concordant.collect.serving import links
from concordant.programme import Programme
from concordant.store.database import Database


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _hear_ctrl_c() -> None:
    """Tests that were started in the background ignore SIGINT, and so would their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Served:
    """``concordant serve --scripted-replies`` on a programme of its own."""

    def __init__(self, folder: Path, settings: str = "", seconds: float = 0.0) -> None:
        self.folder = folder
        self.port = free_port()
        Programme.init(folder, settings)
        self._seconds = seconds
        self.links: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Served":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def start(self) -> None:
        command = [sys.executable, "-m", "concordant.cli", "serve", "--dir", str(self.folder), "--port", str(self.port)]
        command += ["--scripted-replies", str(self._seconds)]
        with (self.folder / "serve.out").open("wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, preexec_fn=_hear_ctrl_c)
        deadline = time.monotonic() + 60
        while not self._is_up():
            assert self.process.poll() is None, (self.folder / "serve.out").read_text()
            assert time.monotonic() < deadline, "the pages were not up within 60 s"
            time.sleep(0.05)
        self.links = dict(re.findall(r"(worker|researcher) +(\S+)", (self.folder / "serve.out").read_text()))

    def staff_link(self) -> str:
        """Another one-time link for the researcher: the printed one, and the last one made here, end with it."""
        database = Database.open(Programme.open(self.folder).store_url)
        try:
            return links(database, self.folder, self.url).researcher
        finally:
            database.close()

    def kill(self) -> None:
        """The web process, as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def kill_generator(self) -> None:
        os.kill(self.generator(), signal.SIGKILL)

    def generator(self) -> int:
        """The child that writes replies."""
        deadline = time.monotonic() + 30
        path = Path(f"/proc/{self.process.pid}/task")
        while True:
            children = [int(pid) for task in path.iterdir() for pid in (task / "children").read_text().split()]
            if children:
                return children[0]
            assert time.monotonic() < deadline, "no generator runs"
            time.sleep(0.05)

    def _is_up(self) -> bool:
        file = self.folder / "serve.json"
        if not file.exists() or json.loads(file.read_text())["pid"] != self.process.pid:
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
