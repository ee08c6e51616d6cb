"""Where a setting's value comes from, and what is said about a wrong one."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
import yaml

from active_customers.config.settings import Settings, default_yaml, explain, load_settings
from active_customers.core.errors import SettingsError

KEY = "srv-0123456789abcdef"


@pytest.fixture
def config_file(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


def test_without_anything_given_all_are_defaults():
    loaded = load_settings(None, {})
    assert loaded.settings == Settings()
    assert {origin for _, _, origin in explain(loaded)} == {"default"}


def test_flags_beat_the_environment_which_beats_the_file(config_file):
    file = config_file(
        "server: {host: localhost, port: 1, cors_origins: [https://a.example]}\nrefresh: {keep_versions: 9}\n"
    )
    environment = {"ACTIVE_CUSTOMERS_SERVER__HOST": "::1", "ACTIVE_CUSTOMERS_SERVER__PORT": "2"}
    loaded = load_settings(file, environment, {"server.port": 3, "server.workers": None})
    assert (loaded.settings.server.host, loaded.settings.server.port) == ("::1", 3)
    assert loaded.settings.server.cors_origins == ("https://a.example",)
    origins = {key: origin for key, _, origin in explain(loaded)}
    assert origins["server.port"] == "flag"
    assert origins["server.host"] == "environment ACTIVE_CUSTOMERS_SERVER__HOST"
    assert origins["refresh.keep_versions"] == origins["server.cors_origins"] == str(file)
    assert origins["server.workers"] == "default"


def test_the_environment_reaches_every_depth_and_lists():
    environment = {
        "ACTIVE_CUSTOMERS_MODELS__HYBRID__SESSION_KNN__NEIGHBOURS": "77",
        "ACTIVE_CUSTOMERS_MODELS__POPULARITY__WEIGHTS__VIEW": "0.5",
        "ACTIVE_CUSTOMERS_SERVER__CORS_ORIGINS": "https://a.example, https://b.example",
        "ACTIVE_CUSTOMERS_DATA_DIR": "/somewhere",
        "PATH": "/bin",
    }
    settings = load_settings(None, environment).settings
    assert settings.models.hybrid.session_knn.neighbours == 77
    assert settings.models.popularity.weights.view == 0.5
    assert settings.server.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize("text", ["", "# nothing\n", "server:\n", "server: {}\n"])
def test_a_file_that_sets_nothing_changes_nothing(config_file, text):
    assert load_settings(config_file(text), {}).settings == Settings()


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("server: {prot: 80}", "server.prot", "no such setting"),
        ("servr: {port: 80}", "servr", "no such setting"),
        ("server: {port: eighty}", "server.port", "valid integer"),
        ("server: {port: 70000}", "server.port", "65535"),
        ("server: 80", "server", "valid dictionary"),
        ("models: {item_knn: {neighbours: 0}}", "models.item_knn.neighbours", "greater than or equal to 1"),
        ("committer: {max_queued_events: 10}", "committer.max_queued_events", "greater than or equal to 1000"),
    ],
)
def test_a_wrong_setting_in_the_file_is_named_with_the_file(config_file, text, key, said):
    file = config_file(text)
    with pytest.raises(SettingsError) as refused:
        load_settings(file, {})
    assert refused.value.field == key
    assert said in refused.value.remedy
    assert f"(from {file})" in refused.value.remedy


def test_a_wrong_setting_is_blamed_on_the_one_who_set_it(config_file):
    file = config_file("server: {host: localhost}")
    with pytest.raises(SettingsError, match=r"server\.port: 'x' .*\(from environment ACTIVE_CUSTOMERS_SERVER__PORT\)"):
        load_settings(file, {"ACTIVE_CUSTOMERS_SERVER__PORT": "x"})
    with pytest.raises(SettingsError, match=r"server\.port: 70000 .*\(from flag\)"):
        load_settings(file, {"ACTIVE_CUSTOMERS_SERVER__PORT": "80"}, {"server.port": 70000})
    with pytest.raises(SettingsError, match=r"server\.prot.*no such setting.*ACTIVE_CUSTOMERS_SERVER__PROT"):
        load_settings(file, {"ACTIVE_CUSTOMERS_SERVER__PROT": "80"})


def test_a_section_set_to_a_value_elsewhere_is_named(config_file):
    with pytest.raises(SettingsError, match="server is no section"):
        load_settings(config_file("server: 80"), {"ACTIVE_CUSTOMERS_SERVER__PORT": "80"})


@pytest.mark.parametrize("content", [b"server: [", b"- 1\n- 2\n", b"\xff\xfe\x00", b"just text"])
def test_a_file_that_is_no_settings_file_is_refused(tmp_path, content):
    """It is named in full, however long its path is."""
    path = tmp_path / ("folder" * 30) / "config.yaml"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=re.escape(str(path))):
        load_settings(path, {})


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="there is no such file"):
        load_settings(tmp_path / "none.yaml", {})


def test_keys_are_never_shown(config_file):
    loaded = load_settings(config_file(f"access: {{server_keys: [{KEY}, {KEY}2], customer_secret: {KEY}}}"), {})
    shown = {key: value for key, value, _ in explain(loaded)}
    assert (shown["access.server_keys"], shown["access.customer_secret"]) == ("(2 keys)", "(set)")
    assert KEY not in str(shown)


@pytest.mark.parametrize(
    "text", ["access: {server_keys: [secret]}", "access: {server_keys: secret}", "access: {keys: [secret]}"]
)
def test_not_even_a_wrong_key_is_shown(config_file, text):
    with pytest.raises(SettingsError) as refused:
        load_settings(config_file(text), {})
    assert refused.value.field.startswith("access.")
    assert "secret" not in str(refused.value)


def test_the_packaged_file_is_what_the_components_say():
    packaged = files("active_customers.config").joinpath("config.yaml").read_text()
    assert packaged == default_yaml(), "write it again: active-customers config --defaults"


def test_the_packaged_file_holds_every_setting_at_its_default(config_file):
    loaded = load_settings(config_file(default_yaml()), {})
    assert loaded.settings == Settings()
    assert {key for key, _, origin in explain(loaded) if origin == "default"} <= {
        key for key, value, _ in explain(loaded) if value is None
    }
    assert set(yaml.safe_load(default_yaml())) == set(Settings.model_fields)


def test_every_setting_is_explained_in_the_packaged_file():
    lines = default_yaml().splitlines()
    for line, before in zip(lines[1:], lines, strict=False):
        if line and not line.lstrip().startswith("#"):
            assert before.lstrip().startswith("# "), f"{line} has no description"
            assert len(before.strip()) > 3
