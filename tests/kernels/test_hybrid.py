"""What describes a product, held equal to a twin in plain Python."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.conftest import log_of

from active_customers.core.clock import DAY
from active_customers.core.event import EventType
from active_customers.core.recommendation import Goal
from active_customers.kernels.hybrid import N_FEATURES, N_RELATIONS, Acts, propose
from active_customers.kernels.top_n import Wanted
from active_customers.models.base import NO_PRODUCTS
from active_customers.models.factorization import FactorizationConfig
from active_customers.models.hybrid_model import Hybrid, HybridConfig
from active_customers.models.product_features import About, features_of

N_PRODUCTS, DEPTH = 12, 3
STRENGTH = {EventType.VIEW: 1, EventType.WISHLIST_ADD: 2, EventType.CART_ADD: 3, EventType.PURCHASE: 4}
WORTH = {EventType.VIEW: 0.2, EventType.WISHLIST_ADD: 0.3, EventType.CART_ADD: 0.5, EventType.PURCHASE: 1.0}
SESSIONS_END = 7
"""Columns of near sessions and the first guess come first."""


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(1)
    said = [(p, [(About.BRAND, str(p % 4)), (About.NAME, str(p % 3))]) for p in range(N_PRODUCTS)]
    log = replace(log_of(rng.integers(N_PRODUCTS, size=(30, 4)).tolist(), N_PRODUCTS), as_of=10**15)
    fitted = Hybrid(HybridConfig(query_depth=DEPTH, factorization=FactorizationConfig(passes=1, query_depth=2)))
    fitted.fit_sources(replace(log, features=features_of(said, N_PRODUCTS)))
    return fitted


def own_of(acts):
    """Return the distinct products that are known, newest first."""
    return [p for p in dict.fromkeys(reversed(acts.products.tolist())) if p < N_PRODUCTS]


def said_of(product, acts, sources, relation):
    """Return what a relation says of a product: by all that it is asked with, and by the newest product alone."""
    own, kinds = own_of(acts), list(zip(acts.products.tolist(), acts.event_types.tolist(), strict=True))
    if acts.goal == Goal.NEW:
        weights = [max(WORTH[kind] for acted, kind in kinds if acted == asked) for asked in own]
    else:
        weights = sources.by_place[relation].tolist()
    offsets, products, strengths, _ = sources.relations[relation]
    said = []
    for asked in own[: len(weights)]:
        rows = slice(offsets[asked], offsets[asked + 1])
        said.append(dict(zip(products[rows].tolist(), strengths[rows].tolist(), strict=True)).get(product, 0.0))
    return sum(weight * amount for weight, amount in zip(weights, said, strict=False)), said[0] if said else 0.0


def of_relation(chosen, acts, sources, relation):
    """Return [n, 4]: of all products asked with, relative to the best and in full; the same of the newest alone."""
    rows = np.array([said_of(product, acts, sources, relation) for product in chosen])
    best = np.maximum(rows.max(axis=0), 1e-30)
    return np.stack([rows[:, 0] / best[0], rows[:, 0], rows[:, 1] / best[1], rows[:, 1]], axis=1)


def of_taste(chosen, acts, sources):
    """Return [n, 2]: the cosines with what the session and what its newest act is about."""

    def direction(products):
        total = np.zeros(sources.vectors.shape[1])
        for weight, product in zip(sources.by_act, reversed(products), strict=False):
            total += weight * sources.vectors[product] if product < N_PRODUCTS else 0.0
        return total / (np.linalg.norm(total) or 1.0)

    wishes = direction(acts.products.tolist()), direction(acts.products.tolist()[-1:])
    return np.stack([sources.vectors[chosen] @ wish for wish in wishes], axis=1)


def of_acts(product, acts, repeat):
    """Return how often, how long ago and how regularly a customer acted on a product."""
    rows = np.flatnonzero(acts.products == product)
    if not len(rows):
        return [0.0] * 8
    times, n = acts.times, len(acts.products)
    moments = len(set(times[rows].tolist()))
    moments *= repeat if product == acts.products[-1] and acts.goal != Goal.RETURN else 1
    days = (times[-1] - times[rows[-1]]) / DAY
    gap = (times[rows[-1]] - times[rows[0]]) / DAY / max(moments - 1, 1)
    strongest = max(STRENGTH[kind] for kind in acts.event_types[rows].tolist())
    place = own_of(acts).index(product) + 1
    return [len(rows), n - rows[-1], place, strongest, moments, days, gap, days / gap if gap else 0.0]


def of_context(acts, facts):
    own, n, strengths = own_of(acts), len(acts.products), [STRENGTH[kind] for kind in acts.event_types.tolist()]
    is_again = n > 1 and acts.products[-1] == acts.products[-2]
    return [n, len(own), n - len(own), is_again, facts[own[0], 0] if own else 0.0, strengths[-1], max(strengths)]


def places(values):
    """Return the place of each value, the largest first, equal ones in their order; those of 0 share the last."""
    order = np.argsort(-values, kind="stable")
    found = np.empty(len(values))
    found[order] = np.arange(len(values))
    return np.where(values > 0, found, np.sum(values > 0))


@st.composite
def histories(draw):
    n = draw(st.integers(1, 12))
    steps = draw(st.lists(st.sampled_from([0, 1, DAY // 3, 2 * DAY]), min_size=n, max_size=n))
    kinds = draw(st.lists(st.sampled_from(list(STRENGTH)), min_size=n, max_size=n))
    products = draw(st.lists(st.integers(0, N_PRODUCTS + 1), min_size=n, max_size=n))
    goal = draw(st.sampled_from(list(Goal)))
    times = 10**15 + np.cumsum(np.array(steps, np.int64))
    return Acts(np.array(products, np.uint32), np.array(kinds, np.uint8), times, int(goal))


@settings(max_examples=200, deadline=None)
@given(histories())
def test_products_are_described_as_in_plain_python(model, acts):
    sources, scratch = model.sources, model._scratch.get()
    slots = propose(sources, scratch, acts, Wanted(64, NO_PRODUCTS))
    chosen = scratch.knn.candidates.products[slots].astype(np.int64)
    if not len(chosen):
        return
    columns = scratch.columns[:, : len(slots)].T
    column = SESSIONS_END
    for relation in range(N_RELATIONS):
        expected = of_relation(chosen, acts, sources, relation)
        np.testing.assert_allclose(columns[:, column : column + 4], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(columns[:, column + 4], places(columns[:, column + 1]))
        column += 5
    np.testing.assert_allclose(columns[:, column : column + 2], of_taste(chosen, acts, sources), atol=1e-5)
    np.testing.assert_array_equal(columns[:, column + 2], places(columns[:, column] + np.float32(2.0)))
    column += 3
    done = [of_acts(product, acts, sources.knn.repeat) for product in chosen.tolist()]
    np.testing.assert_allclose(columns[:, column : column + 8], done, rtol=1e-4)
    context = [of_context(acts, sources.facts)] * len(chosen)
    np.testing.assert_allclose(columns[:, column + 8 : N_FEATURES], context, rtol=1e-6)
    np.testing.assert_array_equal(columns[:, N_FEATURES:], sources.facts[chosen])
