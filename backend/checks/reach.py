"""Can Label Studio reach the backend: address bans, the ML backend's state, a real prediction, the webhook."""

from __future__ import annotations

from typing import Any

import requests

from backend.checks.chain import Chain
from backend.checks.check import Check, failed, ok, warning
from backend.links import CONNECTED, at_url, backend_faults, first_backend, title_faults, webhook_faults
from backend.refusals import UNBAN, is_ban, way_out
from backend.running import NotRunning, exchange
from labeling.session import LabelStudio, LabelStudioError

# Label Studio waits 100 s for a prediction.
PREDICT_S = 110.0
# What stands in the errors of Label Studio's calls, and what it means.
_CAUSES = {
    "reserved network address": "Label Studio refuses its address",
    "NewConnectionError": "nothing answers Label Studio at its address",
    "NameResolutionError": "Label Studio does not know its host",
    "timed out": "it does not answer Label Studio in time",
    "Unauthorized": "it refuses Label Studio's login",
}


def check_bans(chain: Chain) -> Check:
    """Whether Label Studio's address bans (1.23.1 and later) let it call the ML backend and the webhook.

    Two requests that Label Studio must refuse as incomplete: it looks at the address first, so the kind of refusal
    tells, and nothing is saved.
    """
    name = "address bans"
    url, hook = chain.link.url, chain.link.webhook_url
    refusals = {
        f"the ML backend {url}": _refusal(chain.studio, "/api/ml/", {"url": url}),
        f"the webhook {hook}": _refusal(
            chain.studio, "/api/webhooks/", {"url": hook, "project": chain.link.project, "actions": ["?"]}
        ),
    }
    banned = [what for what, refusal in refusals.items() if is_ban(refusal)]
    if banned:
        return failed(name, f"Label Studio refuses {' and '.join(banned)}", UNBAN)
    unknown = [refusal for refusal in refusals.values() if "resolve hostname" in str(refusal)]
    if unknown:
        return failed(name, f"Label Studio does not know the host in {url}", way_out(unknown[0], url))
    return ok(name, f"Label Studio may call {url}")


def _refusal(studio: LabelStudio, path: str, incomplete: dict[str, Any]) -> LabelStudioError:
    try:
        studio.post(path, json=incomplete)
    except LabelStudioError as error:
        return error
    raise AssertionError(f"Label Studio accepted an incomplete POST {path}")


def check_ml_backend(chain: Chain) -> Check:
    """Whether the project has our ML backend, rightly set, first of all, and in good health as Label Studio sees it."""
    name = "ML backend"
    rows = at_url(chain.backends, chain.link.url)
    if not rows:
        others = ", ".join(str(row["url"]) for row in chain.backends) or "none"
        return failed(name, f"no ML backend at {chain.link.url} (found: {others})", chain.connect)
    row, first = rows[0], first_backend(chain.backends)
    if first is not None and first["id"] != row["id"]:
        return failed(
            name,
            f"Label Studio asks only the oldest ML backend, {first.get('title')!r} at {first['url']}, and never ours",
            f"Remove that one (Settings > Model of project {chain.link.project}), then: {chain.connect}",
        )
    faults = backend_faults(row, chain.link) + ([f"connected {len(rows)} times"] if len(rows) > 1 else [])
    if row.get("state") != CONNECTED:
        state = f"state {row.get('readable_state')}: {_why(chain, row)}"
        return failed(name, "; ".join([state, *faults]), _state_remedy(chain))
    if faults and faults == title_faults(row, chain.link):
        return warning(name, f"{faults[0]}: sampling by score does not work", chain.connect)
    if faults:
        return failed(name, "; ".join(faults), chain.connect)
    return ok(name, f"{row['title']!r} at {row['url']}, connected")


def _why(chain: Chain, row: Any) -> str:
    """Label Studio keeps no reason for a failed health check; its /versions call meets the same one and tells it."""
    if row.get("error_message"):
        return str(row["error_message"])
    try:
        chain.studio.get(f"/api/ml/{row['id']}/versions")
    except LabelStudioError as error:
        return next((cause for words, cause in _CAUSES.items() if words in str(error)), str(error))
    return "it answered just now, but not when the project's backends were listed"


def _state_remedy(chain: Chain) -> str:
    return (
        f"Let Label Studio reach {chain.link.url} (python -m backend serve; HOST=0.0.0.0 for other machines and "
        f"containers), then: {chain.connect}"
    )


def check_prediction(chain: Chain) -> Check:
    """A real caption for one task of the project, asked for by Label Studio itself; it stores nothing."""
    name = "caption through Label Studio"
    rows = at_url(chain.backends, chain.link.url)
    if not rows:
        return failed(name, "no ML backend to ask", chain.connect)
    if chain.task is None:
        return warning(name, "the project has no tasks to try it on", "Import photos, then run the doctor again.")
    path = f"/api/ml/{rows[0]['id']}/predict/test"
    try:
        answer = chain.studio.request("POST", path, params={"random": "true"}, timeout=PREDICT_S).json()
    except (LabelStudioError, requests.RequestException) as error:
        return failed(name, f"Label Studio got no answer from the backend: {error}", _state_remedy(chain))
    task, results = answer.get("task", {}).get("id"), answer.get("response") or []
    text = _caption(results[0] if results else [])
    if text is None:
        return failed(
            name, f"no caption for task {task}", "See 'label config' and 'images' here, and the backend's log."
        )
    return ok(name, f"task {task}: {text!r}")


def _caption(predictions: Any) -> str | None:
    """The first text of one task's answer, which is a prediction, a list of them, or empty for a failed task."""
    first = predictions[0] if isinstance(predictions, list) and predictions else predictions
    for region in first.get("result", []) if isinstance(first, dict) else []:
        for text in region.get("value", {}).get("text", []):
            return str(text)
    return None


def check_webhook(chain: Chain) -> Check:
    """Whether exactly one right webhook exists, and the backend accepts an event sent as Label Studio would send it."""
    name = "webhook"
    rows = at_url(chain.webhooks, chain.link.webhook_url)
    if not rows:
        return failed(name, "none: corrections never reach the backend", chain.connect)
    faults = webhook_faults(rows[0], chain.link) + ([f"registered {len(rows)} times"] if len(rows) > 1 else [])
    if faults:
        return failed(name, "; ".join(faults), chain.connect)
    if chain.running is None:
        return warning(name, "registered; not tried, as the backend does not answer here", "Start the backend.")
    event = {"action": "PROJECT_UPDATED", "project": {"id": chain.link.project}}
    try:
        # The very headers that Label Studio would send, so this proves the login too.
        exchange("POST", chain.running.url + "/webhook", json=event, headers=rows[0].get("headers") or {})
    except NotRunning as error:
        return failed(name, f"the backend takes no events: {error.found}", error.remedy)
    return ok(name, f"{rows[0]['url']}, accepted by the backend" + (" with its login" if chain.link.auth else ""))
