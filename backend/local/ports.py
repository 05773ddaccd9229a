"""TCP ports of this machine: is one free, and what to say when it is not."""

import socket

from backend.local.errors import LocalError


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nothing listens on at this moment, chosen by the operating system."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen on host:port now."""
    with socket.socket() as probe:
        # Servers set this too: without it a port counts as busy for a minute after its last server has ended.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def require_free(host: str, port: int, *, what: str, setting: str) -> None:
    """Raise LocalError if host:port is taken. `setting` is what to type to choose another port."""
    if not is_free(host, port):
        raise LocalError(
            f"Port {port}, which {what} needs, is in use on this machine. Stop the program that listens there, "
            f"or choose another port: make run {setting}={port + 1}"
        )
