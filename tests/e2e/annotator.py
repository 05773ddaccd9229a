"""An annotator at work: Label Studio's pages, by what a person sees and presses."""

from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect

from backend.local.account import Account

LOOK_S = 30.0
expect.set_options(timeout=LOOK_S * 1000)
# How long the cursor must stay away for the field to count as left, and how often that is tried.
SETTLED_MS, TABS = 400, 20
# The open text field of a TextArea with editable and transcription; its name is the tag's, a colon, and a region's id.
FIELD = "input[name^='caption:']"


class Annotator:
    """One browser window on one project. Nothing outside Label Studio is ever asked for: `strangers` lists attempts."""

    def __init__(self, context: BrowserContext, studio_url: str) -> None:
        self.url = studio_url
        self.strangers: list[str] = []
        context.route(lambda url: not url.startswith((studio_url, "data:", "blob:")), self._refuse)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(LOOK_S * 1000)

    def log_in(self, account: Account) -> None:
        self.page.goto(f"{self.url}/user/login/")
        self.page.fill("input[name=email]", account.email)
        self.page.fill("input[name=password]", account.password)
        self.page.click("button[type=submit]")
        self.page.wait_for_url(lambda url: "/user/login" not in url)

    def open_project(self, project: int) -> None:
        """The Data Manager: the list of the project's tasks."""
        self.page.goto(f"{self.url}/projects/{project}/data")
        self._label_all.wait_for()

    def open_row(self, photo: str) -> None:
        """Click the task made from this photo."""
        self.page.get_by_text(photo, exact=True).first.click()

    def label_all(self) -> int:
        """Press Label All Tasks; return the first task's number."""
        with self.page.expect_response(lambda answer: "id=next_task" in answer.url) as answer:
            self._label_all.click()
        return task_number(answer.value.json())

    @property
    def _label_all(self) -> Locator:
        return self.page.get_by_role("button", name="Label All Tasks")

    @property
    def field(self) -> Locator:
        """The open text field with the caption."""
        return self.page.locator(FIELD)

    def caption(self) -> str:
        """What stands in the open text field, once the page is ready for the annotator."""
        self._look()
        expect(self.field).to_be_focused()
        return self.field.input_value()

    def accept(self) -> dict[str, Any]:
        """Tab, Ctrl+Enter; return the annotation as Label Studio stored it."""
        with self.page.expect_response(lambda answer: _stores_annotation(answer.request.method, answer.url)) as answer:
            self._leave_field()
            self.page.keyboard.press("Control+Enter")
        stored: dict[str, Any] = answer.value.json()
        return stored

    def accept_and_go_on(self) -> tuple[dict[str, Any], int]:
        """Accept within Label All Tasks: the stored annotation, and the number of the next task."""
        before = self.field.get_attribute("name") or ""
        with self.page.expect_response(lambda answer: "id=next_task" in answer.url) as answer:
            stored = self.accept()
        # The old task's field stays on the page for a moment; each task's field has a name of its own.
        expect(self.field).not_to_have_attribute("name", before)
        return stored, task_number(answer.value.json())

    def submit(self) -> dict[str, Any]:
        """Click the Submit button; return the annotation as Label Studio stored it."""
        with self.page.expect_response(lambda answer: _stores_annotation(answer.request.method, answer.url)) as answer:
            self._submit.click()
        stored: dict[str, Any] = answer.value.json()
        return stored

    def photograph(self, file: Path) -> None:
        """Save what the annotator sees, in 256 colours: a third of the size, and nobody sees the difference."""
        self._look()
        with Image.open(BytesIO(self.page.screenshot())) as picture:
            picture.convert("RGB").quantize(256).save(file, optimize=True)

    def _leave_field(self) -> None:
        """Tab. While a task is still opening, Label Studio puts the cursor back: then, like a person, once more."""
        for _ in range(TABS):
            self.page.keyboard.press("Tab")
            self.page.wait_for_timeout(SETTLED_MS)
            if not self.field.evaluate("field => field === document.activeElement"):
                return
        raise AssertionError(f"the cursor is still in the caption after {TABS} times Tab")

    def _look(self) -> None:
        """Wait, as a person would, until the photo is there and the task can be submitted."""
        expect(self._submit).to_be_enabled()
        expect(self.page.get_by_text("Downloading image")).to_have_count(0)
        expect(self.page.locator("img[alt='image']").last).to_be_visible()

    @property
    def _submit(self) -> Locator:
        return self.page.locator("button[name=submit]")

    def _refuse(self, route: Any) -> None:
        self.strangers.append(route.request.url)
        route.abort()


def task_number(answer: Any) -> int:
    return int(answer["id"])


def _stores_annotation(method: str, url: str) -> bool:
    return method == "POST" and "/annotations" in url


def texts(annotation: dict[str, Any]) -> list[str]:
    """The captions that an annotation holds."""
    return [text for result in annotation["result"] for text in result["value"]["text"]]


def origins(annotation: dict[str, Any]) -> list[str]:
    """Who wrote them: prediction, prediction-changed or manual."""
    return [result["origin"] for result in annotation["result"]]
