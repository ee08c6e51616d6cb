"""What the columns that the ranker looks at are called, and what they mean in words."""

from __future__ import annotations

from typing import NamedTuple

from active_customers.features.names import PRODUCT_FACTS
from active_customers.models.hybrid_model import RELATIONS


class Feature(NamedTuple):
    """One column: its name, the source that it comes from, and what it is."""

    name: str
    source: str
    words: str


_SESSIONS = {
    "near_share": "votes of near sessions, as a share of the best candidate's",
    "near_log": "votes of near sessions, on a logarithmic scale",
    "near_after": "votes of near sessions that went on to it, as a share of the best candidate's votes",
    "near_votes": "how often it stands in near sessions",
    "near_strongest": "its strongest single vote, as a share of the best candidate's votes",
    "near_place": "its place by the votes of near sessions, 0 for the first",
    "first_guess": "the first guess, as the trees see it too",
}
_OF_RELATION = {
    "content": "what the catalogue describes alike",
    "linear": "what the regressions between products relate",
    "after": "what came after it in sessions",
    "beside": "what stood beside it in sessions",
}
_RELATION = {
    "share": "{what}: its weight with the visit's products, as a share of the best candidate's",
    "sum": "{what}: its weight with the visit's products",
    "newest_share": "{what}: its weight with the newest product alone, as a share of the best candidate's",
    "newest": "{what}: its weight with the newest product alone",
    "place": "{what}: its place by that weight, 0 for the first",
}
_TASTE = {
    "taste": "how near its vector is to the visit's (cosine)",
    "taste_newest": "how near its vector is to the newest act's (cosine)",
    "taste_place": "its place by that nearness, 0 for the first",
}
_ACTS = {
    "own_acts": "the customer's own acts on it",
    "own_acts_ago": "how many acts ago the last of them was",
    "own_place": "its place among the customer's products, 1 for the newest, 0 for none of them",
    "own_strength": "the most the customer did with it: 1 looked, 2 wished, 3 put into the cart, 4 bought",
    "own_moments": "the moments at which the customer acted on it",
    "own_days_ago": "days from the last of them to the newest act",
    "own_rhythm": "mean days between them",
    "own_rhythms_past": "how many times that mean the last one is past",
}
_VISIT = {
    "visit_acts": "acts of the visit",
    "visit_products": "different products of the visit",
    "visit_repeats": "acts on products that were acted on before",
    "visit_stays": "whether the newest two acts were on one product",
    "visit_newest_acts": "how often the newest product is acted on by all, ln(1 + acts)",
    "visit_newest_strength": "how far the newest act goes towards buying, 1 to 4",
    "visit_strongest": "how far the strongest act goes towards buying, 1 to 4",
}
_FACTS = {
    "acts": "how often it is acted on by all, ln(1 + acts)",
    "trend": "whether its share of the acts grew lately, ln(share / share before)",
    "newest_acts": "acts on it in the newest hundredth of all sessions, ln(1 + acts)",
    "age": "share of all sessions since the first one with it",
    "idle": "share of all sessions since the last one with it",
    "exits": "share of the acts on it that ended a session",
    "comes_again": "share of its customers who came back to it",
    "days_between": "days between such visits, ln(1 + mean days)",
}


def _all() -> tuple[Feature, ...]:
    relations = [
        Feature(f"{relation}_{name}", relation, words.format(what=_OF_RELATION[relation]))
        for relation in RELATIONS
        for name, words in _RELATION.items()
    ]
    groups = (("near_sessions", _SESSIONS), ("taste", _TASTE), ("own_acts", _ACTS), ("visit", _VISIT))
    sessions, *others = ([Feature(name, source, words) for name, words in group.items()] for source, group in groups)
    facts = [Feature(f"product_{name}", "product", _FACTS[name]) for name in PRODUCT_FACTS]
    return (*sessions, *relations, *(feature for group in others for feature in group), *facts)


FEATURES = _all()
"""In the order of `kernels.hybrid`, the facts that are known of a product by itself last."""
