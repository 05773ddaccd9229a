"""Who is told to come back, and when: annotators and bulks do not take each other's places."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from backend.admission import BULK, URGENT, URGENT_AGAIN_S, Admission, Full


def test_bulks_leave_an_annotator_a_place_and_say_when_the_oldest_of_them_must_end() -> None:
    now = 100.0
    admission = Admission(budget_s=90.0, clock=lambda: now)
    with ExitStack() as stack:
        for _ in range(BULK):
            stack.enter_context(admission.place(urgent=False))
            now += 10
        with pytest.raises(Full, match=f"{BULK} requests for many captions .* try again in 50 s") as full:
            stack.enter_context(admission.place(urgent=False))
        assert full.value.again_s == 90 - BULK * 10
        stack.enter_context(admission.place(urgent=True))
        now += 1000
        with pytest.raises(Full, match="in 1 s"):
            stack.enter_context(admission.place(urgent=False))
    with admission.place(urgent=False):
        pass


def test_annotators_leave_a_bulk_a_place() -> None:
    admission = Admission(budget_s=90.0)
    with ExitStack() as stack:
        for _ in range(URGENT):
            stack.enter_context(admission.place(urgent=True))
        with pytest.raises(Full, match=f"{URGENT} requests") as full:
            stack.enter_context(admission.place(urgent=True))
        assert full.value.again_s == URGENT_AGAIN_S
        stack.enter_context(admission.place(urgent=False))


def test_a_request_that_fails_gives_its_place_back() -> None:
    admission = Admission(budget_s=90.0)
    for _ in range(BULK + 1):
        with pytest.raises(ZeroDivisionError), admission.place(urgent=False):
            raise ZeroDivisionError
