"""The docs say what is true: everything a user can meet is in them, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import typer
from prometheus_client import REGISTRY

from active_customers.catalog.product_schema import ProductIn
from active_customers.cli import app
from active_customers.config.settings import Settings, default_yaml, explain, load_settings
from active_customers.core.event import PUBLIC_WORDS
from active_customers.core.recommendation import SOURCES, ReasonCode
from active_customers.models.registry import MODELS
from active_customers.realtime.languages import PRODUCT, shipped_languages
from active_customers.realtime.problems import STATUSES
from active_customers.realtime.schemas import EventIn, RecommendationQuery

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def page(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text()


def links() -> Iterator[tuple[Path, str]]:
    for path in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in target:
                yield path, target


@pytest.mark.parametrize(("path", "target"), list(links()), ids=str)
def test_every_link_leads_somewhere(path, target):
    assert (path.parent / target).exists()


def test_every_page_can_be_reached_from_the_readme():
    linked = {(path.parent / target).resolve() for path, target in links()}
    decisions = (ROOT / "docs" / "decisions").resolve()
    missing = [path for path in PAGES[2:] if path.resolve() not in linked and decisions not in path.resolve().parents]
    assert missing == []


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=str)
def test_no_page_holds_marks_of_an_unfinished_merge(path):
    assert re.findall(r"^(?:<{7}|={7}=*$|>{7}|\|{7}).*", path.read_text(), re.MULTILINE) == []


def test_every_setting_is_documented_with_its_default():
    assert default_yaml().rstrip() in page("configuration")


def test_every_setting_that_the_docs_name_exists():
    sections = set(Settings.model_fields)
    known = {key for key, _, _ in explain(load_settings(None, {}))}
    named = {
        name
        for path in PAGES
        for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", path.read_text())
        if name.split(".")[0] in sections and not name.endswith((".py", ".sock", ".json"))
    }
    assert named
    assert {name for name in named if name not in known} == set()


def test_every_command_is_documented():
    text = "".join(path.read_text() for path in PAGES)
    commands = typer.main.get_command(app).commands
    shown = [name for name, command in commands.items() if not command.hidden]
    assert [name for name in shown if f"active-customers {name}" not in text and f"make {name}" not in text] == []


def test_every_metric_is_documented():
    names = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("active_customers_")}
    assert names
    assert [name for name in names if name not in page("monitoring")] == []


@pytest.mark.parametrize("name", [*EventIn.model_fields, *RecommendationQuery.model_fields, *PUBLIC_WORDS])
def test_every_field_parameter_and_event_type_is_documented(name):
    assert re.search(rf"\b{name}\b", page("api"))


@pytest.mark.parametrize("name", ProductIn.model_fields)
def test_every_field_of_a_product_is_documented(name):
    assert f"`{name}`" in page("catalogue")


@pytest.mark.parametrize("status", sorted({status for status, _ in STATUSES.values()}))
def test_every_error_status_is_documented(status):
    assert str(status) in page("api")


@pytest.mark.parametrize("reason", list(ReasonCode))
def test_every_reason_is_documented_with_its_code_and_source(reason):
    sentence = shipped_languages().known[0].sentences[reason].replace(PRODUCT, "X")
    assert f"| `{reason.word}` | {sentence} | `{SOURCES[reason]}` |" in page("explanations")


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_is_documented(model):
    assert f"`{model}`" in page("models")


def test_every_preset_is_documented():
    presets = [entry.name.removesuffix(".yaml") for entry in files("active_customers.importing.presets").iterdir()]
    presets = [name for name in presets if not name.startswith("_")]
    assert len(presets) > 5
    assert [name for name in presets if f"`{name}`" not in page("import")] == []


def told_of_faults() -> list[str]:
    """Return the pieces of log lines that the table of faults names."""
    table = page("operation").split("## When something breaks")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][2:]
    lines = [line for row in rows for line in re.findall(r"`([^`]+)`", row[2])]
    return [piece.strip(" :,") for line in lines for piece in line.split("...") if piece.strip(" :,")]


@pytest.mark.parametrize("piece", told_of_faults())
def test_every_log_line_of_the_table_of_faults_is_what_the_code_says(piece):
    source = "".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.py")))
    assert piece in source
