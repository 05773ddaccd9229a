import threading
import time

import pytest

from labeling.token import Credential, TokenKind, lifetime_s, token_kind
from tests.labeling.servers import jwt

LEGACY = "5f0c4a7e9b1d4c3f8a2e6d7b0c9a8f1e2d3c4b5a"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (jwt("refresh"), "personal"),
        (jwt("access"), "access"),
        (LEGACY, "legacy"),
        ("a.b.c", "legacy"),
        ("a..c", "legacy"),
        ("x.WzFd.y", "legacy"),
        (jwt("sliding"), "legacy"),
    ],
)
def test_the_kind_is_read_from_the_token(text: str, kind: TokenKind) -> None:
    assert token_kind(text) == kind


def test_a_lifetime_does_not_depend_on_this_clock() -> None:
    assert lifetime_s(jwt("access", 300)) == pytest.approx(300)
    assert lifetime_s("nonsense") == 0.0


def test_headers_of_the_kinds_that_need_no_exchange() -> None:
    def never(_: str) -> str:
        raise AssertionError("exchanged")

    access = jwt("access")
    assert Credential(LEGACY, never).header() == f"Token {LEGACY}"
    assert Credential(access, never).header() == f"Bearer {access}"
    assert not Credential(LEGACY, never).refused(f"Token {LEGACY}")
    assert not Credential(access, never).refused(f"Bearer {access}")


class Exchange:
    """Counts its calls, and gives access tokens of one lifetime."""

    def __init__(self, life_s: float, delay_s: float = 0.0) -> None:
        self.life_s, self.delay_s, self.calls = life_s, delay_s, 0

    def __call__(self, personal: str) -> str:
        assert token_kind(personal) == "personal"
        self.calls += 1
        time.sleep(self.delay_s)
        return jwt("access", self.life_s, mark=str(self.calls))


def test_a_personal_token_is_exchanged_once_while_its_access_token_lives() -> None:
    exchange = Exchange(300)
    credential = Credential(jwt("refresh"), exchange)
    assert len({credential.header() for _ in range(20)}) == 1
    assert exchange.calls == 1


def test_it_is_renewed_when_less_than_a_minute_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = Exchange(300)
    credential = Credential(jwt("refresh"), exchange)
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    first = credential.header()
    clock[0] += 239
    assert credential.header() == first
    clock[0] += 2
    assert credential.header() != first
    assert exchange.calls == 2


def test_a_token_that_lives_shorter_than_the_margin_is_still_used_for_a_while() -> None:
    exchange = Exchange(30)
    credential = Credential(jwt("refresh"), exchange)
    assert credential.header() == credential.header()
    assert exchange.calls == 1


def test_many_threads_make_one_exchange() -> None:
    exchange = Exchange(300, delay_s=0.05)
    credential = Credential(jwt("refresh"), exchange)
    headers: list[str] = []
    threads = [threading.Thread(target=lambda: headers.append(credential.header())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(headers) == 16 and len(set(headers)) == 1
    assert exchange.calls == 1


def test_many_threads_that_were_refused_renew_once() -> None:
    exchange = Exchange(300)
    credential = Credential(jwt("refresh"), exchange)
    old = credential.header()
    assert all(credential.refused(old) for _ in range(8))
    fresh = credential.header()
    assert fresh != old
    # A thread that hears of the refusal late finds the token renewed already.
    assert credential.refused(old)
    assert credential.header() == fresh
    assert exchange.calls == 2


def test_its_representation_holds_no_token() -> None:
    assert repr(Credential(LEGACY, Exchange(1))) == "Credential(legacy)"
