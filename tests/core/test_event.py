import pytest

from active_customers.core.event import EventType, event_type_named


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("view", EventType.VIEW),
        ("view_item", EventType.VIEW),
        ("detail-page-view", EventType.VIEW),
        ("Viewed Product", EventType.VIEW),
        ("add_to_cart", EventType.CART_ADD),
        ("AddToCart", EventType.CART_ADD),
        ("addtocart", EventType.CART_ADD),
        ("remove_from_cart", EventType.CART_REMOVE),
        ("begin_checkout", EventType.CHECKOUT),
        ("Started Checkout", EventType.CHECKOUT),
        ("purchase-complete", EventType.PURCHASE),
        ("transaction", EventType.PURCHASE),
        ("refund", EventType.REFUND),
        ("AddBookmark", EventType.WISHLIST_ADD),
        ("view_item_list", EventType.IMPRESSION),
        ("select_item", EventType.CLICK),
        ("hide_item", EventType.HIDE),
        ("keyword-search-v1", EventType.SEARCH),
    ],
)
def test_names_of_other_systems_are_understood(name, kind):
    assert event_type_named(name) is kind


@pytest.mark.parametrize("name", ["", "viewed", "decision", "config_change", "sent", "erase"])
def test_unknown_and_internal_names_are_not(name):
    assert event_type_named(name) is None
