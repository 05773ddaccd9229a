import os
from pathlib import Path

import pytest

from labeling.localfiles import LocalFiles
from labeling.transfer import ImageFetchError, Limits

LIMITS = Limits(10, 1000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    (folder / "set one").mkdir(parents=True)
    (folder / "set one" / "a+b é.jpg").write_bytes(b"picture")
    (folder / "a.jpg").write_bytes(b"a")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "shared-too").mkdir()
    (tmp_path / "shared-too" / "b.jpg").write_bytes(b"b")
    return folder


@pytest.mark.parametrize(
    ("uri", "body"),
    [
        ("/data/local-files/?d=a.jpg", b"a"),
        ("/data/local-files?d=a.jpg", b"a"),
        ("/data/local-files/?d=/a.jpg", b"a"),
        ("/data/local-files/?d=set%20one/../a.jpg", b"a"),
        ("/data/local-files/?d=set%20one/a%2Bb%20%C3%A9.jpg", b"picture"),
        ("/data/local-files/?d=set+one/a%2Bb+é.jpg", b"picture"),
        ("/data/local-files/?d=other.jpg&d=a.jpg", b"a"),
        ("/label-studio/data/local-files/?d=a.jpg", b"a"),
        ("http://localhost:8080/data/local-files/?d=a.jpg", b"a"),
        ("/data/local-files/?d=missing.jpg", None),
        ("/data/local-files/?d=set%20one", None),
        ("/data/upload/1/a.jpg", None),
        ("http://elsewhere/a.jpg?d=a.jpg", None),
    ],
)
def test_files_are_read_as_label_studio_names_them(root: Path, uri: str, body: bytes | None) -> None:
    assert LocalFiles(root).read(uri, LIMITS) == body


@pytest.mark.parametrize(
    "path",
    ["../secret.txt", "..%2Fsecret.txt", "set%20one/../../secret.txt", "/../secret.txt", "..", "../shared-too/b.jpg",
     "link.jpg", "folder/secret.txt", "", "a%00.jpg"],
)  # fmt: skip
def test_no_path_leads_out_of_the_folder(root: Path, path: str) -> None:
    (root / "link.jpg").symlink_to(root.parent / "secret.txt")
    (root / "folder").symlink_to(root.parent)
    with pytest.raises(ImageFetchError) as caught:
        LocalFiles(root).read(f"/data/local-files/?d={path}", LIMITS)
    assert "secret" not in str(caught.value) and str(root) not in str(caught.value)


def test_an_encoded_dot_is_decoded_once(root: Path) -> None:
    assert LocalFiles(root).read("/data/local-files/?d=%252e%252e/secret.txt", LIMITS) is None


def test_a_link_within_the_folder_is_followed(root: Path) -> None:
    (root / "link.jpg").symlink_to(root / "a.jpg")
    assert LocalFiles(root).read("/data/local-files/?d=link.jpg", LIMITS) == b"a"


def test_a_large_file_is_not_read_whole(root: Path) -> None:
    with (root / "large.jpg").open("wb") as file:
        file.truncate(10_000_000_000)
    with pytest.raises(ImageFetchError, match="larger than 1,000 bytes"):
        LocalFiles(root).read("/data/local-files/?d=large.jpg", LIMITS)


def test_a_pipe_is_no_file(root: Path) -> None:
    os.mkfifo(root / "pipe.jpg")
    assert LocalFiles(root).read("/data/local-files/?d=pipe.jpg", LIMITS) is None


def test_a_root_that_is_none_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "missing", Path("/")):
        with pytest.raises(ValueError, match="LOCAL_FILES_DOCUMENT_ROOT is"):
            LocalFiles(folder)
