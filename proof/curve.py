"""The learning curve: a captioner trained on 1,500 photos, then 300 corrected ones a round, for eight rounds.

    python -m proof curve --dataset flickr8k:FOLDER --encoder FILE.safetensors

Arms, each in its folder and resumable by the round:

    random    corrections in random order, replay, the gate
    active    the same, but each round takes the 300 of 900 waiting photos that `model.acquisition` puts first
    naive     fine-tuning on the new corrections alone, everything promoted
    scratch   a new model trained on all the data of the round, early-stopped on the dev split: in random order after
              no round and after the last, and on the very photos that `active` has learnt from

The figure that is held to its limit is that of `active`, the order that Label All Tasks offers, against training from
scratch on the same photos; that of `random` stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model import checkpoint as checkpoints
from model.acquisition import order
from model.beam import beam_search
from model.training.validate import validate
from proof.corpus import Corpus
from proof.rounds import BATCH, BEAM, Classroom, Recipe
from proof.scratch import train_from_scratch

START, EACH, ROUNDS, WAITING = 1500, 300, 8, 900
ARMS = {"random": Recipe(), "active": Recipe(), "naive": Recipe(replay=False, gate=False)}
# Never taught to anybody: what every arm's effort is compared on.
ASIDE = 300


def run_arm(corpus: Corpus, folder: Path, arm: str) -> list[dict[str, Any]]:
    """All rounds of one arm; figures of finished rounds are read back."""
    known = corpus.order[:START]
    waiting = list(corpus.order[START:-ASIDE])
    starter = train_from_scratch(corpus.part(known), folder / f"scratch-{START}")
    classroom = Classroom(corpus, folder / arm, starter, known, ARMS[arm])
    lines = []
    for number in range(1, ROUNDS + 1):
        chosen = choose(classroom, waiting, number) if arm == "active" else waiting[:EACH]
        taken = set(chosen)
        waiting = [row for row in waiting if row not in taken]
        line = classroom.round(number, chosen)
        served = line["challenger"] if line["promoted"] else line["champion"]
        effort = _effort(classroom, waiting[:EACH], corpus.order[-ASIDE:], number)
        lines.append({"photos": START + number * EACH, "served_bleu4": served, **line, "effort": effort})
        print(f"{arm} {number}: {json.dumps(lines[-1])}", flush=True)
    return lines


def choose(classroom: Classroom, waiting: Sequence[int], number: int) -> list[int]:
    """The photos to correct next, of the first 900 that wait; kept in a file, since the champion moves on."""
    path = classroom.folder / f"chosen-{number}.json"
    if not path.exists():
        rows = list(waiting[:WAITING])
        champion, confidence, pooled = classroom.champion, [], []
        for start in range(0, len(rows), BATCH):
            grid = classroom.corpus.train_features.rows(rows[start : start + BATCH])
            found = beam_search(champion.decoder, grid, 1)
            confidence += [float(np.exp(one.log_probability / one.steps)) for one in found]
            pooled.append(grid.mean(1).numpy())
        places = order(np.array(confidence), np.concatenate(pooled), random_share=0.15, seed=number)
        path.write_text(json.dumps([rows[place] for place in places[:EACH]]))
    chosen: list[int] = json.loads(path.read_text())
    return chosen


def _effort(classroom: Classroom, following: Sequence[int], aside: Sequence[int], number: int) -> dict[str, Any]:
    """Effort with the champion after the round: on the photos that come next, and on those set aside."""
    path = classroom.folder / f"effort-{number}.json"
    if not path.exists():
        path.write_text(json.dumps({"next": classroom.efforts(following), "aside": classroom.efforts(aside)}))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def taught(corpus: Corpus, folder: Path, arm: str) -> list[int]:
    """The photos that an arm has learnt from when all its rounds are over."""
    if arm != "active":
        return list(corpus.order[: START + ROUNDS * EACH])
    chosen = (json.loads((folder / arm / f"chosen-{number}.json").read_text()) for number in range(1, ROUNDS + 1))
    return [*corpus.order[:START], *(row for rows in chosen for row in rows)]


def run_scratch(corpus: Corpus, folder: Path) -> dict[str, dict[str, Any]]:
    """Training from nothing on what there was before the first round, and on what each order had taught at the end."""
    last = f"scratch-{START + ROUNDS * EACH}"
    return {
        "start": _from_scratch(corpus, folder / f"scratch-{START}", corpus.order[:START]),
        "random": _from_scratch(corpus, folder / last, taught(corpus, folder, "random")),
        "active": _from_scratch(corpus, folder / f"{last}-active", taught(corpus, folder, "active")),
    }


def _from_scratch(corpus: Corpus, folder: Path, rows: Sequence[int]) -> dict[str, Any]:
    """Its cost, and BLEU-4 of the best epoch, decoded as every arm's is."""
    trained = train_from_scratch(corpus.part(rows), folder)
    cost: dict[str, Any] = json.loads((folder / "cost.json").read_text())
    scores = validate(checkpoints.load(trained), corpus.dev_examples, corpus.dev_features, BEAM, "cpu")
    return cost | {"bleu4": scores.bleu4}


def figures(arms: Mapping[str, list[dict[str, Any]]], scratch: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The last round of each order against training from scratch on the same photos: quality, and cost a round."""
    return {
        "bleu4_percent_of_scratch": {
            arm: 100 * arms[arm][-1]["served_bleu4"] / scratch[arm]["bleu4"] for arm in ("random", "active")
        },
        "photos_seen_percent_of_scratch": _most(arms, scratch, "photos_seen", "photos_seen"),
        "cpu_percent_of_scratch": _most(arms, scratch, "train_cpu_s", "cpu_s"),
        "promotions": {arm: sum(line["promoted"] for line in lines) for arm, lines in arms.items()},
    }


def _most(
    arms: Mapping[str, list[dict[str, Any]]], scratch: Mapping[str, dict[str, Any]], cost: str, whole: str
) -> dict[str, float]:
    """What an order's dearest round costs, in percent of training from scratch on the same photos."""
    return {arm: 100 * max(line[cost] for line in arms[arm]) / scratch[arm][whole] for arm in ("random", "active")}
