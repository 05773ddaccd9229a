"""One session with Label Studio's API: any kind of token, bounded waits, and errors that say what to do.

    studio = LabelStudio("http://localhost:8080", token)
    studio.get("/api/projects/7/")["title"]

The token is sent to Label Studio's own origin alone, and is in no error and no log line.
"""

import re
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from labeling.origin import Origin, bare, redirect_target
from labeling.token import Credential, TokenKind

MAX_REDIRECTS = 5

# Whatever a server repeats of a request, no token gets into a message.
_JWT = re.compile(r"eyJ[\w-]*(\.[\w-]*)*")


class LabelStudioError(RuntimeError):
    """Label Studio could not be asked, or said no. `status` is its HTTP status, None when there was no answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class _Header(requests.auth.AuthBase):
    """Sets the Authorization header; given as `auth` so that no .netrc file can put another in its place."""

    def __init__(self, value: str | None) -> None:
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._value is not None:
            request.headers["Authorization"] = self._value
        return request


class LabelStudio:
    """A Label Studio server and the token to ask it with. Thread-safe; makes no request until asked to."""

    def __init__(self, url: str, token: str, *, timeout: float = 10.0) -> None:
        """`url` as a browser shows it, sub-path included; `timeout` in seconds, for connecting and for each read."""
        self._origin = _checked_origin(url)
        self.url = self._origin.url
        self.timeout = timeout
        self._credential = Credential(_checked_token(token), self._exchange)
        self._secret = token.strip()
        self._http = _stateless_session()

    @property
    def token_kind(self) -> TokenKind:
        """Which kind of token this session was given."""
        return self._credential.kind

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded JSON answer to a GET. Raises LabelStudioError, as the other three do."""
        return self._decoded("GET", path, params=params)

    def post(self, path: str, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded JSON answer to a POST; None when the answer is empty."""
        return self._decoded("POST", path, json=json, params=params)

    def patch(self, path: str, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded JSON answer to a PATCH; None when the answer is empty."""
        return self._decoded("PATCH", path, json=json, params=params)

    def delete(self, path: str, json: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded JSON answer to a DELETE; None when the answer is empty."""
        return self._decoded("DELETE", path, json=json, params=params)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        files: Mapping[str, tuple[str, bytes]] | None = None,
        stream: bool = False,
        timeout: float | None = None,
    ) -> requests.Response:
        """The successful answer. A redirect within Label Studio is followed for GET; any other is an error."""
        url = self.address(path)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self.send(method, url, params=params, json=json, files=files, stream=stream, timeout=timeout)
            target = redirect_target(answer.status_code, answer.headers.get("Location"), url)
            if target is None:
                return self._succeeded(answer, method, path)
            answer.close()
            if method.upper() != "GET" or not self.owns(target):
                raise LabelStudioError(
                    f"{method} {path}: Label Studio at {self.url} answers with a redirect to {bare(target)}. "
                    "Set LABEL_STUDIO_URL to the address it redirects to.",
                    answer.status_code,
                )
            # The redirect's address carries the query already.
            url, params = self.address(target), None
        raise LabelStudioError(f"GET {path}: more than {MAX_REDIRECTS} redirects in a row at {self.url}.")

    def send(self, method: str, url: str, *, authorized: bool = True, **options: Any) -> requests.Response:
        """One exchange with Label Studio, whatever its status; redirects are not followed. `url` must be its own.

        A 401 is retried once with a renewed token where the kind of token allows.
        """
        url = self.address(url)
        header = self._credential.header() if authorized else None
        answer = self._exchanged(method, url, header, **options)
        if answer.status_code == 401 and header is not None and self._credential.refused(header):
            answer.close()
            answer = self._exchanged(method, url, self._credential.header(), **options)
        return answer

    def owns(self, url: str) -> bool:
        """Whether `url` is on Label Studio's own origin, so that the token may be sent there: see Origin.owns."""
        return self._origin.owns(url)

    def address(self, path: str) -> str:
        """The full address of a path below this Label Studio: see Origin.address."""
        return self._origin.address(path)

    def _decoded(self, method: str, path: str, **options: Any) -> Any:
        answer = self.request(method, path, **options)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise LabelStudioError(
                f"{method} {path}: {self.url} answered something other than JSON "
                f"({answer.headers.get('Content-Type', 'no content type')}). Is LABEL_STUDIO_URL a Label Studio?",
                answer.status_code,
            ) from None

    def _exchanged(self, method: str, url: str, header: str | None, **options: Any) -> requests.Response:
        wait = options.pop("timeout", None) or self.timeout
        waits = (min(wait, self.timeout), wait)
        try:
            return self._http.request(
                method, url, auth=_Header(header), timeout=waits, allow_redirects=False, **options
            )
        except requests.Timeout:
            raise LabelStudioError(
                f"{method} {urlsplit(url).path}: Label Studio at {self.url} did not answer within {wait:g} s."
            ) from None
        except requests.RequestException as error:
            raise LabelStudioError(
                f"{method} {urlsplit(url).path}: Label Studio at {self.url} cannot be reached ({_cause(error)}). "
                "Check that it runs and that LABEL_STUDIO_URL is its address as seen from this machine."
            ) from None

    def _exchange(self, personal: str) -> str:
        """A fresh access token for a personal access token."""
        path = "/api/token/refresh"
        answer = self._exchanged("POST", self.address(path), None, json={"refresh": personal})
        access = _json_object(answer).get("access") if answer.ok else None
        if isinstance(access, str) and access:
            return access
        what = _REFUSED["personal"] if answer.status_code in (400, 401, 403) else "Is LABEL_STUDIO_URL a Label Studio?"
        raise LabelStudioError(
            f"POST {path}: {self.url} did not exchange the personal access token "
            f"(HTTP {answer.status_code}{self._reason(answer)}). {what}",
            answer.status_code,
        )

    def _succeeded(self, answer: requests.Response, method: str, path: str) -> requests.Response:
        if answer.ok:
            return answer
        reason = self._reason(answer)
        hint = f" {_REFUSED[self.token_kind]}" if answer.status_code == 401 else _HINTS.get(answer.status_code, "")
        if "reserved network address" in reason:
            hint = _BANNED
        answer.close()
        raise LabelStudioError(
            f"{method} {path.partition('?')[0]}: Label Studio at {self.url} answered "
            f"HTTP {answer.status_code}{reason}.{hint}",
            answer.status_code,
        )

    def _reason(self, answer: requests.Response) -> str:
        body = _json_object(answer)
        said = _flat(body.get("validation_errors") or body.get("detail") or body.get("error") or "")
        text = _JWT.sub("…", " ".join(said.split()).replace(self._secret, "…"))[:200]
        return f": {text.rstrip('.')}" if text else ""


_NEW_TOKEN = (
    "Create a personal access token in Label Studio (Account & Settings, Personal Access Token) "
    "and set LABEL_STUDIO_API_KEY to it."
)
_REFUSED: dict[TokenKind, str] = {
    "personal": f"The personal access token was revoked, or Label Studio's SECRET_KEY has changed since. {_NEW_TOKEN}",
    "access": f"An access token lives five minutes only. {_NEW_TOKEN}",
    "legacy": f"The legacy token is unknown, or legacy tokens are switched off in this organisation. {_NEW_TOKEN}",
}
_HINTS = {
    403: " The token's user may not do this: use the token of a member of the project's organisation.",
    404: " Check the id, and that the token's user can see it.",
}
_BANNED = (
    " Since 1.23.1 Label Studio calls no address on a private network unless it is started with "
    "USE_DEFAULT_BANNED_SUBNETS=false."
)


def _stateless_session() -> requests.Session:
    session = requests.Session()
    # Every request carries its token; a session cookie beside it would make Label Studio ask for a CSRF token.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    # A kept connection that the server has just closed is worth one more try; nothing else is repeated.
    retry = Retry(total=1, connect=0, read=1, redirect=0, status=0, allowed_methods={"GET"}, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=32, max_retries=retry))
    return session


def _checked_origin(url: str) -> Origin:
    try:
        return Origin(url)
    except ValueError as error:
        raise LabelStudioError(f"LABEL_STUDIO_URL {error}.") from None


def _checked_token(token: str) -> str:
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise LabelStudioError(
            f"LABEL_STUDIO_API_KEY holds no usable token (empty, or with spaces or odd characters). {_NEW_TOKEN}"
        )
    return token


def _json_object(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except (ValueError, requests.RequestException):
        return {}
    return body if isinstance(body, dict) else {}


def _flat(said: Any) -> str:
    """What Label Studio says is wrong, as text: it nests sentences in lists, under the names of fields."""
    if isinstance(said, dict):
        return "; ".join(f"{name}: {_flat(each)}" for name, each in said.items())
    return " ".join(map(_flat, said)) if isinstance(said, list) else str(said)


def _cause(error: BaseException) -> str:
    """The innermost reason of a connection error in a few words, without the address it repeats."""
    text = str(getattr(error.args[0], "reason", error.args[0]) if error.args else error)
    return text.rpartition(": ")[2][:120] or type(error).__name__
