"""Both load generators ask and post the same, and no event twice."""

from __future__ import annotations

import shutil

import orjson
import pytest
from benchmarks.arrivals import Load, generate
from benchmarks.errors import BenchmarkError
from benchmarks.generator import Arrivals
from benchmarks.traffic import KEY
from benchmarks.wrk import wrk

PRODUCTS = [11, "twelve", 13]

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@pytest.mark.parametrize(
    "load",
    [
        pytest.param(lambda asked: wrk(asked, 1, 1), id="wrk", marks=needs_wrk),
        pytest.param(lambda asked: generate(asked, Arrivals(200, 1, connections=1)), id="open loop"),
    ],
)
def test_a_mix_is_four_questions_and_one_new_event(known_server, load):
    """Every fifth request posts a view that was never posted before; keys are on; customers take turns."""
    server = known_server()
    load(Load(server.port, PRODUCTS, 5))
    load(Load(server.port, PRODUCTS, 5))
    is_post = [head.startswith(b"POST /api/v1/events ") for head in server.requests]
    assert sum(is_post) >= 40
    assert abs(sum(is_post) - len(is_post) / 5) <= 2
    assert all(f"X-API-Key: {KEY}".encode() in head for head in server.requests)
    events = [orjson.loads(body) for body in server.bodies if body]
    assert len({event["event_id"] for event in events}) == len(events) == sum(is_post)
    assert {event["product_id"] for event in events} == set(PRODUCTS)
    questions = [head for head in server.requests if head.startswith(b"GET ")]
    assert all(b"/api/v1/recommendations?customer_id=c" in head and b"&n=10 " in head for head in questions)
    assert len(set(questions)) >= 80


@needs_wrk
def test_wrk_measures_what_was_answered_and_refuses_errors(known_server):
    """Every answer is counted; one that is not a 2xx voids the run."""
    server = known_server()
    found = wrk(Load(server.port, PRODUCTS, 0), 1, 2)
    assert 0 < found.requests <= len(server.requests)
    assert 0 < found.p50_ms <= found.p99_ms <= found.max_ms
    refusing = known_server(lambda number: (500 if number == 3 else 200, 0.0))
    with pytest.raises(BenchmarkError, match="1 requests failed"):
        wrk(Load(refusing.port, PRODUCTS, 0), 1, 2)
