"""Thirty swaps under load: does a request fail, wait, or get a caption of a version that it should not?

    python -m proof swap

The starter and a copy with another decoder take turns as the champion, while clients ask for captions without a pause.
Blocks with and without swaps alternate, so that a machine whose speed drifts drifts for both. The swaps of a block are
spread over the time that its requests take.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import requests
import torch

from model import checkpoint as checkpoints
from model.starter import STARTER
from model.store import Store
from proof.service import PICTURES, Backend, convert, cores, first, percentile, serving

SWAPS, BLOCKS, REQUESTS = 30, 3, 1000
CLIENTS = 2
SHORTEST_PAUSE_S = 1.0
LONGEST_S = 30.0
# Between two looks at what serves: each costs the backend some milliseconds, which are not the swap's.
LOOK_S = 0.05
# From when to when, on the clock of time.monotonic.
Block = tuple[float, float]


@dataclass
class Answer:
    began: float
    ended: float
    picture: int
    fault: str = ""
    version: str = ""
    caption: str = ""


@dataclass
class Load:
    """Clients that ask one after the other, until told to stop."""

    backend: Backend
    answers: list[Answer] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def _client(self, number: int) -> None:
        with requests.Session() as session:
            while not self.stop.is_set():
                self.answers.append(ask(self.backend, session, number))
                number += 1


def ask(backend: Backend, session: requests.Session, number: int) -> Answer:
    answer = Answer(time.monotonic(), 0.0, number % PICTURES)
    try:
        (result,) = backend.predict(session, number).json()["results"]
        answer.version, answer.caption = result["model_version"], result["result"][0]["value"]["text"][0]
    except (requests.RequestException, ValueError, KeyError, TypeError, IndexError) as error:
        answer.fault = f"{type(error).__name__}: {error}"[:200]
    answer.ended = time.monotonic()
    return answer


def swap_under_load(folder: Path) -> dict[str, Any]:
    store, version = first(folder / "models", STARTER)
    versions = [version, store.publish(another(folder / "other"))]
    convert(store, versions[1])
    with serving(folder, store.root) as backend:
        captions = expected(backend, store, versions)
        load = Load(backend)
        threads = load.run()
        quiet, swapping = list[Block](), list[Block]()
        moves = list[Move]()
        try:
            for _ in range(BLOCKS):
                quiet.append(rest(load, REQUESTS // BLOCKS))
                pause = (quiet[-1][1] - quiet[-1][0]) / (SWAPS // BLOCKS)
                began = time.monotonic()
                moves += [move(backend, store, versions, pause) for _ in range(SWAPS // BLOCKS)]
                while sum(began <= one.began for one in list(load.answers)) <= REQUESTS // BLOCKS:
                    moves.append(move(backend, store, versions, pause))
                swapping.append((began, time.monotonic()))
        finally:
            load.stop.set()
            for thread in threads:
                thread.join()
    return figures(load.answers, quiet, swapping, moves, captions)


def another(folder: Path) -> Path:
    """The starter with a little noise on its decoder: the same encoder, other captions."""
    made = checkpoints.load(STARTER)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in made.decoder.parameters():
            weights.add_(torch.randn_like(weights) * weights.std() * 0.1)
    return checkpoints.save(made, folder, {"seed": 1})


def expected(backend: Backend, store: Store, versions: list[str]) -> dict[tuple[str, int], str]:
    """What each version says of each picture, asked while it serves alone."""
    found = {}
    with requests.Session() as session:
        for _ in versions:
            move(backend, store, versions)
            for picture in range(PICTURES):
                answer = ask(backend, session, picture)
                found[answer.version, picture] = answer.caption
    return found


@dataclass
class Move:
    """The pointer moved at `at` from one version to the other, which served `took` seconds later."""

    at: float
    took: float
    old: str
    new: str


def move(backend: Backend, store: Store, versions: list[str], pause_s: float = SHORTEST_PAUSE_S) -> Move:
    """Promote the version that does not serve, wait until it does, pause; `pause_s` is from swap to swap."""
    champion = store.champion()
    assert champion is not None
    new = next(version for version in versions if version != champion.version)
    at = time.monotonic()
    store.promote(new, expect_epoch=champion.epoch, by=f"proof {champion.epoch}", reason="in turn")
    with requests.Session() as session:
        while session.get(f"{backend.url}/health", timeout=10).json()["model_version"] != new:
            if time.monotonic() - at > LONGEST_S:
                raise RuntimeError(f"{new} does not serve {LONGEST_S:.0f} s after the pointer moved")
            time.sleep(LOOK_S)
    took = time.monotonic() - at
    time.sleep(max(SHORTEST_PAUSE_S, pause_s - took))
    return Move(at, took, champion.version, new)


def rest(load: Load, requests_wanted: int) -> Block:
    """A block without a swap."""
    began, before = time.monotonic(), len(load.answers)
    while len(load.answers) - before < requests_wanted:
        time.sleep(0.05)
    return began, time.monotonic()


def figures(
    answers: list[Answer],
    quiet: list[Block],
    swapping: list[Block],
    moves: list[Move],
    captions: dict[tuple[str, int], str],
) -> dict[str, Any]:
    def within(blocks: list[Block]) -> list[Answer]:
        return [one for one in answers if any(began <= one.began < ended for began, ended in blocks)]

    during, beside = within(swapping), within(quiet)
    faults = [one.fault for one in answers if one.fault]
    wrong = [one for one in answers if not one.fault and not right(one, moves, captions)]
    slow, usual = (percentile([one.ended - one.began for one in some], 99) for some in (during, beside))
    return {
        "swaps": len(moves),
        "requests_during_swaps": len(during),
        "requests_without": len(beside),
        "failed": len(faults),
        "wrong_version": len(wrong),
        "faults": faults[:3],
        "p99_during_s": slow,
        "p99_without_s": usual,
        "p99_ratio": slow / usual,
        "pointer_to_serving_s": {"median": median(m.took for m in moves), "max": max(m.took for m in moves)},
        "cores": cores(),
        "clients": CLIENTS,
    }


def right(answer: Answer, moves: list[Move], captions: dict[tuple[str, int], str]) -> bool:
    """Whether it is that version's own caption, and a version that served at some moment of the request."""
    if captions.get((answer.version, answer.picture)) != answer.caption:
        return False
    before = [one for one in moves if one.at + one.took <= answer.began]
    about = [one for one in moves if one.at < answer.ended and one.at + one.took > answer.began]
    served = before[-1].new if before else moves[0].old
    return answer.version in {served, *(one.old for one in about), *(one.new for one in about)}
