"""`kill -9` at a random moment, again and again, while people annotate: is anything lost, torn or done twice?

Each round a few captions are submitted and an earlier one is changed, a random moment passes, one of worker, trainer,
backend and queue server is killed, and what was killed is started again up to two seconds later. After every fourth
round a run is let come to its decision, and in the end there is time to settle. Label Studio, queue server, backend,
worker and trainer are real; the model and the photos are small.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from proof.losses import double_promotions, half_written, lost_corrections, reports
from proof.site import Site, opened
from proof.witness import Witness

VICTIMS = ("worker", "trainer", "backend", "valkey")
EACH = 2
REHEARSED = 8
# A kill may come at any point of a run, whose length is measured first; some runs come to their end between two kills.
LENGTHS, LONGEST_S, AWAY_S = 1.5, 12.0, 2.0
TRAINS_S, DECIDES_S, SETTLES_S = 30.0, 180.0, 300.0
# After so many rounds a run is let come to its decision, so that there are promotions to be done twice.
CALM_EACH = 4
SHOWN = 20


def kill(folder: Path, rounds: int = 50, seed: int = 1) -> dict[str, Any]:
    """Rounds of kills, and what was lost over all of them."""
    shutil.rmtree(folder.resolve() / "kills", ignore_errors=True)
    chance, began = random.Random(seed), time.monotonic()
    killed: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    with opened(folder.resolve(), photos=REHEARSED + EACH + rounds * (EACH + 1)) as site, Witness(site) as witness:
        site.annotate(chance, REHEARSED)
        typical_s = decided(site, chance)
        for number in range(rounds):
            ended.update(site.mend())
            victim = strike(site, chance, min(LENGTHS * typical_s, LONGEST_S))
            killed[victim] += 1
            if number % CALM_EACH == CALM_EACH - 1:
                decided(site, chance)
            print(f"round {number + 1}: {victim} killed, {time.monotonic() - began:.0f} s", flush=True)
        settled_s = settle(site)
        lost = lost_corrections(site)
    losses = {
        "lost_corrections": lost,
        "half_written_served": half_written(witness),
        "double_promotions": double_promotions(site, witness),
        "witness_faults": witness.faults,
    }
    return {
        "kill_losses": sum(map(len, losses.values())),
        **{name: len(found) for name, found in losses.items()},
        "findings": [finding for found in losses.values() for finding in found][:SHOWN],
        "rounds": rounds,
        "killed": dict(killed),
        "ended_unasked": dict(ended),
        "run_s": round(typical_s, 1),
        "settled_s": settled_s,
        "wall_s": round(time.monotonic() - began, 1),
        "setup_answers": dict(witness.answers),
        "versions_served": len(set(witness.versions)),
        "corrections": len(site.said),
        **happened(site),
    }


def decided(site: Site, chance: random.Random) -> float:
    """Let one more run decide, undisturbed: seconds from when a trainer is seen to the report."""
    site.annotate(chance, EACH)
    before = finished(site)
    began = seen = time.monotonic()
    while finished(site) == before:
        if time.monotonic() > began + DECIDES_S:
            raise TimeoutError(f"no decision within {DECIDES_S:.0f} s, though nothing was killed: see {site.logs}")
        if seen == began and site.trainer() is not None:
            seen = time.monotonic()
        time.sleep(0.1)
    return time.monotonic() - seen


def finished(site: Site) -> int:
    return sum(report is not None for _, report in reports(site))


def strike(site: Site, chance: random.Random, longest_s: float) -> str:
    """One round; who was killed: a worker, if there should have been a trainer to kill and none came."""
    victim = chance.choice(VICTIMS)
    site.annotate(chance, EACH)
    if victim == "trainer":
        trains(site)
    time.sleep(chance.uniform(0, longest_s))
    if (victim == "trainer" and not trains(site)) or not site.strike(victim):
        site.strike(victim := "worker")
    time.sleep(chance.uniform(0, AWAY_S))
    site.restart(victim)
    return victim


def trains(site: Site) -> bool:
    """Wait for a trainer to be at work; False if none is in time."""
    deadline = time.monotonic() + TRAINS_S
    while site.trainer() is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def settle(site: Site) -> float | None:
    """Seconds until all corrections were known, nothing was left to do and the champion served; None if never."""
    began = time.monotonic()
    while time.monotonic() - began < SETTLES_S:
        site.mend()
        decided_all = not lost_corrections(site) and all(report for _, report in reports(site))
        if decided_all and site.idle() and site.follows():
            return round(time.monotonic() - began, 1)
        time.sleep(0.5)
    return None


def happened(site: Site) -> dict[str, Any]:
    """Counts of runs by how they ended, and of the history's events."""
    runs = Counter(str(report["event"]) if report else "unfinished" for _, report in reports(site))
    events = Counter(str(line["event"]) for line in site.store.history(site.name))
    return {"runs": dict(runs), "history": dict(events)}
