"""The gate: whether a challenger may take the champion's place. Pure: figures in, a verdict in plain words out.

A challenger is promoted when, on the photos that decide,

- there are enough of them,
- its BLEU-4 is higher,
- by more than chance would give (paired bootstrap, one-sided), and
- it does not talk worse: no silence, no more loops and broken-off sentences, no caption that serves for everything.

GATE=benchmark decides on BASE_DATASET's validation split. GATE=domain decides on the project's held-out photos, and
asks besides that little is lost on the benchmark. "BLEU is higher" alone would promote one in five challengers that are
no better; the test keeps that to GATE_LEVEL.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from model.behaviour import Behaviour
from model.significance import Comparison

BENCHMARK, DOMAIN = "benchmark", "domain"
PLACE = {BENCHMARK: "BASE_DATASET's validation split", DOMAIN: "the project's held-out photos"}
# How much worse than the champion's the challenger's talk may be before it is an alarm.
MORE = 0.01
LEAST_UNIQUE = 0.7
LEAST_WORDS = 0.6


@dataclass(frozen=True)
class Rules:
    gate: str
    level: float
    margin: float
    images: int


@dataclass(frozen=True)
class Evidence:
    """What champion and challenger did on the same photos."""

    comparison: Comparison
    champion: Behaviour
    challenger: Behaviour


@dataclass(frozen=True)
class Verdict:
    """`reason` is a sentence or several, with figures; `notes` say where the gate had to go another way than asked."""

    promote: bool
    reason: str
    figures: dict[str, Any]
    notes: tuple[str, ...] = ()


def judge(rules: Rules, *, benchmark: Evidence | None, domain: Evidence | None) -> Verdict:
    """`benchmark` is None without BASE_DATASET, `domain` without a held-out photo."""
    decides = BENCHMARK if rules.gate == BENCHMARK and benchmark else DOMAIN
    found = {BENCHMARK: benchmark, DOMAIN: domain}
    deciding = found[decides]
    worse = list(warnings(rules, decides, found))
    against = [*doubts(rules, decides, deciding), *worse]
    reasons = list(praise(rules, decides, deciding.comparison, benchmark)) if deciding and not against else against
    figures = {
        "gate": rules.gate,
        "decides": decides,
        "promote": not against,
        "warnings": len(worse),
        "level": rules.level,
        "images_needed": rules.images,
        **({"margin": rules.margin} if decides == DOMAIN else {}),
        **{name: asdict(evidence) for name, evidence in found.items() if evidence},
    }
    return Verdict(not against, " ".join(reasons), figures, tuple(notes(rules, benchmark)))


def refuse(rules: Rules, reason: str) -> Verdict:
    """A challenger that needs no comparison to be turned down."""
    return Verdict(False, reason, {"gate": rules.gate, "decides": None, "promote": False})


def doubts(rules: Rules, decides: str, deciding: Evidence | None) -> Iterator[str]:
    """Each reason to doubt that it is better."""
    if deciding is None:
        yield f"Not enough evidence: there is no photo in {PLACE[decides]}, and {rules.images} are needed."
        return
    yield from enough(rules, decides, deciding.comparison)
    yield from better(rules, decides, deciding.comparison)


def warnings(rules: Rules, decides: str, found: dict[str, Evidence | None]) -> Iterator[str]:
    """Each reason to think that it is worse in another way."""
    deciding, benchmark = found[decides], found[BENCHMARK]
    if decides == DOMAIN and deciding and benchmark:
        yield from keeps(rules, benchmark.comparison)
    for name, evidence in found.items():
        # On a handful of photos one odd caption is a large share: they raise no alarm unless they decide.
        if deciding and evidence and (name == decides or evidence.comparison.images >= rules.images):
            yield from alarms(evidence, PLACE[name])


def enough(rules: Rules, decides: str, comparison: Comparison) -> Iterator[str]:
    if comparison.images < rules.images:
        yield (
            f"Not enough evidence: {PLACE[decides]} has {photos(comparison.images)}, and {rules.images} are needed "
            "(GATE_IMAGES)."
        )


def better(rules: Rules, decides: str, comparison: Comparison) -> Iterator[str]:
    if not finite(comparison):
        yield f"The figures on {PLACE[decides]} are no numbers: BLEU-4 {moved(comparison)}."
    elif comparison.difference <= 0:
        yield f"Not better: BLEU-4 on {PLACE[decides]} goes {moved(comparison)}."
    elif not comparison.p < rules.level:
        yield (
            f"Better by chance, perhaps: BLEU-4 on {PLACE[decides]} goes {moved(comparison)}, but p = "
            f"{comparison.p:.3f} is not below {rules.level:g} (GATE_LEVEL)."
        )


def keeps(rules: Rules, comparison: Comparison) -> Iterator[str]:
    """What GATE=domain asks of the benchmark."""
    if not comparison.low_one_sided >= -rules.margin:  # said so that NaN fails, too
        yield (
            f"It may forget too much: BLEU-4 on {PLACE[BENCHMARK]} goes {moved(comparison)}, and with 95 % certainty "
            f"the loss is only known to be below {-comparison.low_one_sided:.2f}; {rules.margin:g} may be lost "
            "(GATE_MARGIN)."
        )


def alarms(evidence: Evidence, where: str) -> Iterator[str]:
    """Ways of talking worse that BLEU may not see."""
    before, after = evidence.champion, evidence.challenger
    if after.empty:
        yield f"Alarm: {after.empty} of {photos(after.images)} in {where} got an empty caption."
    counts = {
        "captions that go in circles": (before.looping, after.looping),
        "captions that break off": (before.dangling, after.dangling),
    }
    for what, (old, new) in counts.items():
        if share(new, after) > share(old, before) + MORE:
            yield f"Alarm: {new} of {after.images} {what} in {where}; the champion's were {old}."
    if after.unique < LEAST_UNIQUE * before.unique:
        yield f"Alarm: only {after.unique} different captions in {where}; the champion wrote {before.unique}."
    if after.distinct_words < LEAST_WORDS * before.distinct_words:
        said = f"only {after.distinct_words} different words in {where}"
        yield f"Alarm: {said}; the champion used {before.distinct_words}."


def praise(rules: Rules, decides: str, comparison: Comparison, benchmark: Evidence | None) -> Iterator[str]:
    yield (
        f"Better: BLEU-4 on {PLACE[decides]} goes {moved(comparison)}, 95 %: {comparison.low:+.2f} to "
        f"{comparison.high:+.2f}, p = {comparison.p:.4f} < {rules.level:g}, {photos(comparison.images)}."
    )
    if decides == DOMAIN and benchmark:
        yield (
            f"On {PLACE[BENCHMARK]} it goes {moved(benchmark.comparison)}, at the lowest "
            f"{benchmark.comparison.low_one_sided:+.2f} with 95 % certainty."
        )


def notes(rules: Rules, benchmark: Evidence | None) -> Iterator[str]:
    if benchmark is None and rules.gate == BENCHMARK:
        yield "GATE=benchmark needs BASE_DATASET, which is not set: the project's held-out photos decided instead."
    elif benchmark is None:
        yield "without BASE_DATASET nothing was asked of what is lost elsewhere."


def moved(comparison: Comparison) -> str:
    return f"from {comparison.champion:.2f} to {comparison.challenger:.2f} ({comparison.difference:+.2f})"


def finite(comparison: Comparison) -> bool:
    return all(math.isfinite(value) for value in asdict(comparison).values())


def share(count: int, behaviour: Behaviour) -> float:
    return count / max(behaviour.images, 1)


def photos(count: int) -> str:
    return f"{count} photo{'s' * (count != 1)}"
