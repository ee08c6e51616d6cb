"""What `simulate` writes: the same bytes for the same arguments, in the shapes that the importer reads."""

import hashlib
import json
from xml.etree import ElementTree as ET

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from active_customers.core.clock import DAY, parse_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import PUBLIC_WORDS
from active_customers.evaluation.simulator import Shop, SimulatorConfig, simulate
from active_customers.evaluation.simulator.journal import SCHEMA

SMALL = SimulatorConfig(customers=150, products=60, days=10, seed=11)


def _digest(out):
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("*.*")}


def _lines(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("events_format", ["parquet", "jsonl"])
def test_the_same_arguments_give_the_same_bytes(tmp_path, events_format):
    config = SMALL.model_copy(update={"events_format": events_format})
    simulate(config, tmp_path / "a")
    simulate(config, tmp_path / "b")
    assert _digest(tmp_path / "a") == _digest(tmp_path / "b")
    assert len(_digest(tmp_path / "a")) == 3 + 60


def test_another_seed_gives_another_shop(tmp_path):
    simulate(SMALL, tmp_path / "a")
    simulate(SMALL.model_copy(update={"seed": 12}), tmp_path / "b")
    one, other = _digest(tmp_path / "a"), _digest(tmp_path / "b")
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in ("products.jsonl", "events.parquet", "simulation.json"))


def test_events_are_a_typed_table_ordered_by_time_within_the_period(tmp_path):
    report = simulate(SMALL, tmp_path)
    table = pq.read_table(tmp_path / "events.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
    times = table["timestamp"].cast(pa.int64()).to_pylist()
    assert times == sorted(times)
    assert parse_time("2025-06-20T00:00:00Z") <= times[0]
    assert times[-1] < parse_time("2025-06-30T00:00:00Z")
    assert pc.count_distinct(table["event_id"]).as_py() == table.num_rows == report.events
    assert set(table["event_type"].to_pylist()) <= set(PUBLIC_WORDS)


def test_both_formats_hold_the_same_events(tmp_path):
    simulate(SMALL, tmp_path / "parquet")
    simulate(SMALL.model_copy(update={"events_format": "jsonl"}), tmp_path / "jsonl")
    rows = pq.read_table(tmp_path / "parquet" / "events.parquet").to_pylist()
    lines = _lines(tmp_path / "jsonl" / "events.jsonl")
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert parse_time(line["timestamp"]) == parse_time(row.pop("timestamp").isoformat())
        assert {name: str(value) for name, value in row.items() if value is not None} == {
            name: str(value) for name, value in line.items() if name != "timestamp"
        }


def test_events_point_at_products_and_products_at_pictures(tmp_path):
    simulate(SMALL, tmp_path)
    products = _lines(tmp_path / "products.jsonl")
    ids = {str(product["product_id"]) for product in products}
    events = pq.read_table(tmp_path / "events.parquet")
    assert set(events["product_id"].drop_null().to_pylist()) <= ids
    for product in products:
        assert parse_time(product["released"]) % DAY == 0
        assert product["currency"] == "EUR"
        ET.parse(tmp_path / product["image"])  # noqa: S314 - our own


def test_no_event_names_a_product_before_its_release(tmp_path):
    simulate(SMALL.model_copy(update={"new_product_share": 0.5, "pictures": False}), tmp_path)
    released = {str(p["product_id"]): parse_time(p["released"]) for p in _lines(tmp_path / "products.jsonl")}
    events = pq.read_table(tmp_path / "events.parquet", columns=["product_id", "timestamp"]).drop_null()
    times = events["timestamp"].cast(pa.int64()).to_pylist()
    ids = events["product_id"].to_pylist()
    assert all(time >= released[product] for product, time in zip(ids, times, strict=True))
    assert any(released[product] > SMALL.start for product in ids)


def test_the_report_is_written_and_opens_the_same_shop_again(tmp_path):
    report = simulate(SMALL, tmp_path)
    written = json.loads((tmp_path / "simulation.json").read_text())
    assert written["events"] == report.events
    assert written["conversion"] == report.conversion
    again = Shop.open(SimulatorConfig(**written["arguments"]))
    first = Shop.open(SMALL)
    assert (again.catalogue.price == first.catalogue.price).all()
    assert (again.customers.taste == first.customers.taste).all()


def test_pictures_can_be_left_out(tmp_path):
    report = simulate(SMALL.model_copy(update={"pictures": False}), tmp_path)
    assert report.pictures == 0
    assert not (tmp_path / "images").exists()
    assert all("image" not in product for product in _lines(tmp_path / "products.jsonl"))


def test_a_second_run_replaces_the_first_and_leaves_strange_files_alone(tmp_path):
    simulate(SMALL, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    simulate(SimulatorConfig(customers=20, products=10, days=2, events_format="jsonl"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("events.jsonl", "images", "notes.txt", "products.jsonl", "simulation.json"),
    ]
    assert len(list((tmp_path / "images").iterdir())) == 10


def test_progress_counts_the_days(tmp_path):
    seen = []
    simulate(SMALL.model_copy(update={"pictures": False}), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(day, 10) for day in range(1, 11)]


def test_the_smallest_shop_works(tmp_path):
    report = simulate(SimulatorConfig(customers=1, products=1, days=1), tmp_path)
    assert report.products == 1
    assert (tmp_path / "events.parquet").exists()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_every_share_may_be_none_or_all(tmp_path, share):
    names = ("new_product_share", "stock_out_share", "anonymous_share", "one_time_share", "wander_share", "cart_rate")
    more = ("complement_share", "resume_share", "checkout_rate", "payment_rate", "refund_rate", "cart_remove_rate")
    config = SimulatorConfig(customers=60, products=40, days=5, pictures=False, **dict.fromkeys(names + more, share))
    assert simulate(config, tmp_path).events > 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customers", 0),
        ("products", -5),
        ("days", -1),
        ("days", 1_000_000),
        ("seed", -1),
        ("page_size", 0),
        ("bounce_share", 1.5),
        ("cart_rate", float("nan")),
        ("visits_per_month", 0.0),
        ("click_bias", float("inf")),
        ("end", "tomorrow"),
        ("end", "2025-06-30T12:00:00Z"),
    ],
)
def test_a_bad_argument_is_refused_by_name_with_a_remedy(field, value):
    with pytest.raises(InvalidValueError) as caught:
        SimulatorConfig(**{field: value})
    assert caught.value.field == field
    assert caught.value.remedy.startswith("send ")
