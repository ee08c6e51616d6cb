"""The sparse set of candidates against a dictionary."""

import numpy as np
import pytest

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.candidate_set import (
    Votes,
    best,
    candidate_set,
    evidence_of,
    insert_query,
    scores_of,
    tally,
)
from active_customers.kernels.top_n import Wanted

NOTHING = np.empty(0, np.uint32)
N_PRODUCTS = 30


def random_votes(rng):
    n = int(rng.integers(1, 80))
    products = rng.integers(0, N_PRODUCTS, n).astype(np.uint32)
    return Votes(
        products, rng.uniform(0.1, 1, n), rng.integers(0, N_PRODUCTS, n).astype(np.uint32), np.zeros(n, np.int16)
    )


def twin_tally(votes):
    scores, strongest, evidence = {}, {}, {}
    for product, amount, source, _ in zip(*(column.tolist() for column in votes), strict=True):
        scores[product] = scores.get(product, 0.0) + amount
        if amount > strongest.get(product, 0.0):
            strongest[product], evidence[product] = amount, source
    return scores, evidence


@pytest.mark.parametrize("seed", range(6))
def test_tally_equals_adding_up_in_a_dictionary(seed):
    votes = random_votes(np.random.default_rng(seed))
    candidates = candidate_set(N_PRODUCTS)
    count = tally(candidates, 0, votes, len(votes.products))
    scores, evidence = twin_tally(votes)
    assert count == len(scores)
    everything = np.arange(N_PRODUCTS, dtype=np.uint32)
    expected = [scores.get(product, 0.0) for product in range(N_PRODUCTS)]
    np.testing.assert_allclose(scores_of(candidates, count, everything), expected, rtol=1e-6)
    named = [evidence_of(candidates, count, product) for product in range(N_PRODUCTS)]
    assert named == [evidence.get(product, NO_NUMBER) for product in range(N_PRODUCTS)]


def test_what_the_memory_held_before_changes_nothing():
    rng = np.random.default_rng(0)
    dirty, clean = candidate_set(N_PRODUCTS), candidate_set(N_PRODUCTS)
    for column in dirty:
        column[:] = rng.integers(0, N_PRODUCTS, N_PRODUCTS)
    votes = random_votes(rng)
    answers = [
        best(memory, tally(memory, 0, votes, len(votes.products)), Wanted(9, NOTHING)) for memory in (dirty, clean)
    ]
    for ours, theirs in zip(*answers, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_best_proposals_never_score_zero():
    votes = Votes(
        np.array([3, 4], np.uint32), np.array([1e-60, 1.0]), np.array([7, 8], np.uint32), np.zeros(2, np.int16)
    )
    candidates = candidate_set(N_PRODUCTS)
    products, scores, _ = best(candidates, tally(candidates, 0, votes, 2), Wanted(9, NOTHING))
    assert (products.tolist(), scores.tolist()) == ([4], [1.0])


def test_a_query_takes_the_first_slots_newest_first_each_product_once():
    candidates = candidate_set(N_PRODUCTS)
    count = insert_query(candidates, np.array([4, 7, 99, 4, 2, NO_NUMBER], np.uint32), 10)
    assert candidates.products[:count].tolist() == [2, 4, 7]


def test_a_query_is_cut_to_its_newest_products():
    candidates = candidate_set(N_PRODUCTS)
    count = insert_query(candidates, np.arange(20, dtype=np.uint32), 3)
    assert candidates.products[:count].tolist() == [19, 18, 17]


@pytest.mark.parametrize("product", [-1, N_PRODUCTS, NO_NUMBER])
def test_products_outside_the_catalogue_have_no_evidence(product):
    assert evidence_of(candidate_set(N_PRODUCTS), 0, product) == NO_NUMBER
