"""Pictures out of the real Label Studio, from each place that it keeps them in, and tokens as it really treats them."""

from pathlib import Path

import pytest

from labeling.config import RECOMMENDED_CONFIG, caption_field
from labeling.images import ImageFetcher, ImageFetchError
from labeling.prediction import prediction
from labeling.session import LabelStudio, LabelStudioError
from labeling.task import image_uris
from tests.e2e.conftest import Studio
from tests.labeling.servers import Asked, Reply, serving

FIELD = caption_field(RECOMMENDED_CONFIG)
LISTING = b"""<?xml version="1.0"?>
<ListBucketResult><Name>photos</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents>
<Key>a b.png</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents></ListBucketResult>"""


@pytest.fixture
def project(studio: Studio) -> int:
    body = {"title": "pictures", "label_config": RECOMMENDED_CONFIG}
    return int(studio.session.post("/api/projects/", body)["id"])


@pytest.fixture
def picture(photos: dict[str, Path]) -> bytes:
    return next(iter(photos.values())).read_bytes()


def only_task(studio: Studio, project: int) -> tuple[int, str]:
    """The id of the project's one task, and the address of its picture as stored."""
    (task,) = studio.session.get("/api/tasks", {"project": project, "fields": "all"})["tasks"]
    (uri,) = image_uris(task, FIELD)
    return int(task["id"]), uri


def test_an_upload_with_an_odd_name(studio: Studio, project: int, picture: bytes) -> None:
    files = {"file": ("ein bild 100% ü+#1.png", picture)}
    studio.session.request("POST", f"/api/projects/{project}/import", files=files)
    task, uri = only_task(studio, project)
    assert uri.startswith("/data/upload/")
    assert ImageFetcher(studio.session).fetch(uri, task_id=task) == picture


def test_a_local_file_over_http_and_from_the_shared_disk(studio: Studio, project: int, picture: bytes) -> None:
    folder = studio.served / "pictures"
    folder.mkdir()
    (folder / "l é.png").write_bytes(picture)
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "title": "disk"}
    number = studio.session.post("/api/storages/localfiles/", storage)["id"]
    studio.session.post(f"/api/storages/localfiles/{number}/sync")
    task, uri = only_task(studio, project)
    assert "/data/local-files/?d=" in uri
    assert ImageFetcher(studio.session).fetch(uri, task_id=task) == picture
    assert ImageFetcher(None, local_files_root=studio.served).fetch(uri, task_id=None) == picture


@pytest.mark.parametrize("presign", [True, False])
def test_cloud_storage_presigned_and_proxied(studio: Studio, project: int, picture: bytes, presign: bool) -> None:
    def bucket(asked: Asked) -> Reply:
        if asked.path.partition("?")[0].endswith("a%20b.png"):
            return Reply(200, picture, {"Content-Type": "image/png"})
        return Reply(200, LISTING, {"Content-Type": "application/xml"})

    with serving(bucket) as s3:
        storage = {
            "project": project,
            "bucket": "photos",
            "s3_endpoint": s3.url,
            "aws_access_key_id": "key",
            "aws_secret_access_key": "not-a-secret",
            "region_name": "us-east-1",
            "use_blob_urls": True,
            "presign": presign,
            "title": "bucket",
        }
        studio.session.post("/api/storages/s3/", storage)
        studio.session.post(f"/api/projects/{project}/import", [{"captioning": "s3://photos/a b.png"}])
        task, uri = only_task(studio, project)
        s3.asked.clear()
        fetcher = ImageFetcher(studio.session, allowed_hosts=["127.0.0.1"])
        assert fetcher.fetch(uri, task_id=task) == picture
        assert ("X-Amz-Signature" in s3.paths()[-1] or "Signature=" in s3.paths()[-1]) is presign
        assert not any("Bearer" in str(header) for header in s3.authorizations())


@pytest.mark.parametrize(
    "uri", ["s3://unknown/a.jpg", "/data/upload/1/gone.png", "/data/local-files/?d=gone.png", "/gone.png"]
)
def test_what_is_not_there_is_explained(studio: Studio, project: int, picture: bytes, uri: str) -> None:
    studio.session.request("POST", f"/api/projects/{project}/import", files={"file": ("a.png", picture)})
    task, _ = only_task(studio, project)
    with pytest.raises(ImageFetchError, match=r"HTTP (404\. It is not there|500\. .*upload that was deleted)"):
        ImageFetcher(studio.session).fetch(uri, task_id=task)


def test_label_studio_takes_our_predictions(studio: Studio, project: int, picture: bytes) -> None:
    studio.session.request("POST", f"/api/projects/{project}/import", files={"file": ("a.png", picture)})
    task, _ = only_task(studio, project)
    made = prediction(FIELD, "a cat sits", 0.5, "v1")
    pushed = studio.session.post(f"/api/projects/{project}/import/predictions", [{"task": task, **made}])
    assert pushed == {"created": 1}
    (stored,) = studio.session.get("/api/predictions/", {"task": task})
    assert stored["result"] == made["result"]


def test_a_legacy_token_is_refused_by_a_new_organisation_and_the_error_says_so(studio: Studio) -> None:
    legacy = LabelStudio(studio.session.url, studio.session.get("/api/current-user/token")["token"])
    assert (studio.session.token_kind, legacy.token_kind) == ("personal", "legacy")
    with pytest.raises(LabelStudioError, match="legacy token authentication has been disabled") as caught:
        legacy.get("/api/projects/")
    assert caught.value.status == 401


def test_a_personal_token_of_another_label_studio_is_refused_and_the_error_says_so(studio: Studio) -> None:
    head, body, signature = studio.token.split(".")
    forged = LabelStudio(studio.session.url, f"{head}.{body}.{signature[::-1]}")
    with pytest.raises(LabelStudioError, match="did not exchange the personal access token") as caught:
        forged.get("/api/projects/")
    assert caught.value.status == 401
