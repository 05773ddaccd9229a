"""docker-compose.yml, held to its published schema, to our settings, and to Label Studio's own address checks.

No container engine is needed: the schema is the one that check-jsonschema carries, settings are parsed by
settings.Settings, and the address bans are tried in the installed Label Studio.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import AliasChoices

import settings
from backend.local.label_studio import ADDRESSES
from backend.refusals import UNBAN
from tests.house.project import ROOT

OURS = ("backend", "worker")
SECRETS = {
    "LABEL_STUDIO_USERNAME": "ann@example.com",
    "LABEL_STUDIO_PASSWORD": "a-password",
    "LABEL_STUDIO_API_KEY": "a-token",
    "BASIC_AUTH_USER": "label-studio",
    "BASIC_AUTH_PASS": "a-secret",
}
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?:(?P<sign>:-|:\?)(?P<rest>[^}]*))?\}")
LABEL_STUDIO = ROOT / ".venv-label-studio"


def filled_in(text: str, values: dict[str, str]) -> str:
    """The compose file after Compose's own interpolation of ${NAME}, ${NAME:-default} and ${NAME:?complaint}."""

    def value(match: re.Match[str]) -> str:
        name, sign = match["name"], match["sign"]
        if values.get(name):
            return values[name]
        if sign == ":?":
            raise KeyError(f"{name}: {match['rest']}")
        return match["rest"] or ""

    return VARIABLE.sub(value, text)


def compose_text() -> str:
    return (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(filled_in(compose_text(), SECRETS))
    return loaded


def test_it_follows_the_published_schema(compose: dict[str, Any]) -> None:
    schema = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    published = json.loads(schema.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(published)(published)
    assert [error.message for error in validator.iter_errors(compose)] == []
    broken = {**compose, "services": {"backend": {"imgae": "recaption"}}}
    assert list(validator.iter_errors(broken)), "the schema must see a misspelt key"


@pytest.mark.parametrize("missing", sorted(SECRETS))
def test_it_refuses_to_start_without_its_secrets(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        filled_in(compose_text(), {name: value for name, value in SECRETS.items() if name != missing})


def test_the_services_are_the_documented_four(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"label-studio", "backend", "worker", "valkey"}


@pytest.mark.parametrize("service", OURS)
def test_our_variables_are_settings_and_parse(
    compose: dict[str, Any], service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment = {name: str(value) for name, value in compose["services"][service]["environment"].items()}
    assert set(environment) <= setting_names()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    parsed = settings.load()
    assert parsed.label_studio_url == "http://label-studio:8080"
    assert parsed.basic_auth_pass is not None and parsed.basic_auth_pass.get_secret_value() == "a-secret"
    assert parsed.backend_url == "http://backend:9090"
    assert parsed.model_dir.is_relative_to(parsed.data_dir)


def setting_names() -> set[str]:
    """Every environment variable that settings.py reads, aliases included."""
    names = set()
    for name, field in settings.Settings.model_fields.items():
        aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
        names |= {name.upper(), *(str(alias).upper() for alias in aliases)}
    return names


def test_addresses_in_it_are_services_of_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for service in OURS:
        environment = services[service]["environment"]
        for url in (environment["LABEL_STUDIO_URL"], environment["BACKEND_URL"], environment["REDIS_URL"]):
            host = re.split(r"[/:]+", url)[1]
            assert host in services
            assert set(services[service]["networks"]) & set(services[host]["networks"]), f"{service} cannot see {host}"


def test_label_studio_cannot_see_the_queue(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert not set(services["label-studio"]["networks"]) & set(services["valkey"]["networks"])
    assert compose["networks"]["queue"] == {"internal": True}
    assert [name for name, service in services.items() if "ports" in service] == ["label-studio"]


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert all(re.search(r":\d+\.\d+\.\d+(-[\w.]+)?$", image) for image in images.values()), images
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert images["backend"] == images["worker"] == f"recaption:{version}"
    base = re.search(r"^FROM (\S+)", dockerfile(), re.M)
    assert base and re.search(r":3\.11\.\d+-", base[1])
    tested = (ROOT / "requirements-label-studio.txt").read_text(encoding="utf-8")
    assert f"label-studio=={images['label-studio'].split(':')[1]}" in tested


def test_nobody_is_root_and_everybody_is_checked(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert int(service["user"].split(":")[0]) > 0, name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    user = re.search(r"^USER (\S+)$", dockerfile(), re.M)
    assert user and user[1] == compose["services"]["backend"]["user"] == compose["services"]["worker"]["user"]


def test_the_worker_reserves_a_gpu_and_waits_behind_its_profile(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    devices = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert worker["environment"]["DEVICE"] == "cuda"
    assert worker["profiles"] == ["training"]


def test_the_queue_is_kept_on_disk(compose: dict[str, Any]) -> None:
    valkey = compose["services"]["valkey"]
    assert "--appendonly yes" in shlex.join(valkey["command"])
    assert valkey["volumes"] == ["queue:/data"] and "queue" in compose["volumes"]


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_holds_every_room_and_nothing_else() -> None:
    copied = set(re.findall(r"^COPY (\S+) ", dockerfile(), re.M))
    assert copied == {"requirements.txt", "settings.py", "model/", "labeling/", "trainer/", "backend/"}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_files_in_the_image_are_enough(tmp_path: Path) -> None:
    """A copy of what the image copies starts by itself, on a clean environment, and finds its settings."""
    for name in re.findall(r"^COPY (\S+) ", dockerfile(), re.M):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    variables = dict(re.findall(r"(HOST|DATA_DIR|MODEL_DIR)=(\S+)", dockerfile()))
    assert set(variables) == {"HOST", "DATA_DIR", "MODEL_DIR"}
    for arguments in (["config"], ["serve", "--help"]):
        answer = subprocess.run(
            [sys.executable, "-m", "backend", *arguments],
            cwd=tmp_path,
            env={"PATH": os.defpath, "COLUMNS": "200", **variables},
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
        assert arguments != ["config"] or variables["MODEL_DIR"] in answer.stdout


def refused(lists: dict[str, str], addresses: list[str], home: Path) -> dict[str, set[str]]:
    """Of these addresses, those that the installed Label Studio refuses to call, for each list of banned networks."""
    package = next(LABEL_STUDIO.glob("lib/python3*/site-packages/label_studio"))
    program = """if True:
        import django, json, sys
        django.setup()
        from django.conf import settings
        from core.utils.io import SsrfBlockedUrlError, validate_ip
        banned = {}
        for name, networks in json.loads(sys.argv[1]).items():
            settings.USE_DEFAULT_BANNED_SUBNETS = False
            settings.USER_ADDITIONAL_BANNED_SUBNETS = networks.split(",")
            banned[name] = []
            for address in sys.argv[2:]:
                try:
                    validate_ip(address)
                except SsrfBlockedUrlError:
                    banned[name].append(address)
        print("verdicts", json.dumps(banned))
    """
    answer = subprocess.run(
        [LABEL_STUDIO / "bin" / "python", "-c", program, json.dumps(lists), *addresses],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": str(package),
            "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
            "LABEL_STUDIO_BASE_DATA_DIR": str(home),
            "LATEST_VERSION_CHECK": "false",
        },
        check=True,
        capture_output=True,
        text=True,
    )
    verdicts = re.search(r"^verdicts (.+)$", answer.stdout, re.M)
    assert verdicts, answer.stderr
    return {name: set(banned) for name, banned in json.loads(verdicts[1]).items()}


# The address of the cloud's metadata service, in every spelling that reaches it; then what else is local.
METADATA = ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "fe80::1"]
LOOPBACK = ["127.0.0.1", "::1"]
LOOPBACK_TOO = ["::ffff:127.0.0.1", "0.0.0.0"]
PRIVATE = ["10.0.0.7", "192.168.1.4"]


@pytest.mark.skipif(not LABEL_STUDIO.is_dir(), reason="Label Studio is not installed: make test installs it")
def test_label_studio_may_call_the_backend_but_never_the_metadata_service(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    """The bans that the compose file, `make run` and our advice set, asked of Label Studio's own check."""
    given = compose["services"]["label-studio"]["environment"]
    assert given["USE_DEFAULT_BANNED_SUBNETS"] == ADDRESSES["USE_DEFAULT_BANNED_SUBNETS"] == "false"
    advised = re.search(r"USER_ADDITIONAL_BANNED_SUBNETS=(\S+)", UNBAN)
    assert advised
    lists = {
        "compose": given["USER_ADDITIONAL_BANNED_SUBNETS"],
        "make run": ADDRESSES["USER_ADDITIONAL_BANNED_SUBNETS"],
        "advice": advised[1],
    }
    subnet = ip_network(compose["networks"]["labelling"]["ipam"]["config"][0]["subnet"])
    backend, public = str(subnet[3]), "8.8.8.8"
    banned = refused(lists, [*METADATA, *LOOPBACK, *LOOPBACK_TOO, *PRIVATE, backend, public], tmp_path)
    assert banned["compose"] == {*METADATA, *LOOPBACK, *LOOPBACK_TOO, *PRIVATE}
    assert {name: set(METADATA) - banned[name] for name in lists} == {name: set[str]() for name in lists}
    assert banned["make run"].isdisjoint({*LOOPBACK, public})
    assert banned["advice"].isdisjoint({*LOOPBACK, *PRIVATE, backend, public})


@pytest.mark.skipif(not LABEL_STUDIO.is_dir(), reason="Label Studio is not installed: make test installs it")
def test_label_studio_knows_the_names_it_is_given(compose: dict[str, Any]) -> None:
    """A misspelt variable is ignored without a word: each must occur in Label Studio's source, prefix or no prefix."""
    package = next(LABEL_STUDIO.glob("lib/python3*/site-packages/label_studio"))
    read = (package / "core/settings/base.py", package / "core/settings/label_studio.py", package / "server.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in read)
    for name in compose["services"]["label-studio"]["environment"]:
        assert re.search(rf"['\"]({name}|{name.removeprefix('LABEL_STUDIO_')})['\"]", source), name
