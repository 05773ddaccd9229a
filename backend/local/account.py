"""The demo account of the local Label Studio, and a personal access token for it, made without a browser."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import requests

from backend.local.errors import LocalError
from labeling.session import LabelStudio, LabelStudioError

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Account:
    """A login. The demo one is no secret: its Label Studio listens on this machine alone."""

    email: str
    password: str = field(repr=False)


DEMO = Account("annotator@example.com", "captions")


def access_token(url: str, account: Account, file: Path) -> str:
    """The account's personal access token: the one kept in `file` if it still works, else a new one, kept there.

    Raises LocalError if the account cannot log in.
    """
    if file.exists() and _works(url, kept := file.read_text().strip()):
        return kept
    token = _new_token(url, account)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(token)
    return token


def _works(url: str, token: str) -> bool:
    try:
        LabelStudio(url, token).get("/api/current-user/whoami")
    except LabelStudioError:
        return False
    return True


def _new_token(url: str, account: Account) -> str:
    """Log in as a browser would and create a token. Label Studio shows a token once and allows one per user."""
    with requests.Session() as browser:
        browser.trust_env = False
        _log_in(browser, url, account)
        for old in _send(browser, "GET", f"{url}/api/token/").json():
            _send(browser, "POST", f"{url}/api/token/blacklist/", {"refresh": old["token"]})
        return str(_send(browser, "POST", f"{url}/api/token/").json()["token"])


def _log_in(browser: requests.Session, url: str, account: Account) -> None:
    page = f"{url}/user/login/"
    browser.get(page, timeout=TIMEOUT_S).raise_for_status()
    form = {
        "email": account.email,
        "password": account.password,
        "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        "persist_session": "on",
    }
    answer = browser.post(page, data=form, headers={"Referer": url}, allow_redirects=False, timeout=TIMEOUT_S)
    if answer.status_code != 302:
        raise LocalError(
            f"The account {account.email} cannot log in to the local Label Studio at {url}. If its password was "
            "changed, set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY (Account & Settings) and start Label Studio "
            "yourself; to start afresh, remove the folder label-studio in DATA_DIR."
        )


def _send(browser: requests.Session, method: str, url: str, body: object = None) -> requests.Response:
    headers = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": url}
    answer = browser.request(method, url, json=body, headers=headers, timeout=TIMEOUT_S)
    if not answer.ok:
        raise LocalError(f"Label Studio answered {answer.status_code} to {method} {url} while making an access token.")
    return answer
