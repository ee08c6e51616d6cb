"""What `explain` prints: an account of one product for one customer, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from active_customers.core.errors import InvalidValueError
from active_customers.realtime.explain import Account, Ranking

_MOST_FEATURES = 12
"""Features that are printed one by one; the others are summed up in a line."""


def pair(text: str) -> tuple[str, str]:
    """Return name and value of a parameter; raises `InvalidValueError` for what is no NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidValueError("with", text, "write NAME=VALUE, such as n=20")
    return name, value


def lines(account: Account) -> Iterator[str]:
    """Yield an account as lines: whether the product is shown and why, what sources say, what adds up to its score."""
    yield f"product {account.product_id} for customer {account.customer_id}, {account.context} page of {account.n}"
    yield f"model {account.model_version}, {account.timestamp}"
    if account.shown is not None:
        yield f"shown at place {account.rank} with score {account.shown.score:.4g}: {account.shown.reason}"
    for because in account.not_shown:
        yield f"not shown: {because.text} ({because.code})"
    if account.sources:
        yield ""
        told = [(word.source, word.text, _numbers(word.numbers)) for word in account.sources]
        yield from _table(("source", "what it says", "numbers"), told)
    if account.ranking is not None:
        yield ""
        yield from _ranking(account.ranking)
    for applied in account.applied:
        factor = "" if applied.factor is None else f", times {applied.factor:.3f}"
        yield f"{applied.kind} {applied.name}: {applied.text}{factor}"


def _ranking(ranking: Ranking) -> Iterator[str]:
    yield f"ranked at place {ranking.place} of {ranking.ranked}; what adds up to its score:"
    rows = [("first guess", f"{ranking.first_guess:+.4f}", "", "what the trees start from")]
    rows.append(("base", f"{ranking.base:+.4f}", "", "what the trees say of an unknown product"))
    first, others = ranking.contributions[:_MOST_FEATURES], ranking.contributions[_MOST_FEATURES:]
    rows += [(each.feature, f"{each.contribution:+.4f}", f"{each.value:.4g}", each.words) for each in first]
    if others:
        rest = sum(each.contribution for each in others)
        rows.append((f"{len(others)} others", f"{rest:+.4f}", "", ""))
    rows.append(("logit", f"{ranking.logit:+.4f}", "", f"probability {ranking.probability:.4f}"))
    yield from _table(("feature", "adds", "value", "meaning"), rows)


def _numbers(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items() if value)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
