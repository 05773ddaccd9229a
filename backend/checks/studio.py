"""Label Studio itself: does it answer, which version is it, is the token good."""

from __future__ import annotations

import re

from backend.checks.check import Check, failed, ok, warning
from labeling.session import LabelStudio, LabelStudioError

# Older servers were not tried; from here on the calls used are the same.
OLDEST_TRIED = (1, 20)
KINDS = {"personal": "personal access token", "legacy": "legacy token", "access": "five-minute access token"}


def check_version(studio: LabelStudio) -> Check:
    """Whether Label Studio answers at its address, and with which release."""
    name = "Label Studio"
    try:
        found = studio.send("GET", "/api/version/", authorized=False).json()
        release = str(found["release"])
    except LabelStudioError as error:
        return failed(name, str(error), "Start Label Studio, or set LABEL_STUDIO_URL to its address.")
    except (ValueError, KeyError, TypeError):
        return failed(
            name, f"{studio.url} answers, but not as Label Studio does", "Set LABEL_STUDIO_URL to its address."
        )
    numbers = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    if numbers < OLDEST_TRIED:
        tried = ".".join(map(str, OLDEST_TRIED))
        return warning(name, f"{release} at {studio.url}: older than {tried}, never tried", "Upgrade Label Studio.")
    return ok(name, f"{release} at {studio.url}")


def check_token(studio: LabelStudio) -> Check:
    """Whether the token is of a kind that lasts, and opens the API."""
    name = "token"
    kind = KINDS[studio.token_kind]
    try:
        user = studio.get("/api/current-user/whoami")
    except LabelStudioError as error:
        return failed(
            name, f"{kind}: {error}", "Set LABEL_STUDIO_API_KEY to a personal access token of an active user."
        )
    detail = f"{kind} of {user.get('email')}"
    if studio.token_kind == "access":
        return warning(
            name, f"{detail}: it ends within minutes", "Set LABEL_STUDIO_API_KEY to a personal access token."
        )
    return ok(name, detail)
