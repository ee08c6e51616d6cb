"""A product that was imported and that nobody has looked at is proposed after the next refresh, beside similar ones."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tests.conftest import lightgbm_or_skip
from tests.refreshed_shop import END, Shop

from active_customers.batch.daily_refresh import NO_CATALOGUE
from active_customers.batch.history import COLUMNS, History
from active_customers.core.product import Product
from active_customers.core.session import SessionQuery
from active_customers.evaluation.simulator import SimulatorConfig, simulate
from active_customers.models.hybrid_model import Hybrid
from active_customers.realtime.session_recommender import load_models

lightgbm_or_skip()

N = 10
SESSIONS = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files of a simulated shop in which every tenth product has not met a customer."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(SimulatorConfig(customers=1_500, products=250, days=14, end=END, pictures=False), folder)
    events = pq.read_table(folder / "events.parquet")
    touched = pc.invert(pc.fill_null(pc.is_in(events["product_id"], pa.array(untouched(folder))), False))
    pq.write_table(events.filter(touched), folder / "warm.parquet")
    return folder


def products_of(folder: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in (folder / "products.jsonl").read_bytes().splitlines()]


def untouched(folder: Path) -> list[str]:
    return [str(product["product_id"]) for product in products_of(folder)[::10]]


@pytest.fixture(scope="module")
def shop(folder, tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("shop") / "data")
    shop.take_products(folder / "products.jsonl")
    shop.take(folder / "warm.parquet")
    shop.refresh()
    return shop


def hybrid_of(shop: Shop) -> Hybrid:
    return load_models(*shop.artifacts.load(shop.artifacts.current() or "")).hybrid


def question(products) -> SessionQuery:
    n = len(products)
    return SessionQuery(np.array(products, np.uint32), np.ones(n, np.uint8), np.zeros(n, np.int64), 0)


def test_most_untouched_products_come_up_where_customers_look_at_their_category(shop, folder):
    """Trees that met no untouched product while they learned would bury all of them."""
    hybrid, number = hybrid_of(shop), shop.numbers()
    cold = {number[product_id] for product_id in untouched(folder)}
    warm = defaultdict(list)
    for product in products_of(folder):
        if number[str(product["product_id"])] not in cold:
            warm[product["category"]].append(number[str(product["product_id"])])
    category = {number[str(product["product_id"])]: product["category"] for product in products_of(folder)}
    rng = np.random.default_rng(1)
    came_up, shown = set(), []
    for product in sorted(cold):
        beside = warm[category[product]]
        for _ in range(SESSIONS if len(beside) >= 3 else 0):
            asked = question(rng.choice(beside, 3, replace=False))
            found = hybrid.candidates(asked, N, asked.products).products.tolist()
            came_up |= {product} & set(found)
            shown += found
    asked_for = [product for product in cold if len(warm[category[product]]) >= 3]
    assert len(came_up) > len(asked_for) / 2
    assert np.isin(shown, list(cold)).mean() < 0.2  # a tenth of the catalogue does not crowd the others out


def test_a_refresh_says_how_many_products_the_catalogue_describes(shop):
    manifest, _ = shop.artifacts.load(shop.artifacts.current() or "")
    assert manifest.facts["described"] == 250
    assert manifest.facts["products"] < 250 <= manifest.n_products


def test_what_is_not_on_sale_yet_is_not_described():
    catalogue = {0: Product("a", name="lamp", released=5), 1: Product("b", name="lamp", released=6)}
    history = History({name: np.zeros(1, np.int64) for name in COLUMNS}, 1, [])
    found = history.described(catalogue, 5).features
    assert np.diff(found.offsets).tolist() == [1, 0]


def test_a_shop_without_a_catalogue_learns_as_before():
    history = History({name: np.zeros(1, np.int64) for name in COLUMNS}, 1, [])
    assert history.described(NO_CATALOGUE, 5) is history
    assert history.log(0).features is None
