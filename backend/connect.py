"""Connect one Label Studio project to the backend, or repair a connection: `python -m backend connect --project ID`.

Four links, in the order in which Label Studio accepts them: the ML backend (its address, login, and the served
version as its title), the project settings without which the label stream stays empty, the webhook that reports
corrections, and the label config. Each is read first and written only if something is wrong with it, so a second
run changes nothing. What was written is read back before it is called good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from backend.links import (
    CONNECTED,
    Link,
    Row,
    at_url,
    backend_body,
    backend_faults,
    first_backend,
    moved,
    same_url,
    settings_body,
    settings_faults,
    webhook_body,
    webhook_faults,
)
from backend.refusals import way_out
from backend.reshape import advise_config
from labeling.session import LabelStudio, LabelStudioError

# To save or list an ML backend, Label Studio asks it twice over, waiting up to 6 s each time.
SLOW_S = 60.0
AGAIN = "Then run this command again."

Status = Literal["ok", "created", "repaired", "advice"]


@dataclass
class ConnectReport:
    """What was found and done: one line per thing, `status  text`; `changed` if anything was written."""

    lines: list[str] = field(default_factory=list)
    changed: bool = False

    def add(self, status: Status, text: str) -> None:
        self.lines.append(f"{status:<9}{text}")
        self.changed = self.changed or status in ("created", "repaired")


class ConnectError(RuntimeError):
    """The connection is not whole. The message says what to do; `report` holds what was done before."""

    def __init__(self, message: str, report: ConnectReport) -> None:
        super().__init__(message)
        self.report = report


def connect(
    studio: LabelStudio,
    project_id: int,
    *,
    backend_url: str,
    version: str,
    basic_auth: tuple[str, str] | None = None,
    improve_config: bool = False,
    caption_field: str | None = None,
) -> ConnectReport:
    """Make the project's ML backend, settings and webhook right for the backend at `backend_url`.

    backend_url is the address as Label Studio sees it, version is what the backend's /setup reports for this
    project, basic_auth is the login that the backend asks for. With improve_config the TextArea of the caption
    (named caption_field, if there are several) is made cheap to correct where it is not.

    Raises ConnectError where the connection cannot be made whole, LabelStudioError where Label Studio cannot be
    reached or refuses the token or the project.
    """
    link = Link(project_id, backend_url.rstrip("/"), version, basic_auth)
    report = ConnectReport()
    project = find_project(studio, project_id)
    _ml_backend(studio, link, report)
    _settings(studio, link, report)
    _webhook(studio, link, report)
    advise_config(studio, project, report.add, apply=improve_config, prefer=caption_field)
    return report


def find_project(studio: LabelStudio, project_id: int) -> Row:
    """The project, or a ConnectError that lists those there are."""
    try:
        row: Row = studio.get(f"/api/projects/{project_id}/")
    except LabelStudioError as error:
        if error.status != 404:
            raise
        found = studio.get("/api/projects/", params={"page_size": 20})["results"]
        names = ", ".join(f"{project['id']} ({project['title']})" for project in found) or "none"
        message = f"No project {project_id} in {studio.url}. Found: {names}."
        raise ConnectError(message, ConnectReport()) from error
    return row


def _ml_backend(studio: LabelStudio, link: Link, report: ConnectReport) -> None:
    rows = _backends(studio, link)
    ours = at_url(rows, link.url) or moved(rows, link)
    _refuse_elder(rows, ours, link, report)
    _drop(studio, "/api/ml/{}", ours[1:], "ML backend", report)
    row = ours[0] if ours else None
    if row is None:
        _write_backend(studio, link, None, report)
        report.add("created", f"ML backend {link.version!r} at {link.url}")
    elif faults := backend_faults(row, link) or _unhealthy(row):
        _write_backend(studio, link, row, report)
        report.add("repaired", f"ML backend: {'; '.join(faults)}")
        _drop(studio, "/api/webhooks/{}/", _old_webhooks(studio, row, link), "webhook of the old address", report)
    else:
        report.add("ok", f"ML backend {link.version!r} at {link.url}, connected")
    _verify_backend(studio, link, report)


def _backends(studio: LabelStudio, link: Link) -> list[Row]:
    """The project's ML backends, each with a fresh state: to list them, Label Studio asks their /health and /setup."""
    rows: list[Row] = studio.request("GET", "/api/ml/", params={"project": link.project}, timeout=SLOW_S).json()
    return rows


def _refuse_elder(rows: list[Row], ours: list[Row], link: Link, report: ConnectReport) -> None:
    """Stop where an ML backend that is not ours came first: deleting it is the owner's decision."""
    first = first_backend(rows)
    if first is not None and first["id"] not in [row["id"] for row in ours]:
        raise ConnectError(
            f"Label Studio asks only the oldest ML backend of a project, here {first.get('title')!r} at "
            f"{first['url']}, so ours would never be asked. Remove that one (Settings > Model of project "
            f"{link.project}). {AGAIN}",
            report,
        )


def _unhealthy(row: Row) -> list[str]:
    if row.get("state") == CONNECTED:
        return []
    return [f"state {row.get('readable_state')}" + (f" ({row['error_message']})" if row.get("error_message") else "")]


def _old_webhooks(studio: LabelStudio, row: Row, link: Link) -> list[Row]:
    if same_url(str(row["url"]), link.url):
        return []
    return at_url(_webhooks(studio, link), str(row["url"]).rstrip("/") + "/webhook")


def _write_backend(studio: LabelStudio, link: Link, row: Row | None, report: ConnectReport) -> None:
    """Create or change the row. Label Studio calls the backend while it saves; a ban of the webhook's address alone
    answers 403 although the row is saved, and is left to the webhook's own step."""
    try:
        if row is None:
            studio.request("POST", "/api/ml/", json=backend_body(link), timeout=SLOW_S)
        else:
            studio.request("PATCH", f"/api/ml/{row['id']}", json=backend_body(link), timeout=SLOW_S)
    except LabelStudioError as error:
        saved = at_url(_backends(studio, link), link.url)
        if not (error.status == 403 and saved and not backend_faults(saved[0], link)):
            raise ConnectError(f"{way_out(error, link.url)} {AGAIN}", report) from error


def _verify_backend(studio: LabelStudio, link: Link, report: ConnectReport) -> None:
    rows = at_url(_backends(studio, link), link.url)
    # Label Studio on a busy SQLite repeats a request by itself, and has then made two.
    _drop(studio, "/api/ml/{}", rows[1:], "ML backend", report)
    row = next(iter(rows), None)
    faults = ["it is not listed"] if row is None else backend_faults(row, link) + _unhealthy(row)
    if faults or row is None:
        raise ConnectError(
            f"The ML backend was saved, but {'; '.join(faults)}. Run: python -m backend doctor --project "
            f"{link.project}",
            report,
        )
    if row.get("model_version") not in (link.version, None, ""):
        report.add("advice", f"the backend now reports version {row['model_version']!r}: run this command again")


def _settings(studio: LabelStudio, link: Link, report: ConnectReport) -> None:
    path = f"/api/projects/{link.project}/"
    project = studio.get(path)
    faults = settings_faults(project, link)
    if faults:
        studio.patch(path, json=settings_body(project, link))
        report.add("repaired", f"project settings: {'; '.join(faults)}")
    else:
        report.add("ok", f"project settings: prelabelling on, model_version {link.version!r}")
    left = settings_faults(studio.get(path), link)
    if left:
        raise ConnectError(
            f"Label Studio did not keep the project settings ({'; '.join(left)}): the label stream would stay empty. "
            f"Choose {link.version!r} under Settings > Annotation > Live predictions of project {link.project}.",
            report,
        )


def _webhooks(studio: LabelStudio, link: Link) -> list[Row]:
    rows: list[Row] = studio.get("/api/webhooks/", params={"project": link.project})
    return rows


def _webhook(studio: LabelStudio, link: Link, report: ConnectReport) -> None:
    ours = at_url(_webhooks(studio, link), link.webhook_url)
    _drop(studio, "/api/webhooks/{}/", ours[1:], "webhook", report)
    faults = webhook_faults(ours[0], link) if ours else []
    if not ours:
        _write_webhook(studio, link, None, report)
        report.add("created", f"webhook to {link.webhook_url}")
    elif faults:
        _write_webhook(studio, link, ours[0], report)
        report.add("repaired", f"webhook: {'; '.join(faults)}")
    else:
        report.add("ok", f"webhook to {link.webhook_url}" + (", authorised" if link.auth else ""))
    left = [fault for row in at_url(_webhooks(studio, link), link.webhook_url) for fault in webhook_faults(row, link)]
    if left:
        raise ConnectError(f"Label Studio did not keep the webhook as sent: {'; '.join(left)}", report)


def _write_webhook(studio: LabelStudio, link: Link, row: Row | None, report: ConnectReport) -> None:
    body: dict[str, Any] = webhook_body(row, link)
    try:
        if row is None:
            studio.post("/api/webhooks/", json=body)
        else:
            studio.patch(f"/api/webhooks/{row['id']}/", json=body)
    except LabelStudioError as error:
        raise ConnectError(f"{way_out(error, link.webhook_url)} {AGAIN}", report) from error


def _drop(studio: LabelStudio, path: str, rows: list[Row], name: str, report: ConnectReport) -> None:
    for row in rows:
        studio.delete(path.format(row["id"]))
        report.add("repaired", f"{name}: removed a surplus one (id {row['id']}, {row['url']})")
