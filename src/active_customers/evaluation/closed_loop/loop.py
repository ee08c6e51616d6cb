"""The closed loop: days in which simulated customers and a running service answer each other."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from active_customers.core.clock import DAY, MINUTE, format_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import EventType
from active_customers.evaluation.closed_loop.accounts import Accounts, Span
from active_customers.evaluation.closed_loop.client import BATCH, Client
from active_customers.evaluation.closed_loop.config import LoopConfig
from active_customers.evaluation.closed_loop.crowd import UnavailableError
from active_customers.evaluation.closed_loop.day import ShoppingDay
from active_customers.evaluation.closed_loop.experiment_truth import Counts
from active_customers.evaluation.closed_loop.groups import Figure, Groups
from active_customers.evaluation.closed_loop.judge import Judge
from active_customers.evaluation.closed_loop.place import Place
from active_customers.evaluation.closed_loop.products import ProductCounts
from active_customers.evaluation.closed_loop.report import DayFigures, LoopReport
from active_customers.evaluation.closed_loop.wire import RECOMMENDATIONS, Acts, Answer, Questions
from active_customers.evaluation.simulator import Shop, SimulatorConfig, product_id
from active_customers.evaluation.simulator.customers import NOTHING
from active_customers.evaluation.simulator.journal import Column, EventTables, ParquetEvents
from active_customers.evaluation.simulator.simulation import PRODUCTS_FILE, Life, write_products
from active_customers.models.artifacts import ArtifactStore
from active_customers.storage.data_dir import DataDirectory

Integers = NDArray[np.int64]

Tell = Callable[[DayFigures], None]
Progress = Callable[[int, int], None]

_SECONDS_TO_LOAD = 120.0
"""How long a service may take to go over to models that were published."""
_SECONDS_TO_KNOW = 2.0
"""What was stored by a command is in every answer by then."""
_LOOKS_ALIKE = 4
"""Looks in a row that must find the new version: each worker goes over to it by itself."""


class Turn(NamedTuple):
    """Pages that some visits of a day have just opened."""

    day: ShoppingDay
    rows: Integers
    source: Integers


class ClosedLoop:
    """Plays the days of a simulated shop after its warm-up against a service.

    Time moves in slices. In each the customers whose time has come act together, a page at a time: what they did is
    posted, then each page asks for its recommendations, then all are read by the true model. So whoever asks finds in
    the answer what they did before. The same arguments give the same customers, who act the same as long as they are
    answered the same.
    """

    def __init__(self, simulator: SimulatorConfig, config: LoopConfig, place: Place, client: Client) -> None:
        if config.warm_up_days >= simulator.days:
            remedy = f"leave some of the {simulator.days} days to be played"
            raise InvalidValueError("warm_up_days", config.warm_up_days, remedy)
        self._config = config
        self._first = simulator.moment_of(config.warm_up_days)
        self._place = place
        self._client = client
        self._life = Life(Shop.open(simulator))
        self._shop = self._life.shop
        self._acts = Acts(self._shop)
        self._questions = Questions(self._shop, config.n, has_homepage=config.homepage and not config.strategies)
        self._groups = Groups(simulator.customers)
        self._accounts = Accounts(simulator.customers, simulator.products)
        self._products = ProductCounts(self._shop)
        self._judge = Judge(self._shop, config.judged_share, self._groups)
        self._strategy = simulator.rng(6).permutation(simulator.customers) % max(1, len(config.strategies))
        self._refusals: list[str] = []
        self._open: list[ShoppingDay] = []
        self._stocked = np.ones(simulator.products, np.bool_)
        self._answered = self._today = 0
        self._published: dict[str, int] = {}
        """When each version of the models came into force, in simulated time."""
        self._came = np.zeros(simulator.customers, np.bool_)
        self._playing = self._refreshing = self._busy = 0.0

    def run(self, scratch: Path, tell: Tell, progress: Progress) -> LoopReport:
        """Play all days; `scratch` is a folder for files that are imported, `tell` is told each day.

        Raises `UnavailableError` where the service ends, does not answer, or refuses what the loop needs.
        """
        config = self._shop.config
        self._prepare(scratch)
        days: list[DayFigures] = []
        total = DayFigures("total")
        for day in range(self._config.warm_up_days, config.days):
            figures = DayFigures(format_time(config.moment_of(day))[:10])
            self._begin(day, figures)
            self._play(day, figures, progress)
            total.add(figures)
            days.append(figures)
            tell(figures)
        total.customers = int(self._came.sum())
        return LoopReport(
            arguments={"simulator": config.model_dump(), "loop": self._config.model_dump()},
            days=days,
            total=total,
            groups=self._groups.figures(),
            products=self._products.figures(),
            mixed_customers=self._groups.mixed(),
            playing_seconds=self._playing,
            refreshing_seconds=self._refreshing,
            customers_share=self._busy / self._playing if self._playing else 0.0,
            refused_refreshes=self._refusals,
            first_failures=self._client.first_failures,
        )

    def counts(self, experiment: str, days: float) -> dict[str, Counts]:
        """Return what customers of each variant of an experiment brought in so many days from their first answer on."""
        members = self._groups.members(experiment)
        if members is None:
            return {}
        span = Span(members.since, int(days * DAY))
        each = self._accounts.brought(span), self._accounts.expected(span), *self._accounts.shown(span)
        who = {name: members.variant == place for place, name in enumerate(members.names)}
        return {name: Counts(*(column[is_one] for column in each)) for name, is_one in who.items()}

    def _prepare(self, scratch: Path) -> None:
        """Bring the clock, the catalogue and the history of the warm-up into the service."""
        first = self._config.warm_up_days
        self._client.move_clock(self._first)
        for command in self._config.before:
            self._place.run(*_words(command))
        self._check_strategies()
        write_products(self._shop, scratch)
        history = self._life.days(first)
        if self._place.data_dir is None:
            products = [orjson.loads(line) for line in (scratch / PRODUCTS_FILE).open("rb")]
            self._client.change_products(products, merge=False)
            for columns in history:
                self._post_history(columns)
        else:
            tables = EventTables(self._shop)
            with ParquetEvents(scratch) as writer:
                for columns in history:
                    writer.write(tables.table(columns))
            self._place.run("import-products", scratch / PRODUCTS_FILE)
            self._place.run("import-events", scratch / ParquetEvents.name)

    def _post_history(self, columns: dict[str, Column]) -> None:
        events = [event for _, event in self._acts.in_order(columns)]
        for start in range(0, len(events), BATCH):
            self._client.post_events([events[start : start + BATCH]])

    def _check_strategies(self) -> None:
        for strategy in self._config.strategies:
            path = f"{RECOMMENDATIONS}?customer_id=probe&strategy={strategy}"
            refusal = self._client.refusal(path)
            if refusal is not None:
                time.sleep(_SECONDS_TO_KNOW)
                refusal = self._client.refusal(path)
            if refusal is not None:
                raise InvalidValueError("strategies", strategy, f"the service refuses it ({refusal})")

    def _begin(self, day: int, figures: DayFigures) -> None:
        """Begin a day: say what is sold out and what is back, and refresh the models."""
        self._place.check()
        moment = self._shop.config.moment_of(day)
        self._client.move_clock(moment)
        stocked = self._shop.catalogue.in_stock(day)
        changed = np.flatnonzero(stocked != self._stocked)
        words = {True: "in_stock", False: "out_of_stock"}
        products = [{"product_id": product_id(i), "availability": words[bool(stocked[i])]} for i in changed.tolist()]
        self._client.change_products(products, merge=True)
        self._stocked = stocked
        if self._place.data_dir is not None and (day - self._config.warm_up_days) % self._config.refresh_days == 0:
            self._refresh(self._place.data_dir, figures)
        self._published.setdefault(self._client.model_version(), moment)

    def _refresh(self, data_dir: Path, figures: DayFigures) -> None:
        """Refresh as a shop does, and wait until the service answers from the new models."""
        started = time.perf_counter()
        refused = self._place.run("refresh")
        figures.refreshed = not refused
        if refused:
            self._refusals.append(f"{figures.day}: {refused}")
        else:
            self._wait_for(ArtifactStore(DataDirectory(data_dir).models).current())
        self._refreshing += time.perf_counter() - started

    def _wait_for(self, wanted: str | None) -> None:
        """Wait until the service answers from the models that were just published."""
        deadline = time.monotonic() + _SECONDS_TO_LOAD
        alike = 0
        while alike < _LOOKS_ALIKE:
            alike = alike + 1 if self._client.model_version() == wanted else 0
            if time.monotonic() > deadline:
                raise UnavailableError(f"the service does not go over to {wanted}: see its log")
            time.sleep(0.05)

    def _play(self, day: int, figures: DayFigures, progress: Progress) -> None:
        """Let the customers of a day in, and let time pass until midnight."""
        started, busy = time.perf_counter(), time.process_time()
        requests, failures = self._client.requests, self._client.failures
        self._open.append(ShoppingDay(self._life, day, self._config.attention_share))
        midnight = self._shop.config.moment_of(day + 1)
        now = self._shop.config.moment_of(day)
        active: list[Integers] = []
        while now < midnight:
            now = min(now + self._config.slice_minutes * MINUTE, midnight)
            self._client.move_clock(now)
            active += self._act(now, figures)
            progress(now - self._first, self._shop.config.stop - self._first)
        self._judge.close(figures)
        self._forget()
        who = np.unique(np.concatenate(active)) if active else np.empty(0, np.int64)
        self._came[who] = True
        figures.customers = len(who)
        figures.requests = self._client.requests - requests
        figures.failures = self._client.failures - failures
        self._playing += time.perf_counter() - started
        self._busy += time.process_time() - busy

    def _act(self, now: int, figures: DayFigures) -> list[Integers]:
        """Let everybody act whose time comes before `now`; return who asked for a page."""
        active: list[Integers] = []
        while True:
            turns = [Turn(day, *day.turn(now)) for day in self._open]
            turns = [turn for turn in turns if len(turn.rows)]
            for day in self._open:
                self._accounts.expect(*day.ended())
            self._post(self._life.journal.until(now), figures)
            if not turns:
                return active
            for turn in turns:
                active.append(turn.day.visits.customer[turn.rows])
                self._show(turn, now, figures)

    def _post(self, columns: dict[str, Column], figures: DayFigures) -> None:
        """Post what was done, and count what was bought."""
        if len(columns["time"]) == 0:
            return
        customers, times = (columns[name].astype(np.int64) for name in ("customer", "time"))
        columns = columns | {"time": self._accounts.dated(customers, times)}
        self._accounts.book(columns)
        self._client.post_events(self._acts.by_customer(columns))
        bought = columns["event_type"] == EventType.PURCHASE
        order, nth = np.unique(columns["order"][bought], return_index=True)
        customer = columns["customer"][bought].astype(np.int64)
        paid = columns["price"][bought].astype(np.float64) * columns["quantity"][bought].astype(np.float64)
        figures.orders += len(order)
        figures.revenue += float(paid.sum())
        self._groups.add(Figure.ORDERS, customer[nth])
        self._groups.add(Figure.REVENUE, customer, paid)

    def _show(self, turn: Turn, now: int, figures: DayFigures) -> None:
        """Ask for what each page recommends, and let it be read."""
        customer = turn.day.visits.customer[turn.rows]
        answers, numbers = self._ask(turn, customer, now)
        pages = np.full((len(turn.rows), self._config.n), NOTHING, np.int64)
        for i, answer in enumerate(answers):
            if answer is not None:
                shown = answer.products[: self._config.n]
                pages[i, : len(shown)] = shown
                figures.age_seconds += (now - self._published.setdefault(answer.model_version, now)) / 1e6
        is_answered = np.array([answer is not None for answer in answers])
        self._groups.add(Figure.ANSWERS, customer[is_answered])
        judged = np.flatnonzero(is_answered & self._judge.draws(len(pages)))
        self._judge.take(turn.day.minds(turn.rows[judged]), pages[judged], turn.day.day, figures)
        seen = turn.day.see(turn.rows, turn.source, pages, numbers)
        self._products.add(pages, seen)
        self._accounts.show(customer[is_answered], now, seen.worth[is_answered])
        self._groups.add(Figure.LOOKED, customer[seen.looked])
        self._groups.add(Figure.CLICKS, customer[seen.place >= 0])
        figures.answers += int(is_answered.sum())
        figures.looked += int(seen.looked.sum())
        figures.clicks += int((seen.place >= 0).sum())

    def _ask(self, turn: Turn, customer: Integers, now: int) -> tuple[list[Answer | None], Integers]:
        """Return the answers and their numbers, by which acts name them."""
        paths = self._questions.paths(turn.day.visits, turn.rows, turn.source)
        strategies = self._config.strategies
        asked = [strategies[i] if strategies else None for i in self._strategy[customer].tolist()]
        paths = [path if name is None else f"{path}&strategy={name}" for path, name in zip(paths, asked, strict=True)]
        answers = [Answer.of(reply, len(self._shop.catalogue)) for reply in self._client.ask(paths)]
        self._accounts.answer(customer, now)
        numbers = np.arange(self._answered, self._answered + len(answers))
        self._answered += len(answers)
        for number, who, name, answer in zip(numbers.tolist(), customer.tolist(), asked, answers, strict=True):
            if answer is not None:
                self._acts.answers[number] = answer
                strategy = name or answer.strategy
                shown = answer.variants | ({} if strategy is None else {"strategy": strategy})
                self._groups.show(who, shown if answer.products else {}, now)
        return answers, numbers

    def _forget(self) -> None:
        """Drop the days on which all visits have ended, and the answers of the day before: nobody acts on them now."""
        self._open = [day for day in self._open if not day.is_over]
        self._acts.answers = {number: answer for number, answer in self._acts.answers.items() if number >= self._today}
        self._today = self._answered


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise InvalidValueError("before", command, f"write it as in a shell ({error})") from error
