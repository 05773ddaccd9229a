"""What every test starts from: one torch thread, no settings of the developer, versions in the report header."""

import logging
import os
from collections.abc import Iterator
from importlib.metadata import version

import pytest
import torch
from playwright.sync_api import Browser

from tests import chromium
from tests.house.project import ROOT

# Each prefix covers the names that settings.py reads, aliases included: a test must never reach a developer's server.
SETTING_PREFIXES = (
    "LABEL_STUDIO_",
    "BASIC_AUTH_",
    "BACKEND_",
    "IMAGE_",
    "LOCAL_FILES_",
    "START_TRAINING_",
    "FINETUNE_",
    "GATE_",
)
SETTING_NAMES = (
    "BASE_DATASET",
    "BEAM",
    "CAPTION_FIELD",
    "DATA_DIR",
    "DEVICE",
    "ENGINE",
    "EXPLORE_SHARE",
    "GATE",
    "GROW_VOCABULARY",
    "HOLDOUT_SHARE",
    "HOST",
    "INTERPOLATION",
    "LEARN_FROM_ACCEPTED",
    "LOG_LEVEL",
    "MAX_IMAGE_PIXELS",
    "MODEL_DIR",
    "PORT",
    "PREDICT_BUDGET_S",
    "RECONCILE_EVERY_S",
    "REDIS_URL",
    "RELABEL_AFTER_SWAP",
    "REPLAY_CAPTIONS",
    "REPLAY_SHARE",
    "THREADS",
    "TRAINING_TIMEOUT_S",
)
REPORTED = ("torch", "torchvision", "opencv-python", "label-studio-ml", "label-studio-sdk", "rq", "redis", "fastapi")

# Two cores and many short forward passes: more threads cost more than they bring, and one makes sums repeatable.
torch.set_num_threads(1)


def pytest_configure() -> None:
    """Refuse to start beside somebody's `.env`: processes that the tests start would read it, and its server."""
    if (ROOT / ".env").exists():
        raise pytest.UsageError(
            "The tests would read your settings from .env. Put it aside first: mv .env ~/recaption.env"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest go first, so that neither of the two processes of `make test`, which take one file
    after the other, is left alone with them in the end."""
    items.sort(key=lambda item: not item.path.is_relative_to(ROOT / "tests" / "e2e"))


def pytest_report_header() -> str:
    """One line of versions, so that a failure pasted anywhere says what it ran on."""
    return "with " + ", ".join(f"{name} {version(name)}" for name in REPORTED)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide every setting of the person who runs the tests."""
    for name in list(os.environ):
        if name in SETTING_NAMES or name.startswith(SETTING_PREFIXES):
            monkeypatch.delenv(name)
    # Random weights are at a loss between words, so int8 would say others and be refused, after seconds of converting.
    monkeypatch.setenv("ENGINE", "torch")
    yield


@pytest.fixture(autouse=True)
def clean_logging() -> Iterator[None]:
    """Take away what a command under test logs to: its stream is closed by then, and the next test would stumble."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if handler not in before and type(handler) is logging.StreamHandler:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for the session: Playwright does not start beside another of its own."""
    with chromium.started() as browser:
        yield browser
