"""All subjects in turn, round by round: whatever else the machine does hits each of them alike.

A first run of each kind, which loads and compiles, is thrown away. What takes long is run less often, but thrice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from model.bench.process import Subject
from model.bench.subjects import BLIP, ENGINE, FLOOR, NAIVE, Spec
from model.bench.worker import Sample
from model.progress import Progress

FEWEST = 3
# A case that has taken so many seconds in all has been run often enough.
LONG_S = 30.0
HEADLINE_BEAM = 3


@dataclass(frozen=True)
class Case:
    """So many photos at once, by this subject, with this width of the search; 0 where there is none."""

    spec: Spec
    beam: int
    batch: int


Samples = dict[Case, list[Sample]]


def cases(specs: Sequence[Spec], beams: Sequence[int], batches: Sequence[int]) -> list[Case]:
    """Ours in every shape; the others one photo at a time, as they work, and BLIP with the one width."""
    found = []
    for spec in specs:
        widths = {ENGINE: list(beams), NAIVE: list(beams), BLIP: [HEADLINE_BEAM], FLOOR: [0]}[spec.kind]
        sizes = list(batches) if spec.kind in (ENGINE, FLOOR) else [1]
        found += [Case(spec, beam, batch) for beam in widths for batch in sizes]
    return found


def specs(checkpoint: str, entries: str, cores: Sequence[Sequence[int]], chosen: Sequence[str]) -> list[Spec]:
    """The subjects on each set of cores: every engine of `chosen`, the encoder of the first, naive and BLIP."""
    found = []
    for some in map(tuple, cores):
        found += [Spec(ENGINE, checkpoint, some, engine, entries) for engine in chosen]
        found += [Spec(FLOOR, checkpoint, some, chosen[0], entries), Spec(NAIVE, checkpoint, some)]
        found += [Spec(BLIP, checkpoint, some)]
    return found


def words_of(spec: Spec, batch: int = 8) -> int:
    """Steps of a caption of ours, on average: what BLIP is made to take, too."""
    with Subject(spec) as subject:
        steps = subject.run(HEADLINE_BEAM, batch).steps
    assert steps is not None
    return round(steps)


def measure(planned: Sequence[Case], rounds: int, words: int) -> Samples:
    """Run every case `rounds` times, or a little less where it takes long. Raises BenchError."""
    samples: Samples = defaultdict(list)
    with ExitStack() as stack, Progress("bench", len(planned) * (rounds + 1)) as progress:
        started = {spec: Subject(spec_for(spec, words)) for spec in dict.fromkeys(case.spec for case in planned)}
        for subject in started.values():
            stack.callback(subject.close)
        for subject in started.values():
            stack.enter_context(subject)
        for number in range(rounds + 1):
            for case in planned:
                if not enough(samples[case]):
                    sample = started[case.spec].run(case.beam, case.batch)
                    samples[case] += [sample] if number else []
                progress.advance(1, f"{case.spec.kind} {case.spec.engine}")
    return samples


def spec_for(spec: Spec, words: int) -> Spec:
    """With the length of its captions, for what cannot find its own end."""
    return replace(spec, words=words) if spec.kind == BLIP else spec


def enough(samples: Sequence[Sample]) -> bool:
    return len(samples) >= FEWEST and sum(one.seconds for one in samples) > LONG_S
