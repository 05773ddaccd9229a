"""The report page: what is in it, that nothing in it can run but its own script, and how it behaves in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from typer.testing import CliRunner

from model.__main__ import app
from model.captioner import Caption
from model.datasets import Example
from model.evaluation import report as figures_of
from model.report.cards import levels
from model.report.page import write
from model.report.thumbnails import SIDE, thumbnail
from tests.checkpoints import tiny_checkpoint
from tests.photos import drawn, flickr8k_folder

NASTY = '<img src=x onerror="document.title=1">'


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def having(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.found if name in (attributes.get("class") or "").split()]


def spoken(text: str, score: float = 0.5) -> Caption:
    words = tuple(text.split())
    looks = np.zeros((len(words), 7, 7), dtype=np.float32)
    for number in range(len(words)):
        looks[number, number % 7, 0] = 1.0
    return Caption(text, score, words, np.zeros(4, dtype=np.float32), looks)


class Said:
    """A captioner as far as the figures ask: its version."""

    version = "recaption-test"


def written(folder: Path, captions: list[tuple[str, str, list[str]]]) -> Path:
    """A report of photos drawn here: file name, caption and references each."""
    captioned = []
    for number, (name, text, references) in enumerate(captions):
        path = folder / f"{number}.png"
        drawn("red", "left", seed=number).save(path)
        captioned.append((Example(name, path, tuple(references)), spoken(text, 0.1 * (number + 1))))
    figures = figures_of(captioned, Said(), 3)  # type: ignore[arg-type]  # all that the figures ask of a captioner
    return write(captioned, figures, f"Captions of {NASTY}", folder / "out")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(
        tmp_path_factory.mktemp("report"),
        [
            ("b.jpg", "a dog runs on the grass", ["a dog runs on the grass", "the brown dog is running"]),
            ("a.jpg", "a man in a shirt and a", ["two girls play", "children with a ball"]),
            ("c.jpg", "a dog jumps and a dog jumps", ["a cat sleeps", "a grey cat on a bed"]),
            ("d.jpg", "a man in a shirt and a", ["a man in a red shirt waits", "someone waits"]),
            (f"e{NASTY}.jpg", "a <b> runs", [f"a {NASTY} thing", "a & b"]),
        ],
    )


def test_the_command_writes_a_page_photos_and_figures(tmp_path: Path) -> None:
    data = flickr8k_folder(tmp_path / "squares", dev=5)
    (data / "images" / "dev3.jpg").write_bytes(b"torn")
    checkpoint = tiny_checkpoint(tmp_path / "c")
    options = ["--checkpoint", str(checkpoint), "--dataset", f"flickr8k:{data}", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["report", *options, "--threads", "1", "--beam", "2"])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    cards = Elements(text).having("card")
    assert len(cards) == figures["images"] == 4 and "dev3.jpg" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out" / "photos").iterdir()) == [
        f"0000{n}.jpg" for n in range(1, 5)
    ]
    assert [float(card["data-cider"] or 0) for card in cards] == sorted(
        float(card["data-cider"] or 0) for card in cards
    )
    for figure in (*figures["bleu"][:3], figures["cider"], figures["rouge_l"]):
        assert f">{figure:.1f}</dd>" in text
    low, high = figures["confidence"]["bleu4"]
    assert f"95 % interval: {low:.2f} to {high:.2f}" in text and "index.html: 4 photos, worst first" in done.stdout


def test_nothing_from_outside_becomes_markup(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    elements = Elements(text)
    assert NASTY not in text and not [tag for tag, attributes in elements.found if "onerror" in attributes]
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert {attributes["src"] for tag, attributes in elements.found if tag == "img"} == {
        f"photos/0000{number}.jpg" for number in range(1, 6)
    }


def test_the_page_asks_for_nothing_but_its_photos(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
    assert re.search(r"default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; script-src 'sha256-", text)


def test_each_word_has_where_it_looked(page: Path) -> None:
    looks = [word["data-look"] or "" for word in Elements(page.read_text(encoding="utf-8")).having("word")]
    assert {len(look) for look in looks} == {49} and looks[0] == "z" + "0" * 48
    look = np.zeros((7, 7), dtype=np.float32)
    look[0, 1], look[6, 6] = 0.4, 0.2
    assert levels(look) == "0z" + "0" * 46 + "i" and levels(np.zeros((7, 7), dtype=np.float32)) == "0" * 49


def test_a_thumbnail_is_small_upright_and_in_proportion(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (1200, 800), "red").save(tmp_path / "x.jpg", exif=exif)
    small = thumbnail(Example("x.jpg", tmp_path / "x.jpg", ("a",)), tmp_path, 7)
    assert small.address == "photos/00007.jpg" and (small.width, small.height) == (SIDE * 2 // 3, SIDE)
    with Image.open(tmp_path / small.address) as written_picture:
        assert written_picture.size == (small.width, small.height)


@pytest.fixture
def window(page: Path, browser: Browser) -> Iterator[Page]:
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    wrong: list[str] = []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.goto(page.as_uri())
    yield tab
    tab.close()
    assert wrong == []


def names(tab: Page) -> list[str]:
    return [name or "" for name in tab.locator(".card").evaluate_all("cards => cards.map(c => c.dataset.name[0])")]


@pytest.mark.browser
def test_a_reader_orders_filters_and_finds(window: Page) -> None:
    worst = names(window)
    assert worst[-1] == "b" and len(worst) == 5
    window.select_option("#order", "best")
    assert names(window)[0] == "b"
    window.select_option("#order", "name")
    assert names(window) == ["a", "b", "c", "d", "e"]
    window.select_option("#order", "unsure")
    assert names(window) == ["b", "a", "c", "d", "e"]
    for flag, left in (("breaks-off", ["a", "d"]), ("shared", ["a", "d"]), ("repeats", ["c"]), ("empty", [])):
        window.select_option("#flag", flag)
        assert names(window) == left
    window.click("#clear")
    window.fill("#find", "CAT sleeps")
    assert names(window) == ["c"] and window.locator("#count").inner_text() == "1 of 5 photos"
    window.click("#clear")
    window.click(".often")
    assert names(window) == ["a", "d"]
    window.click(".column:last-child")
    assert names(window) == ["b", "d"]  # 200 and more, the least sure first
    window.click("[data-from='0'].column")
    assert names(window) == ["a", "c"]  # 0 to 10
    window.click(".column:last-child")
    window.click(".column:last-child")
    assert len(names(window)) == 5 and window.title().startswith("Captions of <img")


@pytest.mark.browser
def test_pointing_at_a_word_lights_where_the_model_looked(window: Page) -> None:
    card = window.locator(".card").last
    card.scroll_into_view_if_needed()
    card.locator(".word").nth(2).hover()
    alpha = "(canvas, [x, y]) => canvas.getContext('2d').getImageData(x, y, 1, 1).data[3]"
    veil = card.locator(".photo canvas")
    here, there = (veil.evaluate(alpha, [16 * column + 8, 16 * row + 8]) for row, column in ((2, 0), (5, 5)))
    assert here < 60 and there > 190  # "runs" looked at the third row, first column
    assert veil.get_attribute("class") == "on"
    window.mouse.move(2, 2)
    assert veil.get_attribute("class") == ""


@pytest.mark.browser
def test_an_opened_photo_shows_all_its_words(window: Page) -> None:
    card = window.locator(".card").last
    card.locator(".photo").click()
    assert card.locator("figcaption").all_inner_texts() == ["a", "dog", "runs", "on", "the", "grass"]
    assert card.locator(".strip img").evaluate_all("all => all.every(one => one.src.includes('photos/'))")
    card.locator(".photo").click()
    assert not card.locator(".strip").is_visible()
