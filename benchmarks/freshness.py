"""How soon answers know what just happened: a new product in others' answers, an event in the customer's own.

Others' answers know a new product when visits since the models were trained vote for it (`GET /api/v1/explain`).
Whether it is among the first products of the answer then is up to the ranking: five visits that went on to it are much
beside a product that few looked at, and little beside the shop's most popular one. Both are reported.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from benchmarks.arrivals import Generating, Load, summed_up
from benchmarks.audience import Audience, ProductId, asked, give_sessions, posted
from benchmarks.errors import BenchmarkError
from benchmarks.generator import Arrivals
from benchmarks.http_connection import Connection
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.service import serving
from benchmarks.shops import Shop
from benchmarks.spread import shown, spread
from benchmarks.synthetic import SyntheticHistory
from benchmarks.traffic import CUSTOMERS, get, get_path

EVENTS_PER_SECOND = 2_000.0
WORKERS = 2
_VISITORS = 5
"""Customers who look at a new product beside a known one."""
_CONNECTIONS = 8
"""Connections that the same customer asks over, so that every worker is met."""
_PATIENCE_SECONDS = 10.0
_SHOWN = 20
_MOST = 20
"""New products."""


def run(plan: Plan) -> Result:
    """Post events at a steady rate; meanwhile bring new products in, and hide products, again and again."""
    history = SyntheticHistory(plan.size(50_000), plan.size(500_000))
    arrivals = Arrivals(EVENTS_PER_SECOND, plan.seconds(45, 10))
    with plan.shops.synthetic(history) as shop, serving(shop.data_dir, WORKERS) as service:
        audience = give_sessions(service.port, plan.size(CUSTOMERS))
        with Generating(Load(service.port, audience.products, 1), arrivals) as generating:
            started = time.perf_counter()
            say(f"new products at {EVENTS_PER_SECOND:,g} events a second")
            waits, n_shown = _new_products(service.port, audience, started + 0.7 * arrivals.seconds)
            say("the same customer's next answer, on every worker")
            checked = _hidden_at_once(service.port, started + 0.9 * arrivals.seconds)
            meanwhile = summed_up(generating.timings(), arrivals, 1)
    return _result(shop, (waits, n_shown), checked, meanwhile)


def _result(shop: Shop, found: tuple[Sequence[float], int], checked: int, meanwhile: Mapping[str, Any]) -> Result:
    waits, n_shown = found
    seen = [seconds for seconds in waits if not math.isnan(seconds)]
    figures: dict[str, Any] = {
        "workers": WORKERS,
        "new_products": len(waits),
        "known_to_others": len(seen),
        "seconds_until_known": spread(seen) if seen else None,
        "shown_to_others": n_shown,
        "next_answers_checked": checked,
        "next_answers_that_did_not_know": 0,
        "events_meanwhile": meanwhile,
    }
    when = f"after {shown(spread(seen), ' s')}" if seen else f"not within {_PATIENCE_SECONDS:g} s"
    lines = [
        f"new products that others' answers know: {len(seen)} of {len(waits)}, {when}",
        f"of these among the first {_SHOWN} products then: {n_shown}",
        f"the same customer's next answer knew the event each time: {checked} answers over {_CONNECTIONS} connections",
    ]
    marks = [
        Mark(
            "others' answers know a new product, at worst", waits[-1] if len(seen) < len(waits) else max(waits), 2, "s"
        ),
        Mark("events a second meanwhile", meanwhile["achieved_per_second"], 0.99 * EVENTS_PER_SECOND, least=True),
    ]
    return Result(shop.name, len(waits), figures, lines, marks)


def _new_products(port: int, audience: Audience, end: float) -> tuple[list[float], int]:
    """Return the seconds until others' answers knew each new product, and how many were shown then.

    NaN for a product that they did not know, which ends it.
    """
    waits: list[float] = []
    n_shown = 0
    connection = Connection(port).open()
    while not waits or (time.perf_counter() < end and len(waits) < _MOST and not math.isnan(waits[-1])):
        anchor = audience.products[len(waits) * 7919 % len(audience.products)]
        product = f"new-{len(waits)}"
        waits.append(_seconds_until_known(connection, anchor, product))
        n_shown += product in asked(connection, _question(anchor, product))
    connection.close()
    return waits, n_shown


def _question(anchor: ProductId, product: str) -> bytes:
    """Return what another customer asks, who looked at the known product only."""
    return get(f"{product}-other", context="browse", product_id=anchor, n=_SHOWN)


def _seconds_until_known(connection: Connection, anchor: ProductId, product: str) -> float:
    """Let some customers look at a new product after a known one; ask for another who looked at the known one only."""
    for visitor in range(_VISITORS):
        who = f"{product}-visitor-{visitor}"
        posted(connection, [_act(who, "view", anchor), _act(who, "view", product)])
    started = time.perf_counter()
    why = f"/api/v1/explain?customer_id={product}-other&product_id={product}&context=browse&page_product_id={anchor}"
    posted(connection, [_act(f"{product}-other", "view", anchor)])
    while time.perf_counter() - started < _PATIENCE_SECONDS:
        sources = orjson.loads(connection.exchange(get_path(why)).body)["sources"]
        if any(source["numbers"].get("live_votes") for source in sources):
            return time.perf_counter() - started
        time.sleep(0.01)
    return math.nan


def _hidden_at_once(port: int, end: float) -> int:
    """Hide the first product of one customer's answer after the other's; return how many next answers were checked.

    Raises `BenchmarkError` when one shows it: what was acknowledged is known to the next request, on any worker.
    """
    connections = [Connection(port).open() for _ in range(_CONNECTIONS)]
    customers = 0
    while not customers or time.perf_counter() < end:
        question = get(f"c{customers}", context="home", n=_SHOWN)
        unwanted = asked(connections[0], question)[0]
        posted(connections[0], [_act(f"c{customers}", "hide", unwanted)])
        if any(unwanted in asked(connection, question) for connection in connections):
            raise BenchmarkError(f"c{customers} hid product {unwanted}, and an answer after that showed it")
        customers += 1
    for connection in connections:
        connection.close()
    return customers * _CONNECTIONS


def _act(customer: str, kind: str, product: ProductId) -> dict[str, object]:
    return {"customer_id": customer, "event_type": kind, "product_id": product}
