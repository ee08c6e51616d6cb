"""Commands for tests of variants: how long one takes, and what it proves, as a shop's engineer meets them."""

from __future__ import annotations

import orjson
import pytest
from tests.test_rules_command import command

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import HOUR, parse_time
from active_customers.core.event import Channel, Context, Event, EventType
from active_customers.experiments.changes import Known, saved
from active_customers.experiments.definition import code_of
from active_customers.experiments.experiment_schema import ExperimentIn
from active_customers.serving.writer_socket import open_for_writing
from active_customers.storage.data_dir import DataDirectory
from active_customers.storage.embedded import StorageConfig
from active_customers.storage.keys import load_keys

STARTS = parse_time("2026-01-01T00:00:00Z")
TEST = {
    "name": "home",
    "control": "usual",
    "starts": "2026-01-01T00:00:00Z",
    "variants": {"usual": {"weight": 50}, "bold": {"weight": 50}},
}
NUMBER = 1
"""That of the only experiment: what its variants' codes are made of."""
CUSTOMERS = 400

__all__ = ["command"]


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
        given = ExperimentIn.read(TEST)
        opened.store.records["experiments"].change({"home": saved(given, Known({}, {}), STARTS)})
    return directory


def _acts(number, signer, product):
    def act(kind, hours, **fields):
        own = {"product_id": "p", "details": {}} | fields
        key = f"{number:08}{kind:04}{hours:04}".encode()
        return Event(customer, kind, STARTS + hours * HOUR, dedup_key=key, **own)

    customer, variant = f"c{number}", ("usual", "bold")[number % 2]
    metadata = {"experiment": "home", "version": 1, "variant": variant}
    yield act(EventType.EXPOSURE, 0, product_id=None, details={"metadata": metadata})
    if variant == "bold":
        shown = Shown(customer, STARTS, "v1", Context.HOME, Channel.WEB, [product], variants=[code_of(NUMBER, 1)])
        yield act(EventType.CLICK, 1, details={"recommendation_id": signer.sign(shown)})
    if number % 3 == 0:
        yield act(EventType.PURCHASE, 2, price=10.0)


def test_results_are_told_with_the_newest_events_and_as_often_as_one_likes(command, shop):
    for _ in range(2):
        code, out, err = command("experiments", "results", "home")
        assert code == 0, err
        assert "customers: usual 200, bold 200" in out
        assert "bold: not yet known by revenue_per_customer" in out


def test_results_as_json_have_every_figure(command, shop):
    code, out, err = command("experiments", "results", "home", "--json")
    assert code == 0, err
    report = orjson.loads(out)
    figures = {effect["measure"]: (effect["value"], effect["control"]) for effect in report["effects"]}
    assert figures["click_through"] == (1.0, 0.0)
    assert figures["conversion_rate"] == pytest.approx((67 / 200, 67 / 200))
    assert figures["margin_per_customer"] == pytest.approx((67 * 6 / 200, 67 * 6 / 200))
    assert report["should_stop"] == []
    assert {each["name"]: each["verdict"] for each in report["guardrails"]}["unsubscribe_rate"] == "no harm known"


def test_whoever_was_erased_is_not_counted(command, shop):
    command("experiments", "results", "home")
    assert command("erase", "c0")[0] == 0
    code, out, err = command("experiments", "results", "home")
    assert code == 0, err
    assert "customers: usual 199, bold 200" in out


def test_a_variant_that_drives_customers_away_is_stopped_and_says_why(command, shop):
    assert command("experiments", "guard")[1] == "home  goes on\n"
    with open_for_writing(shop, StorageConfig()) as opened:
        gone = [
            Event(f"c{number}", EventType.UNSUBSCRIBE, STARTS + 3 * HOUR, dedup_key=f"{number:016}".encode())
            for number in range(1, CUSTOMERS, 4)
        ]
        opened.store.events.append(gone, STARTS + 4 * HOUR)
    assert command("experiments", "guard")[1].startswith("home  stopped: bold: unsubscribe_rate is 0.5 instead of 0")
    assert "ended (bold: unsubscribe_rate is 0.5" in command("experiments", "list")[1]
    assert command("experiments", "guard")[1] == "no experiment runs\n"


def test_an_unknown_experiment_is_named(command, shop):
    code, _, err = command("experiments", "results", "hme")
    assert (code, "there is no experiment 'hme'" in err) == (2, True)


def test_a_plan_tells_customers_days_and_what_other_durations_find(command):
    code, out, err = command("experiments", "plan", "--usual", 0.03, "--daily", 4000, "--effect", 0.1)
    assert code == 0, err
    first, *_, last = out.splitlines()
    assert first.endswith("customers of variant and control together, 49 days, looked at any time")
    assert last.startswith("28 days find an effect of 1")


def test_a_plan_for_one_look_is_shorter_and_revenue_needs_its_deviation(command):
    _, any_time, _ = command("experiments", "plan", "--usual", 5, "--deviation", 30, "--daily", 4000)
    code, once, _ = command("experiments", "plan", "--usual", 5, "--deviation", 30, "--daily", 4000, "--once")
    assert code == 0
    assert int(once.split()[0].replace(",", "")) < int(any_time.split()[0].replace(",", ""))
    code, _, err = command("experiments", "plan", "--usual", 5, "--daily", 4000)
    assert (code, "give a number between 0 and 1, or a mean and its deviation" in err) == (2, True)
