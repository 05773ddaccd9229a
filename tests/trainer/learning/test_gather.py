"""Corrections to photos: merged by content, counted by reason, split for good."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from labeling.corrections import Correction, Harvest
from labeling.transfer import ImageFetchError
from model.shelf import Shelf, content_key
from tests.photos import drawn, encoded
from trainer.learning.gather import Gathered, GatherError, gather, gathered
from trainer.learning.holdout import held_out
from trainer.learning.pictures import Pictures

AT = "2026-01-02T03:04:05+00:00"
RED, BLUE, GREEN = (encoded(drawn(colour, "left")) for colour in ("red", "blue", "green"))


class Disk:
    """A fetcher over what the test wrote down; counts what it was asked."""

    def __init__(self, pictures: Mapping[str, bytes]) -> None:
        self.pictures, self.asked = pictures, list[str]()
        self.lock = threading.Lock()

    def fetch(self, uri: str, *, task_id: int | None) -> bytes:
        with self.lock:
            self.asked.append(uri)
        if uri not in self.pictures:
            raise ImageFetchError(f"{uri} was answered with HTTP 404.")
        return self.pictures[uri]


def said(task: int, uri: str, *captions: str, accepted: bool = False, annotator: int = 1) -> Correction:
    origin: Literal["prediction", "prediction-changed"] = "prediction" if accepted else "prediction-changed"
    return Correction(task, annotator, 100 * annotator + task, AT, origin, uri, None, captions)


def harvested(
    *corrections: Correction, accepted: tuple[Correction, ...] = (), excluded: dict[str, int] | None = None
) -> Harvest:
    return Harvest(corrections, excluded or {}, accepted, AT, {"101": AT})


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def pictures(folder: Path, disk: Disk, shelf: Shelf, run: str = "one") -> Pictures:
    return Pictures(disk, shelf, folder / "book.jsonl", studio="http://studio", run=run, max_pixels=10**6)


def go(
    folder: Path, shelf: Shelf, harvest: Harvest, disk: Disk, *, accepted: bool = False, share: float = 0.0
) -> Gathered:
    return gather(folder, harvest, pictures(folder, disk, shelf), accepted=accepted, share=share)


def test_the_same_photo_is_one_whatever_it_is_called(tmp_path: Path, shelf: Shelf) -> None:
    disk = Disk({"/data/a": RED, "/data/b": RED, "/data/c": BLUE})
    harvest = harvested(
        said(1, "/data/a", "a red square", "a square"),
        said(1, "/data/a", "a red square", "red", annotator=2),
        said(2, "/data/b", "a square", "a box"),
        said(3, "/data/c", "a blue square"),
    )
    found = go(tmp_path, shelf, harvest, disk)
    assert [(photo.key, photo.captions, photo.tasks) for photo in found.photos] == [
        (content_key(RED), ("a red square", "a square", "red", "a box"), (1, 2)),
        (content_key(BLUE), ("a blue square",), (3,)),
    ]
    assert sorted(disk.asked) == ["/data/a", "/data/b", "/data/c"]
    assert shelf.pixels(content_key(RED)).shape == (224, 224, 3)


def test_what_was_gathered_is_read_back_as_it_was(tmp_path: Path, shelf: Shelf) -> None:
    assert gathered(tmp_path) is None
    found = go(tmp_path, shelf, harvested(said(1, "/data/a", "ein Fuß")), Disk({"/data/a": RED}))
    assert gathered(tmp_path) == found and found.recent == {"101": AT}


def test_everything_is_counted_by_reason(tmp_path: Path, shelf: Shelf) -> None:
    disk = Disk({"/data/a": RED, "/data/b": BLUE, "/data/torn": b"no picture"})
    harvest = harvested(
        said(1, "/data/a", "a red square", "a square"),
        said(2, "/data/gone", "a lost square"),
        said(3, "/data/torn", "a torn square"),
        said(4, "/data/b", "...", "!"),
        accepted=(said(5, "/data/b", "a blue square", accepted=True),),
        excluded={"skipped": 2, "blank": 1, "accepted": 1},
    )
    found = go(tmp_path, shelf, harvest, disk)
    assert found.counts == {
        "learnt": 1,
        "held_out": 0,
        "captions": 2,
        "accepted": 1,
        "excluded": {"skipped": 2, "blank": 1, "wordless": 1},
        "failed_pictures": {"not fetched": 1, "not decoded": 1},
    }


def test_accepted_drafts_are_learnt_from_only_if_asked_for(tmp_path: Path, shelf: Shelf) -> None:
    harvest = harvested(
        said(1, "/data/a", "a red square"), accepted=(said(2, "/data/b", "a blue square", accepted=True),)
    )
    for accepted, learnt in ((False, 1), (True, 2)):
        folder = tmp_path / str(accepted)
        found = go(folder, shelf, harvest, Disk({"/data/a": RED, "/data/b": BLUE}), accepted=accepted)
        assert (found.counts["learnt"], found.counts["accepted"]) == (learnt, 1)


def test_held_out_photos_are_those_of_the_hash_and_of_the_benchmark(tmp_path: Path, shelf: Shelf) -> None:
    squares = {f"/data/{n}": encoded(drawn("red", "left", seed=n)) for n in range(30)}
    harvest = harvested(*(said(n, f"/data/{n}", "a red square") for n in range(30)))
    benchmark = [content_key(squares["/data/3"])]
    found = gather(
        tmp_path,
        harvest,
        pictures(tmp_path, Disk(squares), shelf),
        accepted=False,
        share=0.3,
        benchmark=benchmark,
    )
    kept = {photo.key for photo in found.kept}
    assert kept == {key for photo in found.photos if held_out(key := photo.key, 0.3)} | set(benchmark)
    assert len(found.learnt) == found.counts["learnt"] == 30 - len(kept) and 3 < len(kept) < 20


def test_no_picture_at_all_is_an_error_that_says_why(tmp_path: Path, shelf: Shelf) -> None:
    harvest = harvested(said(1, "/data/a", "one"), said(2, "/data/b", "two"))
    with pytest.raises(GatherError, match=r"none of the 2 pictures .* HTTP 404\. .*python -m backend doctor"):
        go(tmp_path, shelf, harvest, Disk({}))
    assert gathered(tmp_path) is None


def test_no_correction_is_no_error(tmp_path: Path, shelf: Shelf) -> None:
    assert go(tmp_path, shelf, harvested(), Disk({})).photos == ()


def test_a_run_fetches_nothing_twice_and_uploads_are_fetched_once_for_all(tmp_path: Path, shelf: Shelf) -> None:
    addresses = {"/data/upload/7/a.png": 1, "https://photos.example/b.png?key=secret": 2}
    disk = Disk(dict(zip(addresses, (RED, BLUE), strict=True)))
    first = pictures(tmp_path, disk, shelf).find(addresses)
    assert pictures(tmp_path, disk, shelf).find(addresses).keys == first.keys and len(disk.asked) == 2
    later = pictures(tmp_path, disk, shelf, run="two").find(addresses)
    assert later.keys == first.keys and disk.asked[2:] == ["https://photos.example/b.png?key=secret"]
    assert "secret" not in (tmp_path / "book.jsonl").read_text()


def test_a_torn_address_book_costs_a_fetch_and_no_more(tmp_path: Path, shelf: Shelf) -> None:
    addresses = {"/data/upload/7/a.png": 1, "/data/upload/7/b.png": 2}
    disk = Disk(dict(zip(addresses, (RED, GREEN), strict=True)))
    first = pictures(tmp_path, disk, shelf).find(addresses)
    book = tmp_path / "book.jsonl"
    book.write_text(book.read_text()[:-20])
    assert pictures(tmp_path, disk, shelf).find(addresses).keys == first.keys and len(disk.asked) == 3


def test_another_label_studio_has_other_pictures_at_the_same_address(tmp_path: Path, shelf: Shelf) -> None:
    book, address = tmp_path / "book.jsonl", {"/data/upload/7/a.png": 1}
    for studio, picture in (("http://one", RED), ("http://two", BLUE)):
        disk = Disk(dict.fromkeys(address, picture))
        found = Pictures(disk, shelf, book, studio=studio, run="one", max_pixels=10**6).find(address)
        assert list(found.keys.values()) == [content_key(picture)]


def test_a_picture_above_the_limit_is_not_decoded(tmp_path: Path, shelf: Shelf) -> None:
    small = Pictures(Disk({"/data/a": RED}), shelf, tmp_path / "book", studio="", run="one", max_pixels=1000)
    assert small.find({"/data/a": 1}).failed == {"not decoded": 1}


def test_the_same_photo_fetched_at_once_by_many_addresses(tmp_path: Path, shelf: Shelf) -> None:
    addresses = {f"/data/{n}": n for n in range(40)}
    found = pictures(tmp_path, Disk(dict.fromkeys(addresses, RED)), shelf).find(addresses)
    assert set(found.keys.values()) == {content_key(RED)} and not found.failed
