"""One GET to a server that is not Label Studio: no credentials, no proxy, no redirect, the address checked and pinned.

The connection is opened here, to the very address that was judged, and a watchdog cuts it when the time is up: a
per-read time-out alone lets a server that sends one byte a second hold a worker for days.
"""

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import SplitResult, urlsplit

import certifi
from requests.utils import requote_uri

from labeling.addresses import AllowedHosts, resolve
from labeling.origin import bare, port_of
from labeling.transfer import Answer, ImageFetchError, Limits, read_body

CONNECT_S = 5.0
READ_S = 10.0

_HEADERS = {"Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity", "Connection": "close"}
_HOST = re.compile(r"[a-z0-9_-][a-z0-9._-]*|[0-9a-f:.]+(%[a-z0-9]+)?", re.IGNORECASE)


def get(url: str, allowed: AllowedHosts, limits: Limits) -> Answer:
    """The server's answer, redirects included; the body for status 200 alone.

    Raises AddressRefused for an address that is neither public nor allowed, ImageFetchError for anything else.
    """
    where = bare(url)
    parts, host, port = _taken_apart(url)
    target = requote_uri(f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}")
    try:
        with _connected(host, port, parts.scheme, allowed, limits) as connection:
            connection.request("GET", target, headers=_HEADERS)
            with connection.getresponse() as response:
                headers = {name.lower(): value for name, value in response.getheaders()}
                body = read_body(response.read1, headers, limits, where) if response.status == 200 else b""
                return Answer(response.status, headers, body)
    except (OSError, http.client.HTTPException) as error:
        limits.check_time(where)
        raise ImageFetchError(f"{where} cannot be fetched: {_reason(error)}.") from None


def _taken_apart(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.hostname else ""
    except (ValueError, UnicodeError):
        raise ImageFetchError(f"{bare(url)} is not a readable address.") from None
    port = port_of(parts)
    if port is None or not _HOST.fullmatch(host):
        raise ImageFetchError(f"{bare(url)} is not an http:// or https:// address with a host.")
    if parts.username is not None or parts.password is not None:
        raise ImageFetchError(f"{bare(url)} carries a user name or password, which is refused: give the address alone.")
    return parts, host, port


@contextmanager
def _connected(
    host: str, port: int, scheme: str, allowed: AllowedHosts, limits: Limits
) -> Iterator[http.client.HTTPConnection]:
    sock = _dialled(host, port, allowed, limits)
    if scheme == "https":
        sock = _tls().wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    # Not the method of the object: a TLS socket's own shutdown drops its state under the thread that is reading.
    watchdog = threading.Timer(limits.remaining_s, _cut, [sock])
    watchdog.daemon = True
    watchdog.start()
    connection = http.client.HTTPConnection(host, port)
    # The Host header names the port unless it is the scheme's own, which http.client would take to be 80.
    connection.default_port = 443 if scheme == "https" else 80
    connection.sock = sock
    try:
        sock.settimeout(min(READ_S, limits.remaining_s))
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        yield connection
    finally:
        watchdog.cancel()
        connection.close()
        sock.close()


def _dialled(host: str, port: int, allowed: AllowedHosts, limits: Limits) -> socket.socket:
    """A connection to the first permitted address that takes one (a host may have an IPv6 address we cannot reach)."""
    failure: OSError | None = None
    for address in resolve(host, port, allowed):
        limits.check_time(host)
        try:
            return socket.create_connection((str(address), port), timeout=min(CONNECT_S, limits.remaining_s))
        except OSError as error:
            failure = error
    raise failure or OSError("no address")


def _cut(sock: socket.socket) -> None:
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass  # Closed in the meantime, which is what was wanted.


@cache
def _tls() -> ssl.SSLContext:
    # The system's authorities, so that a private one installed there counts, and the public ones in any case.
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
