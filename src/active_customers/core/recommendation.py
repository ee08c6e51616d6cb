"""Recommendations: what an answer says and why."""

from __future__ import annotations

from typing import NamedTuple

from active_customers.core.event import Word
from active_customers.core.identifiers import NO_NUMBER


class ReasonCode(Word):
    """Why a product is in an answer; each is true by construction, set by the source that brought the product in."""

    SESSION = 0
    """Sessions like this one went on to it; the evidence is the product of this session that they share with it."""
    REVISIT = 1
    """The customer looked at it before, and customers come back to such products; the evidence is itself."""
    VIEWED_TOGETHER = 2
    """Acts on it and on the evidence stand close together in stored sessions."""
    BOUGHT_TOGETHER = 3
    """Customers who bought the evidence also bought it."""
    POPULAR = 4
    """Many customers chose it lately."""
    TRENDING = 5
    """Its share of customers' attention is growing."""
    SEEN = 6
    """A few customers looked at it: too few to call it popular."""
    CATALOG = 7
    """Nothing is known of it yet but that it is in the catalogue."""
    RELATED = 8
    """The history relates it to the evidence: directly, or over products between them."""
    SIMILAR = 9
    """The catalogue describes it and the evidence alike; the history relates it to nothing in the session."""
    BUY_AGAIN = 10
    """The customer bought it before, and it is due by their own interval; the evidence is itself."""
    PRICE_DROP = 11
    """It costs less than when the customer looked at it; the evidence is itself."""


class Goal(Word):
    """What a recommendation is to lead to; models may rank by it."""

    NEXT = 0
    """The product that the customer looks at next."""
    CART = 1
    """One that the customer puts into the cart later in the session."""
    PURCHASE = 2
    """One that the customer buys later in the session."""
    RETURN = 3
    """One that the customer buys at the next visit that ends with a purchase."""
    NEW = 4
    """One that the customer buys some time and has not looked at yet; what they know is not shown."""


class Recommendation(NamedTuple):
    """One recommended product, by number, with its score (higher is better, comparable within one answer only)."""

    product: int
    score: float
    reason: ReasonCode
    evidence: int = NO_NUMBER
    """Number of the product that the reason names, or `NO_NUMBER`."""
