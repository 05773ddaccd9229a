import pytest

from labeling.origin import Origin, bare, redirect_target


@pytest.mark.parametrize(
    ("studio", "url", "owned"),
    [
        ("http://ls:8080", "http://ls:8080/data/upload/1/a.jpg", True),
        ("http://ls:8080", "http://LS:8080/a", True),
        ("http://ls:8080/label-studio", "http://ls:8080/elsewhere", True),
        ("http://ls", "http://ls:80/a", True),
        ("http://ls", "https://ls/a", True),
        ("https://ls", "http://ls:80/a", True),
        ("https://ls:443", "https://ls/a", True),
        ("http://[::1]:8080", "http://[::1]:8080/a", True),
        ("http://ls:8080", "http://ls:9090/a", False),
        ("http://ls:8080", "https://ls:8080/a", False),
        ("http://ls:8080", "http://ls/a", False),
        ("http://ls", "http://ls.evil.example/a", False),
        ("http://ls", "http://evil.example/?http://ls/", False),
        ("http://ls", "http://ls@evil.example/a", False),
        ("http://ls", "http://user@ls/a", False),
        ("http://ls", "http://:secret@ls/a", False),
        ("http://ls", "ftp://ls/a", False),
        ("http://ls", "http://ls:port/a", False),
        ("http://ls", "/data/upload/1/a.jpg", False),
        ("http://ls", "", False),
    ],
)
def test_owns_its_own_origin_alone(studio: str, url: str, owned: bool) -> None:
    assert Origin(studio).owns(url) is owned


@pytest.mark.parametrize(
    ("studio", "path", "address"),
    [
        ("http://ls:8080/", "/api/version", "http://ls:8080/api/version"),
        ("http://ls:8080", "api/version", "http://ls:8080/api/version"),
        ("http://ls/label-studio/", "/api/version", "http://ls/label-studio/api/version"),
        ("http://ls/label-studio", "/label-studio/data/upload/1/a.jpg", "http://ls/label-studio/data/upload/1/a.jpg"),
        ("http://ls/label-studio", "/label-studio2/a", "http://ls/label-studio/label-studio2/a"),
        ("http://ls", "/data/?next=http://other/", "http://ls/data/?next=http://other/"),
        ("http://ls:8080", "http://ls:8080/a?b=c", "http://ls:8080/a?b=c"),
        ("https://ls", "http://ls/a?b=c", "https://ls/a?b=c"),
        ("http://ls", "https://ls/a", "https://ls/a"),
    ],
)
def test_addresses_below_it(studio: str, path: str, address: str) -> None:
    assert Origin(studio).address(path) == address


def test_a_foreign_address_is_no_path_of_it() -> None:
    with pytest.raises(ValueError, match="http://other/a is not on Label Studio's own origin, http://ls"):
        Origin("http://ls").address("http://user:secret@other/a?signature=secret")


@pytest.mark.parametrize("url", ["", "ls:8080", "localhost", "ftp://ls", "http://", "http://ls:99999", "/a"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must be a full address such as http://localhost:8080"):
        Origin(url)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="user name or password") as caught:
        Origin("http://me:secret@ls")
    assert "secret" not in str(caught.value)


def test_an_address_in_a_message_has_no_secret_parts() -> None:
    assert bare("https://me:pw@h:1/p/a.jpg?X-Amz-Signature=s#f") == "https://h:1/p/a.jpg"
    assert bare("http://[::1/a") == "an address that cannot be read"


@pytest.mark.parametrize(
    ("status", "location", "target"),
    [
        (303, "https://bucket/a?s=1", "https://bucket/a?s=1"),
        (302, "/data/b.jpg", "http://ls/data/b.jpg"),
        (307, "b.jpg", "http://ls/data/b.jpg"),
        (301, "//other/b", "http://other/b"),
        (303, None, None),
        (200, "/data/b.jpg", None),
        (304, "/data/b.jpg", None),
    ],
)
def test_redirect_targets(status: int, location: str | None, target: str | None) -> None:
    assert redirect_target(status, location, "http://ls/data/a.jpg") == target
