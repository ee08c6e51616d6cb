"""Microseconds of each part of an answer, called one after the other in one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from active_customers.config.settings import Settings
from active_customers.core.event import EventType
from active_customers.core.session import MAX_WORDS, CustomerState, SessionQuery, State
from active_customers.kernels.session_state import fold
from active_customers.models.artifacts import ArtifactStore
from active_customers.models.base import Model
from active_customers.models.registry import MODELS, entry_named
from active_customers.realtime.hot_routes import parse_query
from active_customers.realtime.live_reader import LiveReader
from active_customers.storage.data_dir import DataDirectory
from benchmarks.audience import give_sessions
from benchmarks.errors import BenchmarkError
from benchmarks.plan import Plan, Result, say
from benchmarks.requests_in_process import Answering, timed
from benchmarks.service import serving
from benchmarks.spread import percentiles, shown, spread
from benchmarks.traffic import CUSTOMERS

_N = 10
_LOW = (1 << 32) - 1

Calls = Mapping[str, Callable[[int], object]]


def run(plan: Plan) -> Result:
    """Time every part for 10,000 customers with sessions, some rounds in turn."""
    n_calls = plan.size(CUSTOMERS)
    with plan.shops.main() as shop:
        with serving(shop.data_dir) as service:
            give_sessions(service.port, plan.size(CUSTOMERS))
        with Answering(shop.data_dir) as answering:
            calls = {**_models(answering, shop.data_dir, n_calls), **_path(answering, n_calls)}
            rounds = []
            for number in range(plan.rounds + 1):
                say(f"round {number} of {plan.rounds}" if number else "warm-up")
                measured = {name: percentiles(timed(call, n_calls), "us") for name, call in calls.items()}
                measured["GET, whole"] = percentiles(answering.time_requests(n_calls), "us")
                rounds.append(measured)
    figures: dict[str, Any] = {
        name: {field: spread([measured[name][field] for measured in rounds[1:]]) for field in rounds[0][name]}
        for name in rounds[0]
    }
    lines = [
        f"{name}: p50 {shown(found['p50_us'], ' us')}, p99 {shown(found['p99_us'], ' us')}"
        for name, found in figures.items()
    ]
    return Result(shop.name, plan.rounds, {"calls": n_calls, **figures}, lines)


def _path(answering: Answering, n_customers: int) -> Calls:
    """Return what happens to a request on its way, step by step."""
    services = answering.services
    engine, encoder = services.hot._engine, services.hot._encoder  # the very ones that requests meet
    queries = [parse_query(_query(number)) for number in range(n_customers)]
    answers = [engine.recommend(query) for query in queries]
    states = [_state(answering, query.customer_id) for query in queries]
    out = np.empty(MAX_WORDS, np.int64)
    act = np.array([[EventType.VIEW, 1, answers[0].now, 1, 0, 1 << 40]], np.int64)
    return {
        "parse a query": lambda i: parse_query(_query(i)),
        "state, read": lambda i: services.store.sessions.state(queries[i].customer_id),
        "Engine.recommend": lambda i: engine.recommend(queries[i]),
        "encode": lambda i: encoder.encode(queries[i], answers[i]),
        "state, fold an act": lambda i: fold(states[i], act.copy(), out),
    }


def _models(answering: Answering, data_dir: Path, n_customers: int) -> Calls:
    """Return each model on its own, and the reader of the live index, asked about the customers' sessions."""
    sessions = [_session(answering, f"c{number}") for number in range(n_customers)]
    directory, settings = DataDirectory(data_dir), Settings()
    artifacts = ArtifactStore(directory.models)
    manifest, arrays = artifacts.load(artifacts.current() or "")
    live = LiveReader(directory.live, settings.models.hybrid.session_knn, settings.models.popularity)
    models = {name: entry_named(name).load(arrays[name], manifest.configs[name]) for name in MODELS}
    asked = {name: _asking(model, sessions) for name, model in models.items()}
    return {**asked, "live_index": lambda i: live.candidates(sessions[i], _N)}


def _asking(model: Model, sessions: list[SessionQuery]) -> Callable[[int], object]:
    return lambda i: model.candidates(sessions[i], _N)


def _session(answering: Answering, customer: str) -> SessionQuery:
    events = CustomerState.of(_state(answering, customer)).events
    products, kinds = (events[:, 2] & _LOW).astype(np.uint32), (events[:, 2] >> 32).astype(np.uint8)
    return SessionQuery(products, kinds, events[:, 0].copy(), int(events[-1, 0]))


def _state(answering: Answering, customer: str) -> State:
    state = answering.services.store.sessions.state(customer)
    if state is None:
        raise BenchmarkError(f"{customer} has no session although one was posted")
    return state


def _query(number: int) -> bytes:
    return b"customer_id=c%d&context=home&n=10" % number
