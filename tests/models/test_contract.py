"""What every registered model promises, on data whose answer is known by construction."""

import threading
from functools import cache

import numpy as np
import pytest
from tests.conftest import lightgbm_or_skip
from tests.models.conftest import described, three_blocks

from active_customers.core.identifiers import NO_NUMBER
from active_customers.models.registry import EVALUATED, new_model

EVERYTHING = np.arange(30, dtype=np.uint32)


@pytest.fixture(params=list(EVALUATED))
def name(request):
    if request.param == "hybrid":
        lightgbm_or_skip()
    return request.param


@cache
def learned(name):
    """Fit a model once for all tests: asking changes nothing."""
    model = new_model(name)
    model.fit(log_for(name))
    return model


def log_for(name):
    """Return what models learn from; those that live by features have them."""
    return described(three_blocks()) if name in ("content", "factorization") else three_blocks()


@pytest.fixture
def log(name):
    return log_for(name)


@pytest.fixture
def model(name):
    return learned(name)


def listed(candidates):
    return [column.tolist() for column in (candidates.products, candidates.scores, candidates.evidence)]


def test_candidates_have_the_documented_types_and_no_duplicates(model, ask):
    candidates = model.candidates(ask(3, 4), 10)
    assert candidates.products.dtype == np.uint32
    assert candidates.scores.dtype == np.float32
    assert candidates.evidence.dtype == np.uint32
    assert 0 < len(candidates.products) == len(set(candidates.products.tolist())) <= 10


def test_candidates_come_best_first_with_positive_scores(model, ask):
    scores = model.candidates(ask(3, 4), 30).scores
    assert (np.diff(scores) <= 0).all()
    assert (scores > 0).all()


def test_candidates_are_the_best_scored_products(model, ask):
    query = ask(3, 4)
    candidates = model.candidates(query, 5)
    scores = model.score(query, EVERYTHING)
    np.testing.assert_allclose(scores[candidates.products], candidates.scores)
    assert np.sort(scores)[-5:].min() == pytest.approx(candidates.scores.min())


def test_fewer_candidates_are_the_beginning_of_more(model, ask):
    assert listed(model.candidates(ask(3, 4), 3)) == [column[:3] for column in listed(model.candidates(ask(3, 4), 9))]


def test_excluded_products_never_come_and_the_others_move_up(model, ask):
    query = ask(3, 4)
    best = model.candidates(query, 30).products
    excluded = best[[4, 0, 2]]  # in no order
    rest = model.candidates(query, 4, excluded).products
    assert rest.tolist() == [product for product in best.tolist() if product not in excluded][:4]


def test_reading_never_writes(model, ask):
    before = {key: array.copy() for key, array in model.arrays().items()}
    first = listed(model.candidates(ask(3, 4), 10))
    for other in (ask(21), ask(15, 2, 8, 15), ask()):
        model.candidates(other, 5, EVERYTHING[:3])
        model.score(other, EVERYTHING)
        model.why(other, 7)
    assert listed(model.candidates(ask(3, 4), 10)) == first
    for key, array in model.arrays().items():
        np.testing.assert_array_equal(array, before[key])


def test_arrays_are_read_only(model):
    assert not any(array.flags.writeable for array in model.arrays().values())


def test_a_saved_and_mapped_model_answers_the_same(name, model, ask, tmp_path):
    for key, array in model.arrays().items():
        np.save(tmp_path / f"{key}.npy", array, allow_pickle=False)
    mapped = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.glob("*.npy")}
    again = EVALUATED[name].load(mapped, EVALUATED[name].config().model_dump(mode="json"))
    for query in (ask(3, 4), ask(12), ask(29, 1)):
        assert listed(again.candidates(query, 10)) == listed(model.candidates(query, 10))


def test_an_empty_log_gives_a_model_without_candidates(name, make_log, ask):
    for n_products in (0, 5):
        model = new_model(name)
        model.fit(make_log([], n_products))
        assert len(model.candidates(ask(0, 1), 10).products) == 0
        assert model.score(ask(0), np.array([0, 7], np.uint32)).tolist() == [0, 0]
        assert model.why(ask(0), 0) == NO_NUMBER


def test_sessions_of_one_act_are_learned_from_without_harm(name, make_log, ask):
    model = new_model(name)
    model.fit(make_log([[0], [1], [2]], 3))
    assert set(model.candidates(ask(0), 10).products.tolist()) <= {0, 1, 2}


def test_unknown_products_in_the_query_are_ignored(model, ask):
    for query in (ask(30), ask(NO_NUMBER, 30, 31)):
        assert listed(model.candidates(query, 10)) == listed(model.candidates(ask(), 10))
    with_unknown = model.candidates(ask(NO_NUMBER, 3, 99, 4), 10).products
    assert with_unknown.tolist() == model.candidates(ask(3, 4), 10).products.tolist()


def test_unknown_products_score_zero_and_have_no_reason(model, ask):
    assert model.score(ask(3), np.array([30, NO_NUMBER], np.uint32)).tolist() == [0, 0]
    assert model.why(ask(3), 30) == NO_NUMBER


def test_asking_for_nothing_gives_nothing(model, ask):
    assert len(model.candidates(ask(3), 0).products) == 0


def test_a_very_long_query_is_answered(model, ask):
    assert len(model.candidates(ask(*range(30), *range(30)), 10).products) > 0


def test_fitting_twice_gives_the_same_model(name, model, log):
    again = new_model(name)
    again.fit(log)
    for key, array in again.arrays().items():
        np.testing.assert_array_equal(array, model.arrays()[key])


def test_threads_do_not_disturb_each_other(model, ask):
    queries = [ask(i % 30, (i * 7) % 30) for i in range(40)]
    expected = [listed(model.candidates(query, 8)) for query in queries]
    answers = {}

    def work(worker):
        answers[worker] = [listed(model.candidates(query, 8)) for query in queries * 5]

    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(answers[number] == expected * 5 for number in range(3))


@pytest.mark.parametrize("personal", ["item_knn", "session_knn"])
class TestPersonalModels:
    """What the models that look at the session promise beyond that."""

    @pytest.fixture
    def fitted(self, personal, blocks):
        model = new_model(personal)
        model.fit(blocks)
        return model

    @pytest.mark.parametrize("block", [0, 1, 2])
    def test_only_products_of_the_sessions_block_are_proposed(self, fitted, ask, block):
        products = fitted.candidates(ask(10 * block + 1, 10 * block + 5), 30).products
        assert len(products) >= 8
        assert (products // 10 == block).all()

    def test_the_evidence_shares_a_stored_session_with_the_candidate(self, fitted, blocks, ask):
        sessions = [set(s.tolist()) for s in np.split(blocks.products, blocks.offsets[1:-1])]
        for query in (ask(3, 4), ask(11, 18, 12), ask(2, 25)):
            candidates = fitted.candidates(query, 30)
            for product, shared in zip(candidates.products.tolist(), candidates.evidence.tolist(), strict=True):
                assert shared in query.products
                assert any({product, shared} <= session for session in sessions)
                assert fitted.why(query, product) == shared


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [
        ("session_knn", {"sessions_per_product": 1, "session_length": 2, "neighbours": 500}),
        ("item_knn", {"neighbours": 1, "window": 1, "session_length": 2}),
    ],
)
def test_a_model_loaded_under_a_smaller_configuration_still_has_room(larger, smaller, blocks, ask):
    model = new_model(larger)
    model.fit(blocks)
    again = EVALUATED[larger].load(model.arrays(), smaller)
    query = ask(*range(10))
    assert set(again.candidates(query, 30).products.tolist()) == set(model.candidates(query, 30).products.tolist())
