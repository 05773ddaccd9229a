"""The browser of the tests: the installed Chromium, else Playwright's own."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Without the last four Chromium asks for hosts of its maker at every start, and retries where there is no network.
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
HOW_TO_GET_ONE = (
    "There is no Chromium to open Label Studio in. Install one: apt-get install chromium (as root), "
    "or python -m playwright install chromium"
)


@contextmanager
def started() -> Iterator[Browser]:
    """A running browser. Without one the test is skipped, but fails in continuous integration, which installs one."""
    with sync_playwright() as playwright:
        program = _program(playwright)
        if program is None and os.environ.get("CI") == "true":
            pytest.fail(HOW_TO_GET_ONE)
        if program is None:
            pytest.skip(HOW_TO_GET_ONE)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def _program(playwright: Playwright) -> str | None:
    installed = next(filter(None, map(shutil.which, NAMES)), None)
    own = playwright.chromium.executable_path
    return installed or (own if Path(own).exists() else None)
