"""What the hour is worth: the same models with and without their learned patterns, on visits whose rhythm is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.clock import DAY, HOUR, MINUTE, parse_time
from active_customers.core.event import Channel, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import Goal
from active_customers.core.session import empty_state
from active_customers.evaluation.comparison import Difference, differences
from active_customers.evaluation.interactions import Interactions
from active_customers.evaluation.metrics import first_ranks, gains
from active_customers.evaluation.protocols import next_item
from active_customers.evaluation.replay import answer, fit_served
from active_customers.evaluation.task import Task
from active_customers.kernels.retrieval import Asked
from active_customers.models.base import NO_PRODUCTS, SessionLog
from active_customers.models.holiday_calendar import holidays_ahead
from active_customers.models.hybrid_model import Hybrid
from active_customers.models.item_knn import ItemKnn
from active_customers.models.kernel_arguments import frozen
from active_customers.models.patterns import Patterns, PatternsConfig, learn_patterns, no_patterns
from active_customers.models.popularity import Popularity
from active_customers.realtime.session_recommender import Models, SessionRecommender
from benchmarks.plan import Mark, Plan, Result, say

_K = 20
_CATEGORIES, _IN_CATEGORY = 30, 15
_DAYS, _TEST_DAYS = 90, 7
_BEGIN = parse_time("2025-03-03T00:00:00Z")
_IN_WAVE = 5
_WAVES_BEGIN, _WAVE_DAYS = parse_time("2022-04-22T00:00:00Z"), 1093
"""Up to Good Friday of 2025, the 18th of April."""
_STAYS = 0.7
"""Share of acts that stay in the category of the act before."""


class Rhythm(NamedTuple):
    """How much more each category is wanted in each part: float64[categories, 24] and [categories, 7], means of 1."""

    hours: NDArray[np.float64]
    weekdays: NDArray[np.float64]

    @classmethod
    def drawn(cls, rng: np.random.Generator, strength: float) -> Rhythm:
        """Draw a wave for each category, with a peak of its own: exp(strength * cos(distance to the peak))."""
        waves = []
        for parts in (24, 7):
            peaks = rng.uniform(0, parts, _CATEGORIES)
            angle = 2 * np.pi * (np.arange(parts)[None, :] - peaks[:, None]) / parts
            wave = np.exp(strength * np.cos(angle))
            waves.append(wave / wave.mean(axis=1, keepdims=True))
        return cls(*waves)

    def at(self, time: int) -> NDArray[np.float64]:
        """Return by how much each category is wanted at a moment (UTC)."""
        return np.asarray(self.hours[:, time // HOUR % 24] * self.weekdays[:, (time // DAY + 3) % 7])


def visits(rhythm: Rhythm, n: int, rng: np.random.Generator) -> Interactions:
    """Draw visits of customers of their own: what they look at follows the rhythm, and the act before."""
    times = np.sort(rng.integers(0, _DAYS * DAY, n)) + _BEGIN
    favour = rng.zipf(1.3, _CATEGORIES).clip(max=20).astype(float)
    within = 1.0 / np.arange(1, _IN_CATEGORY + 1) ** 0.7
    sessions, products, moments = [], [], []
    for number, time in enumerate(times.tolist()):
        category = -1
        wanted = favour * rhythm.at(time)
        for act in range(2 + int(rng.geometric(0.35))):
            if category < 0 or rng.random() > _STAYS:
                category = int(rng.choice(_CATEGORIES, p=wanted / wanted.sum()))
            sessions.append(number)
            products.append(category * _IN_CATEGORY + int(rng.choice(_IN_CATEGORY, p=within / within.sum())))
            moments.append(time + act * MINUTE)
    kinds = np.full(len(products), EventType.VIEW, np.uint8)
    return Interactions(np.array(sessions), np.array(products), kinds, np.array(moments, np.int64))


def _first_of(recommender: SessionRecommender, asked: tuple[Channel, int]) -> NDArray[np.uint32]:
    """Return what a stranger in a channel is shown at a moment."""
    channel, now = asked
    recommender.refresh(now)
    none = NO_PRODUCTS
    question = Asked(_K, now, NO_NUMBER, False, False, int(Goal.NEXT), False, none, none, none)
    rows, size = recommender.retrieve(frozen(empty_state()), question, channel)
    found = np.full(_K, NO_NUMBER, np.uint32)
    found[:size] = rows.products[:size]
    return found


def _waves(plan: Plan) -> tuple[dict[str, Any], list[str], list[Mark]]:
    """Ask strangers before a holiday, in two channels, of models with both patterns, with each and with neither.

    Three years of single acts: a third of the categories is wanted 3 times as much before Good Friday, a third on
    mobile. Asked in the fortnight before the next one, of models fitted to what was before it.
    """
    rng = np.random.default_rng(11)
    days = np.sort(rng.integers(0, _WAVE_DAYS, plan.size(300_000)))
    ahead = np.array(holidays_ahead("GB", _WAVES_BEGIN // DAY + np.arange(_WAVE_DAYS), 14))
    eve, mobile = ahead[days] == "Good Friday", rng.random(len(days)) < 0.5
    wanted = np.ones((len(days), _CATEGORIES))
    wanted[:, :10] *= np.where(eve, 3.0, 1.0)[:, None]
    wanted[:, 10:20] *= np.where(mobile, 3.0, 1.0)[:, None]
    of_category = (wanted.cumsum(axis=1) / wanted.sum(axis=1, keepdims=True) < rng.random(len(days))[:, None]).sum(
        axis=1
    )
    products = (of_category * _IN_WAVE + rng.integers(0, _IN_WAVE, len(days))).astype(np.uint32)
    is_asked = days >= _WAVE_DAYS - 14
    columns = {
        "session": np.arange(len(days)),
        "product": products,
        "event_type": np.full(len(days), EventType.VIEW),
        "time": _WAVES_BEGIN + days * DAY + rng.integers(0, DAY, len(days)),
        "customer": np.arange(len(days)),
        "channel": mobile + 1,
    }
    known = {name: column[~is_asked] for name, column in columns.items()}
    log = SessionLog.from_rows(known, _CATEGORIES * _IN_WAVE, int(known["time"].max()))
    popularity, patterns = Popularity(), learn_patterns(log, PatternsConfig(), "UTC", "GB")
    popularity.fit(log)
    pages = [(channel, day) for channel in (Channel.WEB, Channel.MOBILE) for day in range(_WAVE_DAYS - 14, _WAVE_DAYS)]
    page_of = mobile[is_asked] * 14 + days[is_asked] - (_WAVE_DAYS - 14)
    earned = {}
    for name, left_out in (("both", ()), ("no holiday", ("holiday",)), ("no channel", ("channel",))):
        kept = {cycle: found for cycle, found in patterns.factors.items() if cycle not in left_out}
        part = Patterns(kept, patterns.place, log.reference_time)
        recommender = SessionRecommender(Models(Hybrid(), ItemKnn(), popularity, None, part))
        shown = [_first_of(recommender, (channel, _WAVES_BEGIN + day * DAY)) for channel, day in pages]
        earned[name] = gains(first_ranks(np.stack(shown)[page_of] == products[is_asked][:, None]))
    figures: dict[str, Any] = {"learned": patterns.learned, "questions": len(page_of)}
    lines, marks = [], []
    for cycle in ("holiday", "channel"):
        compared, found = _compared(earned["both"], earned[f"no {cycle}"], np.arange(len(page_of)))
        figures[cycle] = compared
        lines.append(_line(f"{cycle}, a stranger's first act", compared, found))
        promise = f"{cycle}: with it better than without, HR@20, lower end of the interval"
        marks.append(Mark(promise, found["hr"].interval[0], 0.0, least=True))
    return figures, lines, marks


def run(plan: Plan) -> Result:
    """Fit once, ask twice: for every act of the visits of the last week but the first, and for the first alone."""
    rng = np.random.default_rng(7)
    drawn = visits(Rhythm.drawn(rng, 0.8), plan.size(15_000), rng)
    split = _BEGIN + (_DAYS - _TEST_DAYS) * DAY
    times = drawn.times if drawn.times is not None else np.empty(0, np.int64)
    is_old = np.isin(drawn.sessions, np.unique(drawn.sessions[times < split]))
    task = next_item([drawn.where(is_old)], drawn.where(~is_old))
    say(f"fitting to {len(task.train.products):,} acts")
    models = fit_served(task.train, {})
    plain = models._replace(patterns=no_patterns())
    say(f"learned: {', '.join(models.patterns.learned) or 'nothing'}; asking {len(task.sessions):,} questions twice")
    next_acts = _compared(_next(models, task), _next(plain, task), task.clusters)
    first_acts = _compared(_first(models, task), _first(plain, task), np.arange(task.test.n_sessions))
    figures = {
        "learned": models.patterns.learned,
        "next_act": {"questions": len(task.sessions), **next_acts[0]},
        "first_act": {"questions": task.test.n_sessions, **first_acts[0]},
    }
    lines = [_line("next act", *next_acts), _line("first act", *first_acts)]
    promise = "with the hour better than without, HR@20, lower end of the interval"
    marks = [
        Mark(f"{name}: {promise}", found["hr"].interval[0], 0.0, least=True)
        for name, (_, found) in (("next act", next_acts), ("first act", first_acts))
    ]
    say("asking before a holiday and in two channels")
    of_waves, lines_of_waves, marks_of_waves = _waves(plan)
    figures["waves"] = of_waves
    return Result("visits with a known rhythm", 1, figures, lines + lines_of_waves, marks + marks_of_waves)


_Earned = Mapping[str, NDArray[np.float64]]


def _next(models: Models, task: Task) -> _Earned:
    """Return what answers earn when each visit is asked after each of its acts, by the clock of that act."""
    products = answer(models, task, _K, lambda _done, _total: None).products
    return gains(first_ranks(products == task.targets[:, None]))


def _first(models: Models, task: Task) -> _Earned:
    """Return what answers to strangers earn, who are asked about before their first act."""
    recommender, state = SessionRecommender(models), frozen(empty_state())
    starts = task.test.offsets[:-1]
    products = np.full((len(starts), _K), NO_NUMBER, np.uint32)
    none = NO_PRODUCTS
    for row, now in enumerate(task.test.times[starts].tolist()):
        recommender.refresh(now)
        asked = Asked(_K, now, NO_NUMBER, False, False, int(Goal.NEXT), False, none, none, none)
        rows, size = recommender.retrieve(state, asked)
        products[row, :size] = rows.products[:size]
    return gains(first_ranks(products == task.test.products[starts][:, None]))


def _compared(
    ours: _Earned, theirs: _Earned, clusters: NDArray[np.int64]
) -> tuple[dict[str, Any], Mapping[str, Difference]]:
    found = differences(ours, theirs, clusters, np.random.default_rng(0))
    figures = {
        name: {"with": float(ours[name].mean()), "without": float(theirs[name].mean()), **difference.as_dict()}
        for name, difference in found.items()
    }
    return figures, found


def _line(name: str, figures: Mapping[str, Any], found: Mapping[str, Difference]) -> str:
    told = []
    for measure, difference in found.items():
        low, high = difference.interval
        both = figures[measure]
        told.append(
            f"{measure.upper()}@{_K} {both['with']:.4f}, without {both['without']:.4f}, difference "
            f"{difference.mean:+.4f} ({low:+.4f} to {high:+.4f})"
        )
    return f"{name}: {'; '.join(told)}"
