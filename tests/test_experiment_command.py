"""Commands for tests of variants: how long one takes, and what it proves, as a shop's engineer meets them."""

from __future__ import annotations

import sys

import orjson
import pytest

from active_customers.cli import main
from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import HOUR, parse_time
from active_customers.core.event import Channel, Context, Event, EventType
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig
from active_customers.storage.keys import load_keys

STARTS = parse_time("2026-01-01T00:00:00Z")
TEST = """
name: home
version: 2
control: usual
starts: 2026-01-01T00:00:00Z
variants:
  usual: {strategy: hybrid, code: 1}
  bold: {strategy: discover, code: 2}
guardrails:
  empty_answers:
    variants: {usual: {cases: 10, n: 10000}, bold: {cases: 900, n: 10000}}
  latency_ms:
    tolerance: 0.1
    variants: {usual: {mean: 2.0, variance: 1.0, n: 10000}, bold: {mean: 2.05, variance: 1.0, n: 10000}}
"""
CUSTOMERS = 400


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty folder; returns (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["active-customers", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


@pytest.fixture
def shop(tmp_path, command):
    """A shop whose log has a test: of each variant a third of the customers bought, bold ones clicked."""
    (tmp_path / "products.jsonl").write_text('{"product_id": "p", "price": 10, "attributes": {"cost": 4}}\n')
    assert command("import-products", "products.jsonl")[0] == 0
    directory = DataDirectory(tmp_path / "data")
    with open_for_writing(directory, StorageConfig()) as opened:
        signer = TokenSigner(load_keys(directory.keys))
        product = opened.store.catalog.product_number("p")
        events = [event for number in range(CUSTOMERS) for event in _acts(number, signer, product)]
        opened.store.events.append(events, STARTS + 3 * HOUR)
    (tmp_path / "home.yaml").write_text(TEST)
    return directory


def _acts(number, signer, product):
    def act(kind, hours, **fields):
        own = {"product_id": "p", "details": {}} | fields
        key = f"{number:08}{kind:04}{hours:04}".encode()
        return Event(customer, kind, STARTS + hours * HOUR, dedup_key=key, **own)

    customer, variant = f"c{number}", ("usual", "bold")[number % 2]
    metadata = {"experiment": "home", "version": 2, "variant": variant}
    yield act(EventType.EXPOSURE, 0, product_id=None, details={"metadata": metadata})
    if variant == "bold":
        shown = Shown(customer, STARTS, "v1", Context.HOME, Channel.WEB, [product], variants=[2])
        yield act(EventType.CLICK, 1, details={"recommendation_id": signer.sign(shown)})
    if number % 3 == 0:
        yield act(EventType.PURCHASE, 2, price=10.0)


def test_results_are_told_with_the_newest_events_and_as_often_as_one_likes(command, shop):
    for _ in range(2):
        code, out, err = command("experiment-results", "home.yaml")
        assert code == 0, err
        assert "customers: usual 200, bold 200" in out
        assert "bold: not yet known by revenue_per_customer" in out
        assert "bold: STOP, empty_answers is 0.09 instead of 0.001" in out


def test_results_as_json_have_every_figure(command, shop):
    code, out, err = command("experiment-results", "home.yaml", "--json")
    assert code == 0, err
    report = orjson.loads(out)
    figures = {effect["measure"]: (effect["value"], effect["control"]) for effect in report["effects"]}
    assert figures["click_through"] == (1.0, 0.0)
    assert figures["conversion_rate"] == pytest.approx((67 / 200, 67 / 200))
    assert figures["margin_per_customer"] == pytest.approx((67 * 6 / 200, 67 * 6 / 200))
    assert report["should_stop"] == ["bold"]
    assert {each["name"]: each["verdict"] for each in report["guardrails"]}["latency_ms"] == "no harm known"


def test_whoever_was_erased_is_not_counted(command, shop):
    command("experiment-results", "home.yaml")
    assert command("erase", "c0")[0] == 0
    code, out, err = command("experiment-results", "home.yaml")
    assert code == 0, err
    assert "customers: usual 199, bold 200" in out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("control: usual", "control: usul", "did you mean usual?"),
        ("version: 2", "version: two", "version"),
        ("strategy: hybrid", "strtegy: hybrid", "variants.usual.strategy"),
        ("starts: 2026-01-01T00:00:00Z", "starts: 2026-01-01 00:00:00", "timezone"),
        ("cases: 900, n: 10000", "cases: 900, n: 10", "more cases than n"),
        ("mean: 2.05, variance: 1.0, n: 10000", "mean: 2.05, n: 10000", "mean and variance"),
        (TEST, "- 1", "write `name:`"),
        (TEST, "{", "write YAML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(command, shop, tmp_path, old, new, said):
    (tmp_path / "home.yaml").write_text(TEST.replace(old, new))
    code, _, err = command("experiment-results", "home.yaml")
    assert code == 2
    assert said in err


def test_a_plan_tells_customers_days_and_what_other_durations_find(command):
    code, out, err = command("experiment-plan", "--usual", 0.03, "--daily", 4000, "--effect", 0.1)
    assert code == 0, err
    first, *_, last = out.splitlines()
    assert first.endswith("customers of variant and control together, 49 days, looked at any time")
    assert last.startswith("28 days find an effect of 1")


def test_a_plan_for_one_look_is_shorter_and_revenue_needs_its_deviation(command):
    _, any_time, _ = command("experiment-plan", "--usual", 5, "--deviation", 30, "--daily", 4000)
    code, once, _ = command("experiment-plan", "--usual", 5, "--deviation", 30, "--daily", 4000, "--once")
    assert code == 0
    assert int(once.split()[0].replace(",", "")) < int(any_time.split()[0].replace(",", ""))
    code, _, err = command("experiment-plan", "--usual", 5, "--daily", 4000)
    assert (code, "give a number between 0 and 1" in err) == (2, True)
