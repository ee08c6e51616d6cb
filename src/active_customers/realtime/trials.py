"""The shop's strategies and experiments in force: taken up when they change, asked by each request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import HOUR, SECOND, Clock
from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.core.session import State
from active_customers.experiments.assignment import NOT_ASSIGNED, Assigned, Assignment
from active_customers.experiments.bandit_files import BanditFiles
from active_customers.experiments.bandits import make_policy
from active_customers.experiments.definition import Experiment
from active_customers.experiments.experiment_schema import readable
from active_customers.experiments.policy import Policy
from active_customers.experiments.request_features import features_of
from active_customers.experiments.strategies import DEFAULT, RulesWish, Strategy
from active_customers.experiments.strategy_schema import StrategyIn
from active_customers.realtime.exposures import AnswerShown, Exposures
from active_customers.realtime.schemas import Query
from active_customers.storage.base import Store

_log = logging.getLogger(__name__)

_QUARTER = HOUR // 4


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
    lacks_boards: bool = False
    """Whether a bandit chooses evenly because nothing was published for it yet."""


class Trials:
    """Says by what each customer is answered. One thread calls `follow`; all may ask.

    `exposures` is told of what was shown; without it nothing is noted.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        config: ExperimentsConfig | None = None,
        bandits: BanditFiles | None = None,
        zone: str = "UTC",
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config or ExperimentsConfig()
        self._bandits = bandits
        self._zone = ZoneInfo(zone)
        self._offset = -1, 0
        self._in_force = _InForce()
        self.exposures: Exposures | None = None

    def rules_wishes(self) -> frozenset[RulesWish]:
        """Return what strategies want of the shop's rules, experiments in different layers at once included."""
        wishes = {strategy.rules for strategy in self._in_force.strategies.values()}
        wishes |= self._in_force.assignment.rules_wishes()
        return frozenset(wish for wish in wishes if wish != RulesWish())

    def follow(self) -> bool:
        """Take up what was changed, began or ended; return whether there was anything."""
        known, now = self._in_force, self._clock.now()
        versions = self._store.records["strategies"].version(), self._store.records["experiments"].version()
        is_due = known.next_change is not None and now >= known.next_change
        if not is_due and not known.lacks_boards and versions == known.versions:
            return False
        strategies = {DEFAULT: Strategy(), **dict(_strategies(self._store.records["strategies"].all()))}
        stored = [*_experiments(self._store.records["experiments"].all(), strategies)]
        running = tuple(experiment for experiment in stored if experiment.is_running(now))
        moments = (moment for experiment in stored for moment in (experiment.starts, experiment.ends))
        next_change = min((moment for moment in moments if moment is not None and moment > now), default=None)
        policies = {bandit.name: self._choosing(bandit) for bandit in running if bandit.bandit is not None}
        assignment = Assignment(
            running,
            strategies,
            self._config.holdout_percent,
            {name: policy for name, (policy, _) in policies.items()},
        )
        lacks_boards = self._bandits is not None and not all(found for _, found in policies.values())
        self._in_force = _InForce(versions, strategies, running, assignment, next_change, lacks_boards)
        return True

    def _choosing(self, experiment: Experiment) -> tuple[Policy[Any], bool]:
        """Return what chooses for a bandit, and whether it follows what was learned; else it chooses evenly."""
        published = None if self._bandits is None else self._bandits.choosing(experiment)
        if published is not None or experiment.bandit is None:
            return cast("Policy[Any]", published), True
        return make_policy(experiment.bandit.policy, len(experiment.variants)), False

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

        def features() -> NDArray[np.float32]:
            return features_of(query.channel, state(), self._local_time())

        who = query.customer_id, self._store.customers.root(query.customer_id)
        return in_force.assignment.assigned(who, (query.context, query.channel), state, features)

    def note(self, query: Query, assigned: Assigned, token: Callable[[], str]) -> None:
        """Note that somebody was shown something; `token` makes its `recommendation_id`. For the event loop."""
        if assigned.variants and self.exposures is not None:
            shown = AnswerShown(query.customer_id, query.context, query.channel, self._clock.now(), token)
            self.exposures.note(shown, assigned.variants)

    def _local_time(self) -> int:
        """Return the time of the shop's zone, whose offset is looked up once in a quarter of an hour."""
        now = self._clock.now()
        quarter, offset = self._offset
        if now // _QUARTER != quarter:
            local = datetime.fromtimestamp(now // SECOND, self._zone).utcoffset()
            offset = 0 if local is None else int(local.total_seconds()) * SECOND
            self._offset = now // _QUARTER, offset
        return now + offset


def _strategies(records: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, Strategy]]:
    """Yield the strategies behind records by name; one that this version cannot read is told of and left out."""
    for name, record in records.items():
        try:
            yield name, StrategyIn.read(record).strategy()
        except InvalidValueError as error:
            _log.error("strategy %s does not count: %s", name, error)


def _experiments(records: Mapping[str, dict[str, Any]], strategies: Mapping[str, Strategy]) -> Iterator[Experiment]:
    """Yield the experiments behind records; one that cannot run as it says is told of and left out."""
    for experiment in readable(records):
        missing = [variant.strategy for variant in experiment.variants if variant.strategy not in strategies]
        if missing:
            _log.error("experiment %s does not run: there is no strategy %s", experiment.name, ", ".join(missing))
            continue
        yield experiment
