"""How commands end that cannot go on: what was wrong, in a line, on standard error; exit status 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

CANNOT_GO_ON = 2

# By name: a command should not wait for torch to be imported so that it can name an error of the model.
EXPECTED = frozenset(
    {
        "settings.SettingsError",
        "labeling.markup.LabelConfigError",
        "labeling.session.LabelStudioError",
        "model.checkpoint.CheckpointError",
        "model.datasets.DatasetError",
        "model.pointers.StoreError",
        "trainer.valkey.ValkeyError",
        "redis.exceptions.ConnectionError",
    }
)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn an error that the person at the keyboard can mend into its message and exit status 2."""
    try:
        yield
    except Exception as error:
        names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
        if not names & EXPECTED:
            raise
        for line in _lines(error, names):
            print(f"Error: {line}", file=sys.stderr)
        raise typer.Exit(CANNOT_GO_ON) from None


def _lines(error: Exception, names: set[str]) -> list[str]:
    """One line; of wrong settings one each."""
    text = str(error)
    if "settings.SettingsError" in names:
        return text.splitlines()
    if "redis.exceptions.ConnectionError" in names:
        text = f"the queue server cannot be reached: {text.rstrip('.')}. Is it up, and is REDIS_URL its address?"
    return [" ".join(text.split())]
