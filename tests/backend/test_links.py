"""What is wrong with a row of Label Studio's, and what is sent to put it right: on rows as Label Studio 1.23.2 gave
them."""

from __future__ import annotations

from typing import Any

import pytest

from backend.links import (
    Link,
    at_url,
    backend_body,
    backend_faults,
    first_backend,
    is_ours,
    moved,
    same_url,
    settings_body,
    settings_faults,
    stream_faults,
    title_faults,
    webhook_body,
    webhook_faults,
)

URL = "http://localhost:9090"
OPEN = Link(7, URL, "V1")
GUARDED = Link(7, URL, "V1", ("me", "secret"))


def backend(**changes: Any) -> dict[str, Any]:
    """An ML backend as GET /api/ml/?project=7 lists it."""
    return {
        "id": 1,
        "state": "CO",
        "readable_state": "Connected",
        "is_interactive": False,
        "url": URL,
        "error_message": None,
        "title": "V1",
        "auth_method": "NONE",
        "basic_auth_user": "",
        "basic_auth_pass_is_set": False,
        "description": "",
        "extra_params": None,
        "model_version": "V1",
        "timeout": 100.0,
        "created_at": "2026-11-23T09:22:19.268390Z",
        "updated_at": "2026-11-23T09:22:21.658951Z",
        "auto_update": True,
        "project": 7,
    } | changes


def webhook(**changes: Any) -> dict[str, Any]:
    """A webhook as GET /api/webhooks/?project=7 lists the one that Label Studio made beside the ML backend."""
    return {
        "id": 3,
        "organization": 1,
        "project": 7,
        "url": f"{URL}/webhook",
        "send_payload": True,
        "send_for_all_actions": True,
        "headers": {},
        "is_active": True,
        "actions": [],
        "created_at": "2026-11-23T09:22:21.474387Z",
        "updated_at": "2026-11-23T09:22:21.474407Z",
    } | changes


def project(**changes: Any) -> dict[str, Any]:
    """The settings that matter of GET /api/projects/7/."""
    settled = {"id": 7, "show_collab_predictions": True, "model_version": "V1", "sampling": "Uncertainty sampling"}
    return settled | changes


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://localhost:9090", "http://localhost:9090/", True),
        ("http://LOCALHOST:9090", "http://localhost:9090", True),
        ("http://host", "http://host:80", True),
        ("https://host", "https://host:443/", True),
        ("https://host", "http://host", False),
        ("http://localhost:9090", "http://127.0.0.1:9090", False),
        ("http://host/a", "http://host/b", False),
    ],
)
def test_addresses_are_the_same_but_for_what_means_nothing(one: str, other: str, same: bool) -> None:
    assert same_url(one, other) is same


def test_rows_at_an_address_come_oldest_first() -> None:
    rows = [backend(id=9), backend(id=2, url=f"{URL}/"), backend(id=1, url="http://elsewhere:9090")]
    assert [row["id"] for row in at_url(rows, URL)] == [2, 9]


def test_label_studio_asks_the_oldest_backend() -> None:
    assert first_backend([]) is None
    first = first_backend([backend(id=5), backend(id=4, title="other")])
    assert first is not None and first["id"] == 4


def test_a_backend_with_our_version_at_another_address_is_ours_from_before() -> None:
    old, other = backend(id=1, url="http://old:9090"), backend(id=2, url="http://other:1", title="sam")
    assert moved([old, other, backend(id=3)], OPEN) == [old]


def test_right_rows_have_no_faults() -> None:
    assert backend_faults(backend(), OPEN) == []
    assert webhook_faults(webhook(), OPEN) == []
    assert settings_faults(project(), OPEN) == []
    assert stream_faults(project(), [backend()], OPEN) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "http://old:9090"}, "http://old:9090"),
        ({"title": "V0"}, "'V0'"),
        ({"is_interactive": True}, "interactive"),
        ({"auto_update": False}, "auto_update"),
        ({"auth_method": "BASIC_AUTH", "basic_auth_user": "you", "basic_auth_pass_is_set": True}, "asks for none"),
    ],
)
def test_each_fault_of_a_backend_is_named(changes: dict[str, Any], says: str) -> None:
    (fault,) = backend_faults(backend(**changes), OPEN)
    assert says in fault


def test_the_login_of_a_backend_is_checked_as_far_as_label_studio_shows_it() -> None:
    right = backend(auth_method="BASIC_AUTH", basic_auth_user="me", basic_auth_pass_is_set=True)
    assert backend_faults(right, GUARDED) == []
    assert backend_faults(backend(), GUARDED) == ["no login, though the backend asks for one"]
    assert backend_faults(right | {"basic_auth_pass_is_set": False}, GUARDED) != []
    assert backend_faults(right | {"basic_auth_user": "you"}, GUARDED) == ["user name 'you', not 'me'"]


def test_a_backend_is_always_sent_whole() -> None:
    """Label Studio answers a PATCH without url and project with a 500."""
    assert backend_body(OPEN).items() >= {"url": URL, "project": 7, "title": "V1", "auth_method": "NONE"}.items()
    # An empty password in a POST makes Label Studio fail, so it is not sent at all.
    assert "basic_auth_pass" not in backend_body(OPEN)
    login = {"auth_method": "BASIC_AUTH", "basic_auth_user": "me", "basic_auth_pass": "secret"}
    assert backend_body(GUARDED).items() >= login.items()


def test_a_title_that_lags_behind_the_version_is_told_apart() -> None:
    assert title_faults(backend(title="V0"), OPEN) == backend_faults(backend(title="V0"), OPEN)
    assert title_faults(backend(), OPEN) == []


BASIC = "Basic bWU6c2VjcmV0"


@pytest.mark.parametrize(
    ("changes", "link", "says"),
    [
        ({"is_active": False}, OPEN, "switched off"),
        ({"send_payload": False}, OPEN, "no payload"),
        ({"send_for_all_actions": False, "actions": ["ANNOTATION_CREATED"]}, OPEN, "ANNOTATIONS_DELETED"),
        ({}, GUARDED, "no Authorization header"),
        ({"headers": {"Authorization": "Basic eW91"}}, GUARDED, "another login"),
        ({"headers": {"Authorization": BASIC}}, OPEN, "asks for no login"),
    ],
)
def test_each_fault_of_a_webhook_is_named_without_its_secret(changes: dict[str, Any], link: Link, says: str) -> None:
    (fault,) = webhook_faults(webhook(**changes), link)
    assert says in fault
    assert "bWU6" not in fault and "eW91" not in fault


def test_a_webhook_may_be_narrowed_to_the_events_that_matter() -> None:
    needed = ["ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"]
    assert webhook_faults(webhook(send_for_all_actions=False, actions=needed), OPEN) == []


def test_header_names_are_compared_without_case_and_other_headers_are_kept() -> None:
    row = webhook(headers={"authorization": BASIC, "X-Route": "a"})
    assert webhook_faults(row, GUARDED) == []
    assert webhook_body(row, GUARDED)["headers"] == {"X-Route": "a", "Authorization": BASIC}
    assert webhook_body(row, OPEN)["headers"] == {"X-Route": "a"}


def test_only_a_new_webhook_names_its_project() -> None:
    """Label Studio does not let a webhook change its project."""
    assert webhook_body(None, OPEN)["project"] == 7
    assert "project" not in webhook_body(webhook(), OPEN)


def test_settings_are_sent_together_since_one_erases_the_other() -> None:
    wiped = project(show_collab_predictions=False, model_version="")
    assert len(settings_faults(wiped, OPEN)) == 2
    assert settings_body(wiped, OPEN) == {"show_collab_predictions": True, "model_version": "V1"}


def test_sampling_is_set_where_nobody_has_chosen_it() -> None:
    new, chosen = project(sampling="Sequential sampling"), project(sampling="Uniform sampling")
    (fault,) = settings_faults(new, OPEN)
    assert "by task number" in fault
    assert settings_body(new, OPEN)["sampling"] == "Uncertainty sampling"
    assert settings_faults(chosen, OPEN) == []
    assert "sampling" not in settings_body(chosen, OPEN)


def test_our_versions_are_told_from_other_peoples() -> None:
    assert is_ours("recaption-0123456789")
    assert not is_ours("V1") and not is_ours("")


@pytest.mark.parametrize(
    ("settings", "backends", "says"),
    [
        ({"show_collab_predictions": False}, [backend()], "prelabel"),
        ({"model_version": ""}, [backend()], "empty"),
        ({"model_version": None}, [backend()], "empty"),
        ({"model_version": "V0"}, [backend()], "only stored predictions"),
        ({}, [], "only stored predictions"),
        ({}, [backend(id=0, title="other", url="http://other:1"), backend()], "http://other:1 instead"),
        ({}, [backend(state="DI", readable_state="Disconnected")], "Disconnected"),
    ],
)
def test_what_keeps_the_stream_empty_is_named(
    settings: dict[str, Any], backends: list[dict[str, Any]], says: str
) -> None:
    (fault,) = stream_faults(project(**settings), backends, OPEN)
    assert says in fault


def test_a_swap_in_progress_does_not_empty_the_stream() -> None:
    """Title and model_version still name the old version, /setup the new one: Label Studio serves the new one live."""
    assert stream_faults(project(), [backend(model_version="V2")], Link(7, URL, "V2")) == []


def test_no_secret_shows_in_a_repr() -> None:
    assert "secret" not in repr(GUARDED)
