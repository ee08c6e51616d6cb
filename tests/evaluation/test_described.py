"""Products that training never saw can be proposed and hit, if a catalogue describes them."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.evaluation.made import BUY, events

from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.described import DescribedProducts
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.evaluation.held_out import held_out
from active_customers.evaluation.next_basket import next_basket
from active_customers.evaluation.protocols import leave_one_out, next_item, rest_of_session
from active_customers.evaluation.rolling import Folds, newest_sessions, rolling
from active_customers.importing.described import read_described
from active_customers.models.product_features import About

WITHHELD = 900
"""Products from here on are in the catalogue, and no customer of the training part acts on them."""
KINDS = 4


def catalogue():
    """Products 0 to 39 and ten withheld ones, of four kinds that customers keep to."""
    products = [*range(40), *range(WITHHELD, WITHHELD + 10)]
    tokens = [[(About.CATEGORY, str(p % KINDS)), (About.NAME, str(p % 3))] for p in products]
    return DescribedProducts(np.array(products).astype(np.str_), tokens)


def shop(first, n, withheld):
    """Sessions of three acts on products of one kind, the last one on a withheld product if asked for."""
    rng = np.random.default_rng(first)
    rows = []
    for session in range(first, first + n):
        kind = int(rng.integers(KINDS))
        acts = (kind + KINDS * rng.integers(10, size=3)).tolist()
        if withheld:
            cold = [p for p in range(WITHHELD, WITHHELD + 10) if p % KINDS == kind]
            acts[2] = cold[int(rng.integers(len(cold)))]
        rows += [(f"c{session % 30}", str(session), product, session * 40 + i) for i, product in enumerate(acts)]
    return events(*rows)


def test_withheld_products_are_found_by_what_the_catalogue_says_alone():
    request = EvaluationRequest((shop(0, 120, False),), shop(200, 60, True), ("content", "linear"), k=20)
    with_it = evaluate(replace(request, catalogue=catalogue()))
    unseen = {name: figures.slices["target_popularity"]["unseen"] for name, figures in with_it.models.items()}
    assert unseen["content"]["targets"] == 60
    assert unseen["content"]["found"] > 0.9  # a kind has 10 products and 2 or 3 withheld ones
    assert unseen["linear"]["found"] == 0
    assert with_it.data["n_untouched_products"] == 10
    assert with_it.data["n_unseen_targets"] == 60
    assert evaluate(request).models["content"].hr == 0


def test_what_is_known_of_products_changes_nothing_for_models_that_do_not_ask():
    request = EvaluationRequest((shop(0, 120, False),), shop(200, 60, False), ("item_knn", "linear", "vstan"), k=10)
    one, other = evaluate(request), evaluate(replace(request, catalogue=catalogue()))
    for name in request.models:
        assert one.models[name].figures == other.models[name].figures


@pytest.mark.parametrize(
    "protocol", ["next-item", "rest-of-session", "leave-one-out", "rolling", "held-out", "next-basket", "newest"]
)
def test_every_protocol_numbers_the_whole_catalogue_behind_what_it_learns_from(protocol):
    train, test, known = shop(0, 60, False), shop(100, 30, False), catalogue()
    bought = replace(train, event_types=np.full(len(train), BUY, np.uint8)) if protocol == "next-basket" else train
    first = train.where(np.arange(len(train)) == 0)
    held = replace(first, sessions=first.customers)
    tasks = {
        "next-item": lambda: next_item([train], test, catalogue=known),
        "rest-of-session": lambda: rest_of_session([train], test, catalogue=known),
        "newest": lambda: newest_sessions([train], 0.2, catalogue=known),
        "leave-one-out": lambda: leave_one_out([train], catalogue=known),
        "rolling": lambda: rolling([train], Folds(1), catalogue=known)[0],
        "held-out": lambda: held_out([train], held, catalogue=known),
        "next-basket": lambda: next_basket([bought], 0.5, catalogue=known),
    }
    task = tasks[protocol]()
    n_learned = len(np.unique(task.train.products))
    assert {str(i) for i in task.product_ids} >= set(known.ids)
    assert task.train.n_products == len(task.product_ids) == task.train.features.n_products
    assert task.train.products.max() < n_learned or protocol == "leave-one-out"
    number = task.product_ids.tolist().index(WITHHELD)
    tokens = slice(*task.train.features.offsets[number : number + 2])
    assert len(task.train.features.tokens[tokens]) == 2


def test_ids_that_only_the_catalogue_has_stay_what_ids_are():
    known = DescribedProducts(np.array(["3", "7", "12"]), [[]] * 3)
    assert known.beyond(np.array([7])).tolist() == [3, 12]
    assert known.beyond(np.array(["7"])).tolist() == ["12", "3"]
    assert DescribedProducts(np.array(["007", "7"]), [[]] * 2).beyond(np.array([7])).tolist() == ["007"]


def test_a_plain_table_gives_attributes(tmp_path):
    path = tmp_path / "attributes.parquet"
    pq.write_table(pa.table({"item_id": [4, 83], "attribute_ids": [[1, 2], None]}), path)
    text = tmp_path / "attributes.csv"
    text.write_text('item_id,attribute_ids\n5,"1, 2"\n6,[3 4]\n')
    found = read_described([path, text])
    assert found.ids.tolist() == ["4", "83", "5", "6"]
    one, two = (About.ATTRIBUTE, "1"), (About.ATTRIBUTE, "2")
    assert list(found.tokens) == [[one, two], [], [one, two], [(About.ATTRIBUTE, "3"), (About.ATTRIBUTE, "4")]]
    assert [source.name for source in found.sources] == ["attributes.parquet", "attributes.csv"]


def test_files_that_can_be_imported_give_categories_brands_and_names(tmp_path):
    path = tmp_path / "products.jsonl"
    path.write_text('{"product_id": 7, "name": "Oak board", "category": "Kitchen > Boards", "brand": "Oak"}\n')
    found = read_described([path], "session-tsv")  # a preset of events alone
    assert found.ids.tolist() == ["7"]
    assert {about for about, _ in found.tokens[0]} == {About.NAME, About.CATEGORY, About.BRAND}


def test_a_file_that_says_nothing_of_products_is_refused(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidValueError, match="product_id"):
        read_described([path])
