"""All settings: composed from the components' own configurations, read from a file, the environment and flags."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from active_customers.batch.daily_refresh import ModelConfigs, RefreshConfig
from active_customers.core.config import Config, StringList
from active_customers.core.consent import ConsentConfig
from active_customers.core.errors import SettingsError
from active_customers.experiments.analysis import AnalysisConfig
from active_customers.experiments.outcomes import OutcomesConfig
from active_customers.importing.request import ImportConfig
from active_customers.realtime.access import AccessConfig
from active_customers.realtime.context_engine import ShopConfig
from active_customers.realtime.languages import TextsConfig
from active_customers.realtime.live_index import LiveIndexConfig
from active_customers.realtime.rotation import RotationConfig
from active_customers.realtime.rules import RulesConfig
from active_customers.realtime.shelves import ShelvesConfig
from active_customers.realtime.storefront import StorefrontConfig
from active_customers.realtime.stream import StreamConfig
from active_customers.realtime.trials import ExperimentsConfig
from active_customers.serving.backlog import CommitterConfig
from active_customers.serving.live_updater import LiveUpdaterConfig
from active_customers.serving.retention import RetentionConfig
from active_customers.serving.supervisor import SupervisorConfig
from active_customers.serving.updater import UpdaterConfig
from active_customers.storage.embedded import StorageConfig
from active_customers.storage.robots import RobotConfig

ENVIRONMENT_PREFIX = "ACTIVE_CUSTOMERS_"
"""`ACTIVE_CUSTOMERS_SERVER__PORT=80` sets `server.port`: levels are joined by two underscores."""

_ONE_LINE = 10_000
"""Characters of a value that are written without a break."""

COMMAND_VARIABLES = frozenset({"ACTIVE_CUSTOMERS_DATA_DIR", "ACTIVE_CUSTOMERS_CONFIG"})
"""What stands for a flag of the command line and is no setting."""


class ServerConfig(Config):
    """Where and how `serve` listens."""

    host: str = "127.0.0.1"
    """Address to bind to; anything but loopback needs API keys."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """TCP port; 0 takes a free one."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that answer. One holds everything; with more, the committer has a process of its own."""
    clock: Literal["system", "simulated"] = "system"
    """The machine's clock, or one that stands still until `POST /admin/clock` moves it: for trying weeks in minutes, on
    loopback only."""
    cors_origins: StringList = ()
    """Origins whose pages may call the API from the browser, such as https://shop.example."""


class Settings(Config):
    """Everything that can be set."""

    server: ServerConfig = ServerConfig()
    shop: ShopConfig = ShopConfig()
    access: AccessConfig = AccessConfig()
    texts: TextsConfig = TextsConfig()
    stream: StreamConfig = StreamConfig()
    storage: StorageConfig = StorageConfig()
    committer: CommitterConfig = CommitterConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    updater: UpdaterConfig = UpdaterConfig()
    live_updater: LiveUpdaterConfig = LiveUpdaterConfig()
    live_index: LiveIndexConfig = LiveIndexConfig()
    rules: RulesConfig = RulesConfig()
    experiments: ExperimentsConfig = ExperimentsConfig()
    rotation: RotationConfig = RotationConfig()
    storefront: StorefrontConfig = StorefrontConfig()
    shelves: ShelvesConfig = ShelvesConfig()
    retention: RetentionConfig = RetentionConfig()
    consent: ConsentConfig = ConsentConfig()
    robots: RobotConfig = RobotConfig()
    imports: ImportConfig = ImportConfig()
    experiment_outcomes: OutcomesConfig = OutcomesConfig()
    experiment_analysis: AnalysisConfig = AnalysisConfig()
    refresh: RefreshConfig = RefreshConfig()
    models: ModelConfigs = ModelConfigs()


class LoadedSettings(Config):
    """Settings in force and, for each that was set, where its value came from (the others are defaults)."""

    settings: Settings
    origins: dict[str, str]


def load_settings(
    file: Path | None, environment: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None
) -> LoadedSettings:
    """Return the settings: file < environment < flags (by dotted name; None means not given).

    Raises `SettingsError` that names an unknown key or a wrong value and where it came from.
    """
    origins: dict[str, str] = {}
    tree: dict[str, Any] = {}
    if file is not None:
        for key, value in _flat(_read(file)):
            _put(tree, key, value)
            origins[key] = str(file)
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and name not in COMMAND_VARIABLES:
            key = name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            _put(tree, key, text)
            origins[key] = f"environment {name}"
    for key, value in (flags or {}).items():
        if value is not None:
            _put(tree, key, value)
            origins[key] = "flag"
    try:
        return LoadedSettings(settings=Settings.model_validate(tree), origins=origins)
    except ValidationError as error:
        raise _settings_error(error, origins) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        raise SettingsError("config", str(file), "there is no such file: name one that there is") from None
    except (OSError, yaml.YAMLError, ValueError) as error:
        why = " ".join(str(error).split())
        raise SettingsError("config", str(file), f"it cannot be read as YAML ({why}): mend {file}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsError("config", str(file), f"write sections with names into {file}, as in config/config.yaml")
    return found


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{key}.")
        elif value is not None:
            yield key, value


def _put(tree: dict[str, Any], key: str, value: object) -> None:
    *sections, name = key.split(".")
    for section in sections:
        below = tree.setdefault(section, {})
        if not isinstance(below, dict):
            raise SettingsError(key, value, f"{section} is no section: it was set to a value elsewhere")
        tree = below
    tree[name] = value


def set_in(tree: dict[str, Any], setting: str) -> None:
    """Put `KEY.KEY=VALUE` into a tree of settings, the value as YAML has it; raises `SettingsError` for another form.

    >>> tree = {"linear": {"share": 0.5}}
    >>> set_in(tree, "linear.share=0.15")
    >>> tree
    {'linear': {'share': 0.15}}
    """
    key, equals, value = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise SettingsError("--set", setting, "write KEY.KEY=VALUE")
    _put(tree, key, yaml.safe_load(value))


def _settings_error(error: ValidationError, origins: Mapping[str, str]) -> SettingsError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    origin = next((where for name, where in origins.items() if _is_within(key, name) or _is_within(name, key)), "")
    value = "a key" if key.startswith("access.") else first["input"]
    known = "`active-customers config` lists all settings"
    remedy = f"there is no such setting; {known}" if first["type"] == "extra_forbidden" else f"{first['msg']}; {known}"
    return SettingsError(key, value, f"{remedy} (from {origin})" if origin else remedy)


def _is_within(key: str, section: str) -> bool:
    return f"{key}.".startswith(f"{section}.")


def explain(loaded: LoadedSettings) -> Iterator[tuple[str, object, str]]:
    """Yield (key, value in force, where it came from) for every setting; keys of the API are not shown."""
    for key, value in _flat_all(loaded.settings.model_dump(mode="json")):
        origin = next((where for name, where in loaded.origins.items() if key == name), "default")
        secret = key.startswith("access.") and value
        yield key, _hidden(value) if secret else value, origin


def _hidden(secret: str | list[str]) -> str:
    return "(set)" if isinstance(secret, str) else f"({len(secret)} keys)"


def _flat_all(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat_all(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def default_yaml() -> str:
    """Return `config/config.yaml`: every setting with its default and its meaning."""
    head = "# Every setting with its default; what is set here beats it, the environment beats this, flags beat all.\n"
    return head + "".join(_section(Settings, Settings().model_dump(mode="json"), 0))


def _section(config: type[Config], values: Mapping[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in config.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            about = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
            yield f"{chr(10) if depth == 0 else ''}{indent}# {about}\n{indent}{name}:\n"
            yield from _section(kind, values[name], depth + 1)
        else:
            about = " ".join((field.description or "").split())
            value = yaml.safe_dump(values[name], default_flow_style=True, width=_ONE_LINE)
            value = value.strip().removesuffix("...").strip()
            yield f"{indent}# {about}\n{indent}{name}: {value}\n"
