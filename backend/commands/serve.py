"""`python -m backend serve`: the HTTP service, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.stop import settings_or_stop, stop
from backend.heap import give_back, keep_small
from backend.mapped import give_back_read
from settings import Settings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backend.service import Service

# Requests in hand get this long to finish once a stop is asked for.
GRACE_S = 10


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; else HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, 0 for any free one; else PORT.")] = None,
) -> None:
    """Serve captions to Label Studio until Ctrl-C or SIGTERM."""
    settings = settings_or_stop(host=host, port=port)
    keep_small()
    listener = _bound(settings)
    # After the socket is bound: what follows takes seconds, and a busy port should be said at once.
    from backend.logs import configure
    from backend.service import LabelStudioError, Service
    from backend.serving import ServingError
    from trainer.valkey import ValkeyError

    configure(settings.log_level, settings.secrets())
    # A thread that computes in Python lets the one that answers in after a millisecond, not after five.
    sys.setswitchinterval(0.001)
    # uvicorn stops in order at a signal and then raises it again, for which there must be a handler that ends quietly.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    _warn_if_open(settings)
    try:
        service = Service(settings)
    except (ServingError, ValkeyError, LabelStudioError) as error:
        stop(str(error))
    give_back()  # what loading and checking the version took
    give_back_read()
    try:
        _serve(settings, service, listener)
    finally:
        service.close()


def _serve(settings: Settings, service: Service, listener: socket.socket) -> None:
    from backend.app import create_app

    beam = settings.beam or service.serving.captioner.beam
    ready = (
        f"Recaption is ready on {_address(settings, listener)}, serving {service.serving.version} "
        f"on {service.serving.captioner.device} with beam {beam}. Stop with Ctrl-C."
    )
    _run(create_app(settings, service), listener, ready)


def _warn_if_open(settings: Settings) -> None:
    if settings.basic_auth_user is None and settings.host not in ("127.0.0.1", "::1", "localhost"):
        logging.getLogger(__name__).warning(
            "everyone who reaches HOST=%s may ask for captions and leave marks: set BASIC_AUTH_USER and "
            "BASIC_AUTH_PASS, then run `python -m backend connect` again",
            settings.host,
        )


def _bound(settings: Settings) -> socket.socket:
    """A socket that owns the address but does not listen yet: callers are refused, not kept waiting, until ready."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        # Without the protocol, asyncio does not see that this is TCP and leaves Nagle's delay on: 40 ms an answer.
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        where = f"HOST={settings.host} PORT={settings.port}"
        if error.errno == errno.EADDRINUSE:
            stop(f"{where} is in use. Stop what listens there, or choose another: PORT={settings.port + 1}")
        if error.errno == errno.EACCES:
            stop(f"{where} is not allowed for this user. Choose a port from 1024 up, such as PORT=9090")
        stop(f"{where} cannot be listened on: {error.strerror}. HOST must be an address of this machine")
    return listener


def _address(settings: Settings, listener: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _run(app: FastAPI, listener: socket.socket, ready: str) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                typer.echo(ready)

    server = Server(
        uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=GRACE_S)
    )
    server.run(sockets=[listener])


def _end(number: int, frame: object) -> None:
    raise typer.Exit(0)
