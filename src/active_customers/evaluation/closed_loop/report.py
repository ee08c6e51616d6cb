"""What a closed loop came to: by day, by strategy and variant, and all in all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

_TITLES = (
    *("day", "customers", "requests", "CTR", "orders", "revenue", "per customer"),
    *("regret", "model age", "failures"),
)


@dataclass(slots=True)
class DayFigures:
    """One day of simulated time, or with `total` several of them."""

    day: str
    customers: int = 0
    """Who was in the shop."""
    requests: int = 0
    """Questions and posts that were answered."""
    answers: int = 0
    """Lists of recommendations."""
    looked: int = 0
    """Of which were looked at."""
    clicks: int = 0
    """Of which were clicked."""
    orders: int = 0
    revenue: float = 0.0
    """EUR; refunds are not taken off."""
    judged: int = 0
    """Answers of which the truth was computed."""
    expected_revenue: float = 0.0
    """What the judged answers were worth by the truth, EUR."""
    best_revenue: float = 0.0
    """What the best possible ones would have been worth."""
    age_seconds: float = 0.0
    """Age of the models behind all answers, summed, in simulated time."""
    failures: int = 0
    """Requests that were not answered with success, and events that were rejected."""
    refreshed: bool = False
    """Whether models were published before the first customer came."""

    @property
    def click_through(self) -> float:
        """Share of the looked-at lists that were clicked."""
        return _share(self.clicks, self.looked)

    @property
    def revenue_per_customer(self) -> float:
        """EUR of revenue for each customer who came."""
        return _share(self.revenue, self.customers)

    @property
    def regret(self) -> float:
        """Share of what the best lists would have brought that those shown do not bring, by the truth."""
        return 1 - self.expected_revenue / self.best_revenue if self.best_revenue else 0.0

    @property
    def model_age_seconds(self) -> float:
        """Mean age of the models behind an answer."""
        return _share(self.age_seconds, self.answers)

    def add(self, other: DayFigures) -> None:
        """Add what can be added: all but the customers, who may come on several days."""
        for field in fields(self):
            if field.name not in ("day", "customers", "refreshed"):
                setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def as_dict(self) -> dict[str, Any]:
        """Return it for a report."""
        told = asdict(self)
        del told["age_seconds"]
        shares = ("click_through", "revenue_per_customer", "regret", "model_age_seconds")
        return _rounded(told | {name: getattr(self, name) for name in shares})

    def line(self) -> str:
        """Return it as a row of the table of days."""
        cells = (
            self.day,
            f"{self.customers:,}",
            f"{self.requests:,}",
            f"{self.click_through:.1%}",
            f"{self.orders:,}",
            f"{self.revenue:,.0f}",
            f"{self.revenue_per_customer:.2f}",
            f"{self.regret:.0%}" if self.judged else "-",
            f"{self.model_age_seconds / 3600:.1f} h",
            f"{self.failures:,}",
        )
        return _row(cells)


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """The customers whose answers came from one strategy, or one variant of an experiment, from their first answer on.

    `customers` were shown nothing of another variant. `revenue_per_customer` is what they truly brought, with its
    standard error; `expected_revenue` and `regret` are as those of a day, for each judged answer.
    """

    customers: int
    answers: int
    looked: int
    clicks: int
    orders: int
    revenue: float
    click_through: float
    revenue_per_customer: float
    standard_error: float
    expected_revenue: float
    regret: float

    def line(self) -> str:
        """Return it in words."""
        told = (
            f"{self.customers:,} customers, CTR {self.click_through:.1%}, {self.orders:,} orders, "
            f"{self.revenue_per_customer:.2f} ± {1.96 * self.standard_error:.2f} EUR per customer"
        )
        if not self.expected_revenue:  # no answer was judged
            return told
        return f"{told}, {self.expected_revenue:.3f} EUR expected of an answer, regret {self.regret:.0%}"


@dataclass(frozen=True, slots=True)
class LoopReport:
    """All that a closed loop came to."""

    arguments: dict[str, Any]
    days: list[DayFigures]
    total: DayFigures
    groups: dict[str, dict[str, GroupFigures]]
    """By experiment (`strategy`: by the strategy that answered) and variant."""
    products: list[dict[str, Any]]
    """What became of each product that was looked at (`ProductCounts.figures`)."""
    mixed_customers: dict[str, int]
    """By experiment: who was shown more than one variant, and is left out of the groups."""
    playing_seconds: float
    """Real time in which customers acted."""
    refreshing_seconds: float
    """Real time of refreshes."""
    customers_share: float
    """Share of the playing time for which the simulated customers themselves kept a core busy."""
    refused_refreshes: list[str]
    """Days on which no models were published, and why."""
    first_failures: list[str]

    @property
    def requests_per_minute(self) -> float:
        """Simulated requests in a minute of real time in which customers acted."""
        return 60 * _share(self.total.requests, self.playing_seconds)

    @property
    def requests_per_minute_with_refreshes(self) -> float:
        """The same, with the time of the refreshes."""
        return 60 * _share(self.total.requests, self.playing_seconds + self.refreshing_seconds)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a file."""
        kept = ("arguments", "products", "mixed_customers", "refused_refreshes", "first_failures")
        told = {name: getattr(self, name) for name in kept}
        figures = (
            *("requests_per_minute", "requests_per_minute_with_refreshes"),
            *("playing_seconds", "refreshing_seconds", "customers_share"),
        )
        groups = {
            experiment: {variant: _rounded(asdict(found)) for variant, found in variants.items()}
            for experiment, variants in self.groups.items()
        }
        days = [day.as_dict() for day in self.days]
        told |= {"days": days, "total": self.total.as_dict(), "groups": groups}
        return told | _rounded({name: getattr(self, name) for name in figures})

    def lines(self) -> Iterator[str]:
        """Yield what to tell at the end."""
        total = self.total
        yield total.line()
        yield (
            f"{total.customers:,} customers brought {total.revenue:,.2f} EUR in {total.orders:,} orders "
            f"over {len(self.days)} days: {total.revenue_per_customer:.2f} EUR each"
        )
        yield (
            f"{total.requests:,} requests in {self.playing_seconds:.0f} s: {self.requests_per_minute:,.0f} a minute, "
            f"{self.customers_share:.0%} of a core for the customers themselves; {self.refreshing_seconds:.0f} s of "
            f"refreshes beside: {self.requests_per_minute_with_refreshes:,.0f} a minute all in all"
        )
        for experiment, variants in self.groups.items():
            for variant, found in variants.items():
                yield f"{experiment} {variant}: {found.line()}"
            if self.mixed_customers[experiment]:
                yield f"{experiment}: {self.mixed_customers[experiment]:,} customers saw more than one and are left out"
        yield from (f"no new models on {refusal}" for refusal in self.refused_refreshes)
        yield from (f"failure: {failure}" for failure in self.first_failures)


def heading() -> str:
    """Return the head of the table of days."""
    return _row(_TITLES)


def _row(cells: tuple[str, ...]) -> str:
    widths = (max(10, len(title)) for title in _TITLES)
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}
