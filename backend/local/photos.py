"""Photos for a project: free samples that installed packages bring along, or a folder of one's own.

A photo is known by its content: the same file is never imported twice, whatever it is called.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from backend.local.errors import LocalError
from labeling.session import LabelStudio
from model.progress import Progress

# The picture types that Label Studio takes as uploads and a browser shows.
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
# CC0 or in the public domain: scikit-image says so of each in skimage.data; the portrait was made by the US Navy.
SAMPLES = {
    "skimage": ("data/chelsea.png", "data/astronaut.png", "data/coffee.png", "data/camera.png", "data/rocket.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}
# Which photo a task was made from: its name, in the task's data, is a column of the task list; the rest is not shown.
NAME_KEY = "photo"
DIGEST_KEY = "photo_sha256"
TASKS_PER_PAGE = 500
TASKS_PER_IMPORT = 100
UPLOAD_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Photo:
    """A picture file on this machine."""

    path: Path

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its content, in hexadecimal."""
        with self.path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()


def sample_photos() -> list[Photo]:
    """The free photos that are on this machine already."""
    found = (_package_folder(package) / name for package, names in SAMPLES.items() for name in names)
    return [Photo(path) for path in found if path.exists()]


def photos_in(folder: Path) -> list[Photo]:
    """Every picture in the folder and below, in the order of their paths.

    Raises LocalError if it is no folder or holds no picture that Label Studio can show.
    """
    if not folder.is_dir():
        raise LocalError(f"PHOTOS is {str(folder)!r}, which is not a folder. Give one: make run PHOTOS=path/to/photos")
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file())
    photos = [Photo(path) for path in paths if not path.name.startswith(".")]
    if not photos:
        kinds = ", ".join(sorted(SUFFIXES))
        raise LocalError(f"There is no picture in {folder}: Label Studio shows files that end in {kinds}.")
    return photos


def import_photos(studio: LabelStudio, project: int, key: str, photos: Sequence[Photo]) -> int:
    """Upload the photos that the project does not hold yet, one task each; return how many those were.

    key: where a task's data keeps the picture's address.
    """
    known = {task["meta"].get(DIGEST_KEY) for task in _tasks(studio, project) if task.get("meta")}
    new = list({photo.digest: photo for photo in photos if photo.digest not in known}.values())
    with Progress("importing photos", len(new)) as progress:
        for start in range(0, len(new), TASKS_PER_IMPORT):
            tasks = []
            for photo in new[start : start + TASKS_PER_IMPORT]:
                address = _upload(studio, project, photo)
                data = {key: address, NAME_KEY: photo.path.name}
                tasks.append({"data": data, "meta": {DIGEST_KEY: photo.digest}})
                progress.advance()
            studio.post(f"/api/projects/{project}/import", tasks)
    return len(new)


def _upload(studio: LabelStudio, project: int, photo: Photo) -> str:
    """Send one file; return the address under which Label Studio serves it."""
    answer = studio.request(
        "POST",
        f"/api/projects/{project}/import",
        # Label Studio would make tasks of bare addresses; ours also remember the photo's name and content.
        params={"commit_to_project": "false"},
        files={photo.path.name: (photo.path.name, photo.path.read_bytes())},
        timeout=UPLOAD_TIMEOUT_S,
    )
    (upload,) = answer.json()["file_upload_ids"]
    (file,) = studio.get(f"/api/projects/{project}/file-uploads", params={"ids": f"[{upload}]"})
    return f"/data/{file['file']}"


def _tasks(studio: LabelStudio, project: int) -> Iterator[dict[str, Any]]:
    page, seen, total = 1, 0, 1
    while seen < total:
        query = {"project": project, "page": page, "page_size": TASKS_PER_PAGE, "fields": "task_only"}
        answer = studio.get("/api/tasks", params=query)
        yield from answer["tasks"]
        page, seen, total = page + 1, seen + len(answer["tasks"]), answer["total"]


def _package_folder(package: str) -> Path:
    # Found, not imported: both packages take seconds to import and only their files are wanted.
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) if folders else Path(package)
