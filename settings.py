"""Every setting of Recaption, read once from the environment and from a `.env` file in the working directory.

    from settings import load
    settings = load()          # a frozen Settings, or a SettingsError with one line for each wrong value

`python -m backend config` prints what is in force, secrets hidden; `python -m backend config --example` prints
`.env.example`. No other module reads the environment: `model` and `labeling` are handed values.
The environment wins over `.env`; an empty value counts as not set.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

CHECK = "python -m backend config"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class SettingsError(ValueError):
    """One plain line for each wrong setting: its name, the value found, what is accepted, what to do."""


def _setting(default: Any, meaning: str, accepted: str, **rules: Any) -> Any:
    """A field with its meaning and, for errors and `.env.example`, what it accepts in words."""
    return Field(default, description=meaning, json_schema_extra={"accepted": accepted}, **rules)


class Settings(BaseSettings):
    """The settings in force. The name in the environment is the field's name in upper case."""

    model_config = SettingsConfigDict(
        frozen=True,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
        protected_namespaces=(),
    )

    label_studio_url: str | None = _setting(
        None,
        "Label Studio, as this machine reaches it.",
        "an http:// or https:// address",
        validation_alias=AliasChoices("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"),
    )
    label_studio_api_key: SecretStr | None = _setting(
        None,
        "Access token of a Label Studio user who may read the project's images: personal or legacy.",
        "the token from Label Studio, Account & Settings",
        validation_alias=AliasChoices("LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"),
    )
    host: str = _setting("127.0.0.1", "Address to listen on. 0.0.0.0 is every interface.", "an address of this machine")
    port: int = _setting(
        9090, "Port to listen on. 0 lets the system pick a free one.", "a whole number from 0 to 65535", ge=0, le=65535
    )
    backend_url: str = Field(
        default_factory=lambda data: f"http://localhost:{data.get('port', 9090)}",
        description="This backend, as Label Studio reaches it. Not set: http://localhost and PORT.",
        json_schema_extra={"accepted": "an http:// or https:// address"},
    )
    basic_auth_user: str | None = _setting(
        None, "User name that Label Studio must send. Set with BASIC_AUTH_PASS or not at all.", "a name without a colon"
    )
    basic_auth_pass: SecretStr | None = _setting(
        None, "Password that Label Studio must send. Set with BASIC_AUTH_USER or not at all.", "any text"
    )
    log_level: str = _setting(
        "INFO", "How much is logged. No level logs a token or a request body.", ", ".join(LOG_LEVELS)
    )
    model_dir: Path = _setting(Path("data/models"), "The store: checkpoint versions and which one serves.", "a folder")
    data_dir: Path = _setting(Path("data"), "What else is kept: the queue's data, marks not delivered yet.", "a folder")
    device: str = _setting(
        "auto", "Where the model runs.", "auto, cpu, mps, cuda or cuda:N", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$"
    )
    engine: str = _setting(
        "auto",
        "What computes captions; openvino and onnxruntime do in eight bits on a CPU. auto: the fastest that is here.",
        "auto, torch, openvino or onnxruntime",
        pattern=r"^(auto|torch|openvino|onnxruntime)$",
    )
    threads: int = _setting(0, "CPU threads of the model. 0: one for each core.", "0 or a whole number above", ge=0)
    beam: int | None = _setting(
        None,
        "Captions weighed side by side. Not set: the checkpoint's own choice.",
        "a whole number from 1 to 20",
        ge=1,
        le=20,
    )
    caption_field: str | None = _setting(
        None, "Name of the TextArea to fill, when the label config has several.", "the name= of a TextArea"
    )
    predict_budget_s: float = _setting(
        90.0,
        "Seconds for one /predict; tasks not captioned by then are left for a later call. Label Studio waits 100.",
        "a number above 0 and up to 3600",
        gt=0,
        le=3600,
    )
    image_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = _setting(
        (),
        "Private addresses that images may come from all the same, separated by commas.",
        "host names, IP addresses or networks such as 10.0.0.0/8",
    )
    image_max_bytes: int = _setting(30_000_000, "Largest image file, in bytes.", "a whole number from 1", ge=1)
    image_timeout_s: float = _setting(20.0, "Seconds to wait for an image.", "a number above 0", gt=0)
    max_image_pixels: int = _setting(
        40_000_000, "Largest image, in pixels, width times height.", "a whole number from 1", ge=1
    )
    local_files_document_root: Path | None = _setting(
        None, "Label Studio's local files, when this machine sees the same folder. Never /.", "an existing folder"
    )
    redis_url: SecretStr | None = _setting(
        None,
        "Queue server, Redis or Valkey. Not set: an embedded Valkey in DATA_DIR.",
        "redis://HOST:PORT/0, rediss://... or unix:///PATH",
    )
    start_training_each_n_updates: int = _setting(
        20, "New or corrected captions after which a training is due.", "a whole number from 1", ge=1
    )
    start_training_after_s: float = _setting(
        3600.0, "Seconds after which a single new correction is enough for a training.", "a number above 0", gt=0
    )
    reconcile_every_s: float = _setting(
        60.0, "Seconds between two looks at Label Studio for corrections that no webhook told of.", "from 1", ge=1
    )
    training_timeout_s: int = _setting(
        21600,
        "Seconds after which a training is stopped; the next one goes on with it.",
        "a whole number from 60",
        ge=60,
    )
    base_dataset: str | None = _setting(
        None,
        "Data set to replay while fine-tuning (train split) and to judge by (validation split).",
        "flickr8k:FOLDER or coco2017:FOLDER",
        pattern=r"^(flickr8k|coco2017):.+$",
    )
    replay_share: float = _setting(
        0.7,
        "Share of the photos in a fine-tuning step that come from BASE_DATASET.",
        "a number from 0 to 0.95",
        ge=0,
        le=0.95,
    )
    replay_captions: int = _setting(
        3,
        "Captions by which a replayed photo of several is learnt: those that agree best. 0: all that people wrote.",
        "a whole number from 0",
        ge=0,
    )
    holdout_share: float = _setting(
        0.2,
        "Share of the corrected photos kept apart, for good, as the project's own validation set.",
        "a number from 0 to 0.9",
        ge=0,
        le=0.9,
    )
    learn_from_accepted: bool = _setting(
        False, "Whether drafts that an annotator accepted unchanged are learnt from, too.", "true or false"
    )
    grow_vocabulary: int = _setting(
        5, "Photos whose corrections must use a new word before it joins the vocabulary. 0: none ever.", "from 0", ge=0
    )
    finetune_epochs: int = _setting(
        3, "Passes over the corrections in one training.", "a whole number from 1 to 100", ge=1, le=100
    )
    finetune_learning_rate: float = _setting(
        2e-4, "Peak learning rate of the decoder while fine-tuning.", "a number above 0 and up to 0.1", gt=0, le=0.1
    )
    finetune_batch: int = _setting(
        32, "Photos in one fine-tuning step, each with all its captions.", "a whole number from 1", ge=1
    )
    finetune_encoder: bool = _setting(
        False, "Whether the ResNet is fine-tuned too: needs a GPU or patience.", "true or false"
    )
    interpolation: float = _setting(
        1.0,
        "Share of the fine-tuned weights in the challenger; the rest are the champion's.",
        "a number above 0 and up to 1",
        gt=0,
        le=1,
    )
    gate: str = _setting(
        "benchmark",
        "What a challenger must be better at: BASE_DATASET's validation split, or the project's held-out photos.",
        "benchmark or domain",
        pattern=r"^(benchmark|domain)$",
    )
    gate_level: float = _setting(
        0.025, "Chance of promoting a challenger that is no better.", "a number above 0 and below 0.5", gt=0, lt=0.5
    )
    gate_margin: float = _setting(
        0.5, "BLEU-4 points that GATE=domain may lose on the benchmark.", "a number from 0", ge=0
    )
    gate_images: int = _setting(
        300, "Photos that a comparison must rest on; with fewer, the champion stays.", "a whole number from 2", ge=2
    )
    explore_share: float = _setting(
        0.15, "Share of the photos offered next that are picked at random.", "a number from 0 to 1", ge=0, le=1
    )
    relabel_after_swap: bool = _setting(
        True, "Whether unlabelled tasks are captioned again once another version serves.", "true or false"
    )

    @field_validator("image_allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("image_allowed_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [host for host in hosts if not _is_host(host)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))} is neither")
        return hosts

    @field_validator("label_studio_url", "backend_url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ValueError("not a web address")
        return url.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _queue_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("not a queue server's address")
        return url

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, value: object) -> object:
        level = str(value).upper()
        if level not in LOG_LEVELS:
            raise ValueError("not a level")
        return level

    @field_validator("basic_auth_user")
    @classmethod
    def _user(cls, user: str | None) -> str | None:
        if user and ":" in user:
            raise ValueError("a colon ends the user name in Basic authentication")
        return user

    @field_validator("local_files_document_root")
    @classmethod
    def _document_root(cls, root: Path | None) -> Path | None:
        if root is not None and (not root.is_dir() or root.resolve() == Path("/")):
            raise ValueError("not a folder to serve from")
        return root

    @model_validator(mode="after")
    def _both_or_neither(self) -> "Settings":
        if (self.basic_auth_user is None) != (self.basic_auth_pass is None):
            missing = "BASIC_AUTH_USER" if self.basic_auth_user is None else "BASIC_AUTH_PASS"
            raise ValueError(f"{missing} is not set though its partner is: set both to ask for a password, or neither")
        return self

    def secrets(self) -> tuple[str, ...]:
        """Every secret text in force, for filters that keep them out of logs."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr))


def load(**values: Any) -> Settings:
    """Read the settings. `values` (by field name) win over the environment, which wins over `.env`.

    Raises SettingsError: one line for each wrong setting.
    """
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(error))) from None


def environment(values: Mapping[str, str]) -> dict[str, str]:
    """This process's whole environment with settings changed, for a child process. `values` by name, in upper case."""
    return {**os.environ, **values}


class Row(NamedTuple):
    """One setting, ready to print. A secret's value reads `(hidden)`."""

    name: str
    value: str
    default: str
    meaning: str


def rows(settings: Settings) -> list[Row]:
    """All settings, redacted, in the order of their declaration."""
    return [
        Row(name.upper(), _shown(getattr(settings, name)), _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def example() -> str:
    """The text of `.env.example`: every setting with its meaning and default, so that a plain copy changes nothing."""
    head = "# Settings of Recaption. Copy to .env and change what you need; an empty value counts as not set.\n"
    head += f"# Written by `{CHECK} --example`. Show what is in force with `{CHECK}`.\n"
    return head + "".join(
        f"\n# {field.description}\n# Accepted: {_accepted(field)}.\n{name.upper()}={_default(field)}\n"
        for name, field in Settings.model_fields.items()
    )


def _explain(error: ValidationError) -> list[str]:
    """One line for each wrong value. Only names of ours, never a secret's value, reach the text."""
    lines = []
    for fault in error.errors(include_url=False, include_context=False):
        if fault["type"] == "default_factory_not_called":
            continue
        if not fault["loc"]:
            lines.append(f"{fault['msg'].removeprefix('Value error, ')}. Check with: {CHECK}")
            continue
        name = _field_name(str(fault["loc"][0]))
        field = Settings.model_fields[name]
        value = "(hidden)" if "SecretStr" in str(field.annotation) else repr(fault["input"])
        lines.append(
            f"{' or '.join(_names(name))} is {value}, but must be {_accepted(field)}. "
            f"Change it in the environment or in .env, then check with: {CHECK}"
        )
    return lines


def _names(name: str) -> list[str]:
    """What a field is called in the environment: its own name, or each of its aliases."""
    aliases = Settings.model_fields[name].validation_alias
    return [str(alias) for alias in aliases.choices] if isinstance(aliases, AliasChoices) else [name.upper()]


def _field_name(found_as: str) -> str:
    """The field behind a name as it was given: its own in any case, or an alias."""
    return next(name for name in Settings.model_fields if found_as.upper() in (name.upper(), *_names(name)))


def _accepted(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    return str(extra["accepted"]) if isinstance(extra, dict) else ""


def _default(field: FieldInfo) -> str:
    return "" if field.default_factory is not None else _shown(field.default)


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "(hidden)"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _is_host(host: str) -> bool:
    try:
        ip_network(host, strict=False)
    except ValueError:
        return HOST_NAME.fullmatch(host) is not None
    return True
