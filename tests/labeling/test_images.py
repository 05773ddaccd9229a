"""Pictures from every place, over real sockets: `studio` plays Label Studio, `foreign` any other server."""

import base64
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from labeling.images import ImageFetcher, ImageFetchError
from labeling.session import LabelStudio
from tests.labeling.servers import Asked, Reply, Server, as_json, jwt, serving

PICTURE = bytes(range(256)) * 40
ACCESS = jwt("access")
AUTHORIZED = f"Bearer {ACCESS}"

Fetch = Callable[..., bytes]


def picture(asked: Asked) -> Reply:
    return Reply(200, PICTURE, {"Content-Type": "image/jpeg"})


def redirecting(location: str, status: int = 303) -> Callable[[Asked], Reply]:
    return lambda asked: Reply(status, headers={"Location": location})


@pytest.fixture
def studio() -> Iterator[Server]:
    with serving(picture) as server:
        yield server


@pytest.fixture
def foreign() -> Iterator[Server]:
    with serving(picture) as server:
        yield server


@pytest.fixture
def fetch(studio: Server) -> Fetch:
    """Fetches with Label Studio at `studio`, other loopback servers allowed unless a test says otherwise."""

    def fetch(uri: str, *, task_id: int | None = 7, prefix: str = "", **options: object) -> bytes:
        options = {"allowed_hosts": ["127.0.0.1"], "timeout_s": 5, "max_bytes": 1_000_000, **options}
        session = LabelStudio(studio.url + prefix, ACCESS)
        return ImageFetcher(session, **options).fetch(uri, task_id=task_id)  # type: ignore[arg-type]

    return fetch


@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("/data/upload/1/a.jpg", "/data/upload/1/a.jpg"),
        ("data/upload/1/a.jpg", "/data/upload/1/a.jpg"),
        ("/data/upload/1/harbour%20at%20dusk.jpg", "/data/upload/1/harbour%20at%20dusk.jpg"),
        ("/data/upload/1/harbour at dusk.jpg", "/data/upload/1/harbour%20at%20dusk.jpg"),
        ("/data/upload/1/caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg", "/data/upload/1/caf%C3%A9.jpg"),
        ("/data/upload/1/100%.jpg", "/data/upload/1/100%25.jpg"),
        ("/data/local-files/?d=a%20b.jpg", "/data/local-files/?d=a%20b.jpg"),
        ("/storage-data/uploaded/?filepath=upload/1/a.jpg", "/storage-data/uploaded/?filepath=upload/1/a.jpg"),
        ("/tasks/7/resolve/?fileuri=czM6Ly9h", "/tasks/7/resolve/?fileuri=czM6Ly9h"),
    ],
)
def test_label_studios_own_files_are_asked_for_with_the_token(
    studio: Server, fetch: Fetch, uri: str, asked: str
) -> None:
    assert fetch(uri) == PICTURE
    assert studio.paths() == [asked]
    assert studio.authorizations() == [AUTHORIZED]


def test_an_absolute_address_of_label_studio_gets_the_token(studio: Server, fetch: Fetch) -> None:
    assert fetch(f"{studio.url}/data/upload/1/a.jpg", allowed_hosts=[]) == PICTURE
    assert studio.authorizations() == [AUTHORIZED]


@pytest.mark.parametrize("uri", ["/label-studio/data/upload/1/a.jpg", "/data/upload/1/a.jpg"])
def test_a_sub_path_is_added_once(studio: Server, fetch: Fetch, uri: str) -> None:
    assert fetch(uri, prefix="/label-studio/") == PICTURE
    assert studio.paths() == ["/label-studio/data/upload/1/a.jpg"]
    assert studio.authorizations() == [AUTHORIZED]


def test_a_sub_path_that_only_the_proxy_knows_is_left_out(studio: Server, fetch: Fetch) -> None:
    studio.answer = lambda asked: picture(asked) if asked.path.startswith("/data/") else Reply(404)
    assert fetch("/label-studio/data/upload/1/a.jpg") == PICTURE
    assert studio.paths() == ["/label-studio/data/upload/1/a.jpg", "/data/upload/1/a.jpg"]
    assert studio.authorizations() == [None, AUTHORIZED]


@pytest.mark.parametrize(
    "uri",
    [
        "/api/current-user/reset-token/",
        "/photos/a.jpg",
        "/data/../api/projects/",
        "/data/%2e%2e/api/projects/",
        "/data/..%2fapi/projects/",
        "/data/..\\api/projects/",
        "/tasks/7/annotations/",
        "/database/a.jpg",
    ],
)
def test_other_paths_of_label_studio_are_asked_for_without_the_token(studio: Server, fetch: Fetch, uri: str) -> None:
    fetch(uri)
    assert studio.authorizations() == [None]


def test_a_picture_elsewhere_is_asked_for_without_the_token(studio: Server, foreign: Server, fetch: Fetch) -> None:
    assert fetch(f"{foreign.url}/a b/c.jpg?x=1#part") == PICTURE
    assert foreign.paths() == ["/a%20b/c.jpg?x=1"]
    assert foreign.authorizations() == [None]
    assert foreign.asked[0].headers["host"] == f"127.0.0.1:{foreign.port}"
    assert studio.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_does_not_follow_a_redirect_to_another_server(
    studio: Server, foreign: Server, fetch: Fetch, status: int
) -> None:
    studio.answer = redirecting(f"{foreign.url}/signed.jpg?signature=s", status)
    assert fetch("/data/upload/1/a.jpg") == PICTURE
    assert studio.authorizations() == [AUTHORIZED]
    assert foreign.paths() == ["/signed.jpg?signature=s"]
    assert foreign.authorizations() == [None]


def test_a_redirect_from_elsewhere_to_label_studios_api_gets_no_token(
    studio: Server, foreign: Server, fetch: Fetch
) -> None:
    foreign.answer = redirecting(f"{studio.url}/api/current-user/reset-token/")
    fetch(f"{foreign.url}/a.jpg")
    assert studio.authorizations() == [None]


def test_redirects_end_after_five(foreign: Server, fetch: Fetch) -> None:
    foreign.answer = redirecting("/again")
    with pytest.raises(ImageFetchError, match="redirects more than 5 times"):
        fetch(f"{foreign.url}/a.jpg")
    assert len(foreign.asked) == 6


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:image/png;base64,AAAA", "s3://b/k"]
)
def test_a_redirect_to_another_scheme_is_refused(foreign: Server, fetch: Fetch, location: str) -> None:
    foreign.answer = redirecting(location)
    with pytest.raises(ImageFetchError, match="something other than http"):
        fetch(f"{foreign.url}/a.jpg")


@pytest.mark.parametrize(
    "uri", ["s3://bucket/key with spaces/a.jpg", "gs://bucket/ü.jpg", "azure-blob://container/a+b.jpg"]
)
def test_cloud_storage_goes_through_the_presign_route(studio: Server, foreign: Server, fetch: Fetch, uri: str) -> None:
    studio.answer = redirecting(f"{foreign.url}/bucket/a.jpg?X-Amz-Signature=s")
    assert fetch(uri, task_id=42) == PICTURE
    (path,) = studio.paths()
    parts = urlsplit(path)
    assert parts.path == "/tasks/42/presign/"
    assert base64.urlsafe_b64decode(parse_qs(parts.query)["fileuri"][0]).decode() == uri
    assert studio.authorizations() == [AUTHORIZED]
    assert foreign.authorizations() == [None]


def test_cloud_storage_may_be_proxied_by_label_studio(studio: Server, fetch: Fetch) -> None:
    assert fetch("s3://bucket/a.jpg") == PICTURE


def test_the_newer_name_of_the_presign_route_is_tried(studio: Server, fetch: Fetch) -> None:
    studio.answer = lambda asked: picture(asked) if "/resolve/" in asked.path else Reply(404)
    assert fetch("s3://bucket/a.jpg") == PICTURE
    assert [urlsplit(path).path for path in studio.paths()] == ["/tasks/7/presign/", "/tasks/7/resolve/"]


def test_cloud_storage_needs_a_task_and_a_label_studio(fetch: Fetch) -> None:
    with pytest.raises(ImageFetchError, match="for a task's id only"):
        fetch("s3://bucket/a.jpg", task_id=None)
    with pytest.raises(ImageFetchError, match="Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
        ImageFetcher(None).fetch("s3://bucket/a.jpg", task_id=1)


def test_a_presigned_address_on_a_private_network_must_be_allowed(
    studio: Server, foreign: Server, fetch: Fetch
) -> None:
    studio.answer = redirecting(f"{foreign.url}/bucket/a.jpg")
    with pytest.raises(ImageFetchError, match=r"'127\.0\.0\.1'.*IMAGE_ALLOWED_HOSTS"):
        fetch("s3://bucket/a.jpg", allowed_hosts=[])
    assert foreign.asked == []


def test_a_picture_in_the_task_itself(fetch: Fetch) -> None:
    assert fetch(f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}") == PICTURE


def test_local_files_are_read_from_the_disk_that_is_shared(studio: Server, fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"from disk")
    assert fetch("/data/local-files/?d=a%20b.jpg", local_files_root=tmp_path) == b"from disk"
    assert fetch(f"{studio.url}/data/local-files/?d=a%20b.jpg", local_files_root=tmp_path) == b"from disk"
    assert studio.asked == []
    assert fetch("/data/local-files/?d=elsewhere.jpg", local_files_root=tmp_path) == PICTURE
    assert studio.authorizations() == [AUTHORIZED]
    with pytest.raises(ImageFetchError, match="outside LOCAL_FILES_DOCUMENT_ROOT"):
        fetch("/data/local-files/?d=../../etc/passwd", local_files_root=tmp_path)
    assert len(studio.asked) == 1


def test_an_address_under_the_name_label_studio_knows_itself_by(studio: Server, foreign: Server, fetch: Fetch) -> None:
    """Local files are stored as HOSTNAME/data/local-files/…, and HOSTNAME is often http://localhost:8080."""
    stored = f"http://localhost:{foreign.port}/data/local-files/?d=a.jpg"
    assert fetch(stored, allowed_hosts=[]) == PICTURE
    assert foreign.asked == []
    assert studio.paths() == ["/data/local-files/?d=a.jpg"]
    assert studio.authorizations() == [AUTHORIZED]


REFUSED = {
    "loopback": "http://127.0.0.1:{port}/a.jpg",
    "loopback by name": "http://localhost:{port}/a.jpg",
    "loopback as a number": "http://2130706433:{port}/a.jpg",
    "loopback in hexadecimal": "http://0x7f.1:{port}/a.jpg",
    "loopback in IPv6": "http://[::1]:{port}/a.jpg",
    "loopback mapped into IPv6": "http://[::ffff:127.0.0.1]:{port}/a.jpg",
    "the unspecified address": "http://0.0.0.0:{port}/a.jpg",
    "without a scheme": "//127.0.0.1:{port}/a.jpg",
    "the metadata service": "http://169.254.169.254/latest/meta-data/",
    "a private network": "https://192.168.0.1/a.jpg",
    "behind a user name": "http://photos.example@127.0.0.1:{port}/a.jpg",
    "behind a backslash": "http://photos.example\\@127.0.0.1:{port}/a.jpg",
    "a file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:{port}/_GET",
    "no host": "http:///a.jpg",
    "no port": "http://127.0.0.1:port/a.jpg",
    "a broken IPv6 address": "http://[::1/a.jpg",
    "an odd host": "http://a_b%2f:{port}/",
    "a bare name": "a.jpg",
    "nothing": "",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_anything_is_sent(foreign: Server, fetch: Fetch, name: str) -> None:
    with pytest.raises(ImageFetchError):
        fetch(REFUSED[name].format(port=foreign.port), allowed_hosts=[])
    assert foreign.asked == []


@pytest.mark.parametrize(
    "target", ["http://localhost:{port}/a.jpg", "http://[::1]:{port}/a.jpg", "http://169.254.169.254/"]
)
def test_a_redirect_to_a_private_address_is_refused(foreign: Server, fetch: Fetch, target: str) -> None:
    with serving(redirecting(target.format(port=foreign.port))) as door:
        with pytest.raises(ImageFetchError, match="not public"):
            fetch(f"{door.url}/a.jpg", allowed_hosts=["127.0.0.1/32"] if "localhost" not in target else [])
    assert foreign.asked == []


def test_without_a_label_studio_only_the_rest_of_the_world_is_served(foreign: Server) -> None:
    fetcher = ImageFetcher(None, allowed_hosts=["127.0.0.1"])
    assert fetcher.fetch(f"{foreign.url}/a.jpg", task_id=None) == PICTURE
    for uri in ("/data/upload/1/a.jpg", "//host/a.jpg"):
        with pytest.raises(ImageFetchError, match="Set LABEL_STUDIO_URL"):
            fetcher.fetch(uri, task_id=1)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(401), "HTTP 401. The token was refused"),
        (Reply(403), "HTTP 403. Access was refused"),
        (Reply(404), "HTTP 404. It is not there"),
        (Reply(500), r"HTTP 500\."),
        (Reply(206, PICTURE), "HTTP 206"),
        (Reply(200, b""), "is empty"),
        (Reply(200, b"<html>", {"Content-Type": "text/html; charset=utf-8"}), "no picture but text/html"),
        (as_json({"detail": "x"}), "no picture but application/json"),
    ],
)
def test_an_answer_without_a_picture_is_explained(
    studio: Server, foreign: Server, fetch: Fetch, reply: Reply, message: str
) -> None:
    studio.answer = foreign.answer = lambda asked: reply
    for uri in ("/data/upload/1/a.jpg", f"{foreign.url}/a.jpg?signature=secret"):
        with pytest.raises(ImageFetchError, match=message) as caught:
            fetch(uri)
        assert "secret" not in str(caught.value)


def test_local_files_that_label_studio_does_not_serve_are_explained(studio: Server, fetch: Fetch) -> None:
    studio.answer = lambda asked: Reply(403)
    with pytest.raises(ImageFetchError, match="LOCAL_FILES_SERVING_ENABLED=true"):
        fetch("/data/local-files/?d=a.jpg")


def test_an_upload_that_was_deleted_is_explained(studio: Server, fetch: Fetch) -> None:
    """Label Studio 1.23.2 answers 500 there."""
    studio.answer = lambda asked: Reply(500)
    with pytest.raises(ImageFetchError, match="for an upload that was deleted"):
        fetch("/data/upload/1/a.jpg")


def test_a_label_studio_that_is_down_is_explained(studio: Server) -> None:
    session = LabelStudio("http://127.0.0.1:1", ACCESS)
    with pytest.raises(ImageFetchError, match=r"/data/upload/1/a.jpg cannot be fetched.*cannot be reached"):
        ImageFetcher(session).fetch("/data/upload/1/a.jpg", task_id=1)


def test_one_fetcher_serves_many_threads(studio: Server, foreign: Server) -> None:
    fetcher = ImageFetcher(LabelStudio(studio.url, ACCESS), allowed_hosts=["127.0.0.1"])
    uris = ["/data/upload/1/a.jpg", f"{foreign.url}/a.jpg"] * 20
    before = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda uri: fetcher.fetch(uri, task_id=1), uris)) == [PICTURE] * 40
    assert foreign.authorizations() == [None] * 20
    assert studio.authorizations() == [AUTHORIZED] * 20
    assert threading.active_count() <= before + 8


def test_a_redirect_to_an_unreadable_address_is_explained(foreign: Server, fetch: Fetch) -> None:
    foreign.answer = redirecting("http://[::1/a.jpg")
    with pytest.raises(ImageFetchError, match="is, or leads to, an address that cannot be read"):
        fetch(f"{foreign.url}/a.jpg")
