"""Time and bytes: servers that send too much, too slowly, or break off, against Label Studio's origin and elsewhere."""

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trustme

from labeling import outside
from labeling.images import ImageFetcher, ImageFetchError
from labeling.session import LabelStudio
from tests.labeling.servers import Reply, Server, jwt, serving

PICTURE = bytes(range(256)) * 40


@pytest.fixture(params=["studio", "elsewhere"])
def fetch(request: pytest.FixtureRequest) -> Iterator[Callable[..., bytes]]:
    """Fetches /data/a.jpg from a server, as Label Studio's or as a foreign one; `.server` answers."""
    with serving(lambda asked: Reply(200, PICTURE)) as server:

        def fetch(reply: Reply, **options: float) -> bytes:
            server.answer = lambda asked: reply
            limits = {"timeout_s": 5, "max_bytes": 100_000, **options}
            studio = LabelStudio(server.url, jwt("access")) if request.param == "studio" else None
            fetcher = ImageFetcher(studio, allowed_hosts=["127.0.0.1"], **limits)  # type: ignore[arg-type]
            return fetcher.fetch(f"{server.url}/data/a.jpg", task_id=None)

        yield fetch


Write = Callable[[bytes], object]


def test_a_body_within_the_limits_passes_whole(fetch: Callable[..., bytes]) -> None:
    assert fetch(Reply(200, PICTURE), max_bytes=len(PICTURE)) == PICTURE


def test_a_body_without_a_length_passes_whole(fetch: Callable[..., bytes]) -> None:
    assert fetch(Reply(raw=lambda write: write(PICTURE))) == PICTURE


def test_a_chunked_body_passes_whole(fetch: Callable[..., bytes]) -> None:
    def chunks(write: Write) -> None:
        for start in range(0, len(PICTURE), 1000):
            piece = PICTURE[start : start + 1000]
            write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        write(b"0\r\n\r\n")

    assert fetch(Reply(headers={"Transfer-Encoding": "chunked"}, raw=chunks)) == PICTURE


def test_an_announced_size_over_the_cap_is_refused_unread(fetch: Callable[..., bytes]) -> None:
    with pytest.raises(ImageFetchError, match=r"larger than 100,000 bytes\. Raise IMAGE_MAX_BYTES"):
        fetch(Reply(headers={"Content-Length": "100001"}, body=b""))


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "nonsense"}])
def test_an_endless_body_is_cut_at_the_cap(fetch: Callable[..., bytes], headers: dict[str, str]) -> None:
    sent = 0

    def endless(write: Write) -> None:
        nonlocal sent
        for _ in range(10_000):
            write(b"x" * 10_000)
            sent += 10_000

    with pytest.raises(ImageFetchError, match=r"larger than 100,000 bytes|cannot be fetched|cannot be reached"):
        fetch(Reply(headers=headers, raw=endless))
    assert sent < 50_000_000


def test_a_compressed_bomb_is_cut_at_the_cap(fetch: Callable[..., bytes]) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    with pytest.raises(ImageFetchError, match="larger than 100,000 bytes"):
        fetch(Reply(200, bomb, {"Content-Encoding": "gzip"}))


def test_a_server_that_compresses_unasked_is_understood(fetch: Callable[..., bytes]) -> None:
    assert fetch(Reply(200, gzip.compress(PICTURE), {"Content-Encoding": "gzip"})) == PICTURE
    assert fetch(Reply(200, PICTURE, {"Content-Encoding": "aws-chunked"})) == PICTURE
    with pytest.raises(ImageFetchError, match="cannot be unpacked"):
        fetch(Reply(200, b"\x1f\x8b broken", {"Content-Encoding": "gzip"}))


def test_a_body_that_breaks_off_is_no_picture(fetch: Callable[..., bytes]) -> None:
    with pytest.raises(ImageFetchError, match="broke off"):
        fetch(Reply(headers={"Content-Length": "5000"}, raw=lambda write: write(b"half")))


def test_a_body_that_trickles_is_cut_at_the_deadline(fetch: Callable[..., bytes]) -> None:
    def trickle(write: Write) -> None:
        for _ in range(200):
            write(b"x")
            time.sleep(0.05)

    started = time.monotonic()
    with pytest.raises(ImageFetchError, match=r"longer than 0\.4 s in all. Raise IMAGE_TIMEOUT_S"):
        fetch(Reply(raw=trickle), timeout_s=0.4)
    assert time.monotonic() - started < 2


def test_redirects_share_one_deadline() -> None:
    def slowly(asked: object) -> Reply:
        time.sleep(0.2)
        return Reply(302, headers={"Location": "/next"})

    with serving(slowly) as server:
        with pytest.raises(ImageFetchError, match="in all"):
            ImageFetcher(None, allowed_hosts=["127.0.0.1"], timeout_s=0.5).fetch(f"{server.url}/a.jpg", task_id=None)
        assert len(server.asked) <= 4


@contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that says whatever `speak` does to the first who connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    speak(connection)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


def trickled(text: bytes) -> Callable[[socket.socket], None]:
    def speak(connection: socket.socket) -> None:
        for index in range(200):
            connection.sendall(text[index % len(text) :][:1])
            time.sleep(0.05)

    return speak


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_headers_or_a_handshake_that_trickle_are_cut_at_the_deadline(scheme: str) -> None:
    hello = b"HTTP/1.1 200 OK\r\nX-Slow: " if scheme == "http" else b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"
    with speaking(trickled(hello + b"a" * 500)) as address:
        started = time.monotonic()
        with pytest.raises(ImageFetchError, match=r"longer than 0\.4 s in all"):
            ImageFetcher(None, allowed_hosts=["127.0.0.1"], timeout_s=0.4).fetch(f"{scheme}://{address}/", task_id=1)
        assert time.monotonic() - started < 2


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "READ_S", 0.2)
    with speaking(lambda connection: time.sleep(0.5)) as address:
        with pytest.raises(ImageFetchError, match="did not answer in time"):
            ImageFetcher(None, allowed_hosts=["127.0.0.1"], timeout_s=5).fetch(f"http://{address}/", task_id=1)


@pytest.mark.parametrize("text", [b"", b"not HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_what_is_not_http_is_an_error_of_the_picture(text: bytes) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(text)

    with speaking(speak) as address:
        with pytest.raises(ImageFetchError, match=r"cannot be fetched|broke off"):
            ImageFetcher(None, allowed_hosts=["127.0.0.1"], timeout_s=5).fetch(f"http://{address}/", task_id=1)


def test_nothing_listens() -> None:
    with pytest.raises(ImageFetchError, match="cannot be fetched: Connection refused"):
        ImageFetcher(None, allowed_hosts=["127.0.0.1"]).fetch("http://127.0.0.1:1/a.jpg", task_id=None)


@contextmanager
def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> Iterator[list[str]]:
    """photos.example resolves to the answers in turn, then stays at the last; yields the names that were asked for."""
    real, asked = socket.getaddrinfo, []

    def getaddrinfo(host: str, port: int, *arguments: int, **options: int) -> object:
        if host != "photos.example":
            return real(host, port, *arguments, **options)
        asked.append(host)
        return real(answers[min(len(asked), len(answers)) - 1], port, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", getaddrinfo)
        yield asked


def test_the_address_that_was_judged_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the second answer would lead elsewhere."""
    with serving(lambda asked: Reply(200, PICTURE)) as server, resolving(monkeypatch, "127.0.0.1", "10.9.9.9") as asked:
        fetcher = ImageFetcher(None, allowed_hosts=["127.0.0.1/32"], timeout_s=5)
        assert fetcher.fetch(f"http://photos.example:{server.port}/a.jpg", task_id=None) == PICTURE
        assert asked == ["photos.example"]
        assert server.asked[0].headers["host"] == f"photos.example:{server.port}"
        with pytest.raises(ImageFetchError, match="not public"):
            fetcher.fetch(f"http://photos.example:{server.port}/a.jpg", task_id=None)


@contextmanager
def with_certificate(authority: trustme.CA, name: str) -> Iterator[Server]:
    with serving(lambda asked: Reply(200, PICTURE)) as server:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        yield server


@pytest.mark.parametrize(("name", "accepted"), [("photos.example", True), ("other.example", False)])
def test_certificates_are_checked_against_the_name_and_not_the_pinned_address(
    monkeypatch: pytest.MonkeyPatch, name: str, accepted: bool
) -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(outside, "_tls", lambda: trusting)
    with with_certificate(authority, name) as server, resolving(monkeypatch, "127.0.0.1"):
        fetcher = ImageFetcher(None, allowed_hosts=["photos.example"], timeout_s=5)
        if accepted:
            assert fetcher.fetch(f"https://photos.example:{server.port}/a.jpg", task_id=None) == PICTURE
        else:
            with pytest.raises(ImageFetchError, match=r"its certificate is not valid \(Hostname mismatch"):
                fetcher.fetch(f"https://photos.example:{server.port}/a.jpg", task_id=None)


def test_an_unknown_authority_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with with_certificate(trustme.CA(), "localhost") as server:
        with pytest.raises(ImageFetchError, match="its certificate is not valid"):
            ImageFetcher(None, allowed_hosts=["localhost"]).fetch(f"https://localhost:{server.port}/a.jpg", task_id=1)
