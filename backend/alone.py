"""Prelabelling in a process of its own, beside or without a server: what `python -m backend prelabel` does."""

from __future__ import annotations

from collections.abc import Callable

from backend.checks.chain import backends_of
from backend.drafts import Drafts
from backend.fleet import Fleet
from backend.links import Row, at_url
from backend.loading import BadVersion, Loader
from backend.photos import Photos
from backend.predictor import Predictor
from backend.prelabel import Prelabel, Tally
from backend.projects import Projects
from backend.service import fetcher
from backend.serving import Serving, ServingError, open_store
from backend.work import NoWork, Work, work_for
from labeling.session import LabelStudio, LabelStudioError
from model.progress import Progress
from settings import Settings

# What can go wrong, each with a message that says what to do.
FAULTS = (ServingError, BadVersion, NoWork, LabelStudioError, OSError)


def prelabel_alone(settings: Settings, studio: LabelStudio, project: int, note: Callable[[str], None]) -> Tally:
    """Caption the project's unlabelled tasks with the version that its pointer names. Raises one of FAULTS.

    Call it while holding the project's turn. `note` is told what a person should know beforehand.
    """
    predictor = Predictor()
    photos = Photos(fetcher(settings, studio), max_pixels=settings.max_image_pixels)
    try:
        row = studio.get(f"/api/projects/{project}/")
        serving = _loaded(settings, project, predictor)
        work = _work(settings, studio, row, serving, note)
        left = max(int(row["task_number"]) - int(row["num_tasks_with_annotations"]), 0)
        with Progress(f"project {project}, {work.version}", left) as bar:
            drafts = Drafts(photos, predictor)
            return Prelabel(studio, drafts, work, told=lambda tally, count: bar.advance(count)).run()
    finally:
        photos.close()
        predictor.close()


def _loaded(settings: Settings, project: int, predictor: Predictor) -> Serving:
    store = open_store(settings)
    champion = store.champion(str(project))
    assert champion is not None  # open_store promotes the starter or raises
    return Loader(store, settings, predictor).load(champion.version, Fleet(), wait=True)


def _work(settings: Settings, studio: LabelStudio, row: Row, serving: Serving, note: Callable[[str], None]) -> Work:
    ours: Row = next(iter(at_url(backends_of(studio, int(row["id"])), settings.backend_url)), {})
    if ours.get("title") != serving.version:
        note(
            f"project {row['id']} is not connected with {serving.version}: until it is, the label stream will not show "
            f"these captions. Start the backend, then: python -m backend connect --project {row['id']}"
        )
    return work_for(row, ours.get("extra_params"), serving, Projects(settings.caption_field), settings)
