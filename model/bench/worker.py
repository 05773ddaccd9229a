"""`python -m model.bench.worker SPEC`: one subject in a process of its own, which runs what it is asked for.

A line {"beam": 3, "batch": 8} on its standard input is answered by one line with a Sample. The cores are taken before
torch is imported: its number of threads, and where their memory lies, is settled then.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass

from model.bench.memory import memory_mb

READY = "ready"


@dataclass(frozen=True)
class Sample:
    """One run: seconds on the clock, seconds of the cores, steps of a caption on average (None where there is none),
    and the process's memory afterwards, now and at its highest."""

    seconds: float
    core_seconds: float
    steps: float | None
    rss_mb: float
    peak_mb: float


def main() -> None:
    given = json.loads(sys.argv[1])
    os.sched_setaffinity(0, given["cores"])
    from model.bench.subjects import Spec, build
    from model.devices import set_threads

    set_threads(len(given["cores"]))
    run = build(Spec(**given | {"cores": tuple(given["cores"])}))
    print(READY, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        began, worked = time.perf_counter(), time.process_time()
        steps = run(asked["beam"], asked["batch"])
        taken = time.perf_counter() - began, time.process_time() - worked
        print(json.dumps(asdict(Sample(*taken, steps, memory_mb("self"), memory_mb("self", "VmHWM")))), flush=True)


if __name__ == "__main__":
    main()
