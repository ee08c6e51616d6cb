"""Pages of shelves: how fast they are, whether what is due again is bought, and what leaving stand-ins out costs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from active_customers.catalog.kinds import ProductKinds
from active_customers.catalog.table import NO_TABLE, TableReader
from active_customers.core.event import Channel, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation import complements, due_again
from active_customers.evaluation.next_basket import next_basket
from active_customers.importing.interactions import read_interactions
from active_customers.kernels.catalog_table import TableColumns
from active_customers.kernels.substitutes import Nearness, stand_ins
from active_customers.models.base import SessionLog
from active_customers.models.item_knn import ItemKnn
from active_customers.models.kernel_arguments import frozen
from active_customers.realtime.shelves import ShelvesConfig
from active_customers.realtime.storefront import StorefrontConfig
from benchmarks.arrivals import Load
from benchmarks.audience import give_sessions
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.requests_in_process import Answering, timed
from benchmarks.service import serving
from benchmarks.spread import percentiles, spread
from benchmarks.traffic import CUSTOMERS
from benchmarks.wrk import check_wrk, wrk

_SHELVES, _N = 6, 10
_CONNECTIONS = 16
PAGES, P99_MS = 2_000, 50.0


def run(plan: Plan) -> Result:
    """Measure all of it; what needs a data set that is not at hand is left out."""
    check_wrk()
    n_calls = plan.size(CUSTOMERS)
    with plan.shops.main() as shop:
        with serving(shop.data_dir) as service:
            audience = give_sessions(service.port, n_calls)
            load = Load(service.port, audience.products, 0, "/api/v1/homepage?customer_id=%s")
            rounds = [wrk(load, plan.seconds(4), _CONNECTIONS) for _ in range(plan.rounds)]
        with Answering(shop.data_dir) as answering:
            routes = answering.services.shelves
            page = percentiles(
                timed(lambda i: routes.shelves.page(f"c{i}", Channel.WEB, (_SHELVES, _N)), n_calls), "us"
            )
            whole = percentiles(timed(lambda i: routes.answer([], b"customer_id=c%d" % i), n_calls), "us")
    figures: dict[str, Any] = {
        "pages_per_second": spread([found.requests_per_second for found in rounds]),
        "p99_ms": spread([found.p99_ms for found in rounds]),
        "page_us": page,
        "page_with_json_us": whole,
    }
    lines = [f"{name}: {found}" for name, found in figures.items()]
    marks = [
        Mark(
            "whole pages, one worker",
            float(np.median([r.requests_per_second for r in rounds])),
            PAGES,
            "pages a second",
            True,
        ),
        Mark("p99 of a page at full speed", float(np.median([r.p99_ms for r in rounds])), P99_MS, "ms"),
    ]
    for measure in (_due_again, _complements):
        more, mark = measure(plan)
        figures |= more
        marks += mark
        lines += [f"{name}: {found}" for name, found in more.items()]
    return Result(shop.name, plan.rounds, figures, lines, marks)


def _due_again(plan: Plan) -> tuple[dict[str, Any], list[Mark]]:
    """Measure the shelf of what is due on UCI Online Retail, the last 30 days."""
    file = plan.shops.data / "uci_online_retail" / "transactions.parquet"
    if not file.exists():
        return {}, []
    say("what is due again")
    task, config = next_basket([read_interactions(file, "uci-online-retail")]), ShelvesConfig()
    found = due_again.measure(task, (config.interval_days, config.due_from))
    apart = found.differences["precision"]
    figures = {
        "customers": found.questions,
        "precision_at_10": found.precision,
        "precision_at_10_of_popular": found.precision_of_popular,
        "better_by": apart.as_dict(),
    }
    return {"due_again": figures}, [
        Mark("due again: precision above popularity, lower end", apart.interval[0], 0.0, least=True)
    ]


def _complements(plan: Plan) -> tuple[dict[str, Any], list[Mark]]:
    """Measure carts of RetailRocket, whose prices are not known and taken for near, and baskets of UCI Online Retail.

    What has no categories there is taken to be of one where the first two words of the names are the same.
    """
    figures: dict[str, Any] = {}
    for name, read in (("retailrocket_slice", _retailrocket), ("uci_online_retail", _uci)):
        folder = plan.shops.data / name
        if not folder.exists():
            continue
        say(f"complements of carts: {name}")
        log, prices, categories = read(folder)
        table = NO_TABLE._replace(
            standing=frozen(np.ones(len(prices), np.uint8)),
            prices=frozen(prices),
            categories=frozen(categories),
            groups=frozen(np.full(len(prices), NO_NUMBER, np.uint32)),
        )
        kinds = ProductKinds(_Fixed(table))
        kinds.follow()
        found = complements.measure(log, log.n_sessions // 2, partial(_stand_ins, kinds))
        figures[name] = {
            "carts": found.questions,
            "answers_changed": found.changed,
            "hr_at_10": found.without,
            "hr_at_10_with_stand_ins": found.with_stand_ins,
            "difference": found.differences["hr"].as_dict(),
        }
    return {"complements": figures}, []


class _Fixed(TableReader):
    """A table that is not read from files."""

    def __init__(self, table: TableColumns) -> None:
        super().__init__()
        self._mapped = table


def _stand_ins(kinds: ProductKinds, model: ItemKnn) -> complements.StandIns:
    handed, config = kinds.handed(), StorefrontConfig()
    nearness = Nearness(config.near_price, config.often_baskets)
    return lambda cart: stand_ins(handed, model.bought, cart, nearness)


_Described = tuple[SessionLog, NDArray[np.float64], NDArray[np.uint32]]


def _retailrocket(folder: Path) -> _Described:
    columns = pq.read_table(folder / "events.parquet", columns=["ts", "session_id", "event", "item_id", "category_id"])
    products, codes = np.unique(columns["item_id"].to_numpy(), return_inverse=True)
    categories = np.full(len(products), NO_NUMBER, np.uint32)
    categories[codes] = columns["category_id"].to_numpy().astype(np.uint32)
    kinds = {"view": EventType.VIEW, "addtocart": EventType.CART_ADD, "transaction": EventType.PURCHASE}
    types = np.array([kinds[word] for word in columns["event"].to_pylist()], np.uint8)
    log = _log(columns["session_id"].to_numpy(), codes, types, columns["ts"].cast("timestamp[us]").to_numpy())
    return log, np.ones(len(products)), categories


def _uci(folder: Path) -> _Described:
    table = pq.read_table(folder / "transactions.parquet")
    table = table.filter(pc.greater(table["Quantity"], 0))
    _ids, codes = np.unique(table["StockCode"].to_numpy(), return_inverse=True)
    first = np.unique(codes, return_index=True)[1]
    names = [" ".join((name or "").split()[:2]) for name in table["Description"].take(first).to_pylist()]
    prices = table["UnitPrice"].to_numpy()[first].astype(np.float64)
    sessions = np.unique(table["InvoiceNo"].to_numpy(), return_inverse=True)[1]
    types = np.full(len(codes), EventType.PURCHASE, np.uint8)
    log = _log(sessions, codes, types, table["InvoiceDate"].cast("timestamp[us]").to_numpy())
    return log, prices, np.unique(names, return_inverse=True)[1].astype(np.uint32)


def _log(sessions: NDArray[Any], products: NDArray[Any], types: NDArray[np.uint8], times: NDArray[Any]) -> SessionLog:
    columns = {
        "session": sessions,
        "product": products,
        "event_type": types,
        "time": times.astype(np.int64),
        "customer": sessions.astype(np.uint32),
    }
    return SessionLog.from_rows(columns, int(products.max()) + 1, int(columns["time"].max()))
