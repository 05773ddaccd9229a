"""One thread, two lanes: order, batches, deadlines, failures one by one, an orderly end."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from backend import predictor as predicting
from backend.batches import OutOfTime
from backend.predictor import BATCH, ROOM, Predictor
from backend.serving import Serving
from model.captioner import Caption
from model.preprocess import Photo, Pixels
from tests.waiting import wait_until


class Slow:
    """Stands where a captioner stands, so that a test decides when it goes on and what it fails on."""

    beam = 3

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()
        self.begun = threading.Event()

    def caption(self, images: Sequence[Photo], *, beam: int | None = None) -> list[Caption]:
        self.begun.set()
        assert self.go.wait(10)
        names = [round(float(image[0, 0, 0]) * 255) for image in images]
        self.batches.append(names)
        if 13 in names:
            raise RuntimeError("this picture")
        return [Caption(f"{name} with {beam}", 0.5, (), np.zeros(1, np.float32)) for name in names]

    def begin(self, images: Sequence[Photo], *, beam: int | None = None) -> Future[list[Caption]]:
        found: Future[list[Caption]] = Future()
        found.set_result(self.caption(images, beam=beam))
        return found


def picture(name: int) -> Pixels:
    return np.full((224, 224, 3), name, np.uint8)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def serving(slow: Slow) -> Serving:
    stand_in: Any = slow
    return Serving("v1", stand_in, 0.0)


@pytest.fixture
def predictor() -> Iterator[Predictor]:
    made = Predictor()
    yield made
    made.close()


@pytest.fixture
def held(slow: Slow, serving: Serving, predictor: Predictor) -> Callable[[], None]:
    """The model is busy with picture 0 until the returned function is called."""
    slow.go.clear()
    predictor.submit(serving, picture(0), deadline=soon())
    assert slow.begun.wait(5)
    return slow.go.set


def test_batches_what_waits_and_lets_the_urgent_first(
    slow: Slow, serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    bulk = [predictor.submit(serving, picture(10 + n), deadline=soon()) for n in (0, 1, 2)]
    urgent = predictor.submit(serving, picture(1), urgent=True, deadline=soon())
    other_beam = predictor.submit(serving, picture(2), beam=1, deadline=soon())
    assert predictor.depth() == 5
    held()
    assert urgent.result(5).text == "1 with None"
    assert [future.result(5).text for future in bulk] == ["10 with None", "11 with None", "12 with None"]
    assert other_beam.result(5).text == "2 with 1"
    assert slow.batches == [[0], [1, 10], [11, 12], [2]], "one of the bulk goes along with the urgent"


def test_a_bulk_waits_a_moment_for_company_and_an_urgent_picture_does_not(
    slow: Slow, serving: Serving, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "WINDOW_S", 2.0)
    first = predictor.submit(serving, picture(1), deadline=soon())
    time.sleep(0.2)
    assert not first.done()
    started = time.monotonic()
    urgent = predictor.submit(serving, picture(2), urgent=True, deadline=soon())
    assert urgent.result(5).text == "2 with None"
    assert time.monotonic() - started < 1.0
    rest = [predictor.submit(serving, picture(30 + n), deadline=soon()) for n in range(BATCH)]
    for future in rest:
        future.result(5)
    assert time.monotonic() - started < 1.5, "a batch that is full waits for nothing"
    assert slow.batches == [[2, 1], [30 + n for n in range(BATCH)]]


def test_a_bulk_does_not_starve(slow: Slow, serving: Serving, predictor: Predictor, held: Callable[[], None]) -> None:
    urgent = [predictor.submit(serving, picture(20 + n), urgent=True, deadline=soon()) for n in range(2 * BATCH)]
    bulk = [predictor.submit(serving, picture(1 + n), deadline=soon()) for n in range(2)]
    held()
    for future in (*urgent, *bulk):
        future.result(5)
    assert slow.batches[1][-1] == 1 and slow.batches[2][-1] == 2, "one of it in each batch of urgent ones"
    assert [len(batch) for batch in slow.batches] == [1, BATCH, BATCH, 2]


def test_a_picture_past_its_deadline_is_dropped(
    slow: Slow, serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    late = predictor.submit(serving, picture(1), deadline=soon(0.05))
    in_time = predictor.submit(serving, picture(2), deadline=soon())
    time.sleep(0.1)
    held()
    assert in_time.result(5)
    with pytest.raises(OutOfTime):
        late.result(5)
    assert slow.batches == [[0], [2]]


def test_a_picture_is_captioned_once_for_each_version_and_search(
    slow: Slow, serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    asked: dict[str, Any] = {"digest": b"same", "deadline": soon()}
    twice = [predictor.submit(serving, picture(4), **asked) for _ in range(2)]
    held()
    assert {future.result(5).text for future in twice} == {"4 with None"}
    again = predictor.submit(serving, picture(4), **asked).result(5)
    assert slow.batches == [[0], [4]], "neither twice in a batch nor in a later one"
    assert predictor.known(serving, None, b"same") is again
    assert predictor.known(serving, slow.beam, b"same") is again, "the captioner's own width by its number"
    assert predictor.known(serving, 1, b"same") is None
    assert predictor.known(serving._replace(version="v2"), None, b"same") is None
    assert predictor.submit(serving, picture(4), beam=1, **asked).result(5).text == "4 with 1"


def test_equal_pictures_that_fail_fail_each_and_are_not_remembered(
    serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    bad = [predictor.submit(serving, picture(13), digest=b"bad", deadline=soon()) for _ in range(2)]
    held()
    for future in bad:
        with pytest.raises(RuntimeError, match="this picture"):
            future.result(5)
    assert predictor.known(serving, None, b"bad") is None


def test_a_batch_has_a_largest_size(
    slow: Slow, serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    futures = [predictor.submit(serving, picture(20 + n), deadline=soon()) for n in range(BATCH + 3)]
    held()
    for future in futures:
        future.result(5)
    assert [len(batch) for batch in slow.batches] == [1, BATCH, 3]


def test_one_bad_picture_does_not_take_the_others_with_it(
    serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    good, bad, also_good = (predictor.submit(serving, picture(n), deadline=soon()) for n in (12, 13, 14))
    held()
    assert (good.result(5).text, also_good.result(5).text) == ("12 with None", "14 with None")
    with pytest.raises(RuntimeError, match="this picture"):
        bad.result(5)


def test_a_full_lane_makes_wait_until_the_deadline_and_leaves_the_other_lane_open(
    serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    for _ in range(ROOM):
        predictor.submit(serving, picture(1), deadline=soon())
    started = time.monotonic()
    with pytest.raises(OutOfTime):
        predictor.submit(serving, picture(1), deadline=soon(0.1))
    assert time.monotonic() - started < 1
    urgent = predictor.submit(serving, picture(2), urgent=True, deadline=soon())
    held()
    assert urgent.result(5).text == "2 with None"


def test_what_a_request_gave_up_is_not_computed(
    slow: Slow, serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    given_up = predictor.submit(serving, picture(1), deadline=soon())
    wanted = predictor.submit(serving, picture(2), deadline=soon())
    assert given_up.cancel()
    held()
    wanted.result(5)
    assert slow.batches == [[0], [2]]


def test_other_work_is_done_between_two_batches_on_the_model_thread(
    slow: Slow, serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    waiting = predictor.submit(serving, picture(1), urgent=True, deadline=soon())
    seen = predictor.do(lambda: (threading.current_thread().name, list(slow.batches)))
    failed = predictor.do(lambda: 1 / 0)
    assert not seen.done()
    held()
    assert seen.result(5) == ("model", [[0]]), "it went before the pictures that waited"
    with pytest.raises(ZeroDivisionError):
        failed.result(5)
    assert waiting.result(5).text == "1 with None"


class Searching(Slow):
    """Its searches end when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.searches: list[Future[list[Caption]]] = []

    def begin(self, images: Sequence[Photo], *, beam: int | None = None) -> Future[list[Caption]]:
        self.batches.append([round(float(image[0, 0, 0]) * 255) for image in images])
        self.searches.append(Future())
        return self.searches[-1]

    def found(self, search: int) -> None:
        names = self.batches[search]
        self.searches[search].set_result([Caption(str(name), 0.5, (), np.zeros(1, np.float32)) for name in names])


def test_a_batch_is_encoded_while_the_captions_of_the_one_before_are_searched_for(predictor: Predictor) -> None:
    model = Searching()
    stand_in: Any = model
    serving = Serving("v1", stand_in, 0.0)
    captions = [predictor.submit(serving, picture(1), deadline=soon())]
    wait_until(lambda: model.batches, "the first is encoded")
    captions.append(predictor.submit(serving, picture(2), deadline=soon()))
    wait_until(lambda: len(model.batches) == 2, "the second is encoded")
    captions.append(predictor.submit(serving, picture(3), deadline=soon()))
    time.sleep(0.1)
    assert model.batches == [[1], [2]], "and no further: batches that are not searched yet would pile up"
    model.found(0)
    assert captions[0].result(5).text == "1"
    wait_until(lambda: len(model.batches) == 3, "the last is encoded")
    assert not captions[1].done()
    for search in (1, 2):
        threading.Timer(0.1 * search, model.found, [search]).start()
    predictor.close()
    assert [caption.result(0).text for caption in captions] == ["1", "2", "3"], "closing waits for what was begun"


def test_closing_finishes_the_batch_in_hand_and_cancels_the_rest(
    serving: Serving, predictor: Predictor, held: Callable[[], None]
) -> None:
    waiting = predictor.submit(serving, picture(1), deadline=soon())
    errand = predictor.do(lambda: None)
    threading.Timer(0.1, held).start()
    predictor.close()
    assert waiting.cancelled() and errand.cancelled()
    assert predictor.do(lambda: None).cancelled()
    with pytest.raises(OutOfTime):
        predictor.submit(serving, picture(1), deadline=soon())
