"""Whether what tests of variants tell is true: false alarms, intervals, power; and how long their log takes to fold."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import DAY, HOUR
from active_customers.core.event import Channel, Context, EventType
from active_customers.experiments.analysis import AnalysisConfig, analyse
from active_customers.experiments.definition import Experiment, Variant
from active_customers.experiments.estimators import Counted, difference, fixed_p
from active_customers.experiments.exposed import People
from active_customers.experiments.outcomes import OutcomesConfig, Source, read_outcomes
from active_customers.experiments.planning import Design, Usual, customers_needed
from active_customers.experiments.sequential import always_valid_p, ratio_always_valid_p, width_factor
from active_customers.storage.archive import SCHEMA, Archive
from benchmarks.experiment_runs import always_held, false_alarms, fixed_false_alarms, hourly
from benchmarks.experiment_worlds import LEVEL, WORLDS, coverage
from benchmarks.plan import Mark, Plan, Result, say

_MOST_ALARMS = 0.064
_COVERAGE = (0.936, 0.964)
_CUSTOMERS = 4_000
_ENTRIES = 1_000_000
_START = 20_000 * DAY

Figures = dict[str, Any]


def run(plan: Plan) -> Result:
    """Simulate tests by the thousand, and fold a log of a million entries."""
    rng = np.random.default_rng(1)
    alarms, held = _alarms(rng, plan.size(1_000))
    say("intervals")
    covered = {name: coverage(name, rng, plan.size(5_000)) for name in WORLDS}
    say("power and sample ratio")
    power, ratio = _power(rng, plan.size(2_000)), _sample_ratio(rng, plan.size(1_000))
    say("fold")
    fold = _fold(plan, plan.size(_ENTRIES))
    widths = {"sequential": width_factor(1.0, LEVEL), "looked at once": 1.96}
    figures: Figures = {
        "false_alarms": alarms,
        "sequential_coverage": held,
        "coverage": covered,
        "power": power,
        "sample_ratio": ratio,
        "standard_errors_at_the_planned_size": widths,
        "fold": fold,
    }
    worst = max(alarms["sequential"].values())
    lines = [
        f"false alarms of hourly looks: {worst:.1%} at worst; of intervals for one look: {alarms['fixed']:.0%}",
        ", ".join(f"{name} {share:.1%}" for name, share in covered.items()) + " of 95 % intervals hold the truth",
        f"fold of {fold['entries']:,} entries: {fold['seconds']:.1f} s; report {fold['report_seconds']:.1f} s",
    ]
    marks = [
        Mark("experiments: false alarms, hourly looks", worst, _MOST_ALARMS),
        Mark("experiments: coverage, least", min(covered.values()), _COVERAGE[0], least=True),
        Mark("experiments: coverage, most", max(covered.values()), _COVERAGE[1]),
        Mark("experiments: sequential coverage, least", min(held.values()), _COVERAGE[0], least=True),
        Mark("experiments: fold of a million entries", fold["seconds"], 10, "s"),
    ]
    return Result("simulated", 1, figures, lines, marks)


def _alarms(rng: np.random.Generator, runs: int) -> tuple[Figures, Figures]:
    """Return false alarms and sequential coverage by the share of the smaller variant."""
    alarms: Figures = {"sequential": {}, "runs": runs, "customers": _CUSTOMERS}
    held: Figures = {}
    for share in (0.5, 0.2, 0.1, 0.05):
        say(f"tests without effect, a variant of {share:.0%}")
        moments = hourly(rng, runs, _CUSTOMERS, share)
        alarms["sequential"][f"{share:g}"] = false_alarms(moments, _CUSTOMERS, LEVEL)
        held[f"{share:g}"] = always_held(moments, _CUSTOMERS, LEVEL)
        if share == 0.5:
            alarms["fixed"] = fixed_false_alarms(moments, LEVEL)
    return alarms, held


def _power(rng: np.random.Generator, runs: int) -> Figures:
    """Return how often a planned test of 10 % against 11 % finds it, planned for 80 %."""
    found = {}
    for name, design in {"looked at once": Design(sequential=False), "sequential": Design()}.items():
        n = customers_needed(Usual.of_share(0.1), 0.1, design)
        seen = [
            difference(*(Counted.of_share(rng.binomial(n // 2, share), n // 2) for share in (0.11, 0.1)))
            for _ in range(runs)
        ]
        ps = [always_valid_p(each, n) if design.sequential else fixed_p(each) for each in seen]
        found[name] = {"customers": n, "power": float(np.mean(np.array(ps) <= LEVEL))}
    return {"planned": 0.8, **found}


def _sample_ratio(rng: np.random.Generator, runs: int) -> Figures:
    """Return how often 52 to 48 among 20,000 customers is found, and how often a right ratio is taken for wrong."""
    firsts = rng.binomial(20_000, 0.52, runs)
    wrong = [ratio_always_valid_p((int(first), 20_000 - int(first)), (0.5, 0.5)) < 0.01 for first in firsts]
    looks = rng.binomial(100, 0.5, (runs, 200)).cumsum(axis=1)
    right = [
        any(
            ratio_always_valid_p((int(first), n - int(first)), (0.5, 0.5)) < 0.01
            for first, n in zip(row, _LOOKS, strict=True)
        )
        for row in looks
    ]
    return {"found": float(np.mean(wrong)), "false_alarms": float(np.mean(right))}


_LOOKS = range(100, 20_100, 100)


def _fold(plan: Plan, entries: int) -> Figures:
    """Return how long it takes to read and to analyse what a tenth as many customers as entries did."""
    signer = TokenSigner({0: bytes(32)})
    archive = Archive(plan.shops.scratch / "experiment" / "archive")
    archive.append_table(_log(np.random.default_rng(2), entries, signer))
    test = Experiment("home", 1, (Variant("usual", 1, "hybrid", 1), Variant("bold", 1, "discover", 2)), "usual", 0)
    people = People(np.empty((0, 2), np.uint32), np.empty(0, np.uint32))
    source = Source(archive, people, signer, plan.shops.scratch / "experiment" / "scratch")
    started = time.perf_counter()
    outcomes = read_outcomes(test, source, OutcomesConfig(), _START + 20 * DAY)
    read = time.perf_counter()
    report = analyse(test, outcomes, AnalysisConfig())
    return {
        "entries": entries,
        "customers": sum(report.customers.values()),
        "seconds": read - started,
        "report_seconds": time.perf_counter() - read,
    }


def _log(rng: np.random.Generator, entries: int, signer: TokenSigner) -> pa.Table:
    """Return a log: each customer is exposed, then views, clicks, fills carts and buys."""
    n = entries // 10
    customer = np.r_[np.arange(n), rng.integers(0, n, entries - n)].astype(np.uint32)
    kinds = np.array([EventType.VIEW, EventType.CLICK, EventType.CART_ADD, EventType.PURCHASE], np.uint8)
    kind = np.r_[np.full(n, EventType.EXPOSURE), rng.choice(kinds, entries - n, p=[0.7, 0.15, 0.1, 0.05])]
    hours = np.r_[rng.integers(0, 24, n), rng.integers(24, 240, entries - n)]
    order = np.argsort(hours, kind="stable")
    customer, kind, hours = customer[order], kind[order].astype(np.uint8), hours[order]
    time_of = _START + hours * HOUR
    filler = pa.nulls(entries)
    columns = {
        "position": np.arange(1, entries + 1, dtype=np.uint64),
        "arrival": time_of,
        "time": time_of,
        "event_type": kind,
        "customer": customer,
        "product": np.full(entries, 3, np.uint32),
        "session": np.zeros(entries, np.uint64),
        "quantity": np.ones(entries, np.int32),
        "price": rng.lognormal(3, 1, entries),
        "dedup_key": pa.array([bytes(16)] * entries, pa.binary(16)),
        "details": [_details(*row, signer) for row in zip(customer.tolist(), kind.tolist(), strict=True)],
    }
    return pa.table([columns.get(name, filler) for name in SCHEMA.names], schema=SCHEMA)


def _details(customer: int, kind: int, signer: TokenSigner) -> str | None:
    variant = customer % 2
    if kind == EventType.EXPOSURE:
        name = ("usual", "bold")[variant]
        return f'{{"metadata":{{"experiment":"home","version":1,"variant":"{name}"}}}}'
    if kind == EventType.CLICK:
        shown = Shown(str(customer), _START, "v1", Context.HOME, Channel.WEB, [3, 4, 5], variants=[variant + 1])
        return f'{{"recommendation_id":"{signer.sign(shown)}"}}'
    return None
