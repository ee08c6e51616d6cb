"""What the acts say of each customer, alone and with a product."""

from __future__ import annotations

import ibis
from ibis import _
from ibis.expr.types import IntegerValue, NumericValue, Table

from active_customers.core.clock import DAY
from active_customers.core.event import EventType
from active_customers.features.acts import VIEWS, before, number_of, of_taste

_ATTRIBUTES = ("category", "brand")


def customer_features(acts: Table, as_of: IntegerValue | int) -> Table:
    """Return a row for each customer with acts of taste before `as_of`.

    `customer`; how many `sessions`, `views`, `carts` and `purchases`; `visit_gap` and `purchase_gap`, the mean days
    between visits and between days with a purchase (null with fewer than two); `visited` and `purchased`, the days
    since the last one (null without).
    """
    is_purchase = _.event_type == EventType.PURCHASE
    taste = of_taste(before(acts, as_of)).mutate(bought_at=ibis.ifelse(is_purchase, _.time, None))
    counted = taste.group_by("customer").agg(
        sessions=_.session.nunique(),
        views=number_of(*VIEWS),
        carts=number_of(EventType.CART_ADD),
        purchases=number_of(EventType.PURCHASE),
        first=_.time.min(),
        last=_.time.max(),
        first_bought=_.bought_at.min(),
        last_bought=_.bought_at.max(),
        days_bought=(_.bought_at // DAY).nunique(),
    )
    return counted.select(
        "customer",
        "sessions",
        "views",
        "carts",
        "purchases",
        visit_gap=_days(counted.last - counted.first) / (counted.sessions - 1).nullif(0),
        purchase_gap=_days(counted.last_bought - counted.first_bought)
        / ibis.greatest(counted.days_bought - 1, 0).nullif(0),
        visited=_days(as_of - counted.last),
        purchased=_days(as_of - counted.last_bought),
    )


def pair_features(acts: Table, as_of: IntegerValue | int) -> Table:
    """Return a row for each customer and product that met before `as_of`.

    `customer`, `product`; how often it was `viewed`, put into the cart (`carts`) and `bought`; `met`, the days since
    the last act of taste.
    """
    known = of_taste(before(acts, as_of)).group_by("customer", "product")
    counted = known.agg(
        viewed=number_of(*VIEWS),
        carts=number_of(EventType.CART_ADD),
        bought=number_of(EventType.PURCHASE),
        last=_.time.max(),
    )
    return counted.mutate(met=_days(as_of - counted.last)).drop("last")


def customer_taste(acts: Table, products: Table, as_of: IntegerValue | int) -> Table:
    """Return what each customer's acts of taste go to: `customer`, `attribute`, `value`, `share`.

    The attributes are category and brand by the catalogue: `share` of the customer's acts on products that have one.
    A third, `price`, has no value; its `share` is ln(price / the catalogue's median price), the mean over the acts.
    """
    taste = of_taste(before(acts, as_of)).select("customer", "product").join(products, "product")
    level = (_.price / products.filter(products.price > 0).price.median().as_scalar()).ln()
    price = (
        taste.filter(taste.price > 0)
        .group_by("customer")
        .agg(share=level.mean())
        .select("customer", attribute=ibis.literal("price"), value=ibis.null("string"), share="share")
    )
    return ibis.union(*(_shares(taste, name) for name in _ATTRIBUTES), price)


def _shares(taste: Table, attribute: str) -> Table:
    """Return the share of each value of an attribute in a customer's acts on products that have it."""
    known = taste.filter(taste[attribute].notnull())
    counted = known.group_by("customer", value=known[attribute]).agg(acts=_.count())
    share = counted.acts / counted.acts.sum().over(ibis.window(group_by="customer"))
    return counted.select("customer", attribute=ibis.literal(attribute), value="value", share=share)


def _days(microseconds: NumericValue) -> NumericValue:
    return microseconds / float(DAY)
