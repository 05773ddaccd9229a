"""Label Studio's refusals, in the words of Label Studio 1.23.2 as the API session passes them on."""

from __future__ import annotations

import pytest

from backend.refusals import is_ban, way_out
from labeling.session import LabelStudioError

URL = "http://localhost:9090"
SAID = "POST /api/ml/: Label Studio at http://studio:8080 answered HTTP "


@pytest.mark.parametrize(
    ("status", "reason", "says"),
    [
        (
            403,
            "403: URL resolves to a reserved network address (block: 127.0.0.0/8).",
            "USE_DEFAULT_BANNED_SUBNETS=false",
        ),
        (500, "500: Can't resolve hostname nosuch.invalid.", "--backend-url"),
        (
            400,
            "400: {'non_field_errors': ['Able to connect to ML Server, but authentication parameters were either not "
            "provided or are incorrect.']}.",
            "BASIC_AUTH_USER",
        ),
        (
            400,
            "400: {'non_field_errors': [\"Successfully connected to http://localhost:9090 but it doesn't look like a "
            "valid ML backend. Reason: 401 Client Error: Unauthorized for url: http://localhost:9090/setup.",
            "BASIC_AUTH_USER",
        ),
        (
            400,
            "400: {'non_field_errors': [\"Can't connect to ML backend http://localhost:9090, health check failed. Make "
            "sure it is up and your firewall is properly configured. <a href=",
            "python -m backend serve",
        ),
        (
            400,
            "400: {'non_field_errors': [\"Successfully connected to http://localhost:9090 but it doesn't look like a "
            "valid ML backend. Reason: 500 Server Error.",
            "the backend's log",
        ),
        (403, "403: You do not have permission to perform this action.", "You do not have permission"),
    ],
)
def test_each_refusal_has_its_way_out(status: int, reason: str, says: str) -> None:
    assert says in way_out(LabelStudioError(SAID + reason, status), URL)


def test_a_ban_is_told_from_a_missing_permission() -> None:
    ban = LabelStudioError(SAID + "403: URL resolves to a reserved network address (block: 10.0.0.0/8).", 403)
    assert is_ban(ban)
    assert not is_ban(LabelStudioError(SAID + "403: You do not have permission to perform this action.", 403))
    assert not is_ban(LabelStudioError(str(ban), 400))
