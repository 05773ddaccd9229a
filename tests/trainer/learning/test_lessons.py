"""What is learnt, what is replayed beside it, and what never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.shelf import Shelf, content_key
from model.training.mixture import Lesson
from trainer.learning.base import Base
from trainer.learning.files import write_rows
from trainer.learning.gather import Corrected, Gathered
from trainer.learning.lessons import Lessons, divided, learnt_before, pool, replayed, share_of, wanted


def photo(key: str, *captions: str, held_out: bool = False) -> Corrected:
    return Corrected(key, captions or (f"about {key}",), (1,), held_out)


def gathered(*photos: Corrected) -> Gathered:
    return Gathered(photos, {}, "", {})


def keys(lessons: list[Lesson]) -> list[str]:
    return [lesson.key for lesson in lessons]


@pytest.fixture(scope="module")
def base(squares: Path) -> Base:
    return Base.load(f"flickr8k:{squares}")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


def test_new_is_what_the_champion_has_not_learnt_or_not_in_these_words() -> None:
    found = gathered(photo("a"), photo("b", "now this"), photo("c"), photo("d", held_out=True))
    new, earlier = divided(found, {"a": ("about a",), "b": ("then that",)})
    assert (keys(new), keys(earlier)) == (["b", "c"], ["a"])


def test_where_none_is_new_all_are_learnt_once_more() -> None:
    new, earlier = divided(gathered(photo("a")), {"a": ("about a",)})
    assert (keys(new), earlier) == (["a"], [])


def test_what_a_version_has_learnt_is_in_the_run_that_made_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    rows = [
        {"key": "a", "captions": ["x", "y"], "tasks": [1], "held_out": False},
        {"key": "b", "captions": ["z"], "tasks": [2], "held_out": True},
    ]
    write_rows(tmp_path / "one" / "corrections.jsonl", rows)
    assert learnt_before(tmp_path, {"run": "one"}) == {"a": ("x", "y")}
    assert learnt_before(tmp_path, {"run": "two"}) == learnt_before(tmp_path, {}) == {}


def test_half_of_what_is_replayed_are_earlier_corrections(tmp_path: Path, base: Base, shelf: Shelf) -> None:
    earlier = [Lesson(f"earlier {n}", ("a",)) for n in range(20)]
    chosen = replayed(tmp_path, base, shelf, gathered(), earlier, count=8, seed=1)
    assert len(chosen) == 8 and sum(lesson in earlier for lesson in chosen) == 4
    assert all(shelf.has(lesson.key) for lesson in chosen if lesson not in earlier)


def test_few_earlier_corrections_leave_the_rest_to_the_base(tmp_path: Path, base: Base, shelf: Shelf) -> None:
    chosen = replayed(tmp_path, base, shelf, gathered(), [Lesson("earlier", ("a",))], count=8, seed=1)
    assert len(chosen) == 8 and keys(chosen).count("earlier") == 1


def test_the_choice_follows_the_seed_and_is_kept(tmp_path: Path, base: Base, shelf: Shelf) -> None:
    def choose(folder: str, seed: int) -> list[Lesson]:
        (tmp_path / folder).mkdir(exist_ok=True)
        return replayed(tmp_path / folder, base, shelf, gathered(), [], count=5, seed=seed)

    assert choose("one", 1) == choose("two", 1) != choose("three", 2)
    assert choose("one", 2) == choose("two", 1), "a run that goes on replays what it chose"


def test_no_photo_of_the_benchmark_and_none_of_the_annotators_is_replayed(
    tmp_path: Path, squares: Path, base: Base, shelf: Shelf
) -> None:
    """A copy of a benchmark photo is in the train split under another name: its content tells."""
    by_name = {path.name: content_key(path.read_bytes()) for path in (squares / "images").iterdir()}
    assert by_name["train3.jpg"] == by_name["dev3.jpg"]
    held_out, corrected = by_name["train20.jpg"], by_name["train21.jpg"]
    found = gathered(photo(held_out, held_out=True), photo(corrected))
    chosen = keys(replayed(tmp_path, base, shelf, found, [], count=100, seed=1))
    assert len(chosen) == 10 and not {held_out, corrected} & set(chosen)
    assert not base.benchmark_keys & set(chosen)


def test_a_torn_photo_of_the_base_is_passed_over(tmp_path: Path, squares: Path, base: Base, shelf: Shelf) -> None:
    torn = squares / "images" / "train23.jpg"
    before = torn.read_bytes()
    try:
        torn.write_bytes(before[:500])
        assert len(replayed(tmp_path, base, shelf, gathered(), [], count=100, seed=1)) == 11
    finally:
        torn.write_bytes(before)


def test_without_a_base_earlier_corrections_alone_are_replayed(tmp_path: Path, shelf: Shelf) -> None:
    earlier = [Lesson(f"earlier {n}", ("a",)) for n in range(3)]
    chosen = replayed(tmp_path, None, shelf, gathered(), earlier, count=10, seed=1)
    assert sorted(keys(chosen)) == ["earlier 0", "earlier 1", "earlier 2"]


def test_each_epoch_has_its_share_of_replayed_photos_but_none_twice() -> None:
    assert wanted(30, 0.7, 3) == 210 and wanted(10, 0.0, 3) == 0
    new = [Lesson(str(n), ("a",)) for n in range(30)]
    others = [Lesson(f"other {n}", ("a",)) for n in range(300)]
    assert share_of(Lessons(new, others), 0.7) == 0.7
    assert share_of(Lessons(new, new[:10] * 30), 0.7) == 0.25
    assert share_of(Lessons(new, new[:10]), 0.7) == 0.25
    assert share_of(Lessons(new, []), 0.7) == 0.0


def test_each_earlier_correction_comes_once_and_they_are_half_at_most() -> None:
    earlier, base = ([Lesson(f"{name} {n}", ("a",)) for n in range(count)] for name, count in (("e", 15), ("b", 100)))
    chosen = keys(pool(earlier, base, 40, seed=1))
    assert len(chosen) == 40
    assert {chosen.count(lesson.key) for lesson in earlier} == {1}
    assert sum(key.startswith("e") for key in keys(pool(earlier, base, 20, seed=1))) == 10
