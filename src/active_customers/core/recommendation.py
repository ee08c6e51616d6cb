"""Recommendations: what an answer says and why."""

from __future__ import annotations

from collections.abc import Mapping
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


SOURCES: Mapping[ReasonCode, str] = {
    ReasonCode.SESSION: "hybrid",
    ReasonCode.REVISIT: "hybrid",
    ReasonCode.VIEWED_TOGETHER: "hybrid",
    ReasonCode.BOUGHT_TOGETHER: "bought_together",
    ReasonCode.POPULAR: "popular",
    ReasonCode.TRENDING: "popular",
    ReasonCode.SEEN: "popular",
    ReasonCode.CATALOG: "catalog",
    ReasonCode.RELATED: "hybrid",
    ReasonCode.SIMILAR: "hybrid",
    ReasonCode.BUY_AGAIN: "buy_again",
    ReasonCode.PRICE_DROP: "price_drop",
}
"""Who proposes a product for each reason, as answers say it."""

COUNTED: Mapping[ReasonCode, str] = {
    ReasonCode.SESSION: "votes",
    ReasonCode.REVISIT: "acts",
    ReasonCode.VIEWED_TOGETHER: "sessions",
    ReasonCode.BOUGHT_TOGETHER: "sessions",
}
"""What is counted, where a source counts and does not only weigh: how often the product stands in the visits that
resemble this one most, the customer's own acts on it, the sessions that hold both it and the evidence."""

REASON_BITS = 8
REASON_MASK = (1 << REASON_BITS) - 1
"""In the rows of an answer a reason has its code in the lowest bits and above them what was counted, 0 for nothing: so
that whoever moves a row moves its count, and whoever writes a code alone tells none."""


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
