"""Recommendations: what an answer says and why."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from active_customers.core.identifiers import NO_NUMBER


class ReasonCode(StrEnum):
    """Why a product is in an answer; each is true by construction, set by the source that brought the product in."""

    SESSION = "session"
    """Sessions like this one went on to it; the evidence is the product of this session that they share with it."""
    REVISIT = "revisit"
    """The customer looked at it before, and customers come back to such products; the evidence is itself."""
    VIEWED_TOGETHER = "viewed_together"
    """Acts on it and on the evidence stand close together in stored sessions."""
    BOUGHT_TOGETHER = "bought_together"
    """Customers who bought the evidence also bought it."""
    POPULAR = "popular"
    """Many customers chose it lately."""
    TRENDING = "trending"
    """Its share of customers' attention is growing."""
    SEEN = "seen"
    """A few customers looked at it: too few to call it popular."""
    CATALOG = "catalog"
    """Nothing is known of it yet but that it is in the catalogue."""


class Recommendation(NamedTuple):
    """One recommended product, by number, with its score (higher is better, comparable within one answer only)."""

    product: int
    score: float
    reason: ReasonCode
    evidence: int = NO_NUMBER
    """Number of the product that the reason names, or `NO_NUMBER`."""
