"""The index finds what the catalogue says, after whatever was done to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.catalog.test_table import Kept

from active_customers.catalog import word_index
from active_customers.catalog.word_index import WordIndex, keys_of, words_of
from active_customers.core.product import Product

NAMES = [None, "Red mug", "red Mugs", "Blue glass", "Mug, blue"]
CATEGORIES = [None, "Kitchen", "Kitchen > Mugs", "Garden"]
changes = st.lists(
    st.tuples(st.sampled_from("pqrs"), st.sampled_from(NAMES), st.sampled_from(CATEGORIES), st.booleans()), max_size=12
)


@pytest.fixture
def kept(tmp_path) -> Kept:
    return Kept(tmp_path / "catalog")


def opened(kept) -> WordIndex:
    return WordIndex(kept.catalog, kept.reader)


def ids(kept, numbers) -> list[str]:
    return [kept.catalog.product_id(number) for number in numbers.tolist()]


def test_nothing_is_known_before_the_catalogue_was_read(kept):
    kept.put(Product("p", name="Mug"))
    index = opened(kept)
    assert (index.is_ready, ids(kept, index.find("mug"))) == (False, [])
    index.follow()
    assert (index.is_ready, ids(kept, index.find("mug"))) == (True, ["p"])


def test_the_first_look_reads_no_more_than_is_soon_read_and_the_next_the_rest(kept, monkeypatch):
    monkeypatch.setattr(word_index, "_AT_FIRST", 2)
    kept.put(Product("p", name="Mug"), Product("q", name="Mug"), Product("r", name="Mug"))
    index = opened(kept)
    index.follow()
    assert (index.is_ready, ids(kept, index.find("mug"))) == (False, ["p", "q"])
    index.follow()
    assert (index.is_ready, ids(kept, index.find("mug"))) == (True, ["p", "q", "r"])


@pytest.mark.parametrize(
    ("text", "words"), [("Café-Mugs 20cm", ["cafe", "mug", "20cm"]), ("gas", ["gas"]), ("_ -", [])]
)
def test_words_are_compared_without_case_accents_and_a_final_s(text, words):
    assert words_of(text) == words


def test_all_words_count_and_where_none_has_all_most_of_them(kept):
    kept.put(Product("p", name="red mug"), Product("q", name="red glass"), Product("r", name="blue plate"))
    index = opened(kept)
    index.follow()
    assert ids(kept, index.find("red mug")) == ["p"]
    assert ids(kept, index.find("red glass plate")) == ["q"]
    assert ids(kept, index.find("plate")) == ["r"]
    assert ids(kept, index.find("")) == []


@given(changes)
def test_after_any_changes_words_and_categories_lead_to_what_is_said_now(tmp_path_factory, rows):
    kept = Kept(tmp_path_factory.mktemp("index"))
    index = opened(kept)
    for product, name, category, reads in rows:
        kept.put(Product(product, name=name, category=category))
        if reads:
            index.follow()
    index.follow()
    entries = {product.product_id: product for _, product in kept.catalog.products()}
    for key in ("mug", "red", "blue", "kitchen"):
        expected = {product for product, entry in entries.items() if key in keys_of(entry)}
        assert set(ids(kept, index.find(key))) == expected
    for path in ("kitchen", "Kitchen>Mugs", "GARDEN"):
        below = " > ".join(level.strip() for level in path.casefold().split(">"))
        expected = {p for p, e in entries.items() if f"{(e.category or '').casefold()} > ".startswith(f"{below} > ")}
        assert set(ids(kept, index.in_category(path))) == expected


def test_an_index_with_many_renamed_products_is_made_anew(kept, monkeypatch):
    monkeypatch.setattr("active_customers.catalog.word_index._MOST_REWRITTEN", 1)
    index = opened(kept)
    for name in ("mug", "glass", "plate"):
        kept.put(*(Product(product, name=name) for product in "pqr"))
        index.follow()
    index.follow()
    assert ids(kept, index.find("plate")) == ["p", "q", "r"]
    assert ids(kept, index.find("mug")) == []


def test_what_could_not_be_read_is_read_the_next_time(kept, monkeypatch):
    kept.put(*(Product(str(number), name="board") for number in range(10)))
    index, read = opened(kept), kept.catalog.product

    def fails_in_between(number: int) -> Product | None:
        if number == 5:
            raise OSError("not readable")
        return read(number)

    monkeypatch.setattr(kept.catalog, "product", fails_in_between)
    with pytest.raises(OSError, match="not readable"):
        index.follow()
    assert not index.is_ready
    monkeypatch.setattr(kept.catalog, "product", read)
    index.follow()
    assert len(index.find("board")) == 10
