"""Each rule of the gate, by itself and in a sentence with figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model.behaviour import Behaviour
from model.significance import Comparison
from trainer.learning.gate import Evidence, Rules, Verdict, judge, refuse

RULES = Rules("benchmark", level=0.05, margin=0.5, images=300)
DOMAIN = replace(RULES, gate="domain")
BETTER = Comparison(20.0, 21.5, 1.5, 0.4, 2.6, 0.6, 0.004, 1000, 700, 2000)
TALK = Behaviour(images=1000, empty=0, looping=20, dangling=10, unique=600, distinct_words=500)
SQUAD = Evidence(BETTER, TALK, TALK)


def with_figures(**figures: Any) -> Evidence:
    return replace(SQUAD, comparison=replace(BETTER, **figures))


def with_talk(**counts: int) -> Evidence:
    return replace(SQUAD, challenger=replace(TALK, **counts))


def on_benchmark(evidence: Evidence | None, domain: Evidence | None = None) -> Verdict:
    return judge(RULES, benchmark=evidence, domain=domain)


def test_a_better_challenger_passes_and_the_figures_say_why() -> None:
    verdict = on_benchmark(SQUAD)
    assert verdict.promote and verdict.figures["promote"] and verdict.notes == ()
    assert verdict.reason == (
        "Better: BLEU-4 on BASE_DATASET's validation split goes from 20.00 to 21.50 (+1.50), "
        "95 %: +0.40 to +2.60, p = 0.0040 < 0.05, 1000 photos."
    )
    assert verdict.figures["decides"] == "benchmark" and verdict.figures["benchmark"]["comparison"]["p"] == 0.004
    assert "margin" not in verdict.figures and "domain" not in verdict.figures


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        (with_figures(images=299), "validation split has 299 photos, and 300 are needed (GATE_IMAGES)"),
        (with_figures(difference=0.0, challenger=20.0), "Not better: BLEU-4 on BASE_DATASET's validation split goes"),
        (with_figures(difference=-1.0, challenger=19.0), "from 20.00 to 19.00 (-1.00)"),
        (with_figures(p=0.05), "p = 0.050 is not below 0.05 (GATE_LEVEL)"),
        (with_figures(p=0.2), "Better by chance, perhaps"),
        (with_figures(p=float("nan")), "are no numbers"),
        (with_figures(challenger=float("nan"), difference=float("nan")), "are no numbers"),
        (with_figures(challenger=float("inf"), difference=float("inf")), "are no numbers"),
        (with_talk(empty=1), "Alarm: 1 of 1000 photos in BASE_DATASET's validation split got an empty caption"),
        (with_talk(looping=31), "Alarm: 31 of 1000 captions that go in circles"),
        (with_talk(dangling=21), "Alarm: 21 of 1000 captions that break off"),
        (with_talk(unique=419), "Alarm: only 419 different captions"),
        (with_talk(distinct_words=299), "Alarm: only 299 different words"),
    ],
)
def test_each_objection_keeps_the_champion(evidence: Evidence, says: str) -> None:
    verdict = on_benchmark(evidence)
    assert not verdict.promote and verdict.figures["promote"] is False
    assert says in verdict.reason and "Better:" not in verdict.reason


@pytest.mark.parametrize(
    "evidence",
    [
        with_figures(images=300),
        with_figures(p=0.0499),
        with_talk(looping=30),
        with_talk(dangling=20),
        with_talk(unique=420),
        with_talk(distinct_words=300),
    ],
)
def test_the_bounds_themselves_pass(evidence: Evidence) -> None:
    assert on_benchmark(evidence).promote


def test_all_objections_are_told() -> None:
    reason = on_benchmark(replace(with_talk(empty=2, unique=1), comparison=replace(BETTER, p=0.5, images=20))).reason
    for part in ("Not enough evidence", "by chance", "empty caption", "different captions"):
        assert part in reason


def test_loops_are_judged_against_the_champions_own() -> None:
    before = replace(TALK, looping=300)
    evidence = Evidence(BETTER, before, replace(TALK, looping=310))
    assert on_benchmark(evidence).promote


def test_a_few_held_out_photos_raise_no_alarm_unless_they_decide() -> None:
    few = replace(with_talk(looping=3, images=5), comparison=replace(BETTER, images=5))
    assert on_benchmark(SQUAD, few).promote
    many = replace(with_talk(looping=300), comparison=BETTER)
    assert "go in circles in the project's held-out photos" in on_benchmark(SQUAD, many).reason


def test_domain_decides_on_the_held_out_photos_and_asks_little_loss_of_the_benchmark() -> None:
    lost = with_figures(challenger=19.8, difference=-0.2, low_one_sided=-0.5, p=0.9)
    verdict = judge(DOMAIN, benchmark=lost, domain=SQUAD)
    assert verdict.promote and verdict.figures["decides"] == "domain" and verdict.figures["margin"] == 0.5
    assert "the project's held-out photos goes from 20.00 to 21.50" in verdict.reason
    assert (
        "On BASE_DATASET's validation split it goes from 20.00 to 19.80 (-0.20), at the lowest -0.50" in verdict.reason
    )


@pytest.mark.parametrize("low", [-0.51, float("nan")])
def test_domain_keeps_the_champion_where_too_much_may_be_lost(low: float) -> None:
    verdict = judge(DOMAIN, benchmark=with_figures(low_one_sided=low, difference=-0.1), domain=SQUAD)
    assert not verdict.promote and "It may forget too much" in verdict.reason and "(GATE_MARGIN)" in verdict.reason


def test_domain_does_not_ask_the_benchmark_for_better() -> None:
    worse = with_figures(challenger=19.9, difference=-0.1, low_one_sided=-0.3, p=0.9, images=12)
    assert judge(DOMAIN, benchmark=worse, domain=SQUAD).promote


def test_domain_without_a_benchmark_says_what_was_left_out() -> None:
    verdict = judge(DOMAIN, benchmark=None, domain=SQUAD)
    assert verdict.promote and verdict.notes == ("without BASE_DATASET nothing was asked of what is lost elsewhere.",)


def test_domain_has_the_same_rules() -> None:
    for evidence, says in [
        (with_figures(images=20), "the project's held-out photos has 20 photos, and 300 are needed"),
        (with_figures(p=0.06), "not below 0.05"),
        (with_talk(empty=1), "empty caption"),
    ]:
        verdict = judge(DOMAIN, benchmark=SQUAD, domain=evidence)
        assert not verdict.promote and says in verdict.reason


def test_without_a_benchmark_the_held_out_photos_decide_and_a_note_says_so() -> None:
    verdict = judge(RULES, benchmark=None, domain=SQUAD)
    assert verdict.promote and verdict.figures["decides"] == "domain"
    assert verdict.notes[0].startswith("GATE=benchmark needs BASE_DATASET")


def test_without_any_photo_the_champion_stays() -> None:
    for rules in (RULES, DOMAIN):
        verdict = judge(rules, benchmark=None, domain=None)
        assert not verdict.promote
        assert verdict.reason.startswith("Not enough evidence: there is no photo in the project's held-out photos")


def test_a_refused_challenger_needs_no_figures() -> None:
    verdict = refuse(RULES, "broken")
    assert (verdict.promote, verdict.reason, verdict.figures["decides"]) == (False, "broken", None)
