"""Real processes that move the same pointer at once, and a reader beside them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest

from model.store import Store
from tests.checkpoints import tiny_checkpoint
from tests.house.project import ROOT

MOVES = 40
# Promote as often as told, each time from the epoch that is seen.
RUNNER = """
import sys
from pathlib import Path
from model.store import Moved, Store

store, version, wins = Store(Path(sys.argv[1])), sys.argv[2], 0
for turn in range(int(sys.argv[4])):
    seen = store.champion()
    try:
        store.promote(version, expect_epoch=seen.epoch if seen else None, by=f"{sys.argv[3]} {turn}", reason="race")
        wins += 1
    except Moved:
        pass
print(wins)
"""
# Promote once from every epoch that is read from stdin.
RACER = """
import sys
from pathlib import Path
from model.store import Moved, Store

store, version, name = Store(Path(sys.argv[1])), sys.argv[2], sys.argv[3]
print("ready", flush=True)
for line in sys.stdin:
    try:
        store.promote(version, expect_epoch=int(line) or None, by=f"{name} {line.strip()}", reason="race")
        print("won", flush=True)
    except Moved:
        print("moved", flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def versions(store: Store, tmp_path: Path) -> list[str]:
    return [store.publish(tiny_checkpoint(tmp_path / str(seed), seed)) for seed in (0, 1)]


def start(script: str, store: Store, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(store.root), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=PIPE, stdout=PIPE, text=True)


@contextmanager
def racing(store: Store, version: str, name: str) -> Iterator[subprocess.Popen[str]]:
    with start(RACER, store, version, name) as racer:
        assert hear(racer) == "ready"
        yield racer


def say(racer: subprocess.Popen[str], line: str) -> None:
    assert racer.stdin is not None
    racer.stdin.write(line + "\n")
    racer.stdin.flush()


def hear(racer: subprocess.Popen[str]) -> str:
    assert racer.stdout is not None
    return racer.stdout.readline().strip()


def epochs(store: Store) -> list[int]:
    return [line["epoch"] for line in store.history()]


def test_of_two_that_start_from_the_same_epoch_one_wins_and_the_other_is_told(
    store: Store, versions: list[str]
) -> None:
    winners = []
    with racing(store, versions[0], "0") as one, racing(store, versions[1], "1") as two:
        for epoch in range(MOVES):
            for racer in (one, two):
                say(racer, str(epoch))
            answers = [hear(one), hear(two)]
            assert sorted(answers) == ["moved", "won"], f"round {epoch}: {answers}"
            winner = answers.index("won")
            champion = store.champion()
            assert champion is not None
            assert (champion.epoch, champion.version) == (epoch + 1, versions[winner])
            assert champion.by == f"{winner} {epoch}"
            winners.append(champion.by)
    assert [line["by"] for line in store.history()] == winners
    assert epochs(store) == list(range(1, MOVES + 1))


def test_a_reader_sees_the_old_champion_or_the_new_one_and_never_fails(store: Store, versions: list[str]) -> None:
    runners = [start(RUNNER, store, version, name, str(MOVES)) for name, version in zip("01", versions, strict=True)]
    seen: list[int] = []
    while any(runner.poll() is None for runner in runners):
        champion = store.refs().get("default")
        seen.append(champion.epoch if champion else 0)
        # The pointer moves first and its line follows: at any moment the history lacks one line at most.
        told = max(seen[-1] - 1, 0)
        assert epochs(store)[:told] == list(range(1, told + 1))
        assert champion is None or champion.version in versions
    wins = sum(int(runner.communicate(timeout=20)[0]) for runner in runners)
    champion = store.champion()
    assert champion is not None and champion.epoch == wins >= MOVES
    assert epochs(store) == list(range(1, wins + 1))
    assert seen == sorted(seen) and len(set(seen)) > 5
