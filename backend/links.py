"""What Label Studio must hold so that captions arrive and corrections come back, compared with what it holds.

Pure: rows as Label Studio's API returns them go in, the fields to change come out. `connect` sends the changes,
`doctor` reports them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

Row = Mapping[str, Any]

CONNECTED = "CO"
SEQUENTIAL, UNCERTAINTY = "Sequential sampling", "Uncertainty sampling"
# Corrections reach us by these; Label Studio's other events are accepted but not needed.
NEEDED_EVENTS = frozenset({"ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"})


@dataclass(frozen=True)
class Link:
    """The backend as one Label Studio project should know it.

    url: how Label Studio reaches the backend, without a trailing slash.
    version: the model version that the backend serves to this project. It is also the title of the ML backend:
        Label Studio compares the project's model_version with titles (is a live model meant?) and with the
        versions of stored predictions (sampling by score), so both work only while the two are one string.
    auth: the backend's own user and password, if it asks for them.
    """

    project: int
    url: str
    version: str
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def webhook_url(self) -> str:
        return self.url.rstrip("/") + "/webhook"

    @property
    def authorization(self) -> str | None:
        """The header value that the webhook must carry: Label Studio sends an ML backend's login with its own
        calls, never with webhooks."""
        if self.auth is None:
            return None
        return "Basic " + b64encode(":".join(self.auth).encode()).decode()


def is_ours(version: str) -> bool:
    """Whether a title or the version of a prediction is one of our versions' names (model/checkpoint.py)."""
    return version.startswith("recaption-")


def same_url(one: str, other: str) -> bool:
    """Whether two addresses are the same but for case of the host, a default port or a trailing slash."""
    return _normal(one) == _normal(other)


def _normal(url: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(url.strip())
    scheme = parts.scheme.lower()
    port = parts.port or {"http": 80, "https": 443}.get(scheme)
    return scheme, (parts.hostname or "").lower(), port, parts.path.rstrip("/")


def at_url(rows: Iterable[Row], url: str) -> list[Row]:
    """The rows (ML backends or webhooks) that point at `url`, oldest first."""
    return sorted((row for row in rows if same_url(str(row["url"]), url)), key=lambda row: int(row["id"]))


def moved(rows: Iterable[Row], link: Link) -> list[Row]:
    """ML backends that carry our version as title but another address: ours, from before the address changed."""
    return [row for row in rows if row.get("title") == link.version and not same_url(str(row["url"]), link.url)]


def first_backend(rows: Sequence[Row]) -> Row | None:
    """The one ML backend that Label Studio asks for predictions: of several, always the oldest."""
    return min(rows, key=lambda row: int(row["id"]), default=None)


def backend_body(link: Link) -> dict[str, Any]:
    """The whole ML backend for POST and PATCH. Label Studio answers a PATCH without url and project with a 500."""
    body: dict[str, Any] = {
        "url": link.url.rstrip("/"),
        "project": link.project,
        "title": link.version,
        "is_interactive": False,
        "auto_update": True,
    }
    if link.auth is None:
        # The password cannot be cleared by the API; without a user name Label Studio sends neither.
        return body | {"auth_method": "NONE", "basic_auth_user": ""}
    return body | {"auth_method": "BASIC_AUTH", "basic_auth_user": link.auth[0], "basic_auth_pass": link.auth[1]}


def backend_faults(row: Row, link: Link) -> list[str]:
    """What is wrong with our ML backend row, in words; empty if it is as it should be."""
    faults = []
    if not same_url(str(row["url"]), link.url):
        faults.append(f"address {row['url']}, not {link.url}")
    faults += title_faults(row, link)
    if row.get("is_interactive"):
        faults.append("interactive preannotations on: they would overwrite an annotator's edits")
    if not row.get("auto_update", True):
        faults.append("auto_update off: Label Studio would not notice a new version")
    return faults + _login_faults(row, link)


def title_faults(row: Row, link: Link) -> list[str]:
    """A title that is not the served version: captions still come, sampling by score does not work."""
    title = row.get("title")
    return [] if title == link.version else [f"title {title!r}, not the served version {link.version!r}"]


def _login_faults(row: Row, link: Link) -> list[str]:
    user = row.get("basic_auth_user") or ""
    if link.auth is None:
        return ["a user name, though the backend asks for none"] if user else []
    if row.get("auth_method") != "BASIC_AUTH" or not row.get("basic_auth_pass_is_set"):
        return ["no login, though the backend asks for one"]
    return [] if user == link.auth[0] else [f"user name {user!r}, not {link.auth[0]!r}"]


def webhook_body(row: Row | None, link: Link) -> dict[str, Any]:
    """The webhook for POST, or for PATCH where `row` is the present one, whose other headers are kept."""
    kept = {name: value for name, value in _headers(row).items() if name.lower() != "authorization"}
    if link.authorization:
        kept["Authorization"] = link.authorization
    body = {"url": link.webhook_url, "send_payload": True, "send_for_all_actions": True, "is_active": True}
    return body | {"headers": kept} | ({} if row else {"project": link.project})


def webhook_faults(row: Row, link: Link) -> list[str]:
    """What is wrong with our webhook row, in words without secrets; empty if it is as it should be."""
    faults = []
    if not row.get("is_active"):
        faults.append("switched off")
    if not row.get("send_payload"):
        faults.append("sends no payload")
    missing = sorted(NEEDED_EVENTS - set(row.get("actions") or ()))
    if not row.get("send_for_all_actions") and missing:
        faults.append(f"does not send {', '.join(missing)}")
    sent = next((value for name, value in _headers(row).items() if name.lower() == "authorization"), None)
    if sent != link.authorization:
        faults.append(_login_fault(sent, link.authorization))
    return faults


def _login_fault(sent: str | None, wanted: str | None) -> str:
    if wanted is None:
        return "carries an Authorization header, though the backend asks for no login"
    return "carries no Authorization header" if sent is None else "carries another login than the backend's"


def _headers(row: Row | None) -> dict[str, str]:
    return dict((row or {}).get("headers") or {})


def settings_body(project: Row, link: Link) -> dict[str, Any]:
    body = {"show_collab_predictions": True, "model_version": link.version}
    return body | ({"sampling": UNCERTAINTY} if project.get("sampling") == SEQUENTIAL else {})


def settings_faults(project: Row, link: Link) -> list[str]:
    """What keeps the label stream empty in the project's settings, or offers its tasks in the order of their numbers.

    Sequential sampling is what a new project has, so nobody has chosen it; any other sampling is somebody's choice.
    """
    faults = []
    if project.get("sampling") == SEQUENTIAL:
        faults.append("sampling by task number, not by score")
    if not project.get("show_collab_predictions"):
        faults.append("'Use predictions to prelabel tasks' is off")
    if project.get("model_version") != link.version:
        faults.append(f"model_version {project.get('model_version')!r}, not {link.version!r}")
    return faults


def stream_faults(project: Row, backends: Sequence[Row], link: Link) -> list[str]:
    """Why "Label All Tasks" would open tasks without a live caption of ours; empty if it would show one.

    Label Studio's own rule (1.23.2, tasks/models.py, get_predictions_for_prelabeling): predictions are live if the
    project's model_version is the title of any of its ML backends, and then the oldest of them is asked.
    """
    meant, first = project.get("model_version"), first_backend(backends)
    if not project.get("show_collab_predictions"):
        return ["'Use predictions to prelabel tasks' is off"]
    if not meant:
        return ["the project's model_version is empty"]
    if first is None or meant not in [row.get("title") for row in backends]:
        return [f"model_version {meant!r} is no ML backend's title, so only stored predictions of that version show"]
    if not same_url(str(first["url"]), link.url):
        return [f"Label Studio asks the ML backend at {first['url']} instead"]
    return [] if first.get("state") == CONNECTED else [f"the ML backend's state is {first.get('readable_state')}"]
