"""Reading an index that is anything but whole. That a whole one is read right: `tests/realtime/test_live_reader.py`."""

import numpy as np
import pytest

from active_customers.core.identifiers import NO_NUMBER
from active_customers.kernels.candidate_set import candidate_set, empty_votes
from active_customers.kernels.live_index import HEADER, RECORD, SIZES, VERSION, LiveArrays
from active_customers.kernels.live_knn import Asker, LiveScratch, LiveWeighting, recommend
from active_customers.kernels.session_knn import KnnScratch, Weighting
from active_customers.kernels.top_n import Wanted

SESSIONS, PRODUCTS, ACTS_KEPT, RING, NEIGHBOURS = 50, 30, 8, 12, 10
NOTHING = np.empty(0, np.uint32)
WEIGHTING = LiveWeighting(
    knn=Weighting(np.exp(-np.arange(5.0)), np.exp(-np.arange(8.0)), 2.0, 0.5, NEIGHBOURS),
    by_length=np.ones(ACTS_KEPT + 1),
    recency=1e12,
    least=1e-30,
    rarity=np.empty(0, np.float32),
    since=0,
)


def bits(rng, n, dtype, limit=None):
    """Return any bits, or one half of them below a limit, so that some of the checks are passed."""
    numbers = rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, n, dtype, endpoint=True)
    if limit:
        small = rng.integers(0, limit, n).astype(dtype)
        return np.where(rng.random(n) < 0.5, small, numbers)
    return numbers


def garbage(rng):
    records = bits(rng, SESSIONS * RECORD, np.int64).reshape(-1, RECORD)
    records[:, SIZES] = bits(rng, SESSIONS, np.int64, 2**20) | (1 << 16)
    records[:, VERSION] &= ~(rng.random(SESSIONS) < 0.8).astype(np.int64)
    return LiveArrays(
        header=bits(rng, HEADER, np.int64, 100),
        records=records.ravel(),
        products=bits(rng, SESSIONS * ACTS_KEPT, np.uint32, PRODUCTS + 2),
        rings=bits(rng, PRODUCTS * RING, np.uint32, SESSIONS + 2),
        ends=bits(rng, PRODUCTS, np.uint32, 2**21),
        stored=bits(rng, PRODUCTS, np.uint32, 5),
        acts_kept=ACTS_KEPT,
        ring_length=RING,
        generation=0,
    )


def scratch():
    found = min(SESSIONS, 5 * RING)
    knn = KnnScratch(
        np.full(SESSIONS, 7, np.int32),
        np.zeros(found, np.uint32),
        np.zeros(found),
        np.zeros(found),
        empty_votes(NEIGHBOURS * ACTS_KEPT),
        candidate_set(PRODUCTS),
    )
    acts, lengths = np.zeros(NEIGHBOURS * ACTS_KEPT, np.uint32), np.zeros(NEIGHBOURS, np.int64)
    return LiveScratch(knn, acts, lengths, np.zeros(1 << (2 * found).bit_length(), np.uint32))


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_in_the_memory_the_answer_is_well_formed(seed):
    rng = np.random.default_rng(seed)
    memory, answered = scratch(), 0
    weighting = WEIGHTING._replace(since=np.iinfo(np.int64).min)
    for _ in range(300):
        live = garbage(rng)
        query = bits(rng, rng.integers(0, 6), np.uint32, PRODUCTS)
        products, scores, evidence = recommend(live, weighting, memory, Asker(query, NO_NUMBER), Wanted(9, NOTHING))
        assert len(set(products.tolist())) == len(products) <= 9
        assert (products < PRODUCTS).all()
        assert np.isfinite(scores).all()
        assert (scores > 0).all()
        assert (np.diff(scores) <= 0).all()
        assert set(evidence.tolist()) <= set(query.tolist())
        answered += len(products) > 0
    assert answered > 10


def one_session(version, products):
    """Return an index of one session that the ring of product 0 leads to."""
    live = LiveArrays(
        header=np.zeros(HEADER, np.int64),
        records=np.array([version, 0, 1, len(products) | len(products) << 16 | 5 << 32]),
        products=np.array([*products, *[0] * (ACTS_KEPT - len(products))], np.uint32),
        rings=np.zeros(PRODUCTS * RING, np.uint32),
        ends=np.zeros(PRODUCTS, np.uint32),
        stored=np.ones(PRODUCTS, np.uint32),
        acts_kept=ACTS_KEPT,
        ring_length=RING,
        generation=0,
    )
    live.ends[0] = 1 | 1 << 16
    return live


def proposed(live, customer=NO_NUMBER, weighting=WEIGHTING):
    asker = Asker(np.zeros(1, np.uint32), customer)
    return recommend(live, weighting, scratch(), asker, Wanted(9, np.zeros(1, np.uint32)))[0].tolist()


def test_a_session_that_is_being_changed_is_passed_over():
    assert proposed(one_session(2, [0, 3])) == [3]
    assert proposed(one_session(3, [0, 3])) == []


def test_a_session_that_turns_out_to_be_another_one_is_passed_over():
    assert proposed(one_session(2, [4, 3])) == []


def test_own_sessions_and_those_the_model_has_learned_from_do_not_count():
    live = one_session(2, [0, 3])
    assert proposed(live, customer=5) == []
    assert proposed(live, weighting=WEIGHTING._replace(since=1)) == [3]
    assert proposed(live, weighting=WEIGHTING._replace(since=2)) == []
