from __future__ import annotations

import os
import signal

import pytest

from trainer.learning.stopping import Signals, Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_ask_stops_and_the_second_does_not_disturb_the_end(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Signals():
        with pytest.raises(Stop):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_what_is_held_is_finished_first() -> None:
    done = []
    with Signals() as signals:
        with signals.held():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("the decision")
        with pytest.raises(Stop):
            signals.obey()
    assert done == ["the decision"]


def test_nobody_takes_a_stop_for_a_fault() -> None:
    assert not issubclass(Stop, Exception)
