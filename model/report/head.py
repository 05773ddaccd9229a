"""The head of the report: the figures, BLEU-4 with its interval, how the captions spread, what is said most often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

BIN = 10  # CIDEr-D x100 a column of the histogram
BINS = 21  # the last one holds all beyond
OFTEN = 6  # captions named that are said of several photos


def head(figures: Mapping[str, Any], title: str) -> str:
    """`figures` are those of `model.evaluation.report`."""
    cider = [float(line["cider"]) for line in figures["captions"]]
    return (
        f'<header><h1>{escape(title)}</h1><p class="sub">{figures["images"]:,} photos, each with its caption by '
        f"<code>{escape(figures['version'])}</code>, beam {figures['beam']}. Point at a word to see where the model "
        "looked as it said it; open a photo for all its words. All figures x100.</p>"
        f'<section class="figures">{bleu4(figures)}<dl>{"".join(tiles(figures))}</dl></section>'
        f"{histogram(cider)}{often([str(line['caption']) for line in figures['captions']])}"
        f'<p class="signature">{escape(figures["signature"])}</p></header>'
    )


def bleu4(figures: Mapping[str, Any]) -> str:
    """BLEU-4 in large, and its interval on a scale that reaches two points beyond it."""
    value, confidence = figures["bleu"][3], figures["confidence"]
    low, high = confidence["bleu4"]
    start, end = max(0.0, low - 2), high + 2

    def place(figure: float) -> str:
        return f"{(figure - start) / (end - start) * 100:.2f}%"

    return (
        f'<div class="bleu4"><p class="label">BLEU-4</p><p class="large">{value:.2f}</p>'
        f'<div class="scale"><div class="band" style="left:{place(low)};right:calc(100% - {place(high)})"></div>'
        f'<div class="dot" style="left:{place(value)}"></div></div>'
        f"<p>{100 * confidence['level']:.0f} % interval: {low:.2f} to {high:.2f}</p></div>"
    )


def tiles(figures: Mapping[str, Any]) -> list[str]:
    said, images = figures["behaviour"], max(figures["images"], 1)
    shown = {f"BLEU-{order}": f"{figures['bleu'][order - 1]:.1f}" for order in (1, 2, 3)}
    shown |= {"CIDEr-D": f"{figures['cider']:.1f}", "ROUGE-L": f"{figures['rouge_l']:.1f}"}
    shown |= {"brevity penalty": f"{100 * figures['brevity_penalty']:.1f}"}
    shown |= {"photos": f"{figures['images']:,}", "distinct words": f"{said['distinct_words']:,}"}
    shares = {"unique captions": "unique", "repeat words": "looping", "break off": "dangling", "empty": "empty"}
    shown |= {name: f"{100 * said[key] / images:.1f}<small> %</small>" for name, key in shares.items()}
    return [f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in shown.items()]


def histogram(cider: Sequence[float]) -> str:
    """Columns of how many photos score what; each is a button that shows those photos alone."""
    counts = Counter(min(int(value // BIN), BINS - 1) for value in cider)
    most = max(counts.values(), default=1)
    columns = []
    for number in range(BINS):
        count, start = counts[number], number * BIN
        reach = f"{start} to {start + BIN}" if number < BINS - 1 else f"{start} and more"
        end = start + BIN if number < BINS - 1 else "Infinity"
        columns.append(
            f'<button class="column" data-from="{start}" data-to="{end}" style="--share:{count / most:.3f}" '
            f'title="{count} photos with CIDEr-D {reach}" aria-label="{count} photos with CIDEr-D {reach}">'
            f"<span>{start}</span></button>"
        )
    return (
        '<section class="spread"><h2>CIDEr-D, photo by photo</h2>'
        f'<div class="columns">{"".join(columns)}</div></section>'
    )


def often(captions: Sequence[str]) -> str:
    """The captions that most photos share; each is a button that shows those photos alone."""
    shared = [(text, count) for text, count in Counter(captions).most_common(OFTEN) if count > 1 and text]
    if not shared:
        return ""
    items = "".join(
        f'<li><button class="often" data-caption="{escape(text)}"><strong>{count}</strong> {escape(text)}</button></li>'
        for text, count in shared
    )
    return f'<section class="shared"><h2>Said of the most photos</h2><ol>{items}</ol></section>'
