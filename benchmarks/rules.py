"""What 500 rules cost where a per cent of 100,000 products changes its stock each second, and when answers know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from active_customers.realtime.hot_routes import parse_query
from benchmarks.arrivals import Load
from benchmarks.audience import ProductId, asked, give_sessions
from benchmarks.errors import BenchmarkError
from benchmarks.http_connection import Connection
from benchmarks.plan import Mark, Plan, Result, say
from benchmarks.requests_in_process import Answering, timed
from benchmarks.service import command, serving
from benchmarks.shops import Shop
from benchmarks.spread import percentiles, shown, spread
from benchmarks.synthetic import SyntheticHistory
from benchmarks.traffic import CUSTOMERS, KEY, get
from benchmarks.wrk import Throughput, check_wrk, wrk

PRODUCTS, EVENTS = 100_000, 500_000
RULES = 500
WORKERS = 2
CHANGES_PER_SECOND = 1_000
_CHANGES_AT_ONCE = 50
_CONNECTIONS = 8
"""Connections that the same question is asked over, so that every worker is met."""
_PATIENCE_SECONDS = 10.0
_LOOKS = 30
_FEW, _MANY = 3, 50
"""Pieces in stock: a rule keeps out what has fewer than the first."""
_WATCHED = 10
"""Only products whose number this divides are watched, and none of these is changed by others meanwhile."""
_PLENTY = 64
"""Connections of the mix."""


def run(plan: Plan) -> Result:
    """Measure the mix without rules and with rules and changes, when answers know a change, and the pass in process."""
    check_wrk()
    history = SyntheticHistory(plan.size(PRODUCTS), plan.size(EVENTS))
    with plan.shops.synthetic(history) as shop:
        _describe(shop, history.products)
        with serving(shop.data_dir, WORKERS) as service:
            audience = give_sessions(service.port, plan.size(CUSTOMERS))
            load = Load(service.port, audience.products, 5)
            say("the mix without rules")
            plain = wrk(load, plan.seconds(10, 3), _PLENTY)
            _put_rules(service.port)
            say(f"the mix with {RULES} rules and {CHANGES_PER_SECOND:,} changes a second")
            with _changing(service.port, history.products) as made:
                ruled = wrk(load, plan.seconds(10, 3), _PLENTY)
                say("until an answer knows a change")
                waits = _waits(service.port, plan.seconds(20, 4))
                changes = made()
        say("an answer in process")
        costs = _costs(shop, plan)
    return _result(plan, shop, {"plain": plain, "ruled": ruled}, (waits, changes), costs)


def _describe(shop: Shop, products: int) -> None:
    """Put all products into the catalogue."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "products.jsonl"
        with path.open("wb") as file:
            for number in range(products):
                entry = {
                    "product_id": number,
                    "name": f"Product {number}",
                    "category": f"Area {number // 50 % 20} > Aisle {number // 50 % 500}",
                    "brand": f"Brand {number * 7919 % 300}",
                    "price": 5 + number % 200,
                    "stock": _MANY,
                    "tags": [f"tag-{number % 40}"],
                    "attributes": {"colour": f"colour {number % 12}", "weight": number % 30 / 10},
                }
                file.write(orjson.dumps(entry) + b"\n")
        command("import-products", path, "--data-dir", shop.data_dir)


def _rules() -> Iterator[dict[str, object]]:
    """Yield the rules, of every kind but `include`, which would leave little."""
    yield {"name": "few", "kind": "exclude", "filter": f"stock < {_FEW}"}
    yield {"name": "page", "kind": "page", "max_per_brand": 0.5}
    for number in range(RULES - 2):
        aisle, brand, tag = f"Aisle {number % 500}", f"Brand {number % 300}", f"tag-{number % 40}"
        by_kind: Sequence[Mapping[str, object]] = (
            {"kind": "exclude", "filter": f'category under "Area 3 > {aisle}" and price > 200 and stock < 10'},
            {"kind": "boost", "filter": f'brand = "{brand}" and not on_sale', "factor": 1.1},
            {"kind": "bury", "filter": f"tags has {tag} and attributes.weight > 2.8", "factor": 0.9},
            {"kind": "exclude", "filter": f'brand in ("{brand}", "Brand 1") and price > 204', "contexts": ["cart"]},
        )
        yield {"name": f"rule-{number}", **by_kind[number % len(by_kind)]}


def _put_rules(port: int) -> None:
    with _connected(port) as connection:
        _sent(connection, "PUT", "/api/v1/rules", {"rules": list(_rules())})
    time.sleep(2)  # taken up by all workers


@contextmanager
def _changing(port: int, products: int) -> Iterator[Callable[[], float]]:
    """Change stocks at a steady rate while the block lasts; yields what tells how many a second were made."""
    enough, count, started = threading.Event(), 0, time.perf_counter()

    def change() -> None:
        nonlocal count
        with _connected(port) as connection:
            while not enough.is_set():
                due = started + count / CHANGES_PER_SECOND
                time.sleep(max(due - time.perf_counter(), 0))
                numbers = [(count + i) * 7919 % products // _WATCHED * _WATCHED + 1 for i in range(_CHANGES_AT_ONCE)]
                entries = [{"product_id": number, "stock": _MANY + count % 7} for number in numbers]
                _sent(connection, "POST", "/api/v1/products", {"products": entries, "merge": True})
                count += _CHANGES_AT_ONCE

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield lambda: count / (time.perf_counter() - started)
    finally:
        enough.set()
        thread.join()


def _waits(port: int, seconds: float) -> list[float]:
    """Return the seconds until answers over all connections knew that a product was low, then that it was not."""
    waits: list[float] = []
    connections = [Connection(port).open() for _ in range(_CONNECTIONS)]
    end = time.perf_counter() + seconds
    customer = 0
    while not waits or (time.perf_counter() < end and len(waits) < _LOOKS):
        question = get(f"c{customer}", context="home", n=100)
        customer += 1
        for product in [product for product in asked(connections[0], question) if int(product) % _WATCHED == 0][:1]:
            for stock, is_shown in ((_FEW - 1, False), (_MANY, True)):
                _sent(connections[0], "PATCH", f"/api/v1/products/{product}", {"stock": stock})
                waits.append(_wait(connections, question, product, is_shown=is_shown))
    for connection in connections:
        connection.close()
    return waits


def _wait(connections: Sequence[Connection], question: bytes, product: ProductId, *, is_shown: bool) -> float:
    """Return the seconds until all answers show a product, or none do."""
    started = time.perf_counter()
    while any((product in asked(connection, question)) != is_shown for connection in connections):
        if time.perf_counter() - started > _PATIENCE_SECONDS:
            raise BenchmarkError(f"answers did not know a changed stock within {_PATIENCE_SECONDS:g} s")
        time.sleep(0.005)
    return time.perf_counter() - started


def _costs(shop: Shop, plan: Plan) -> dict[str, list[dict[str, float]]]:
    """Return percentiles of an answer in microseconds, round by round: without rules, with them, and with a filter."""
    n_calls = plan.size(CUSTOMERS)
    with Answering(shop.data_dir) as answering:
        engine = answering.services.hot._engine  # the very one that requests meet
        queries = [parse_query(b"customer_id=c%d&context=home&n=10" % number) for number in range(n_calls)]
        filtered = [query._replace(filter="price < 100 and stock > 0") for query in queries]
        unruled = engine.way(queries[0])._replace(applied=engine.rules.nothing()._replace(beyond=0))
        calls: dict[str, Callable[[int], object]] = {
            "without rules": lambda i: engine._answer(queries[i], unruled),
            "with rules": lambda i: engine.recommend(queries[i]),
            "with rules and a filter": lambda i: engine.recommend(filtered[i]),
        }
        rounds = [{name: percentiles(timed(call, n_calls), "us") for name, call in calls.items()} for _ in range(3)]
    return {name: [measured[name] for measured in rounds[1:]] for name in calls}


def _result(
    plan: Plan,
    shop: Shop,
    mixes: Mapping[str, Throughput],
    changed: tuple[Sequence[float], float],
    costs: Mapping[str, Sequence[Mapping[str, float]]],
) -> Result:
    waits, changes = changed
    p50 = {name: spread([measured["p50_us"] for measured in found]) for name, found in costs.items()}
    p99 = {name: spread([measured["p99_us"] for measured in found]) for name, found in costs.items()}
    figures: dict[str, Any] = {
        "rules": RULES,
        "workers": WORKERS,
        "changes_per_second": round(changes, 1),
        "seconds_until_known": {**spread(waits), "n": len(waits)},
        **{
            f"mix_{name}": {"requests_per_second": mix.requests_per_second, "p50_ms": mix.p50_ms, "p99_ms": mix.p99_ms}
            for name, mix in mixes.items()
        },
        "answer_us": {name: {"p50": p50[name], "p99": p99[name]} for name in costs},
    }
    lines = [f"answers of all workers knew a changed stock after {shown(spread(waits), ' s')}"]
    for name, mix in mixes.items():
        lines.append(f"mix {name}: {mix.requests_per_second:,.0f} requests/s, p99 {mix.p99_ms:g} ms")
    lines += [f"an answer {name}: p50 {shown(p50[name], ' us')}, p99 {shown(p99[name], ' us')}" for name in costs]
    ruled = mixes["ruled"]
    marks = [
        Mark("a changed stock in all answers with 500 rules, at worst", max(waits), 1, "s"),
        Mark("stock changes a second meanwhile", changes, 0.95 * CHANGES_PER_SECOND, least=True),
        Mark("80/20 mix with 500 rules and these changes", ruled.requests_per_second, 10_000, "requests/s", least=True),
        Mark("p99 of that mix", ruled.p99_ms, 50, "ms"),
        Mark("engine with 500 rules, p50", p50["with rules"]["median"], 100, "us"),
    ]
    return Result(shop.name, plan.rounds, figures, lines, marks)


@contextmanager
def _connected(port: int) -> Iterator[Connection]:
    connection = Connection(port).open()
    try:
        yield connection
    finally:
        connection.close()


def _sent(connection: Connection, method: str, path: str, content: object) -> None:
    """Send JSON; raises `BenchmarkError` unless it was taken."""
    body = orjson.dumps(content)
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    reply = connection.exchange(head.encode() + body)
    if reply.status != 200:
        raise BenchmarkError(f"{method} {path} was answered {reply.status}: {reply.body[:300]!r}")
