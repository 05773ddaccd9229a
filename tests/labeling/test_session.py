import json
import logging
import socket
from collections.abc import Iterator

import pytest

from labeling.session import LabelStudio, LabelStudioError
from tests.labeling.servers import Asked, Reply, Server, as_json, jwt, serving

LEGACY = "5f0c4a7e9b1d4c3f8a2e6d7b0c9a8f1e2d3c4b5a"
DISABLED = "Authentication token no longer valid: legacy token authentication has been disabled for this organization"


class Studio:
    """The part of Label Studio that hands out and checks tokens, as observed in 1.23.2."""

    def __init__(self) -> None:
        self.personal = jwt("refresh", 1e9)
        self.valid: set[str] = set()
        self.exchanged = 0
        self.legacy_works = False

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/api/token/refresh":
            return self._exchange(asked)
        kind, _, token = asked.headers.get("authorization", "").partition(" ")
        if kind == "Token" and not self.legacy_works:
            return as_json({"status_code": 401, "detail": DISABLED}, 401)
        if kind == "Bearer" and token not in self.valid:
            return as_json({"detail": "Given token not valid for any token type", "code": "token_not_valid"}, 401)
        return as_json({"path": asked.path, "body": json.loads(asked.body or b"null")})

    def _exchange(self, asked: Asked) -> Reply:
        if json.loads(asked.body) != {"refresh": self.personal}:
            return as_json({"detail": "Token is invalid", "code": "token_not_valid"}, 401)
        self.exchanged += 1
        access = jwt("access", mark=str(self.exchanged))
        self.valid.add(access)
        return as_json({"access": access})


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def server(studio: Studio) -> Iterator[Server]:
    with serving(studio) as running:
        yield running


def test_a_personal_token_is_exchanged_and_sent_as_bearer(server: Server, studio: Studio) -> None:
    session = LabelStudio(server.url, studio.personal)
    assert session.token_kind == "personal"
    assert session.get("/api/projects/")["path"] == "/api/projects/"
    assert session.get("/api/projects/1/")["path"] == "/api/projects/1/"
    assert server.paths() == ["/api/token/refresh", "/api/projects/", "/api/projects/1/"]
    assert server.authorizations()[0] is None
    assert all(str(header).startswith("Bearer ") for header in server.authorizations()[1:])
    assert all(studio.personal not in str(header) for header in server.authorizations())


def test_a_401_is_retried_once_with_a_fresh_token(server: Server, studio: Studio) -> None:
    session = LabelStudio(server.url, studio.personal)
    session.get("/api/version")
    studio.valid.clear()
    assert session.get("/api/version")["path"] == "/api/version"
    assert studio.exchanged == 2


def test_a_401_that_stays_is_an_error_after_one_retry(server: Server, studio: Studio) -> None:
    def refusing(asked: Asked) -> Reply:
        answer = studio(asked)
        studio.valid.clear()
        return answer

    server.answer = refusing
    with pytest.raises(LabelStudioError, match=r"HTTP 401: Given token not valid.*was revoked") as caught:
        LabelStudio(server.url, studio.personal).get("/api/version")
    assert caught.value.status == 401
    assert server.paths().count("/api/version") == 2


def test_an_access_token_is_sent_as_it_is(server: Server, studio: Studio) -> None:
    access = jwt("access")
    studio.valid.add(access)
    session = LabelStudio(server.url, access)
    assert session.token_kind == "access"
    session.get("/api/version")
    assert server.authorizations() == [f"Bearer {access}"]
    studio.valid.clear()
    with pytest.raises(LabelStudioError, match="five minutes only"):
        session.get("/api/version")


def test_a_legacy_token_is_sent_as_token(server: Server, studio: Studio) -> None:
    studio.legacy_works = True
    session = LabelStudio(server.url, LEGACY)
    assert session.token_kind == "legacy"
    session.get("/api/version")
    assert server.authorizations() == [f"Token {LEGACY}"]


def test_legacy_tokens_switched_off_are_explained(server: Server) -> None:
    with pytest.raises(LabelStudioError) as caught:
        LabelStudio(server.url, LEGACY).get("/api/version")
    assert caught.value.status == 401
    for part in (
        "GET /api/version",
        "HTTP 401",
        "legacy token authentication has been disabled",
        "personal access token",
    ):
        assert part in str(caught.value)


def test_a_revoked_personal_token_is_explained(server: Server) -> None:
    with pytest.raises(LabelStudioError, match=r"did not exchange.*HTTP 401: Token is invalid.*SECRET_KEY") as caught:
        LabelStudio(server.url, jwt("refresh", mark="another")).get("/api/version")
    assert caught.value.status == 401


def test_a_server_that_knows_no_tokens_is_no_label_studio(server: Server, studio: Studio) -> None:
    server.answer = lambda asked: Reply(200, b"<html>", {"Content-Type": "text/html"})
    with pytest.raises(LabelStudioError, match="Is LABEL_STUDIO_URL a Label Studio"):
        LabelStudio(server.url, studio.personal).get("/api/version")


@pytest.mark.parametrize("token", ["", "  ", "a b", "a\nb", "tök", 'x"\x00'])
def test_what_can_be_no_token_is_refused_at_once(token: str) -> None:
    with pytest.raises(LabelStudioError, match="LABEL_STUDIO_API_KEY holds no usable token"):
        LabelStudio("http://127.0.0.1:8080", token)


def test_a_token_pasted_with_a_line_break_works(server: Server, studio: Studio) -> None:
    assert LabelStudio(f" {server.url}/ ", f"{studio.personal}\n").get("/api/version")["path"] == "/api/version"


def test_a_wrong_address_is_refused_at_once() -> None:
    with pytest.raises(LabelStudioError, match="LABEL_STUDIO_URL is 'localhost:8080'; it must be a full address"):
        LabelStudio("localhost:8080", LEGACY)


def test_all_methods_send_json_and_give_json_back(server: Server, studio: Studio) -> None:
    session = LabelStudio(server.url, studio.personal)
    assert session.post("/api/ml/", {"url": "u"})["body"] == {"url": "u"}
    assert session.patch("/api/ml/1", json={"title": "t"})["body"] == {"title": "t"}
    assert session.get("/api/projects/", params={"page": 2})["path"] == "/api/projects/?page=2"
    server.answer = lambda asked: Reply(204)
    assert session.delete("/api/ml/1") is None
    assert [asked.method for asked in server.asked[1:]] == ["POST", "PATCH", "GET", "DELETE"]


def test_a_file_is_sent_as_a_form(server: Server, studio: Studio) -> None:
    server.answer = lambda asked: studio(asked) if "token" in asked.path else Reply(201, b"{}")
    session = LabelStudio(server.url, studio.personal)
    session.request("POST", "/api/projects/1/import", files={"file": ("a.jpg", b"picture")})
    assert server.asked[-1].headers["content-type"].startswith("multipart/form-data")
    assert b"picture" in server.asked[-1].body


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (403, {"detail": "You do not have permission."}, r"HTTP 403: You do not have permission\. The token's user"),
        (403, {"detail": "URL resolves to a reserved network address"}, "USE_DEFAULT_BANNED_SUBNETS=false"),
        (404, {"detail": "Not found."}, r"HTTP 404: Not found\. Check the id"),
        (
            400,
            {"validation_errors": {"url": ["Reserved address.", "Bad."]}},
            r"HTTP 400: url: Reserved address\. Bad\.$",
        ),
        (500, None, r"HTTP 500\.$"),
    ],
)
def test_errors_say_what_was_asked_and_answered(
    server: Server, studio: Studio, status: int, body: object, message: str
) -> None:
    server.answer = lambda asked: studio(asked) if "token" in asked.path else as_json(body, status)
    with pytest.raises(LabelStudioError, match=message) as caught:
        LabelStudio(server.url, studio.personal).patch("/api/ml/7?secret=1", {"title": "x"})
    assert caught.value.status == status
    assert str(caught.value).startswith(f"PATCH /api/ml/7: Label Studio at {server.url} answered")


def test_an_unreachable_server_is_explained() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(LabelStudioError, match=r"cannot be reached.*refused.*LABEL_STUDIO_URL") as caught:
            LabelStudio(url, LEGACY).get("/api/version")
    assert caught.value.status is None


def test_a_server_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(LabelStudioError, match=r"did not answer within 0\.2 s"):
            LabelStudio(url, LEGACY, timeout=0.2).post("/api/version")


def test_a_redirect_within_label_studio_is_followed_for_get_only(server: Server, studio: Studio) -> None:
    def answer(asked: Asked) -> Reply:
        slashed = asked.path.split("?")[0].endswith("/") or "token" in asked.path
        return studio(asked) if slashed else Reply(301, headers={"Location": f"{asked.path.split('?')[0]}/?page=1"})

    server.answer = answer
    session = LabelStudio(server.url, studio.personal)
    assert session.get("/api/projects", params={"page": 1})["path"] == "/api/projects/?page=1"
    with pytest.raises(LabelStudioError, match="answers with a redirect to"):
        session.post("/api/projects")


def test_the_token_does_not_follow_a_redirect_to_another_server(server: Server, studio: Studio) -> None:
    with serving(lambda asked: as_json({})) as foreign:
        server.answer = lambda asked: (
            studio(asked) if "token" in asked.path else Reply(302, headers={"Location": foreign.url})
        )
        with pytest.raises(LabelStudioError, match="Set LABEL_STUDIO_URL to the address it redirects to"):
            LabelStudio(server.url, studio.personal).get("/api/version")
        assert foreign.asked == []


def test_redirects_in_a_circle_end(server: Server) -> None:
    server.answer = lambda asked: Reply(302, headers={"Location": asked.path})
    with pytest.raises(LabelStudioError, match="more than 5 redirects"):
        LabelStudio(server.url, LEGACY).get("/api/version")


def test_a_login_page_in_place_of_json_is_explained(server: Server, studio: Studio) -> None:
    server.answer = lambda asked: Reply(200, b"<html>log in</html>", {"Content-Type": "text/html"})
    with pytest.raises(LabelStudioError, match=r"something other than JSON \(text/html\)"):
        LabelStudio(server.url, LEGACY).get("/api/version")


def test_cookies_are_not_kept(server: Server, studio: Studio) -> None:
    studio.legacy_works = True
    server.answer = lambda asked: Reply(200, b"{}", {"Set-Cookie": "csrftoken=x; Path=/"})
    session = LabelStudio(server.url, LEGACY)
    session.get("/a")
    session.get("/b")
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, None]


def test_a_netrc_file_does_not_replace_the_token(
    server: Server, studio: Studio, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    LabelStudio(server.url, studio.personal).get("/api/version")
    first, second = server.authorizations()
    assert first is None
    assert str(second).startswith("Bearer ")


def test_no_token_is_in_an_error_or_a_log(server: Server, studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    messages = []
    for token in (studio.personal, LEGACY, jwt("access"), jwt("refresh", mark="revoked")):
        server.answer = lambda asked: (
            studio(asked) if "token" in asked.path else as_json({"detail": f"no {asked.headers['authorization']}"}, 401)
        )
        with pytest.raises(LabelStudioError) as caught:
            LabelStudio(server.url, token).get("/api/version")
        messages.append(str(caught.value))
        messages.extend(str(cause) for cause in (caught.value.__cause__, caught.value.__context__) if cause)
        written = " ".join(messages) + caplog.text
        assert token not in written and "eyJ" not in written
