"""Finding the running backend, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from backend.running import NotRunning, RunningBackend, exchange, find_backend
from settings import load

LOGIN = ("me", "secret")


@contextmanager
def server(answer: bytes, *, auth: tuple[str, str] | None = None) -> Iterator[int]:
    """A server that gives everybody the same answer, or 401 without the login; yields its port."""
    wanted = None if auth is None else "Basic " + b64encode(":".join(auth).encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            allowed = wanted is None or self.headers.get("Authorization") == wanted
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield http.server_port
        finally:
            http.shutdown()
            thread.join()


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


HEALTH = json.dumps({"status": "UP", "model_version": "V1"}).encode()


def test_the_backend_is_found_on_this_machine() -> None:
    with server(HEALTH) as port:
        found = find_backend(load(port=port, backend_url="http://backend.invalid:9090"))
        assert found.url == f"http://127.0.0.1:{port}"
        assert found.served() == "V1"
        assert found.version(7, "<View/>") == "V1"


def test_every_interface_includes_this_machine() -> None:
    with server(HEALTH) as port:
        assert find_backend(load(host="0.0.0.0", port=port)).url == f"http://127.0.0.1:{port}"


def test_a_backend_elsewhere_is_found_at_the_address_that_label_studio_uses() -> None:
    with server(HEALTH) as port:
        elsewhere = f"http://localhost:{port}"
        assert find_backend(load(port=closed_port(), backend_url=elsewhere)).url == elsewhere


def test_the_login_is_sent() -> None:
    with server(HEALTH, auth=LOGIN) as port:
        right = load(port=port, basic_auth_user="me", basic_auth_pass="secret")
        assert find_backend(right).served() == "V1"
        with pytest.raises(NotRunning, match="refuses the login") as caught:
            find_backend(load(port=port, basic_auth_user="me", basic_auth_pass="wrong-one"))
        assert caught.value.status == 401
        assert "wrong-one" not in str(caught.value)


def test_a_silent_backend_is_said_with_the_way_to_start_it() -> None:
    with pytest.raises(NotRunning, match="python -m backend serve") as caught:
        find_backend(load(port=closed_port()))
    assert caught.value.status is None


@pytest.mark.parametrize("answer", [b"<html>hello</html>", b"{}", b'["V1"]', b'{"model_version": ""}'])
def test_another_service_at_the_address_is_not_taken_for_the_backend(answer: bytes) -> None:
    with server(answer) as port, pytest.raises(NotRunning, match="Another service"):
        RunningBackend(f"http://127.0.0.1:{port}").served()


def test_an_event_goes_to_exactly_its_address_with_exactly_its_headers() -> None:
    with server(b"{}", auth=LOGIN) as port:
        url = f"http://127.0.0.1:{port}/webhook"
        header = {"Authorization": "Basic " + b64encode(b"me:secret").decode()}
        assert exchange("POST", url, json={"action": "PROJECT_UPDATED"}, headers=header) == {}
        with pytest.raises(NotRunning, match="refuses the login"):
            exchange("POST", url, json={"action": "PROJECT_UPDATED"})


def test_no_password_shows_in_a_repr() -> None:
    assert "secret" not in repr(RunningBackend("http://127.0.0.1:1", LOGIN))
