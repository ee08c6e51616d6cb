"""What the acts say of each product by itself."""

from __future__ import annotations

import ibis
from ibis import _
from ibis.expr.types import FloatingValue, IntegerValue, Table

from active_customers.core.clock import DAY, HOUR, SECOND
from active_customers.core.event import EventType
from active_customers.features.acts import VIEWS, before, number_of, of_taste, shrunken
from active_customers.features.names import PRODUCT_FACTS

_RECENT, _NEWEST = 0.07, 0.01
"""Shares of the sessions, the newest."""

_RATE_AFTER = 20.0
"""Views or sales that a product needs until its own rate counts as much as the shop's."""

_RETURNS_AFTER = 5.0
"""Customers that a product needs until their own share of returns counts as much as the shop's."""

_PROFILE_AFTER = 10.0
"""Acts that a product needs until its own profile of hours and days counts as much as the shop's."""

PARTS = ("night", "morning", "afternoon", "evening", "weekend", "spring", "summer", "autumn", "winter")
"""Parts of the day (six hours each, UTC), of the week and of the year that products can have an affinity to."""


def product_facts(acts: Table, as_of: IntegerValue | int, n_products: IntegerValue | int) -> Table:
    """Return what models know of each product number below `n_products`: `product`, then `PRODUCT_FACTS`.

    Acts as ln(1 + n), their trend as ln(recent share / share expected) shrunken by one act, those of the very newest
    sessions as ln(1 + n); the share of the sessions since the first one with the product, and since the last; the share
    of its acts that ended a session. Sessions are in order of their last act. All are relative to the acts, so that a
    longer history gives values of the same scale. Then the share of its customers who acted on it in two sessions or
    more, shrunken to the share over all products, and ln(1 + mean days) between such sessions.
    """
    ranked = _ranked(of_taste(before(acts, as_of)))
    shown = ranked.group_by("product").agg(
        acts=_.count(),
        recent=_.count(where=_.rank >= _first_of(_RECENT)),
        newest=_.count(where=_.rank >= _first_of(_NEWEST)),
        age=1 - _.rank.min() / _.n_sessions.max(),
        idle=1 - _.rank.max() / _.n_sessions.max(),
        exits=_.count(where=_.position == _.ended_by),
    )
    counts = shown.left_join(_returns(ranked), "product").drop("product_right")
    known = _for_each(counts, n_products, {"idle": 1.0})
    whole = ibis.window()
    usual = (known.comers.sum().over(whole) / known.pairs.sum().over(whole).nullif(0)).coalesce(0.0)
    return known.select(
        "product",
        acts=(known.acts + 1).ln(),
        trend=((known.recent + 1) / (known.acts * _RECENT + 1)).ln(),
        newest_acts=(known.newest + 1).ln(),
        age=known.age,
        idle=known.idle,
        exits=known.exits / ibis.greatest(known.acts, 1),
        comes_again=(known.comers + _RETURNS_AFTER * usual) / (known.pairs + _RETURNS_AFTER),
        days_between=(ibis.greatest(known.gaps / ibis.greatest(known.returns, 1), 0.0) / float(DAY) + 1).ln(),
    ).select("product", *PRODUCT_FACTS)


def product_profile(acts: Table, as_of: IntegerValue | int, n_products: IntegerValue | int) -> Table:
    """Return how each product number below `n_products` is sold, and when: `product` and the columns below.

    `cart_rate` and `conversion` are cart adds and purchases for each view, `return_rate` pieces given back for each
    that was bought, all shrunken to the shop's own. `price_level` is ln(price / the median
    price of the shop's products), by the product's mean price in the acts; 0 where none is known. The affinity to a
    part of the day, week or year is ln(its share of the product's acts / that of the shop's), shrunken: 0 is as usual.
    """
    known = before(acts, as_of)
    taste = of_taste(known).mutate(**_parts())
    sold = known.group_by("product").agg(
        bought=_.quantity.sum(where=_.event_type == EventType.PURCHASE).coalesce(0).cast("int64"),
        returned=_.quantity.sum(where=_.event_type == EventType.REFUND).coalesce(0),
        price=_.price.mean(where=_.price > 0),
    )
    shown = taste.group_by("product").agg(
        acts=_.count(),
        views=number_of(*VIEWS),
        carts=number_of(EventType.CART_ADD),
        purchases=number_of(EventType.PURCHASE),
        **{part: _.count(where=_[part]) for part in PARTS},
    )
    counts = sold.left_join(shown, "product").drop("product_right")
    every = _for_each(counts, n_products, {"price": None})
    return every.select(
        "product",
        cart_rate=shrunken(every.carts, every.views, _RATE_AFTER),
        conversion=shrunken(every.purchases, every.views, _RATE_AFTER),
        return_rate=shrunken(every.returned, every.bought, _RATE_AFTER),
        price_level=(every.price / every.price.median().over(ibis.window())).ln().coalesce(0.0),
        **{part: _affinity(every, part) for part in PARTS},
    )


def _returns(ranked: Table) -> Table:
    """Count for each product who met it and who came back.

    `pairs` are the customers, `comers` those who came back to it, `returns` how often they did, `gaps` the microseconds
    between.
    """
    visits = ranked.group_by("owner", "product", "rank").agg(begin=_.time.min(), end=_.time.max())
    gap = visits.begin - visits.end.lag().over(ibis.window(group_by=["owner", "product"], order_by="rank"))
    pairs = visits.mutate(gap=gap).group_by("owner", "product").agg(returns=_.gap.count(), gaps=_.gap.sum())
    return pairs.group_by("product").agg(
        pairs=_.count(),
        comers=_.count(where=_.returns > 0),
        returns=_.returns.sum(),
        gaps=_.gaps.sum().coalesce(0).cast("float64"),
    )


def _ranked(taste: Table) -> Table:
    """Give each act the rank of its session, oldest 0, its owner, and the position of the act that ended it.

    By time, and where that is equal by position.
    """
    moment = ibis.struct({"t": _.time, "p": _.position})
    sessions = taste.group_by("session").agg(
        end=_.time.max(), last=_.position.max(), ended_by=_.position.argmax(moment), owner=_.customer.argmin(moment)
    )
    by_end = ibis.window(order_by=["end", "last"])
    ranks = sessions.select(
        "session", "ended_by", "owner", rank=ibis.row_number().over(by_end), n_sessions=_.count().over(ibis.window())
    )
    return taste.join(ranks, "session")


def _first_of(share: float) -> IntegerValue:
    """Return the rank of the first of the newest sessions that make a share of all, rounded half up."""
    return (_.n_sessions * (1 - share) + 0.5).floor()


def _for_each(counts: Table, n_products: IntegerValue | int, without: dict[str, float | None]) -> Table:
    """Return a row for each product number; counts of those without acts are 0, or as `without` says."""
    numbers = ibis.range(n_products).unnest().name("product").as_table()
    joined = numbers.left_join(counts, "product").drop("product_right")
    return joined.mutate(
        **{
            name: joined[name].coalesce(without.get(name, 0))
            for name in counts.columns
            if name != "product" and without.get(name, 0) is not None
        }
    )


def _parts() -> dict[str, ibis.Deferred]:
    """Return whether an act fell into each of `PARTS`. All in UTC, in integers wherever they do."""
    hour, weekday = _.time // HOUR % 24, (_.time // DAY + 3) % 7  # 1970 began on a Thursday, 3 days after Monday
    season = (_.time // SECOND).as_timestamp("s").month() % 12 // 3
    days = {part: hour // 6 == place for place, part in enumerate(PARTS[:4])}
    seasons = {part: season == place for place, part in enumerate(("winter", "spring", "summer", "autumn"))}
    return {**days, "weekend": weekday >= 5, **seasons}


def _affinity(every: Table, part: str) -> FloatingValue:
    """Return ln(share of a part in a product's acts / in the shop's)."""
    whole = ibis.window()
    usual = (every[part].sum().over(whole) / every.acts.sum().over(whole).nullif(0)).nullif(0)
    return ((every[part] / usual + _PROFILE_AFTER) / (every.acts + _PROFILE_AFTER)).ln().coalesce(0.0)
