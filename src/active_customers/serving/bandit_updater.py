"""Teaches bandits what their choices came to: a fold of the log, published for every worker to choose by."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from active_customers.core.attribution import TokenSigner
from active_customers.core.clock import Clock
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import EventType, LogEntry
from active_customers.experiments.bandit_files import BanditFiles
from active_customers.experiments.definition import Experiment
from active_customers.experiments.experiment_schema import readable
from active_customers.experiments.learner import Earned, Learner
from active_customers.experiments.linear_bandits import LinearConfig
from active_customers.experiments.rewards import Made
from active_customers.storage.base import Store

_log = logging.getLogger(__name__)

_CHUNK = 5_000
"""Entries of the log that are read at a time."""
_CLICKS = (EventType.CLICK, EventType.EMAIL_CLICK, EventType.PUSH_CLICK)
_REWARDED: Mapping[str, tuple[EventType, ...]] = {
    "click": _CLICKS,
    "cart_add": (EventType.CART_ADD,),
    "purchase": (EventType.PURCHASE,),
    "revenue": (EventType.PURCHASE,),
}
_POSITION = "position"


class _Taught:
    """A running bandit: its learner, and the first position of the log that it has not read."""

    def __init__(self, experiment: Experiment, files: BanditFiles, start: int) -> None:
        assert experiment.bandit is not None  # noqa: S101 - only bandits are taught
        self.experiment = experiment
        self.reward = experiment.bandit.reward
        self.arms = {variant.name: place for place, variant in enumerate(experiment.variants)}
        self.learner = Learner(files.learning(experiment), experiment.bandit.waiting)
        policy = experiment.bandit.policy
        self.n_features = policy.features if isinstance(policy, LinearConfig) else 0
        self.position = start
        self._files = files
        self._rng = np.random.default_rng(list(experiment.name.encode()))  # nothing here is left to chance
        saved = files.restored(experiment)
        if saved is not None:
            try:
                self.learner.restore(saved)
                self.position = int(saved[_POSITION][0])
            except (InvalidValueError, KeyError, ValueError, IndexError) as error:
                _log.warning("bandit %s begins anew: its checkpoint is not usable (%s)", experiment.name, error)
                self.learner = Learner(files.learning(experiment), experiment.bandit.waiting)

    def read(self, entry: LogEntry, key: int, shows: bool) -> None:
        """Take an entry that has a `recommendation_id`; `shows` says whether that is one that showed its product.

        Choices and rewards go by when they arrived: a shop's clock that runs behind would date clicks before answers.
        """
        event = entry.event
        if event.event_type == EventType.CHOICE:
            told = event.details.get("metadata", {})
            arm = self.arms.get(str(told.get("arm")))
            is_mine = told.get("bandit") == self.experiment.name and told.get("version") == self.experiment.version
            if is_mine and arm is not None:
                known = told.get("features")
                context = None if known is None else np.array(known, np.float32)
                if (0 if context is None else len(context)) == self.n_features:
                    self.learner.fold(Made(key, arm, context, entry.arrival))
        elif shows and event.event_type in _REWARDED[self.reward]:
            value = (event.price or 0.0) * event.quantity if self.reward == "revenue" else 1.0
            self.learner.fold(Earned(key, value, entry.arrival))

    def publish(self, now: int) -> None:
        """Learn from what is over by now, and let the next choices follow."""
        self.learner.settle(now)
        self.learner.policy.publish(self._rng)

    def save(self) -> None:
        """Write a checkpoint."""
        position: NDArray[Any] = np.array([self.position], np.int64)
        self._files.save(self.experiment, {**self.learner.checkpoint(), _POSITION: position})


class BanditUpdater:
    """Follows the log for the bandits that run.

    What was logged while nobody followed and has left the log for the archive since is not learned from: choices and
    rewards alike, so that nothing is biased by it.
    """

    def __init__(self, store: Store, files: BanditFiles, signer: TokenSigner, clock: Clock) -> None:
        self._store = store
        self._files = files
        self._signer = signer
        self._clock = clock
        self._taught: dict[tuple[str, int], _Taught] = {}
        self._turn = threading.Lock()

    def follow(self) -> None:
        """Learn what is new, and publish it."""
        with self._turn:
            self._follow()

    def checkpoint(self) -> None:
        """Save what was learned."""
        with self._turn:
            for taught in self._taught.values():
                taught.save()

    def _follow(self) -> None:
        self._take_up()
        if not self._taught:
            return
        while entries := self._store.events.read(min(taught.position for taught in self._taught.values()), _CHUNK):
            for entry in entries:
                self._read(entry)
            for taught in self._taught.values():
                taught.position = max(taught.position, entries[-1].position + 1)
        now = self._clock.now()
        for taught in self._taught.values():
            taught.publish(now)

    def _take_up(self) -> None:
        """Begin to teach what runs now, and end with what does not."""
        records, now = self._store.records["experiments"], self._clock.now()
        running: dict[tuple[str, int], Experiment] = {}
        bandits = {name: record for name, record in records.all().items() if record.get("bandit") is not None}
        for experiment in readable(bandits):
            if experiment.is_running(now):
                running[experiment.name, experiment.version] = experiment
        for key in [key for key in self._taught if key not in running]:
            self._taught.pop(key).save()
        start = self._store.events.next_position()
        for key, experiment in running.items():
            if key not in self._taught:
                self._taught[key] = _Taught(experiment, self._files, start)

    def _read(self, entry: LogEntry) -> None:
        event = entry.event
        token = event.details.get("recommendation_id")
        if token is None:
            return
        shown = None if event.event_type == EventType.CHOICE else self._signer.verify(str(token))
        shows = shown is not None and self._signer.position(shown, event.customer_id, entry.product) is not None
        key = int.from_bytes(blake2b(str(token).encode(), digest_size=8).digest(), "big", signed=True)
        for taught in self._taught.values():
            if entry.position >= taught.position:
                taught.read(entry, key, shows)
