"""A small OpenAI-compatible server that misbehaves as it is told, on a real socket."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Call"], None]


class Call(BaseHTTPRequestHandler):
    """One request. Answers are functions of it, so that each says byte for byte what comes back."""

    protocol_version = "HTTP/1.1"
    server: "OddServer"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.asked.append({"path": self.path, "body": body, "key": self.headers.get("authorization")})
            answers = self.server.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.close_connection = True
        answer(self)

    def begin(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def put(self, text: str) -> None:
        self.wfile.write(text.encode())
        self.wfile.flush()

    def event(self, data: Any) -> None:
        self.put(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")

    def said(self, text: str | None, reason: str | None = None) -> None:
        self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]})

    def log_message(self, format: str, *args: Any) -> None:
        pass


class OddServer(ThreadingHTTPServer):
    """``answers`` in turn; the last one again and again."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Call)
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that has hung up


@contextmanager
def odd_server(*answers: Answer) -> Iterator[OddServer]:
    """The server while the block lasts."""
    server = OddServer(*answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def good(*words: str, reason: str = "stop", usage: bool = True) -> Answer:
    """Streams these words."""

    def answer(call: Call) -> None:
        call.begin()
        call.put(": a comment\n\n")
        call.said(None)
        for word in words:
            call.said(word)
        call.said("", reason)
        if usage:
            call.event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})
        call.event("[DONE]")

    return answer


def status(number: int, text: str = "{}", **headers: str) -> Answer:
    """Answers with a status and a body."""

    def answer(call: Call) -> None:
        call.begin(number, "application/json", **headers)
        call.put(text)

    return answer
