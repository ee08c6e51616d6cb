"""Reading a state by kernel, held equal to the readable view of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import CART_AGE, MAX_WORDS, CustomerState, empty_state
from active_customers.kernels.session_state import fold
from active_customers.kernels.state_sections import read_sections

kinds = st.sampled_from([EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE, EventType.HIDE, EventType.SEARCH])
acts = st.lists(st.tuples(kinds, st.integers(0, 30), st.integers(0, 3 * 10**10)), max_size=60)


@given(acts, st.lists(st.integers(0, 50), max_size=3), st.booleans())
def test_the_sections_are_those_of_the_readable_view(rows, asked, of_all_sessions):
    table = np.array([[kind, product, time, 1, 0, i + 1] for i, (kind, product, time) in enumerate(rows)], np.int64)
    out = np.empty(MAX_WORDS, np.int64)
    state = out[: fold(empty_state(), table.reshape(-1, 6), out)].copy()
    view = CustomerState.of(state)
    sections = read_sections(state, np.array(asked, np.uint32), 77, of_all_sessions)
    latest = view.events[view.events[:, 1] == view.events[-1:, 1]] if len(view.events) else view.events
    latest = view.events if of_all_sessions else latest
    acted = (latest[:, 2] & NO_NUMBER).tolist()
    viewed = []
    for product in asked:
        viewed += [product] if [*acted, *viewed][-1:] != [product] else []
    assert sections.products.tolist() == [*acted, *viewed]
    assert sections.event_types.tolist() == [*(latest[:, 2] >> 32).tolist(), *[EventType.VIEW] * len(viewed)]
    assert sections.times.tolist() == [*latest[:, 0].tolist(), *[77] * len(viewed)]
    assert sections.cart.tolist() == view.cart[:, 0].tolist()
    assert sections.bought.tolist() == view.bought[:, 0].tolist()
    assert sections.hidden.tolist() == view.hidden.tolist()


def test_what_has_lain_in_the_cart_for_too_long_does_not_count():
    adds = [(7, 10), (8, 11), (9, 12)]
    table = np.array([[EventType.CART_ADD, product, time, 1, 0, time] for product, time in adds], np.int64)
    out = np.empty(MAX_WORDS, np.int64)
    state = out[: fold(empty_state(), table, out)].copy()
    for now, expected in ((10, [7, 8, 9]), (10 + CART_AGE, [7, 8, 9]), (12 + CART_AGE, [9]), (13 + CART_AGE, [])):
        sections = read_sections(state, np.array([], np.uint32), now, False)
        assert sections.cart.tolist() == expected
        assert sections.bought.tolist() == sections.hidden.tolist() == []


def test_the_page_of_the_newest_act_s_product_is_no_second_view():
    """A shop posts the view, then asks what goes with the page."""
    table = np.array([[EventType.VIEW, product, time, 1, 0, time] for product, time in ((7, 1), (8, 2))], np.int64)
    out = np.empty(MAX_WORDS, np.int64)
    state = out[: fold(empty_state(), table, out)].copy()
    for page, expected in ((8, [7, 8]), (7, [7, 8, 7]), (9, [7, 8, 9])):
        assert read_sections(state, np.array([page], np.uint32), 3, False).products.tolist() == expected
