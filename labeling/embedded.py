"""Pictures that a task carries inside itself: `data:image/png;base64,iVBOR…` (RFC 2397)."""

import base64
import binascii
from urllib.parse import unquote_to_bytes

from labeling.transfer import ImageFetchError, Limits

_WHAT = "The data: address"


def decoded(uri: str, limits: Limits) -> bytes:
    """The bytes of a `data:` address, base64 or percent-encoded. Raises ImageFetchError for any other."""
    header, comma, payload = uri[len("data:") :].partition(",")
    media, *parameters = (part.strip().lower() for part in header.split(";"))
    if not comma or not payload:
        raise ImageFetchError(f"{_WHAT} is empty. Expected: data:image/png;base64,…")
    if media and not media.startswith(("image/", "application/octet-stream")):
        raise ImageFetchError(f"{_WHAT} holds {media[:40]}, not a picture. Expected: data:image/png;base64,…")
    # Before decoding: "%2B" is one character, and four characters of base64, line breaks aside, are three bytes.
    characters = len(payload) - 2 * payload.count("%")
    limits.check_size(characters // 2 if "base64" in parameters else characters, _WHAT)
    body = _from_base64(payload) if "base64" in parameters else unquote_to_bytes(payload)
    limits.check_size(len(body), _WHAT)
    return body


def _from_base64(payload: str) -> bytes:
    plain = "".join(unquote_to_bytes(payload).decode("ascii", "replace").split()).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ImageFetchError(f"{_WHAT} is not base64. Expected: data:image/png;base64,…") from None
