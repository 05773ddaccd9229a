"""What every download shares: one answer, and the limits in time and bytes that hold while its body streams in."""

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

CHUNK = 1 << 16


class ImageFetchError(RuntimeError):
    """The picture could not be fetched. The message says from where, why, and what to do; no query, no token."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `headers` have lower-case names; `body` is read for status 200 alone."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes one picture may take, all its redirects together. The clock starts when this is made."""

    seconds: float
    max_bytes: int
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_until", time.monotonic() + self.seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds left, never less than a millisecond, since a socket takes 0 for "do not wait at all"."""
        return max(self._until - time.monotonic(), 0.001)

    def check_time(self, where: str) -> None:
        """Raises ImageFetchError once the time is up."""
        if time.monotonic() >= self._until:
            raise ImageFetchError(
                f"{where} took longer than {self.seconds:g} s in all. Raise IMAGE_TIMEOUT_S if it is only slow."
            )

    def check_size(self, size: int, where: str) -> None:
        """Raises ImageFetchError when `size` bytes are too many."""
        if size > self.max_bytes:
            raise ImageFetchError(
                f"{where} is larger than {self.max_bytes:,} bytes. Raise IMAGE_MAX_BYTES if such a picture is meant."
            )


def read_body(read: Callable[[int], bytes], headers: Mapping[str, str], limits: Limits, where: str) -> bytes:
    """The whole body, read in pieces by `read(n)`, which returns what has arrived, up to n bytes; b"" at the end.

    Raises ImageFetchError past the limits, whatever length the server announced, and when the body breaks off.
    """
    announced = headers.get("content-length", "")
    expected = int(announced) if announced.isascii() and announced.isdigit() else None
    limits.check_size(expected or 0, where)
    body = bytearray()
    while piece := read(CHUNK):
        body += piece
        limits.check_size(len(body), where)
        limits.check_time(where)
    # A connection cut at the deadline looks like the end of a body without a length.
    limits.check_time(where)
    if expected is not None and len(body) < expected:
        raise ImageFetchError(f"{where} broke off after {len(body):,} of {expected:,} bytes. It is tried again later.")
    return _unpacked(bytes(body), headers, limits, where)


def _unpacked(body: bytes, headers: Mapping[str, str], limits: Limits, where: str) -> bytes:
    # Asked not to, a few servers compress all the same; other encodings are labels on plain bytes ("aws-chunked").
    if headers.get("content-encoding", "").lower() != "gzip" or not body.startswith(b"\x1f\x8b"):
        return body
    try:
        plain = zlib.decompressobj(31).decompress(body, limits.max_bytes + 1)
    except zlib.error:
        raise ImageFetchError(f"{where} is marked as gzip and cannot be unpacked.") from None
    limits.check_size(len(plain), where)
    return plain
