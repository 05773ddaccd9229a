"""A real HTTP server on a free loopback port that answers as a test says and remembers what it was asked."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; `headers` with lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """One answer; a Content-Length is added unless `headers` has one or `raw` writes the body by itself."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: Callable[[Callable[[bytes], object]], object] | None = None


Answering = Callable[[Asked], Reply]


class Server:
    """`url`, what it was `asked` so far, and `answer`, which a test may replace."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.http = _Quiet(("127.0.0.1", 0), _handler(self))
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        """The paths asked for, in order."""
        return [asked.path for asked in self.asked]

    def authorizations(self) -> list[str | None]:
        """The Authorization header of each request, in order."""
        return [asked.headers.get("authorization") for asked in self.asked]


@contextmanager
def serving(answer: Answering) -> Iterator[Server]:
    """A server for the time of a test."""
    server = Server(answer)
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def as_json(value: Any, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def jwt(token_type: str, life_s: float = 300, mark: str = "") -> str:
    """A token in the shape of Label Studio's; nothing here checks its signature."""
    now = time.time()
    claims = {"token_type": token_type, "iat": now, "exp": now + life_s, "jti": mark, "user_id": 1}
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in [*parts, b"signature"])


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Silent: a client that hangs up half-way is what some of the tests are about."""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            server.asked.append(asked)
            reply = server.answer(asked)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.raw is not None:
                self.send_header("Connection", "close")
                self.close_connection = True
            elif "Content-Length" not in reply.headers:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if reply.raw is not None:
                reply.raw(self._write)
            elif asked.method != "HEAD":
                self.wfile.write(reply.body)

        def _write(self, piece: bytes) -> None:
            self.wfile.write(piece)
            self.wfile.flush()

        do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = _reply

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    return Handler
