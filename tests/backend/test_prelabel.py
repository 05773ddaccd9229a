"""A project's unlabelled tasks, captioned with one version: what is stored, what is left alone, and where a stop leaves
off. The model is real and small; Label Studio is the stand-in of desk.py."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend import bookmark, prelabel
from backend.bookmark import Bookmark
from backend.prelabel import Prelabel, Tally
from backend.service import Service
from backend.work import NoWork, Work, work_for
from labeling import predictions
from labeling.session import LabelStudio, LabelStudioError
from model import acquisition
from settings import Settings
from tests.backend.desk import PROJECT, Desk, opened
from tests.labeling.annotated import task

COUNT = 7


@pytest.fixture
def service(make_settings: Callable[..., Settings]) -> Iterator[Service]:
    made = Service(make_settings(explore_share=0.0))
    yield made
    made.close()


@pytest.fixture
def desk() -> Desk:
    return Desk(COUNT)


@pytest.fixture
def studio(desk: Desk) -> Iterator[LabelStudio]:
    with opened(desk) as session:
        yield session


@pytest.fixture
def work(service: Service, studio: LabelStudio) -> Work:
    row = studio.get(f"/api/projects/{PROJECT}/")
    return work_for(row, None, service.serving, service.projects, service.settings)


@pytest.fixture
def pages_of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prelabel, "PAGE", 3)


def test_every_unlabelled_task_gets_a_caption_of_the_version(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    desk.annotate(2)
    tally = Prelabel(studio, service.drafts, work).run()
    assert tally == Tally(captioned=COUNT - 1, finished=True)
    assert desk.versions() == [[work.version], [], *([[work.version]] * (COUNT - 2))]
    (stored,) = desk.predictions(1)
    (region,) = stored["result"]
    assert region["value"]["text"][0] and region["origin"] == "prediction"
    assert bookmark.read(work.data_dir, PROJECT) == Bookmark(work.version, COUNT, done=True)


def test_the_lowest_score_is_what_to_label_first_and_a_captions_own_score_stays_with_it(
    service: Service, studio: LabelStudio, desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def backwards(confidence: Any, pooled: Any, *, random_share: float, seed: int) -> list[int]:
        seen.append((np.shape(confidence), np.shape(pooled), random_share, seed))
        return list(reversed(range(len(confidence))))

    monkeypatch.setattr(acquisition, "order", backwards)
    Prelabel(studio, service.drafts, work).run()
    assert seen == [((COUNT,), (COUNT, service.serving.captioner.encoder.channels), 0.0, 1)]
    stored = [desk.predictions(number)[0] for number in range(1, COUNT + 1)]
    by_score = sorted(range(COUNT), key=lambda place: stored[place]["score"])
    assert by_score == list(reversed(range(COUNT)))
    own = [one["result"][0]["score"] for one in stored]
    assert sorted(own) == pytest.approx(sorted(one["score"] for one in stored))
    assert own != [one["score"] for one in stored]


def test_an_older_caption_is_rewritten_in_place_and_what_is_not_ours_is_left(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    """An editor may have it open: one that is deleted cannot be submitted from."""
    surplus, open_in_an_editor = desk.predict(1, "recaption-0"), desk.predict(1, "recaption-1")
    theirs = desk.predict(2, "somebody's model")
    desk.annotate(3)
    desk.predict(3, "recaption-1")
    tally = Prelabel(studio, service.drafts, work).run()
    assert tally == Tally(captioned=COUNT - 1, replaced=1, deleted=1, finished=True)
    (rewritten,) = desk.predictions(1)
    assert rewritten["id"] == open_in_an_editor != surplus
    assert rewritten["model_version"] == work.version
    assert rewritten["result"][0]["value"]["text"] != ["an older caption"]
    kept, own = desk.predictions(2)
    assert kept["id"] == theirs and own["model_version"] == work.version
    assert desk.versions()[2] == ["recaption-1"]


def test_what_has_a_caption_of_the_version_is_skipped_and_tidied(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    desk.predict(1, "recaption-0")
    desk.predict(1, work.version, "written a moment ago")
    tally = Prelabel(studio, service.drafts, work).run()
    assert tally == Tally(captioned=COUNT - 1, skipped=1, deleted=1, finished=True)
    assert desk.predictions(1)[0]["result"][0]["value"]["text"] == ["written a moment ago"]
    assert Prelabel(studio, service.drafts, work).run() == Tally(skipped=COUNT, finished=True)


@pytest.mark.usefixtures("pages_of_three")
def test_a_stop_leaves_a_bookmark_and_the_next_run_goes_on_there(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    pages: list[int] = []
    first = Prelabel(
        studio, service.drafts, work, over=lambda: bool(pages), told=lambda tally, count: pages.append(count)
    )
    assert first.run() == Tally(captioned=3)
    assert pages == [3]
    assert bookmark.read(work.data_dir, PROJECT) == Bookmark(work.version, 3)
    desk.tasks[0]["predictions"].clear()
    assert Prelabel(studio, service.drafts, work).run() == Tally(captioned=4, finished=True)
    assert desk.versions()[0] == [], "what lies before the bookmark is done"
    assert Prelabel(studio, service.drafts, work).run() == Tally(captioned=1, skipped=6, finished=True)


@pytest.mark.usefixtures("pages_of_three")
def test_another_versions_bookmark_is_no_bookmark(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    bookmark.write(work.data_dir, PROJECT, Bookmark("recaption-0", 6))
    assert Prelabel(studio, service.drafts, work).run().captioned == COUNT


@pytest.mark.usefixtures("pages_of_three")
def test_a_label_studio_that_goes_away_costs_a_page_at_most(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    def leave(tally: Tally, count: int) -> None:
        desk.away = True

    with pytest.raises(LabelStudioError, match="503"):
        Prelabel(studio, service.drafts, work, told=leave).run()
    desk.away = False
    assert Prelabel(studio, service.drafts, work).run().captioned == COUNT - 3
    assert desk.versions() == [[work.version]] * COUNT


def test_a_picture_that_cannot_be_had_fails_alone_and_keeps_its_older_caption(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    desk.tasks[1] = task(2, data={"captioning": "ftp://nowhere"}) | {"draft_exists": False}
    desk.predict(2, "recaption-0")
    tally = Prelabel(studio, service.drafts, work).run()
    assert tally == Tally(captioned=COUNT - 1, failed=1, finished=True)
    assert desk.versions()[1] == ["recaption-0"]


def test_what_happens_to_a_task_while_it_is_captioned_is_respected(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    looks = iter(range(100))

    def meanwhile() -> None:
        if next(looks) == 1:
            desk.predict(1, work.version, "asked for by the label stream")
            desk.annotate(2)
            del desk.tasks[2]

    desk.before_page = meanwhile
    tally = Prelabel(studio, service.drafts, work).run()
    assert tally == Tally(captioned=COUNT - 3, skipped=3, finished=True)
    assert desk.predictions(1)[0]["result"][0]["value"]["text"] == ["asked for by the label stream"]
    assert desk.versions()[:2] == [[work.version], []]


def test_a_task_deleted_at_the_last_moment_does_not_take_its_page_with_it(
    service: Service, studio: LabelStudio, desk: Desk, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushing = predictions.push

    def push(studio: LabelStudio, project: int, rows: Any) -> int:
        desk.tasks = [row for row in desk.tasks if row["id"] != 3]
        return pushing(studio, project, rows)

    monkeypatch.setattr(prelabel, "push", push)
    tally = Prelabel(studio, service.drafts, work).run()
    assert tally == Tally(captioned=COUNT - 1, failed=1, finished=True)
    assert desk.versions() == [[work.version]] * (COUNT - 1)


def test_what_an_interrupted_batch_did_not_caption_is_not_counted_as_failed(
    service: Service, studio: LabelStudio, desk: Desk, work: Work
) -> None:
    asked = iter([False, True])
    stopped = Prelabel(studio, service.drafts, work, over=lambda: next(asked, True))
    assert stopped.run() == Tally()
    assert desk.versions() == [[]] * COUNT
    assert bookmark.read(work.data_dir, PROJECT) is None


def test_a_project_without_a_caption_to_fill_is_no_work(service: Service) -> None:
    with pytest.raises(NoWork, match="project 7 cannot be captioned"):
        work_for({"id": 7, "label_config": "<View/>"}, None, service.serving, service.projects, service.settings)


def test_extra_parameters_of_the_ml_backend_are_heeded(service: Service, studio: LabelStudio) -> None:
    row = studio.get(f"/api/projects/{PROJECT}/")
    assert work_for(row, {"beam": 2}, service.serving, service.projects, service.settings).beam == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": "recaption-0"}', '{"version": 1, "after": "x", "done": 0}']
)
def test_a_torn_bookmark_is_none(tmp_path: Path, text: str) -> None:
    bookmark.write(tmp_path, 7, Bookmark("recaption-0", 5))
    assert bookmark.read(tmp_path, 7) == Bookmark("recaption-0", 5)
    (tmp_path / "prelabel" / "7.json").write_text(text)
    assert bookmark.read(tmp_path, 7) is None


def test_the_bookmark_is_a_small_file_for_people_too(tmp_path: Path) -> None:
    bookmark.write(tmp_path, 7, Bookmark("recaption-0", 5))
    assert json.loads((tmp_path / "prelabel" / "7.json").read_text()) == {
        "version": "recaption-0",
        "after": 5,
        "done": False,
    }
