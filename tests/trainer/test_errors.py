"""User errors of the commands: one line and exit status 2; anything else keeps its traceback."""

import importlib

import pytest
import redis
import typer

from labeling.session import LabelStudioError
from settings import SettingsError
from trainer.commands.errors import EXPECTED, user_errors
from trainer.valkey import ValkeyError


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_expected_error_is_defined_where_it_is_looked_for(name: str) -> None:
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    assert issubclass(found, Exception)
    assert f"{found.__module__}.{found.__qualname__}" == name


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (LabelStudioError("Label Studio\nis away"), "Error: Label Studio is away\n"),
        (ValkeyError("no Valkey"), "Error: no Valkey\n"),
        (SettingsError("A is wrong\nB is wrong"), "Error: A is wrong\nError: B is wrong\n"),
        (
            redis.AuthenticationError("invalid username-password pair."),
            "Error: the queue server cannot be reached: invalid username-password pair. Is it up, and is REDIS_URL "
            "its address?\n",
        ),
    ],
)
def test_a_user_error_is_a_line_and_exit_status_2(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as end, user_errors():
        raise error
    assert end.value.exit_code == 2
    assert capsys.readouterr().err == line


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), user_errors():
        raise ZeroDivisionError
