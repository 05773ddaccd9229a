"""The bytes of a task's picture, from every place Label Studio keeps pictures in.

    /data/upload/1/a.jpg                    uploads: Label Studio, with the token
    /data/local-files/?d=a.jpg              local files: the disk where it is shared with us, else Label Studio
    s3:// gs:// azure-blob://               cloud storage: Label Studio's presign route, and where that redirects to
    http:// https://                        anywhere public, or allowed; the token goes to Label Studio's origin alone
    data:image/png;base64,…                 in the task itself

Redirects are followed by hand, five at most, because each step is decided anew: whose address it is, whether it may be
asked, and whether the token goes along.
"""

import base64
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import urllib3

from labeling import outside
from labeling.addresses import AddressRefused, AllowedHosts
from labeling.embedded import decoded
from labeling.localfiles import LocalFiles
from labeling.origin import bare, redirect_target
from labeling.session import MAX_REDIRECTS, LabelStudio, LabelStudioError
from labeling.transfer import Answer, ImageFetchError, Limits, read_body

__all__ = ["ImageFetchError", "ImageFetcher"]

_CLOUD = ("s3", "gs", "azure-blob")
_SERVED = "Served are http://, https://, s3://, gs://, azure-blob://, data: and Label Studio's own /data/… addresses."

# Where Label Studio serves files. Anything else on its origin is asked without the token: a task must not be able to
# make us call the API in its owner's name.
_FILE_ROUTE = re.compile(r"/(data|storage-data|static)/|/(tasks|projects)/\d+/(presign|resolve)/")
# Addresses that Label Studio writes into tasks, under whatever name and sub-path it believes to be served at.
_STORED_FILE = re.compile(r"/data/(upload|local-files)/")


class ImageFetcher:
    """Fetches pictures within limits in time and bytes. Thread-safe: one for the whole process."""

    def __init__(
        self,
        studio: LabelStudio | None,
        *,
        allowed_hosts: Sequence[str] = (),
        timeout_s: float = 20,
        max_bytes: int = 30_000_000,
        local_files_root: Path | None = None,
    ) -> None:
        """`timeout_s` for one picture in all; `allowed_hosts` may be private; `local_files_root` is Label Studio's
        LOCAL_FILES_DOCUMENT_ROOT as this machine sees it. Raises ValueError for an unusable host or root."""
        self._studio = studio
        self._allowed = AllowedHosts(allowed_hosts)
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._files = LocalFiles(local_files_root) if local_files_root else None

    def fetch(self, uri: str, *, task_id: int | None) -> bytes:
        """The picture's bytes as stored; `task_id` is needed for cloud storage. Raises ImageFetchError."""
        uri = uri.strip()
        limits = Limits(self._timeout_s, self._max_bytes)
        try:
            return self._fetched(uri, task_id, limits)
        except LabelStudioError as error:
            raise ImageFetchError(f"{_shown(uri)} cannot be fetched. {error}") from None
        except ValueError:
            # From taking an address apart, be it the task's or one that a server redirects to.
            raise ImageFetchError(f"{_shown(uri)} is, or leads to, an address that cannot be read.") from None

    def _fetched(self, uri: str, task_id: int | None, limits: Limits) -> bytes:
        scheme = _scheme(uri)
        if scheme == "data":
            return decoded(uri, limits)
        if scheme in _CLOUD:
            return self._from_cloud(uri, task_id, limits)
        if scheme in ("http", "https"):
            return self._from_disk(uri, limits) or self._followed(uri, limits)
        if scheme is None and uri.startswith("//"):
            return self._followed(f"{urlsplit(self._asked(uri).url).scheme}:{uri}", limits)
        if scheme is None and uri.startswith(("/", "data/")):
            path = uri if uri.startswith("/") else f"/{uri}"
            return self._from_disk(path, limits) or self._from_studio(path, limits)
        raise ImageFetchError(f"{_shown(uri)} is no address of a picture that can be fetched. {_SERVED}")

    def _from_disk(self, uri: str, limits: Limits) -> bytes | None:
        return self._files.read(uri, limits) if self._files else None

    def _from_cloud(self, uri: str, task_id: int | None, limits: Limits) -> bytes:
        studio = self._asked(uri)
        if task_id is None:
            raise ImageFetchError(f"{_shown(uri)} is in cloud storage, which Label Studio opens for a task's id only.")
        encoded = base64.urlsafe_b64encode(uri.encode()).decode()
        routes = [f"/tasks/{task_id}/{name}/?fileuri={encoded}" for name in ("presign", "resolve")]
        return self._first_found([studio.address(route) for route in routes], limits, _shown(uri))

    def _from_studio(self, path: str, limits: Limits) -> bytes:
        studio = self._asked(path)
        stored = _STORED_FILE.search(path)
        # A sub-path that only the proxy in front knows is in the task, but not where we reach Label Studio.
        paths = [path] if stored is None or stored.start() == 0 else [path, path[stored.start() :]]
        return self._first_found([studio.address(each) for each in dict.fromkeys(paths)], limits, bare(path))

    def _first_found(self, urls: Sequence[str], limits: Limits, where: str) -> bytes:
        for url in urls:
            answer = self._ended(url, limits)
            if answer.status != 404:
                break
        return _picture(answer, where)

    def _followed(self, url: str, limits: Limits) -> bytes:
        try:
            return _picture(self._ended(url, limits), bare(url))
        except AddressRefused:
            parts = urlsplit(url)
            # Label Studio writes the name it knows itself by, often localhost, into the addresses of its own files.
            if self._studio is None or self._studio.owns(url) or not _STORED_FILE.search(parts.path):
                raise
            return self._from_studio(f"{parts.path}{'?' + parts.query if parts.query else ''}", limits)

    def _ended(self, url: str, limits: Limits) -> Answer:
        """The first answer that is no redirect."""
        first = bare(url)
        for _ in range(MAX_REDIRECTS + 1):
            limits.check_time(first)
            answer = self._asked_once(url, limits)
            target = redirect_target(answer.status, answer.headers.get("location"), url)
            if target is None:
                return answer
            if _scheme(target) not in ("http", "https"):
                raise ImageFetchError(f"{first} redirects to something other than http:// or https://.")
            url = target
        raise ImageFetchError(f"{first} redirects more than {MAX_REDIRECTS} times.")

    def _asked_once(self, url: str, limits: Limits) -> Answer:
        if self._studio is None or not self._studio.owns(url):
            return outside.get(url, self._allowed, limits)
        address = self._studio.address(url)
        authorized = _is_file_route(urlsplit(address).path, urlsplit(self._studio.url).path)
        wait = min(outside.READ_S, limits.remaining_s)
        plain = {"Accept-Encoding": "identity"}
        response = self._studio.send("GET", address, authorized=authorized, headers=plain, stream=True, timeout=wait)
        with response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            if response.status_code != 200:
                return Answer(response.status_code, headers)
            try:
                return Answer(200, headers, read_body(response.raw.read1, headers, limits, bare(url)))
            except urllib3.exceptions.HTTPError:
                limits.check_time(bare(url))
                raise ImageFetchError(f"{bare(url)} broke off. It is tried again later.") from None

    def _asked(self, uri: str) -> LabelStudio:
        if self._studio is None:
            raise ImageFetchError(
                f"{_shown(uri)} is kept by Label Studio, whose address or token is not set. "
                "Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY."
            )
        return self._studio


def _is_file_route(path: str, prefix: str) -> bool:
    path = unquote(path).removeprefix(prefix)
    return ".." not in path.replace("\\", "/").split("/") and _FILE_ROUTE.match(path) is not None


def _picture(answer: Answer, where: str) -> bytes:
    if answer.status != 200:
        hints = (hint for (status, part), hint in _HINTS.items() if status == answer.status and part in where)
        raise ImageFetchError(f"{where} was answered with HTTP {answer.status}.{next(hints, '')}")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/json"):
        raise ImageFetchError(f"{where} is no picture but {kind}, as a login or error page would be.")
    if not answer.body:
        raise ImageFetchError(f"{where} is empty.")
    return answer.body


# By status and a part of the address; the first that fits.
_HINTS = {
    (401, ""): " The token was refused: check LABEL_STUDIO_API_KEY with: python -m backend doctor",
    (403, "/data/local-files"): " Start Label Studio with LOCAL_FILES_SERVING_ENABLED=true, or share its folder with "
    "this machine and set LOCAL_FILES_DOCUMENT_ROOT here.",
    (403, ""): " Access was refused: the token's user cannot see it, or a signed address has expired.",
    (404, ""): " It is not there: deleted, or in a storage that Label Studio no longer has.",
    (500, "/data/upload/"): " Label Studio answers so for an upload that was deleted.",
}


def _scheme(uri: str) -> str | None:
    match = re.match(r"([a-z][a-z0-9+.-]*):", uri, re.IGNORECASE)
    return match[1].lower() if match else None


def _shown(uri: str) -> str:
    return "The data: address" if _scheme(uri) == "data" else bare(uri) or "An empty address"
