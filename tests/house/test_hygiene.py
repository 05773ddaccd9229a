"""What may be committed: no paths of one machine, no addresses of package registries, no data, nothing huge."""

import re
from pathlib import Path

import pytest

from tests.house.project import ROOT, tracked

MIB = 1024 * 1024
STARTER = Path("model/starter")
STARTER_LIMIT = 64 * MIB
PICTURES = {".png", ".gif", ".svg"}
DATA = {
    ".7z", ".bin", ".bz2", ".ckpt", ".csv", ".db", ".gz", ".h5", ".jpeg", ".jpg", ".npy", ".npz", ".onnx", ".parquet",
    ".pickle", ".pkl", ".pt", ".pth", ".rdb", ".sqlite3", ".tar", ".tgz", ".webp", ".whl", ".xz", ".zip",
}  # fmt: skip
# A path from the root of somebody's disk. `https://host/home/` is none: a letter stands before the slash.
MACHINE_PATH = re.compile(r"(?<![\w./:~$}-])/(?:work|root|home|Users|mnt|tmp|opt|srv)/[\w.]")
# Written in halves, so that this file does not name what it forbids.
REGISTRIES = re.compile(
    "|".join(
        re.escape(left + right)
        for left, right in [
            ("pypi", ".org"),
            ("python", "hosted.org"),
            ("registry.npm", "js.org"),
            ("deb.deb", "ian.org"),
            ("security.deb", "ian.org"),
            ("download.py", "torch.org/whl"),
            ("--index", "-url"),
            ("--extra-index", "-url"),
            ("--find", "-links"),
        ]
    )
)


def text_of(path: Path) -> str | None:
    """The file's text, or None for a file that is not text."""
    try:
        return (ROOT / path).read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None


def lines_matching(pattern: re.Pattern[str], path: Path) -> list[str]:
    return [line.strip() for line in (text_of(path) or "").splitlines() if pattern.search(line)]


@pytest.mark.parametrize("path", tracked(), ids=str)
def test_text_names_no_machine_and_no_registry(path: Path) -> None:
    assert lines_matching(MACHINE_PATH, path) == []
    assert lines_matching(REGISTRIES, path) == []


def test_nothing_is_large_but_the_starter_checkpoint() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in tracked()}
    starter = {path: size for path, size in sizes.items() if path.is_relative_to(STARTER)}
    assert {str(path): size for path, size in sizes.items() if size > MIB and path not in starter} == {}
    assert sum(starter.values()) <= STARTER_LIMIT


def test_no_data_set_and_no_foreign_weights_are_committed() -> None:
    assert [str(path) for path in tracked() if path.suffix.lower() in DATA] == []
    weights = [path for path in tracked() if path.suffix == ".safetensors"]
    assert [str(path) for path in weights if not path.is_relative_to(STARTER)] == []
    pictures = [path for path in tracked() if path.suffix.lower() in PICTURES]
    assert [str(path) for path in pictures if path.parts[0] != "docs"] == []


def test_both_opencv_wheels_are_the_same_release() -> None:
    """They own the same cv2/ folder: of two releases, whichever pip unpacks last would win, by chance."""
    pins = dict(re.findall(r"^(opencv-python(?:-headless)?)==(\S+)$", text_of(Path("requirements.txt")) or "", re.M))
    assert set(pins) == {"opencv-python", "opencv-python-headless"}
    assert len(set(pins.values())) == 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see /" + "work/main/x", True),
        ('open("/' + 'tmp/x")', True),
        ("http://host/home/page", False),
        ("tmpfs: [/tmp]", False),
        ("./work/x", False),
    ],
)
def test_machine_paths_are_told_from_addresses(line: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(line)) is found
