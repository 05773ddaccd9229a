"""`python -m trainer train`: one training of one project, now."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from settings import Settings, load
from trainer import logs
from trainer.commands.errors import user_errors
from trainer.learning.stopping import Signals, Stop

if TYPE_CHECKING:
    from trainer.learning.run import Wishes

STOPPED, OUT_OF_MEMORY, CANNOT_GO_ON = os.EX_TEMPFAIL, os.EX_OSERR, 2
# A trainer whose supervisor has just died stops by itself; the next one waits for that.
JOB_WAITS_S = 60.0


def train(
    project: Annotated[int, typer.Option(help="Id of the project, as in its address: /projects/ID/data.", min=1)],
    accepted: Annotated[
        bool, typer.Option("--accepted", help="Learn from drafts that were accepted unchanged, too.")
    ] = False,
    batch: Annotated[int | None, typer.Option(help="Photos in one step.", min=1, show_default="FINETUNE_BATCH")] = None,
    job: Annotated[
        bool, typer.Option("--job", help="Started by the queue: wait for another training of the project to end.")
    ] = False,
) -> None:
    """Fine-tune the project's champion on its corrections, and promote the result if the gate lets it pass.

    Stopped or killed, the same command goes on where it was. Exit code 0: decided; 75: stopped, or another training of
    the project is at work; 71: out of memory; 2: something to mend first.
    """
    with Signals() as signals:
        try:
            with user_errors():
                settings = load()
                logs.configure(settings.log_level, settings.secrets())
                # Torch takes seconds to import: a wrong setting should show at once. What is raised in the middle of
                # an import may come out of it as anything, so a stop waits for its end.
                with signals.held():
                    from trainer.learning.run import Wishes
                signals.obey()

                _go(settings, project, Wishes(accepted, batch, JOB_WAITS_S if job else 0.0), signals)
        except Stop:
            _stopped(project)


def _go(settings: Settings, project: int, wishes: Wishes, signals: Signals) -> None:
    from labeling.config import LabelConfigError
    from model.devices import DeviceError
    from model.shards import FeatureError
    from model.training.loop import Stopped
    from trainer.learning.begin import Busy
    from trainer.learning.gather import GatherError
    from trainer.learning.memory import is_out_of_memory
    from trainer.learning.report import text
    from trainer.learning.run import learn

    try:
        report = learn(settings, project, wishes, signals)
    except Stopped:
        _stopped(project)
    except Busy as error:
        _end(STOPPED, str(error))
    except (DeviceError, FeatureError, GatherError, LabelConfigError) as error:
        _end(CANNOT_GO_ON, str(error))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _end(OUT_OF_MEMORY, "out of memory. Go on with a smaller batch, such as: --batch 8")
    typer.echo(text(report, settings.model_dir / "runs" / str(project) / report["run"]))


def _stopped(project: int) -> NoReturn:
    _end(STOPPED, f"stopped. It goes on with: python -m trainer train --project {project}")


def _end(code: int, reason: str) -> NoReturn:
    print(f"Error: {reason}" if code == CANNOT_GO_ON else reason, file=sys.stderr)
    raise typer.Exit(code)
