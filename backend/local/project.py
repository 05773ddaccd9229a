"""The project that photos are captioned in: found by its title, else made with the config that makes drafts cheap."""

from pathlib import Path

from backend.local.errors import LocalError
from labeling.config import RECOMMENDED_CONFIG, caption_field
from labeling.session import LabelStudio

TITLE = "Recaption"
DESCRIPTION = "Each photo has a first caption already. Fix the text, then press Tab and Ctrl+Enter."


def title_for(photos: Path | None) -> str:
    """One's own photos get a project of their own, named after the folder: samples would only be in the way there."""
    return TITLE if photos is None else f"{TITLE}: {photos.resolve().name}"[:50]


def find_or_create(studio: LabelStudio, title: str) -> int:
    """The id of the project with this title; a new one has RECOMMENDED_CONFIG."""
    found = studio.get("/api/projects/", params={"title": title, "page_size": 100})["results"]
    same = [int(project["id"]) for project in found if project["title"] == title]
    if same:
        return min(same)
    body = {"title": title, "description": DESCRIPTION, "label_config": RECOMMENDED_CONFIG}
    return int(studio.post("/api/projects/", body)["id"])


def photo_key(studio: LabelStudio, project: int, *, prefer: str | None) -> str:
    """The key of a task's data that the project's label config shows as the image.

    Raises LabelConfigError if the config asks for no caption of an image, LocalError if its image is not one plain key.
    """
    field = caption_field(studio.get(f"/api/projects/{project}/")["label_config"], prefer=prefer)
    key = field.value.removeprefix("$")
    if field.many or not key.isidentifier():
        raise LocalError(
            f"Project {project} shows images by {field.value!r}; photos can only be imported where it is one key such "
            "as $image. Import them in Label Studio, or leave PHOTOS out."
        )
    return key
