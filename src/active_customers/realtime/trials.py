"""The shop's strategies and experiments in force: taken up when they change, asked by each request."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from active_customers.core.clock import Clock
from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.core.session import State
from active_customers.experiments.assignment import NOT_ASSIGNED, Assigned, Assignment
from active_customers.experiments.definition import Experiment
from active_customers.experiments.experiment_schema import experiment_of
from active_customers.experiments.strategies import DEFAULT, RulesWish, Strategy
from active_customers.experiments.strategy_schema import StrategyIn
from active_customers.realtime.exposures import Exposures
from active_customers.realtime.schemas import Query
from active_customers.storage.base import Store

_log = logging.getLogger(__name__)


class ExperimentsConfig(Config):
    """Experiments of the shop."""

    holdout_percent: Annotated[float, Field(ge=0, lt=100)] = 0.0
    """Percent of the customers who take part in no experiment, so that what all experiments came to can be seen."""
    guard_minutes: Annotated[float, Field(ge=0)] = 60.0
    """Pause between two looks at whether a running experiment does harm, which stops it; 0 leaves that to others."""
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """Pause between looks for changed strategies and experiments."""


class _InForce(NamedTuple):
    """What was taken up, replaced whole."""

    versions: tuple[int, int] = (0, 0)
    strategies: Mapping[str, Strategy] = {DEFAULT: Strategy()}
    experiments: tuple[Experiment, ...] = ()
    assignment: Assignment = Assignment()
    next_change: int | None = None


class Trials:
    """Says by what each customer is answered. One thread calls `follow`; all may ask.

    `exposures` is told of what was shown; without it nothing is noted.
    """

    def __init__(self, store: Store, clock: Clock, config: ExperimentsConfig | None = None) -> None:
        self._store = store
        self._clock = clock
        self._config = config or ExperimentsConfig()
        self._in_force = _InForce()
        self.exposures: Exposures | None = None

    def rules_wishes(self) -> frozenset[RulesWish]:
        """Return what strategies want of the shop's rules, experiments in different layers at once included."""
        wishes = {strategy.rules for strategy in self._in_force.strategies.values()}
        wishes |= {strategy.rules for strategy in self._in_force.assignment.strategies()}
        return frozenset(wish for wish in wishes if wish != RulesWish())

    def follow(self) -> bool:
        """Take up what was changed, began or ended; return whether there was anything."""
        known, now = self._in_force, self._clock.now()
        versions = self._store.records["strategies"].version(), self._store.records["experiments"].version()
        is_due = known.next_change is not None and now >= known.next_change
        if not is_due and versions == known.versions:
            return False
        strategies = {DEFAULT: Strategy(), **dict(_strategies(self._store.records["strategies"].all()))}
        stored = [*_experiments(self._store.records["experiments"].all(), strategies)]
        running = tuple(experiment for experiment in stored if experiment.is_running(now))
        moments = (moment for experiment in stored for moment in (experiment.starts, experiment.ends))
        next_change = min((moment for moment in moments if moment is not None and moment > now), default=None)
        assignment = Assignment(running, strategies, self._config.holdout_percent)
        self._in_force = _InForce(versions, strategies, running, assignment, next_change)
        return True

    def assigned(self, query: Query) -> Assigned:
        """Return by what a query is answered; raises `InvalidValueError` where it names an unknown strategy."""
        in_force = self._in_force
        if query.strategy is not None:
            strategy = in_force.strategies.get(query.strategy)
            if strategy is None:
                known = ", ".join(in_force.strategies)
                raise InvalidValueError("strategy", query.strategy, f"there is no such strategy; known are {known}")
            return Assigned(strategy)
        if in_force.assignment.is_idle:
            return NOT_ASSIGNED

        def state() -> State | None:
            return self._store.sessions.state(query.customer_id)

        who = query.customer_id, self._store.customers.root(query.customer_id)
        return in_force.assignment.assigned(who, (query.context, query.channel), state)

    def note(self, query: Query, assigned: Assigned) -> None:
        """Note that a customer was shown something by these variants; for the thread of the event loop."""
        if assigned.variants and self.exposures is not None:
            where = query.context, query.channel
            self.exposures.note(query.customer_id, assigned.variants, where, self._clock.now())


def _strategies(records: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, Strategy]]:
    """Yield the strategies behind records by name; one that this version cannot read is told of and left out."""
    for name, record in records.items():
        try:
            yield name, StrategyIn.read(record).strategy()
        except InvalidValueError as error:
            _log.error("strategy %s does not count: %s", name, error)


def _experiments(records: Mapping[str, dict[str, Any]], strategies: Mapping[str, Strategy]) -> Iterator[Experiment]:
    """Yield the experiments behind records; one that cannot run as it says is told of and left out."""
    for name, record in records.items():
        try:
            experiment = experiment_of(record)
        except InvalidValueError as error:
            _log.error("experiment %s does not run: %s", name, error)
            continue
        missing = [variant.strategy for variant in experiment.variants if variant.strategy not in strategies]
        if missing:
            _log.error("experiment %s does not run: there is no strategy %s", name, ", ".join(missing))
            continue
        yield experiment
