"""The promises of the ports, on every adapter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import NOW

from active_customers.core.clock import DAY, MINUTE
from active_customers.core.event import Channel, Context, EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Changed, Product, ProductChange, ProductSearch
from active_customers.core.session import GIVEN_SESSION, CustomerState
from active_customers.realtime.shelf_routes import STRANGER
from active_customers.storage.embedded import EmbeddedStore
from active_customers.storage.memory import MemoryStore


def test_positions_count_from_one_in_the_order_of_append(store, make_event):
    first = store.events.append([make_event("a", EventType.VIEW, "p"), make_event("b", EventType.VIEW, "q")], NOW)
    second = store.events.append([make_event("a", EventType.VIEW, "q")], NOW)
    assert [receipt.position for receipt in first + second] == [1, 2, 3]
    assert store.events.next_position() == 4


def test_what_was_appended_is_read_back_whole(store, make_event):
    event = make_event(
        "kürbis",
        EventType.PURCHASE,
        "p",
        quantity=3,
        price=9.5,
        context=Context.CART,
        channel=Channel.MOBILE,
        session_id="s1",
        details={"order_id": "o1", "currency": "EUR", "metadata": {"a": [1, None, "ü"]}},
    )
    store.events.append([event, make_event("b", EventType.SEARCH)], NOW + 5)
    first, second = store.events.read(1, 10)
    assert first.event == event
    assert (first.position, first.arrival) == (1, NOW + 5)
    assert first.session & GIVEN_SESSION
    assert (second.product, second.event.product_id, second.event.price) == (NO_NUMBER, None, None)


def test_reading_starts_anywhere_and_stops_at_the_limit(store, make_event):
    store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(5)], NOW)
    assert [entry.position for entry in store.events.read(2, 3)] == [2, 3, 4]
    assert store.events.read(6, 3) == []


def test_the_same_key_is_a_duplicate_and_changes_nothing(store, make_event):
    event = make_event("a", EventType.CART_ADD, "p")
    receipts = store.events.append([event, event], NOW) + store.events.append([event], NOW + 6 * DAY)
    assert [receipt.is_duplicate for receipt in receipts] == [False, True, True]
    assert CustomerState.of(store.sessions.state("a")).cart.tolist() == [[0, 1, NOW]]
    assert store.events.next_position() == 2


def test_a_key_with_a_window_is_a_duplicate_only_within_it(store, make_event):
    event = make_event("a", EventType.VIEW, "p", dedup_key=b"k" * 16, retry_window=10 * MINUTE)
    times = [NOW, NOW + 10 * MINUTE, NOW + 11 * MINUTE, NOW + 12 * MINUTE]
    assert [store.events.append([event], time)[0].is_duplicate for time in times] == [False, True, False, True]


def test_a_key_is_remembered_for_seven_days(store, make_event):
    event = make_event("a", EventType.VIEW, "p")
    duplicates = [store.events.append([event], NOW + day * DAY)[0].is_duplicate for day in (0, 7, 8, 9)]
    assert duplicates == [False, True, False, True]


def test_a_clock_that_was_ahead_makes_nobody_forget_a_key(store, make_event):
    """What arrived before it jumped by a month and came back is still known, and so is what arrived meanwhile."""
    before, meanwhile = make_event("a", EventType.VIEW, "p"), make_event("a", EventType.VIEW, "q")
    store.events.append([before], NOW)
    store.events.append([meanwhile], NOW + 30 * DAY)
    receipts = store.events.append([before, meanwhile], NOW + MINUTE)
    assert [receipt.is_duplicate for receipt in receipts] == [True, True]


def test_a_clock_that_was_ahead_holds_up_no_equal_body(store, make_event):
    """A body that came three days in the future would else be taken for a retry until then."""
    event = make_event("a", EventType.VIEW, "p", dedup_key=b"k" * 16, retry_window=10 * MINUTE)
    times = [NOW + 3 * DAY, NOW, NOW + MINUTE]
    assert [store.events.append([event], time)[0].is_duplicate for time in times] == [False, False, True]


def test_a_batch_that_fails_leaves_nothing_behind(store, make_event):
    store.events.append([make_event("a", EventType.CART_ADD, "p")], NOW)
    before = store.sessions.state("a").tolist()
    good, bad = make_event("a", EventType.CART_ADD, "p"), make_event("c", EventType.VIEW, "r", time=2**70)
    new = make_event("b", EventType.VIEW, "q")
    with pytest.raises(OverflowError):
        store.events.append([good, new, bad], NOW)
    assert store.sessions.state("a").tolist() == before
    assert (store.sessions.n_customers(), store.catalog.n_products()) == (1, 1)
    assert store.sessions.state("b") is None
    assert (len(store.events.read(1, 10)), store.events.next_position()) == (1, 2)
    assert [receipt.position for receipt in store.events.append([good, new], NOW)] == [2, 3]


def test_numbers_are_given_once_for_life(store, make_event):
    assert store.catalog.number_products(["p", "q", "p"]) == [0, 1, 0]
    store.events.append([make_event("a", EventType.VIEW, "r"), make_event("a", EventType.VIEW, "q")], NOW)
    assert [store.catalog.product_number(product) for product in ("p", "q", "r", "s")] == [0, 1, 2, NO_NUMBER]
    assert [store.catalog.product_id(number) for number in (0, 1, 2, 3)] == ["p", "q", "r", None]
    assert store.customers.number(["b", "a"]) == [1, 0]
    assert (store.catalog.n_products(), store.sessions.n_customers()) == (3, 2)


def test_every_store_can_be_asked_for_a_stranger(store):
    assert store.sessions.find(STRANGER) == (NO_NUMBER, None)


def test_ids_of_any_length_and_script_have_numbers(store):
    ids = ["𝒳" * 128, "𝒳" * 127, "x", "ü" * 128]
    assert store.catalog.number_products(ids) == [0, 1, 2, 3]
    assert [store.catalog.product_id(number) for number in range(4)] == ids


def test_state_is_there_with_the_receipt(store, make_event):
    assert store.sessions.state("a") is None
    store.events.append([make_event("a", EventType.VIEW, "p"), make_event("a", EventType.CART_ADD, "q")], NOW)
    state = CustomerState.of(store.sessions.state("a"))
    assert (state.events[:, 2] & NO_NUMBER).tolist() == [0, 1]
    assert state.cart.tolist() == [[1, 1, NOW]]
    np.testing.assert_array_equal(store.sessions.state_of_number(0), store.sessions.state("a"))


def test_a_pause_of_thirty_minutes_ends_a_session_and_a_late_event_joins_its_own(store, make_event):
    minutes = [0, 30, 61, 25, 200, 100]
    receipts = [
        store.events.append([make_event("a", EventType.VIEW, "p", NOW + minute * MINUTE)], NOW + 300 * MINUTE)[0]
        for minute in minutes
    ]
    assert [receipt.session for receipt in receipts] == [1, 1, 3, 1, 5, 6]


def test_a_given_session_wins_and_belongs_to_one_customer(store, make_event):
    events = [
        make_event(c, EventType.VIEW, "p", t, session_id="1") for c, t in (("a", NOW), ("a", NOW + DAY), ("b", NOW))
    ]
    sessions = [receipt.session for receipt in store.events.append(events, NOW + DAY)]
    assert sessions[0] == sessions[1] != sessions[2]


def test_reserved_positions_are_never_given_again(store, make_event):
    assert store.events.reserve(10) == 1
    assert store.events.append([make_event("a", EventType.VIEW, "p")], NOW)[0].position == 11


def test_trimming_forgets_only_what_lies_below(store, make_event):
    store.events.append([make_event("a", EventType.VIEW, "p") for _ in range(5)], NOW)
    assert store.events.trim(4) == 3
    assert [entry.position for entry in store.events.read(1, 10)] == [4, 5]
    assert store.events.next_position() == 6


def test_the_catalogue_replaces_by_id_and_counts_its_versions(store):
    before = store.catalog.catalog_version()
    product = Product("p", name="Pan", price=9.5, replenishable=True)
    assert store.catalog.put_products([product, Product("q")]) == 2
    assert store.catalog.put_products([Product("q", name="Pan"), Product("q", name="Pot")]) == 2
    assert store.catalog.product(0) == product
    assert store.catalog.product(7) is None
    assert [(number, entry.name) for number, entry in store.catalog.products()] == [(0, "Pan"), (1, "Pot")]
    assert store.catalog.catalog_version() > before


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=6)),
        st.tuples(st.just("reserve"), st.integers(1, 5)),
        st.tuples(st.just("trim"), st.integers(1, 30)),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(steps)
def test_both_adapters_agree_on_any_history(tmp_path_factory, make_event, history):
    memory = MemoryStore()
    embedded = EmbeddedStore(tmp_path_factory.mktemp("store") / "s", writer=True).open()
    try:
        for verb, argument in history:
            if verb == "append":
                events = [
                    make_event(customer, EventType.VIEW, f"p{key}", NOW + key * MINUTE, dedup_key=bytes([key]) * 16)
                    for customer, key in argument
                ]
                assert embedded.events.append(events, NOW) == memory.events.append(events, NOW)
            else:
                assert getattr(embedded.events, verb)(argument) == getattr(memory.events, verb)(argument)
        assert embedded.events.read(1, 1000) == memory.events.read(1, 1000)
        for customer in "abc":
            mine, theirs = memory.sessions.state(customer), embedded.sessions.state(customer)
            assert (mine is None) == (theirs is None)
            assert mine is None or mine.tolist() == theirs.tolist()
    finally:
        embedded.close()


def test_an_unknown_customer_has_no_state(store):
    assert store.sessions.state("x") is None
    assert store.sessions.state_of_number(3) is None


FULL = Product(
    "p",
    name="Boot",
    category="Shoes > Boots",
    price=90.0,
    currency="EUR",
    sale_price=70.5,
    sale_from=NOW,
    sale_until=NOW + 1,
    stock=0,
    availability="backorder",
    tags=("winter", "new"),
    attributes={"colour": "red", "sizes": ["40", "41"], "weight": 1.5, "vegan": True},
    hidden=True,
)


def test_a_catalogue_entry_comes_back_with_all_its_fields(store):
    store.catalog.put_products([FULL])
    assert store.catalog.product(0) == FULL


def test_changes_are_made_in_order_and_each_is_answered(store):
    changes = [
        ProductChange("p", {"price": 2.0, "sale_price": 3.0}),
        ProductChange("p", {"stock": 1}, merge=True),
        ProductChange("p", {"name": "Pan", "price": 5.0, "tags": ["a"]}),
        ProductChange("p", {"stock": 0, "name": None}, merge=True),
        ProductChange("p", {"sale_price": 6.0}, merge=True),
        ProductChange("q", {}),
        ProductChange("q", {"stock": 3}),
        ProductChange("q", None),
        ProductChange("q", None),
    ]
    outcomes = store.catalog.change_products(changes)
    refused = Changed("rejected", ("sale_price", 3.0, "it is at most the price, 2.0"))
    assert outcomes[0] == refused
    statuses = [outcome.status for outcome in outcomes[1:]]
    assert statuses == ["unknown", "created", "updated", "rejected", "created", "replaced", "deleted", "unknown"]
    assert list(store.catalog.products()) == [(0, Product("p", price=5.0, tags=("a",), stock=0))]


def test_a_deleted_entry_is_gone_and_known_to_be(store):
    store.catalog.put_products([Product("p"), Product("q")])
    store.catalog.change_products([ProductChange("p", None)])
    assert store.catalog.deleted_products() == [0]
    assert store.catalog.product(0) is None
    assert store.catalog.product_number("p") == 0
    store.catalog.change_products([ProductChange("p", {"name": "Back"})])
    assert store.catalog.deleted_products() == []
    assert store.catalog.product(0) == Product("p", name="Back")


def test_products_are_found_by_name_brand_category_and_id_in_any_case(store):
    products = [
        Product("a-1", name='Größe "XL"', brand="ÖKO", category="Shoes > Boots"),
        Product("a-2", name="Sandal", brand="Mare", category="Shoes", description="like boots"),
        Product("b-3", name="Boots rack", category="Shoesmith", hidden=True),
    ]
    store.catalog.put_products(products)

    def ids(**search) -> list[str]:
        found, end = store.catalog.find_products(ProductSearch(**search), 0, 10)
        assert end is None
        return [product.product_id for product in found]

    assert ids() == ["a-1", "a-2", "b-3"]
    assert ids(words=("boots",)) == ["a-1", "b-3"]
    assert ids(words=("grösse", '"xl"')) == ["a-1"]
    assert ids(words=("a-", "mare")) == ["a-2"]
    assert ids(category="shoes") == ["a-1", "a-2"]
    assert ids(brand="öko") == ["a-1"]
    assert ids(with_hidden=False) == ["a-1", "a-2"]


def test_a_search_goes_on_where_it_ended(store):
    store.catalog.put_products([Product(str(number), name="even" if number % 2 == 0 else "odd") for number in range(9)])
    first, place = store.catalog.find_products(ProductSearch(("even",)), 0, 3)
    second, end = store.catalog.find_products(ProductSearch(("even",)), place, 3)
    assert [product.product_id for product in first + second] == ["0", "2", "4", "6", "8"]
    assert end is None


def test_values_of_facets_have_numbers_of_their_own(store):
    assert store.catalog.number_facets("brand", ["Mare", "Oak", "Mare"]) == [0, 1, 0]
    assert store.catalog.number_facets("category", ["Oak"]) == [0]
    assert [store.catalog.facet_number("brand", value) for value in ("Oak", "Elm")] == [1, NO_NUMBER]


def test_the_catalogues_entries_are_counted_without_the_deleted_and_those_that_only_events_name(store, make_event):
    store.catalog.put_products([Product("a"), Product("b")])
    store.events.append([make_event("ann", EventType.VIEW, "c")], NOW)
    assert store.catalog.n_entries() == 2
    store.catalog.change_products([ProductChange("a", None)])
    assert (store.catalog.n_entries(), store.catalog.n_products()) == (1, 3)


def test_impressions_are_counted_in_the_state_until_an_act_on_the_product(store, make_event):
    shown = [make_event("a", EventType.IMPRESSION, product) for product in ("p", "q", "p")]
    store.events.append(shown, NOW)
    assert CustomerState.of(store.sessions.state("a")).shown[:, 1].tolist() == [1, 2]
    store.events.append([make_event("a", EventType.VIEW, "p")], NOW)
    assert CustomerState.of(store.sessions.state("a")).shown[:, 1].tolist() == [1]


def test_a_login_adds_up_what_was_shown_before_and_after(store, make_event):
    store.events.append([make_event("cookie", EventType.IMPRESSION, "p") for _ in range(2)], NOW)
    store.events.append([make_event("a", EventType.IMPRESSION, "p")], NOW)
    login = make_event("a", EventType.LOGIN, details={"other_customer_id": "cookie"})
    store.events.append([login], NOW)
    assert CustomerState.of(store.sessions.state("a")).shown[:, 1].tolist() == [3]
