"""Published models as opponents: what a new one has to beat, with the settings their authors found best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.session import SessionQuery
from active_customers.kernels.candidate_set import Room, best, candidate_set, evidence_of, make_room, scores_of
from active_customers.kernels.item_knn import Relation, RelationScratch, collect, recommend
from active_customers.kernels.neighbours import NeighbourScratch, Rule, StoredSessions, Weighed, vote
from active_customers.kernels.sessions import last_acts, newest_rows
from active_customers.models.base import NO_PRODUCTS, Arrays, Candidates, SessionLog
from active_customers.models.item_knn import no_relation
from active_customers.models.kernel_arguments import PerThread, frozen, longest_row, question, wanted

_NEVER = 1e12
"""E-folds of a decay that does not decay."""
_LONGEST = 4096
"""Steps and distances beyond which weights stay as they are."""

Curve = Literal["same", "linear", "div", "quadratic"]


class SequentialRulesConfig(Config):
    """Parameters of `SequentialRules`; defaults as for DIGI in Ludewig et al., UMUAI 2021."""

    steps: Annotated[int, Field(ge=1)] = 25
    """Acts between two products beyond which there is no rule."""
    kept: Annotated[int, Field(ge=1)] = 100
    """Strongest rules kept for each product."""


class SequentialRules:
    """Proposes what came after the newest product: every later act counts 1 / (acts between + 1) (SR)."""

    def __init__(self, config: SequentialRulesConfig | None = None) -> None:
        self.config = config or SequentialRulesConfig()
        self._open(no_relation())

    def fit(self, log: SessionLog) -> None:
        """Count the rules."""
        sessions = np.repeat(np.arange(log.n_sessions), np.diff(log.offsets))
        products, n = log.products.astype(np.int64), max(log.n_products, 1)
        keys: NDArray[np.int64] = np.empty(0, np.int64)
        sums: NDArray[Any] = np.empty(0)
        for step in range(1, self.config.steps + 1):
            rows = np.flatnonzero(sessions[:-step] == sessions[step:]) if len(sessions) > step else np.empty(0, int)
            found = np.concatenate([keys, products[rows] * n + products[rows + step]])
            keys, places = np.unique(found, return_inverse=True)
            sums = np.bincount(places, np.concatenate([sums, np.full(len(rows), 1 / step)]), len(keys))
        order = np.lexsort((keys % n, -sums, keys // n))
        lengths = np.bincount(keys // n, minlength=log.n_products)
        starts = np.concatenate(([0], np.cumsum(lengths)))
        order = order[np.arange(len(order)) - np.repeat(starts[:-1], lengths) < self.config.kept]
        offsets = np.concatenate(([0], np.cumsum(np.minimum(lengths, self.config.kept))))
        later, weights = (keys % n)[order].astype(np.uint32), sums[order].astype(np.float32)
        self._open(Relation(offsets, later, weights, np.zeros(len(order), np.uint32)))

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first."""
        scratch = self._scratch.get()
        return Candidates(*recommend(self.rules, self._newest, scratch, self._asked(session), wanted(n, excluded)))

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the strength of the rule to each product; 0 where there is none."""
        scratch = self._scratch.get()
        count = collect(self.rules, self._newest, scratch, self._asked(session))
        return scores_of(scratch.candidates, count, question(products))

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the newest product of the session if a rule leads from it, or `NO_NUMBER`."""
        scratch = self._scratch.get()
        count = collect(self.rules, self._newest, scratch, self._asked(session))
        return evidence_of(scratch.candidates, count, int(product))

    def arrays(self) -> Arrays:
        """Return the rules, by the field names of `Relation`."""
        return self.rules._asdict()

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        model = cls(SequentialRulesConfig.model_validate(config))
        model._open(Relation(*(arrays[name] for name in Relation._fields)))
        return model

    def _open(self, rules: Relation) -> None:
        self.rules = Relation(*(frozen(array) for array in rules))
        self._newest = np.ones(1)
        room = Room(longest_row(self.rules.offsets), len(self.rules.offsets) - 1)
        self._scratch = PerThread(lambda: RelationScratch(*make_room(room)))

    def _asked(self, session: SessionQuery) -> NDArray[np.uint32]:
        products = question(session.products)
        return products[products < len(self.rules.offsets) - 1]


class NeighboursConfig(Config):
    """What VS-kNN, STAN and VSTAN have in common."""

    nearest: Annotated[int, Field(ge=1)] = 500
    """Sessions that vote (k)."""
    sample: Annotated[int, Field(ge=1)] = 5000
    """Newest sessions with a product of the query that are looked at (m)."""


class VSKnnConfig(NeighboursConfig):
    """Parameters of VS-kNN; defaults as for DIGI, single split, in Ludewig et al., UMUAI 2021."""

    weighting: Curve = "quadratic"
    """How a product of the query weighs by its position p of L: 1, 1 - 0.1 (L - p), p / L or (p / L)^2."""
    fading: Curve = "div"
    """How votes count by how far back, s, the newest shared product stands: 1, 1 - 0.1 s, 1 / s or 1 / s^2."""
    rarity: Annotated[float, Field(ge=0)] = 10.0
    """Weight of ln(sessions / sessions with the product); 0 for none (idf)."""


class StanConfig(NeighboursConfig):
    """Parameters of STAN; defaults as for DIGI, where HR counts, in Ludewig et al., UMUAI 2021."""

    sample: Annotated[int, Field(ge=1)] = 10_000
    """Newest sessions with a product of the query that are looked at (m)."""
    position_decay: Annotated[float, Field(gt=0)] = 1.225
    """Acts in which a product of the query loses an e-fold (lambda_spw)."""
    fade_days: Annotated[float, Field(gt=0)] = 20.0
    """Days in which a stored session loses an e-fold (lambda_snh)."""
    distance_decay: Annotated[float, Field(gt=0)] = 4.9
    """Acts from the newest shared product in which a vote loses an e-fold (lambda_inh)."""


class VstanConfig(StanConfig):
    """Parameters of VSTAN; defaults as for DIGI in Ludewig et al., UMUAI 2021."""

    nearest: Annotated[int, Field(ge=1)] = 1500
    """Sessions that vote (k)."""
    sample: Annotated[int, Field(ge=1)] = 5000
    """Newest sessions with a product of the query that are looked at (m)."""
    position_decay: Annotated[float, Field(gt=0)] = 4.9
    """Acts in which a product of the query loses an e-fold (lambda_spw)."""
    fade_days: Annotated[float, Field(gt=0)] = 40.0
    """Days in which a stored session loses an e-fold (lambda_snh)."""
    step_decay: Annotated[float, Field(gt=0)] = 1.225
    """Acts back in the query in which a session's votes lose an e-fold (lambda_ipw)."""
    rarity: Annotated[float, Field(ge=0)] = 10.0
    """Weight of ln(sessions / sessions with the product); 0 for none (lambda_idf)."""


class _Neighbours:
    """Proposes what the sessions nearest to the query hold; products of the query may be among them."""

    def __init__(self) -> None:
        nothing = np.empty(0, np.uint32)
        zero = np.zeros(1, np.int64)
        self._open(StoredSessions(zero, nothing, zero, nothing, np.empty(0, np.int64), np.empty(0)))

    def fit(self, log: SessionLog) -> None:
        """Index all sessions."""
        offsets, rows = last_acts(frozen(log.offsets), frozen(log.products), log.n_products, max(len(log.products), 1))
        products = frozen(log.products[rows])
        sessions = np.repeat(np.arange(log.n_sessions, dtype=np.uint32), np.diff(offsets))
        posting_offsets, posting_rows = newest_rows(frozen(offsets), products, log.n_products, max(log.n_sessions, 1))
        positions = rows - np.repeat(log.offsets[:-1], np.diff(offsets))
        days = log.times[log.offsets[1:] - 1] / DAY if log.n_sessions else np.empty(0)
        self._open(StoredSessions(posting_offsets, sessions[posting_rows], offsets, products, positions, days))

    def candidates(self, session: SessionQuery, n: int, excluded: NDArray[np.uint32] = NO_PRODUCTS) -> Candidates:
        """Return at most `n` products, best first."""
        scratch, count = self._voted(session)
        return Candidates(*best(scratch.candidates, count, wanted(n, excluded)))

    def score(self, session: SessionQuery, products: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return a score for each product; 0 where no near session holds it."""
        scratch, count = self._voted(session)
        return scores_of(scratch.candidates, count, question(products))

    def why(self, session: SessionQuery, product: int) -> int:
        """Return the product of the session that shares the strongest stored session with this one, or `NO_NUMBER`."""
        scratch, count = self._voted(session)
        return evidence_of(scratch.candidates, count, int(product))

    def arrays(self) -> Arrays:
        """Return the stored sessions, by field name."""
        return self.stored._asdict()

    def _with(self, arrays: Arrays) -> Self:
        self._open(StoredSessions(*(arrays[name] for name in StoredSessions._fields)))
        return self

    def _open(self, stored: StoredSessions) -> None:
        self.stored = StoredSessions(*(frozen(array) for array in stored))
        n_sessions, n_products = len(stored.offsets) - 1, len(stored.posting_offsets) - 1
        self.rule = self._rule(n_sessions, np.diff(stored.posting_offsets))
        self._scratch = PerThread(
            lambda: NeighbourScratch(
                np.zeros(n_sessions, np.int64),
                np.zeros(n_sessions, np.int64),
                np.zeros(n_sessions),
                np.zeros(n_sessions, np.int64),
                candidate_set(n_products),
            )
        )

    def _voted(self, session: SessionQuery) -> tuple[NeighbourScratch, int]:
        products = question(session.products)
        products = products[products < len(self.stored.posting_offsets) - 1]
        length = len(products)
        distinct, back = np.unique(products[::-1], return_index=True)
        order = np.argsort(back)
        distinct, back = distinct[order], back[order].astype(np.int64)
        weights = self._weights(back, length)
        now = float(session.times[-1]) / DAY if len(session.times) else 0.0
        scratch = self._scratch.get()
        return scratch, vote(self.stored, self.rule, scratch, Weighed(distinct, weights, back + 1, now))

    def _rule(self, n_sessions: int, df: NDArray[np.int64]) -> Rule:
        raise NotImplementedError

    def _weights(self, back: NDArray[np.int64], length: int) -> NDArray[np.float64]:
        raise NotImplementedError


class VSKnn(_Neighbours):
    """VS-kNN: newer products of the query weigh more, as do sessions that share them (Ludewig and Jannach, 2018)."""

    def __init__(self, config: VSKnnConfig | None = None) -> None:
        self.config = config or VSKnnConfig()
        super().__init__()

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        return cls(VSKnnConfig.model_validate(config))._with(arrays)

    def _rule(self, n_sessions: int, df: NDArray[np.int64]) -> Rule:
        config = self.config
        steps = np.maximum(np.arange(_LONGEST, dtype=np.float64), 1)
        fading = {"same": np.ones(_LONGEST), "linear": np.maximum(1 - 0.1 * steps, 0), "div": 1 / steps}
        by_step = fading.get(config.fading, steps**-2.0)
        return Rule(
            config.sample, config.nearest, _NEVER, False, by_step, np.ones(1), _factors(config.rarity, n_sessions, df)
        )

    def _weights(self, back: NDArray[np.int64], length: int) -> NDArray[np.float64]:
        share = (length - back) / max(length, 1)
        curves = {"same": np.ones(len(back)), "linear": np.maximum(1 - 0.1 * back, 0), "div": share}
        return np.asarray(curves.get(self.config.weighting, share**2))


class Stan(_Neighbours):
    """STAN: three exponential decays, of the query, of a session's age, of the distance in it (Garg et al., 2019)."""

    def __init__(self, config: StanConfig | None = None) -> None:
        self.config = config or StanConfig()
        super().__init__()

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        return cls(StanConfig.model_validate(config))._with(arrays)

    def _rule(self, n_sessions: int, df: NDArray[np.int64]) -> Rule:
        return _stan_rule(self.config, np.ones(1), _factors(0.0, n_sessions, df))

    def _weights(self, back: NDArray[np.int64], _length: int) -> NDArray[np.float64]:
        return _decayed(back, self.config.position_decay)


class Vstan(Stan):
    """VSTAN: STAN with rarity, and sessions fade by where the newest shared product stands (Ludewig et al., 2021)."""

    def __init__(self, config: VstanConfig | None = None) -> None:
        super().__init__(config or VstanConfig())

    @classmethod
    def from_arrays(cls, arrays: Arrays, config: Mapping[str, object]) -> Self:
        """Make the model again from what `arrays` returned and its configuration."""
        return cls(VstanConfig.model_validate(config))._with(arrays)

    def _rule(self, n_sessions: int, df: NDArray[np.int64]) -> Rule:
        config = self.config
        assert isinstance(config, VstanConfig)  # noqa: S101 - as made above
        by_step = _decayed(np.arange(_LONGEST) - 1, config.step_decay)
        return _stan_rule(config, by_step, _factors(config.rarity, n_sessions, df))


def _stan_rule(config: StanConfig, by_step: NDArray[np.float64], factors: NDArray[np.float64]) -> Rule:
    by_distance = _decayed(np.arange(_LONGEST), config.distance_decay)
    return Rule(config.sample, config.nearest, config.fade_days, True, by_step, by_distance, factors)


def _decayed(steps: NDArray[np.int64], decay: float) -> NDArray[np.float64]:
    return np.exp(-np.asarray(steps, np.float64) / decay)


def _factors(rarity: float, n_sessions: int, df: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 1 + rarity * ln(sessions / sessions with the product) for each product."""
    return 1 + rarity * np.log(max(n_sessions, 1) / np.maximum(df, 1))
