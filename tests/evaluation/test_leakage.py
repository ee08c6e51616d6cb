"""Nothing that is asked is known to those who answer: guards that every contestant has to pass."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.conftest import lightgbm_or_skip
from tests.evaluation.made import BUY, CART, START, VIEW, events

from active_customers.core.clock import MINUTE
from active_customers.evaluation.contestants import CONTESTANTS
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.rolling import Folds, rolling
from active_customers.models.product_features import About

CANARY = 999
GAP = 40
SESSIONS = 120
CATALOGUE = DescribedProducts(
    np.arange(30).astype(np.str_), [[(About.BRAND, str(p // 10)), (About.NAME, str(p % 7))] for p in range(30)]
)
"""What shops say of the products that training acts on: without it, a model of contents proposes nothing."""


def shop(seed=1):
    """Return sessions over three blocks of products, one after the other, every fifth act a cart or a purchase."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(SESSIONS):
        products = 10 * int(rng.integers(0, 3)) + rng.integers(0, 10, 6)
        kinds = rng.choice([VIEW, CART, BUY], 6, p=[0.8, 0.1, 0.1])
        for place, (product, kind) in enumerate(zip(products, kinds, strict=True)):
            rows.append((f"c{number % 30}", str(number), int(product), number * GAP + place, int(kind)))
    return events(*rows)


def parts(file):
    """Return what is learned from, and the last third, which is asked."""
    split = START + GAP * (SESSIONS * 2 // 3) * MINUTE
    return file.where(file.times < split), file.where(file.times >= split)


@pytest.fixture(params=list(CONTESTANTS))
def contestant(request):
    if request.param == "hybrid":
        lightgbm_or_skip()
    return request.param


def answers(path, request):
    evaluate(replace(request, dump=path, catalogue=CATALOGUE))
    return pq.read_table(path).to_pylist()


@pytest.mark.parametrize("protocol", ["next-item", "rest-of-session"])
def test_what_comes_after_a_question_does_not_change_the_answer(contestant, protocol, tmp_path):
    train, test = parts(shop())
    moment = int(np.median(test.times))
    rng = np.random.default_rng(2)
    later = test.times >= moment
    other = replace(test, products=np.where(later, rng.integers(0, 40, len(test)), test.products))
    found = []
    for name, asked in (("a", test), ("b", other)):
        request = EvaluationRequest((train,), asked, (contestant,), protocol, k=10)
        shown_at = {
            (session, place + 1): time
            for session in np.unique(asked.sessions)
            for place, time in enumerate(np.sort(asked.times[asked.sessions == session]))
        }
        rows = answers(tmp_path / f"{name}.parquet", request)
        found.append([row for row in rows if shown_at[row["session_id"], row["prefix_len"]] < moment])
    assert found[0] == found[1]
    assert found[0]


def test_what_comes_after_a_fold_began_does_not_change_its_model(contestant, tmp_path):
    file = shop()
    folds = Folds(1, 0.5)
    (task,) = rolling([file], folds)
    rng = np.random.default_rng(3)
    # After the fold began, everything but the first act of each session is another product.
    first = np.zeros(len(file), bool)
    first[np.unique(file.sessions, return_index=True)[1]] = True
    changed = (file.times >= task.until) & ~first
    other = replace(file, products=np.where(changed, rng.integers(0, 40, len(file)), file.products))
    found = []
    for name, given in (("a", file), ("b", other)):
        request = EvaluationRequest((given,), None, (contestant,), "rolling", k=10, folds=folds)
        rows = answers(tmp_path / f"{name}.parquet", request)
        found.append([row for row in rows if row["prefix_len"] == 1])
    assert found[0] == found[1]
    assert found[0]


def test_a_product_of_the_test_part_alone_is_never_proposed(contestant, tmp_path):
    train, test = parts(shop())
    places = np.arange(len(test)) % 6
    canary = replace(test, products=np.where(places % 2 == 1, CANARY, test.products))
    rows = answers(tmp_path / "a.parquet", EvaluationRequest((train,), canary, (contestant,), k=20))
    assert rows
    assert {row["product_id"] for row in rows} <= set(train.products.tolist())


def test_a_product_that_comes_after_a_fold_began_is_never_proposed_in_it(contestant, tmp_path):
    file, folds = shop(), Folds(2, 0.5)
    first, second = rolling([file], folds)
    late = (file.times >= second.until) & (np.arange(len(file)) % 2 == 1)
    canary = replace(file, products=np.where(late, CANARY, file.products))
    for task in rolling([canary], folds, catalogue=CATALOGUE):
        assert CANARY not in task.product_ids
        assert task.train.n_products == len(task.product_ids)
    request = EvaluationRequest((canary,), None, (contestant,), "rolling", k=20, folds=folds)
    assert CANARY not in {row["product_id"] for row in answers(tmp_path / "a.parquet", request)}
    assert first.until < second.until


@pytest.mark.parametrize("targets", ["any", "view", "cart_add", "purchase"])
def test_no_fold_learns_from_an_act_after_its_beginning(targets):
    for task in rolling([shop()], Folds(4, targets=targets)):
        assert task.train.times.max() < task.until <= task.test.times.min()
        assert task.train.as_of < task.until
        assert task.train.reference_time < task.until


@pytest.mark.parametrize("name", ["item_knn", "session_knn", "linear", "sequential_rules", "vsknn", "stan", "vstan"])
def test_with_training_shuffled_over_sessions_nothing_is_foretold(name):
    train, test = parts(shop())
    shuffled = replace(train, products=np.random.default_rng(5).permutation(train.products))
    found = {}
    for label, learned in (("true", train), ("shuffled", shuffled)):
        request = EvaluationRequest((learned,), test, (name,), k=10, repeats="new")
        found[label] = evaluate(request).models[name].hr
    assert found["true"] > 0.9  # a session stays within ten of thirty products
    assert found["shuffled"] < 0.45  # where lists of ten hit a third by chance
