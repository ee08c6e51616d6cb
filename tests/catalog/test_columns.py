"""Columns stay as large as the catalogue, cost what a question costs, and may be asked while they follow."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.catalog.test_filter_masks import Followed

from active_customers.catalog import columns
from active_customers.catalog.columns import Vocabulary
from active_customers.catalog.filter_masks import Masks
from active_customers.catalog.filter_parser import parse_filter
from active_customers.catalog.filters import Compare
from active_customers.core.errors import InvalidValueError
from active_customers.core.product import Product


@pytest.fixture
def kept(tmp_path) -> Followed:
    return Followed(tmp_path / "catalog")


def sizes(vocabulary: Vocabulary) -> dict[str, int]:
    """Return how much a vocabulary has of everything."""
    return {name: len(value) for name, value in vars(vocabulary).items() if hasattr(value, "__len__")}


def test_a_question_leaves_nothing_behind():
    vocabulary = Vocabulary()
    for value in range(100):
        vocabulary.give(float(value), value)
    before = sizes(vocabulary)
    for bound in range(50):
        found = vocabulary.answering(Compare("attributes.gtin", ">=", (float(bound),)))
        assert found.tolist() == list(range(bound, 100))
    assert sizes(vocabulary) == before


def test_an_order_of_attributes_counts_as_several_questions():
    parse_filter(" or ".join(f"attributes.gtin > {bound}" for bound in range(40)))
    parse_filter(" or ".join(f"price > {bound}" for bound in range(200)))
    with pytest.raises(InvalidValueError, match="order of tags or attributes counts as 5"):
        parse_filter(" or ".join(f"attributes.gtin > {bound}" for bound in range(41)))


def test_values_that_no_product_has_any_more_are_forgotten(kept):
    ids = [str(number) for number in range(500)]
    for hour in range(30):
        kept.put(
            *(Product(id_, brand=f"{id_}-{hour}", attributes={"synced_at": f"{hour}:{id_}", "k": "x"}) for id_ in ids)
        )
        kept.columns.follow()
    now = kept.columns.columns
    assert len(now.vocabularies["brand"]) < 6_000
    assert len(now.of_words["attributes.synced_at"]) < 6_000
    assert kept.found("attributes.synced_at = '29:7'") == kept.found("brand = 7-29") == ["7"]
    assert kept.found("attributes.synced_at = '0:7' or brand = 7-0") == []
    assert kept.found("attributes.k = x") == ids


def test_what_was_forgotten_is_no_trouble_to_who_looks_at_the_columns_as_they_were(kept):
    kept.put(*(Product(str(number), brand=f"old {number}") for number in range(100)), Product("q", brand="Mare"))
    kept.columns.follow()
    masks = Masks(kept.columns, np.arange(101), kept.clock.now())
    for hour in range(60):
        kept.put(*(Product(str(number), brand=f"{hour} {number}") for number in range(100)))
        kept.columns.follow()
    assert len(kept.columns.columns.vocabularies["brand"]) < 6_000
    assert np.flatnonzero(masks.of(parse_filter("brand = Mare"))).tolist() == [100]


class Reads:
    """Counts how often products' ids and numbers are read from a catalogue."""

    def __init__(self, kept: Followed, monkeypatch) -> None:
        self.n = 0
        for name in ("product_number", "product_id"):
            monkeypatch.setattr(kept.catalog, name, self.counted(getattr(kept.catalog, name)))

    def counted(self, read):
        def reads(asked):
            self.n += 1
            return read(asked)

        return reads


def test_a_changed_product_costs_no_look_at_the_ids_that_a_question_names(kept, monkeypatch):
    kept.put(*(Product(str(number)) for number in range(200)))
    kept.columns.follow()
    named = Compare("product_id", "=", tuple(str(number) for number in range(150, 1_150)))
    assert kept.columns.numbers_of(named).tolist() == list(range(150, 200))
    reads = Reads(kept, monkeypatch)
    kept.put(Product("0", stock=1))
    kept.columns.follow()
    reads.n = 0
    assert kept.columns.numbers_of(named).tolist() == list(range(150, 200))
    assert reads.n == 0
    kept.put(Product("700"), Product("never named"))
    kept.columns.follow()
    reads.n = 0
    assert kept.columns.numbers_of(named).tolist() == [*range(150, 200), 200]
    assert reads.n == 2


def test_one_thread_follows_while_another_asks_at_any_moment(kept):
    """The other thread asks before each line that the following one runs, so that no moment is left to chance."""
    texts = ("attributes.k > 0", "attributes.k = 7", "brand = b", "product_id in (p, 3)")
    filters = list(map(parse_filter, texts))
    kept.put(Product("p", brand="b", attributes={"k": 7}))
    kept.columns.follow()

    def ask() -> None:
        rows = np.arange(kept.columns.columns.n)
        for asked in filters:
            assert Masks(kept.columns, rows, kept.clock.now()).of(asked)[0]

    def at_each_line(frame, event, _argument):
        if frame.f_code.co_filename != columns.__file__:
            return None
        if event == "line":
            asking.submit(ask).result()
        return at_each_line

    def follow() -> None:
        sys.settrace(at_each_line)
        try:
            kept.columns.follow()
        finally:
            sys.settrace(None)

    with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(1) as following:
        for times in (1, 2):
            kept.put(*(Product(str(n), category=f"a > {n}", attributes={"k": [n, n * times]}) for n in range(20)))
            following.submit(follow).result()
    assert kept.found("category under a and attributes.k = 38") == ["19"]
