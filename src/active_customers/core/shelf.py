"""Shelves: titled rows of products on one page."""

from __future__ import annotations

from active_customers.core.event import Word


class Shelf(Word):
    """Why products stand together; the words are what the API tells."""

    COMPLETE_CART = 0
    """What is bought together with the products of the cart."""
    PRICE_DROP = 1
    """Looked at, and cheaper since."""
    CONTINUE = 2
    """Looked at lately and not bought since."""
    BUY_AGAIN = 3
    """Bought before, and due by the customer's own interval."""
    BECAUSE_YOU_VIEWED = 4
    """Nearest to one product that the customer looked at lately."""
    FOR_YOU = 5
    """What the hybrid proposes to this customer."""
    NEW_FOR_YOU = 6
    """New in the catalogue, and described like what the customer acted on."""
    TRENDING = 7
    """What more and more customers look at, in the categories of this customer where there is any."""
    POPULAR = 8
    """What many customers chose lately."""
    CATALOGUE = 9
    """What nothing better is known of."""
