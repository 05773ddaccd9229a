"""The whole report: figures and captions to a folder with one page in it."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from model.captioner import Caption
from model.datasets import Example
from model.progress import Progress
from model.report.cards import Card, card
from model.report.head import head
from model.report.thumbnails import FOLDER, thumbnail

HERE = Path(__file__).parent
CONTROLS = """<form id="controls" hidden>
<label>Order <select id="order"><option value="worst">worst first</option><option value="best">best first</option>
<option value="unsure">least sure first</option><option value="name">by file name</option></select></label>
<label>Show <select id="flag"><option value="">all captions</option><option value="repeats">that repeat words</option>
<option value="breaks-off">that break off</option><option value="shared">said of several photos</option>
<option value="empty">that are empty</option></select></label>
<label class="find">Find <input id="find" type="search" placeholder="a word, or a file name"></label>
<output id="count"></output><button id="clear" type="button" hidden>show all</button></form>"""


def write(captioned: Sequence[tuple[Example, Caption]], figures: Mapping[str, Any], title: str, out: Path) -> Path:
    """Write the page of `model.evaluation.report`'s figures and return its path; a report in `out` is replaced."""
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    said = Counter(caption.text for _, caption in captioned)
    cards: list[Card] = []
    with Progress("photos", len(captioned)) as progress:
        for number, (example, caption) in enumerate(captioned, 1):
            small = thumbnail(example, out, number)
            cider = float(figures["captions"][number - 1]["cider"])
            cards.append(Card(example.name, small, caption, example.captions, cider, said[caption.text]))
            progress.advance()
    cards.sort(key=lambda one: (one.cider, one.name))
    path = out / "index.html"
    path.write_text(page(cards, figures, title), encoding="utf-8")
    return path


def page(cards: Sequence[Card], figures: Mapping[str, Any], title: str) -> str:
    gallery = "\n".join(map(card, cards))
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{style}</style></head><body>{head(figures, title)}{CONTROLS}"
        f'<main id="gallery">{gallery}</main><script>{script}</script></body></html>\n'
    )


def policy(script: str) -> str:
    """Our own script alone may run, by its hash, and nothing may be fetched but the photos beside the page.

    File names and captions are escaped; this holds should one of them not be.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
