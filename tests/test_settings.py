"""Settings: where they come from, what is refused and in which words, and that nothing secret is shown."""

import re
from pathlib import Path

import pytest

from settings import Settings, SettingsError, example, load, rows

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from a developer's own .env file."""
    monkeypatch.chdir(tmp_path)


def test_defaults_need_nothing() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.device, settings.threads) == ("127.0.0.1", 9090, "auto", 0)
    assert (settings.model_dir, settings.data_dir) == (Path("data/models"), Path("data"))
    assert settings.backend_url == "http://localhost:9090"
    assert (settings.label_studio_url, settings.redis_url, settings.beam) == (None, None, None)
    assert settings.predict_budget_s < 100, "Label Studio waits 100 s for a prediction"


def test_the_environment_wins_over_the_file_and_arguments_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=7001\nBEAM=4\nLABEL_STUDIO_HOST=http://from-file:8080/\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("PORT", "7002")
    settings = load(host="0.0.0.0")
    assert (settings.host, settings.port, settings.beam) == ("0.0.0.0", 7002, 4)
    assert settings.label_studio_url == "http://from-file:8080"
    assert settings.backend_url == "http://localhost:7002"


@pytest.mark.parametrize("name", ["LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"])
def test_label_studio_may_go_by_either_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "http://label-studio:8080")
    assert load().label_studio_url == "http://label-studio:8080"


@pytest.mark.parametrize("name", ["LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"])
def test_the_token_may_go_by_either_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "a-token")
    key = load().label_studio_api_key
    assert key is not None
    assert key.get_secret_value() == "a-token"


def test_an_empty_value_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "REDIS_URL", "BEAM"):
        monkeypatch.setenv(name, "")
    assert load() == load(port=9090)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_ALLOWED_HOSTS", "minio, 10.0.0.0/8 ,images.example.org,fd00::/8,")
    assert load().image_allowed_hosts == ("minio", "10.0.0.0/8", "images.example.org", "fd00::/8")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(load(), "port", 1)  # noqa: B010  # a type checker refuses the plain assignment


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("PORT", "abc", "a whole number from 0 to 65535"),
        ("PORT", "70000", "a whole number from 0 to 65535"),
        ("DEVICE", "gpu", "auto, cpu, mps, cuda or cuda:N"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING"),
        ("BEAM", "0", "a whole number from 1 to 20"),
        ("THREADS", "-1", "0 or a whole number above"),
        ("PREDICT_BUDGET_S", "0", "a number above 0"),
        ("LABEL_STUDIO_URL", "label-studio:8080", "an http:// or https:// address"),
        ("LABEL_STUDIO_HOST", "label-studio", "an http:// or https:// address"),
        ("LABEL_STUDIO_URL", "http://user:pass@x", "an http:// or https:// address"),
        ("BACKEND_URL", "backend", "an http:// or https:// address"),
        ("IMAGE_ALLOWED_HOSTS", "a b", "host names, IP addresses or networks"),
        ("IMAGE_ALLOWED_HOSTS", "http://x/", "host names, IP addresses or networks"),
        ("LOCAL_FILES_DOCUMENT_ROOT", "/", "an existing folder"),
        ("LOCAL_FILES_DOCUMENT_ROOT", "/nowhere", "an existing folder"),
        ("START_TRAINING_EACH_N_UPDATES", "0", "a whole number from 1"),
        ("BASIC_AUTH_USER", "a:b", "a name without a colon"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_accepted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, accepted: str
) -> None:
    monkeypatch.setenv(name, value)
    if name == "BASIC_AUTH_USER":
        monkeypatch.setenv("BASIC_AUTH_PASS", "x")
    with pytest.raises(SettingsError) as caught:
        load()
    (line,) = str(caught.value).splitlines()
    assert re.match(rf"([A-Z_]+ or )?{name}( or [A-Z_]+)? is '{re.escape(value)}', but must be ", line)
    assert accepted in line
    assert line.endswith("python -m backend config")


def test_each_wrong_value_has_a_line_of_its_own() -> None:
    with pytest.raises(SettingsError) as caught:
        load(port=-1, beam=99, device="x")
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["PORT", "DEVICE", "BEAM"]


@pytest.mark.parametrize("name", ["basic_auth_user", "basic_auth_pass"])
def test_half_a_login_is_refused(name: str) -> None:
    missing = {"basic_auth_user": "BASIC_AUTH_PASS", "basic_auth_pass": "BASIC_AUTH_USER"}[name]
    with pytest.raises(SettingsError, match=f"{missing} is not set"):
        load(**{name: "s3cret"})


def test_no_secret_is_shown_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "LABEL_STUDIO_API_KEY": "s3cret-token",
        "BASIC_AUTH_PASS": "s3cret-pass",
        "REDIS_URL": "redis://:s3cret-queue@queue:6379/0",
    }
    for name, value in {**secrets, "BASIC_AUTH_USER": "ls"}.items():
        monkeypatch.setenv(name, value)
    settings = load()
    shown = f"{settings} {settings!r} {rows(settings)}"
    assert "s3cret" not in shown
    assert shown.count("(hidden)") == len(secrets)
    assert set(settings.secrets()) == set(secrets.values())
    monkeypatch.setenv("REDIS_URL", "http://:s3cret-queue@queue")
    with pytest.raises(SettingsError) as caught:
        load()
    assert "REDIS_URL is (hidden), but must be redis://" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_every_setting_says_what_it_means_and_accepts() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict) and field.json_schema_extra["accepted"], name


def test_the_example_file_is_the_one_in_the_repository() -> None:
    assert (ROOT / ".env.example").read_text() == example(), "python -m backend config --example > .env.example"


def test_a_copy_of_the_example_file_changes_nothing() -> None:
    before = load()
    Path(".env").write_text(example())
    assert load() == before
    named = re.findall(r"^([A-Z_]+)=", example(), re.MULTILINE)
    assert named == [name.upper() for name in Settings.model_fields]


def test_no_other_module_reads_the_environment() -> None:
    readers = [
        path.relative_to(ROOT)
        for room in ("model", "labeling", "trainer", "backend")
        for path in (ROOT / room).rglob("*.py")
        if re.search(r"os\.environ\b|os\.getenv\b|from os import (environ|getenv)", path.read_text())
    ]
    assert readers == []
