import base64

import pytest

from labeling.embedded import decoded
from labeling.transfer import ImageFetchError, Limits

PICTURE = bytes(range(256))
PLAIN = base64.b64encode(PICTURE).decode()


@pytest.mark.parametrize(
    "uri",
    [
        f"data:image/png;base64,{PLAIN}",
        f"DATA:image/png;name=a.png;BASE64,{PLAIN}",
        f"data:;base64,{PLAIN.rstrip('=')}",
        f"data:image/png;base64,{PLAIN[:40]}\n {PLAIN[40:]}",
        f"data:image/png;base64,{PLAIN.replace('+', '%2B').replace('/', '%2F').replace('=', '%3D')}",
        f"data:image/png;base64,{base64.urlsafe_b64encode(PICTURE).decode()}",
        "data:application/octet-stream," + "".join(f"%{byte:02x}" for byte in PICTURE),
    ],
)
def test_decoded(uri: str) -> None:
    assert decoded(uri, Limits(10, 256)) == PICTURE


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("data:", "is empty"),
        ("data:image/png;base64", "is empty"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64,a", "is not base64"),
        ("data:image/png;base64,<script>", "is not base64"),
        ("data:text/html,<b>hi</b>", "holds text/html, not a picture"),
        (f"data:image/png;base64,{'A' * 10_000}", "larger than 256 bytes"),
        (f"data:image/png,{'A' * 10_000}", "larger than 256 bytes"),
        (f"data:image/png,{'A' * 257}", "larger than 256 bytes"),
    ],
)
def test_refused(uri: str, message: str) -> None:
    with pytest.raises(ImageFetchError, match=message) as caught:
        decoded(uri, Limits(10, 256))
    assert "AAAA" not in str(caught.value)
