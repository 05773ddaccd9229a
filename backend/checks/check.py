"""One check's verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """name: the link that was checked; detail: what was found; remedy: what to change, empty when all is well."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Check:
    return Check(name, "ok", detail)


def warning(name: str, detail: str, remedy: str) -> Check:
    return Check(name, "warning", detail, remedy)


def failed(name: str, detail: str, remedy: str) -> Check:
    return Check(name, "failed", detail, remedy)
