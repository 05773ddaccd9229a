"""The running backend as its own commands see it: over HTTP, from this machine, with the login it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import requests

from settings import Settings

TIMEOUT_S = 10.0
OTHER_SERVICE = "Another service may have this address: set PORT or BACKEND_URL to the backend's own."


class NotRunning(RuntimeError):
    """The backend does not answer as it should: what was found and what to do; `status` is its HTTP status, None
    where nothing answered."""

    def __init__(self, found: str, remedy: str, status: int | None = None) -> None:
        super().__init__(f"{found}. {remedy}")
        self.found = found
        self.remedy = remedy
        self.status = status


@dataclass(frozen=True)
class RunningBackend:
    """The backend at one address."""

    url: str
    auth: tuple[str, str] | None = field(default=None, repr=False)

    def served(self) -> str:
        """The model version that it serves. Raises NotRunning."""
        return self._version(self.ask("GET", "/health"))

    def quarantined(self) -> dict[str, str]:
        """The versions that should serve and cannot, each with the reason. Raises NotRunning."""
        found = self.ask("GET", "/health").get("quarantined")
        return {str(version): str(reason) for version, reason in found.items()} if isinstance(found, dict) else {}

    def version(self, project: int, label_config: str) -> str:
        """The version that it reports for one project, asked as Label Studio asks. Raises NotRunning."""
        return self._version(self.ask("POST", "/setup", json={"project": f"{project}.0", "schema": label_config}))

    def _version(self, answer: dict[str, Any]) -> str:
        version = answer.get("model_version")
        if not isinstance(version, str) or not version:
            raise NotRunning(f"{self.url} names no model version", OTHER_SERVICE, 200)
        return version

    def ask(self, method: str, path: str, *, json: Any = None) -> dict[str, Any]:
        """One request with the login, its JSON object back. Raises NotRunning."""
        return exchange(method, self.url + path, json=json, auth=self.auth)


def exchange(method: str, url: str, **options: Any) -> dict[str, Any]:
    """A request to exactly `url`, its JSON object back; proxies of the environment are left aside: it is near.

    Raises NotRunning, which says what to do.
    """
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.request(method, url, timeout=TIMEOUT_S, **options)
        except requests.RequestException as error:
            raise NotRunning(
                f"nothing answers at {url} ({type(error).__name__})", "Start the backend: python -m backend serve"
            ) from None
    if answer.status_code == 401:
        raise NotRunning(
            f"{url} refuses the login (HTTP 401)",
            "Use the backend's own BASIC_AUTH_USER and BASIC_AUTH_PASS here.",
            401,
        )
    return _json(answer, url)


def _json(answer: requests.Response, url: str) -> dict[str, Any]:
    if not answer.ok:
        raise NotRunning(f"{url} answers HTTP {answer.status_code}", "See the backend's log.", answer.status_code)
    try:
        body = answer.json() if answer.content else {}
    except ValueError:
        raise NotRunning(f"{url} answers something other than JSON", OTHER_SERVICE, answer.status_code) from None
    return body if isinstance(body, dict) else {}


def login(settings: Settings) -> tuple[str, str] | None:
    """The backend's own user and password, None where it asks for none."""
    if settings.basic_auth_user is None or settings.basic_auth_pass is None:
        return None
    return settings.basic_auth_user, settings.basic_auth_pass.get_secret_value()


def find_backend(settings: Settings) -> RunningBackend:
    """The running backend: on this machine, else at the address that Label Studio uses. Raises NotRunning."""
    here = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    near = f"http://{f'[{here}]' if ':' in here else here}:{settings.port}"
    silent = []
    for url in dict.fromkeys((near, settings.backend_url)):
        backend = RunningBackend(url, login(settings))
        try:
            backend.ask("GET", "/health")
        except NotRunning as fault:
            if fault.status is not None:
                raise
            silent.append(fault)
        else:
            return backend
    raise silent[0]
