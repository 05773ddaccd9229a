"""What the history keeps of a training that failed: the stage and the reason, no traceback and no stranger's words.

An error that is not of ours may repeat an address with a signature in it, or a request: the log has it, the store does
not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model.store import Store, StoreError
from model.training.loop import Stopped
from trainer.learning import decide as decisions
from trainer.learning.begin import Start
from trainer.learning.files import write_json
from trainer.learning.memory import is_out_of_memory
from trainer.learning.progress import Reporter

log = logging.getLogger(__name__)

OURS = ("labeling", "model", "settings", "trainer")
# A run that failed so often is closed: the next training begins anew, without whatever made this one fail.
MOST = 3


@contextmanager
def recorded(store: Store, start: Start, folder: Path, reporter: Reporter) -> Iterator[None]:
    """Record what goes wrong inside, and let it pass on."""
    try:
        yield
    except Stopped:
        raise
    except Exception as error:
        try:
            _record(store, start, folder, reporter, error)
        except (StoreError, OSError) as worse:
            log.warning("the failure could not be recorded: %s", worse)
        raise


def told(error: Exception, stage: str, start: Start) -> str:
    """The failure in a sentence."""
    if is_out_of_memory(error):
        return f"Out of memory in {stage}, with {start.recipe.batch} photos a step (FINETUNE_BATCH)."
    kind = type(error)
    if kind.__module__.partition(".")[0] in OURS:
        return f"Failed in {stage}: {error}"
    return f"Failed in {stage}: {kind.__name__}; the log of this training has the details."


def _record(store: Store, start: Start, folder: Path, reporter: Reporter, error: Exception) -> None:
    reason, memory = told(error, reporter.at, start), is_out_of_memory(error)
    figures = {"run": start.run, "stage": reporter.at, "out_of_memory": memory, "seconds": reporter.seconds}
    store.record(decisions.FAILURE, start.project, by=start.by, reason=reason, figures=figures)
    failures = [line for line in decisions.ours(store, start) if line["event"] == decisions.FAILURE]
    # Out of memory is mended by a smaller batch, with which the same run goes on.
    if sum(not line["out_of_memory"] for line in failures) >= MOST and not (folder / "report.json").exists():
        write_json(folder / "report.json", {"run": start.run, "event": decisions.FAILURE, "reason": reason} | figures)
    reporter.ended(decisions.FAILURE)
