"""Events: what a customer did, and the words for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b
from typing import Any

from active_customers.core.clock import MINUTE


class Word(IntEnum):
    """A number that is stored, with a word for people: the name used in the API, the docs and the archive."""

    @property
    def word(self) -> str:
        """The name in small letters."""
        return self.name.lower()


class EventType(Word):
    """Every kind of event; the number is stored and never changes its meaning."""

    VIEW = 1
    CLICK = 2
    CART_ADD = 3
    CART_REMOVE = 4
    CHECKOUT = 5
    PURCHASE = 6
    REFUND = 7
    WISHLIST_ADD = 8
    IMPRESSION = 9
    HIDE = 10
    SEARCH = 11
    LOGIN = 12
    CONSENT = 13
    UNSUBSCRIBE = 14
    EMAIL_OPEN = 15
    EMAIL_CLICK = 16
    PUSH_OPEN = 17
    PUSH_CLICK = 18
    # Internal: written by the service itself, refused from outside, skipped by training.
    DECISION = 64
    SENT = 65
    BOUNCE = 66
    COMPLAINT = 67
    EXPOSURE = 68
    CHOICE = 69
    ERASE = 70
    CONFIG_CHANGE = 71
    ERASED = 72
    JOINED = 73
    """What `customer` did before under the number in `session` is theirs from here on."""
    FORGOTTEN = 74
    """What the live index knows of `customer` is not to be used any more; the log keeps it."""

    @property
    def is_public(self) -> bool:
        """Whether a shop may post it."""
        return self < EventType.DECISION


TASTE_TYPES = (
    EventType.VIEW,
    EventType.CLICK,
    EventType.CART_ADD,
    EventType.PURCHASE,
    EventType.WISHLIST_ADD,
    EventType.EMAIL_CLICK,
    EventType.PUSH_CLICK,
)
"""Acts that say "this customer is interested in this product": what sessions are made of and models learn from."""

NO_PRODUCT_NEEDED = frozenset(
    {
        EventType.CHECKOUT,
        EventType.SEARCH,
        EventType.LOGIN,
        EventType.CONSENT,
        EventType.UNSUBSCRIBE,
        EventType.EMAIL_OPEN,
        EventType.PUSH_OPEN,
    }
)

# Names that shops already send: Google Analytics 4, Google Retail, Personalize, Recombee, Klaviyo, Dynamic Yield,
# RetailRocket, REES46. Matched without case, spaces and punctuation.
_ALIASES: Mapping[EventType, tuple[str, ...]] = {
    EventType.VIEW: ("view_item", "detail-page-view", "AddDetailView", "Viewed Product", "product_view", "pageview"),
    EventType.CLICK: ("select_item",),
    EventType.CART_ADD: ("add_to_cart", "AddCartAddition", "Added to Cart", "add-to-cart-v1", "cart"),
    EventType.CART_REMOVE: ("remove_from_cart", "DeleteCartAddition", "remove-from-cart-v1"),
    EventType.CHECKOUT: ("begin_checkout", "Started Checkout"),
    EventType.PURCHASE: ("purchase-complete", "AddPurchase", "Placed Order", "purchase-v1", "transaction", "buy"),
    EventType.REFUND: ("DeletePurchase", "Refunded Order"),
    EventType.WISHLIST_ADD: ("add_to_wishlist", "AddBookmark", "add-to-wishlist-v1"),
    EventType.IMPRESSION: ("view_item_list", "category-page-view"),
    EventType.HIDE: ("hide_item",),
    EventType.SEARCH: ("SearchItems", "keyword-search-v1", "view_search_results"),
    EventType.LOGIN: ("login-v1",),
}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


PUBLIC_WORDS: Mapping[str, EventType] = {kind.word: kind for kind in EventType if kind.is_public}
_BY_PLAIN_NAME: Mapping[str, EventType] = {
    **{_plain(alias): kind for kind, aliases in _ALIASES.items() for alias in aliases},
    **{_plain(word): kind for word, kind in PUBLIC_WORDS.items()},
}


def event_type_named(name: str) -> EventType | None:
    """Return the public event type with this name or alias, or None.

    >>> event_type_named("add_to_cart") is event_type_named("AddToCart") is EventType.CART_ADD
    True
    >>> event_type_named("decision") is None
    True
    """
    return PUBLIC_WORDS.get(name) or _BY_PLAIN_NAME.get(_plain(name))


# Limits of an event's fields, the same whether it is posted or imported.
MAX_AHEAD = 5 * MINUTE
"""How far a shop's clock may run ahead of ours."""
MAX_QUANTITY = 1_000_000
MAX_TEXT_LENGTH = 500
"""Of a query or a category."""
MAX_TOKEN_LENGTH = 1024
"""Of a recommendation_id."""
MAX_METADATA_DEPTH = 50
"""Of objects and lists within each other; JSON that is nested much deeper cannot be written again."""
CONSENTS = ("none", "session", "profile")
"""What a customer can agree to."""

DETAIL_FIELDS = (
    "event_id",
    "currency",
    "order_id",
    "recommendation_id",
    "query",
    "category",
    "consent",
    "other_customer_id",
)
"""The rarer fields, which `Event.details` holds beside `metadata`."""


def is_nested_deeper(value: object, levels: int) -> bool:
    """Tell whether objects and lists stand within each other in more than so many levels.

    >>> is_nested_deeper({"a": [1]}, 2), is_nested_deeper({"a": [1]}, 1)
    (False, True)
    """
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if levels == 0:
        return isinstance(value, dict | list)
    return any(is_nested_deeper(item, levels - 1) for item in inner)


def key_of_event_id(event_id: str) -> bytes:
    """Return the 16 bytes by which the log recognises a retry of an event with an id of its own."""
    return blake2b(event_id.encode(), digest_size=16).digest()


class Context(Word):
    """Where an answer is shown."""

    HOME = 0
    BROWSE = 1
    CATEGORY = 2
    CART = 3
    CHECKOUT = 4
    SEARCH = 5
    OUT_OF_STOCK = 6
    EMAIL = 7
    PUSH = 8
    DISCOVER = 9


class Channel(Word):
    """The medium through which the customer meets the shop."""

    WEB = 0
    MOBILE = 1
    EMAIL = 2
    PUSH = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One act of one customer, checked and in canonical form, not yet stored.

    `time` is when it happened by the shop's word, in microseconds. `dedup_key` (16 bytes) is what tells a retry from a
    second act; `retry_window` says for how long (microseconds; None: as long as the log remembers keys).
    """

    customer_id: str
    event_type: EventType
    time: int
    product_id: str | None = None
    quantity: int = 1
    price: float | None = None
    context: Context | None = None
    channel: Channel | None = None
    session_id: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    """`DETAIL_FIELDS` and `metadata` by name; only those present."""
    dedup_key: bytes = b""
    retry_window: int | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event as the log holds it, with what the committer decided about it."""

    position: int
    arrival: int
    customer: int
    product: int
    """Product number, or `NO_NUMBER`."""
    session: int
    event: Event


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one appended event: its position, or that it was a duplicate (None), or not to be kept (0)."""

    position: int | None
    session: int = 0

    @property
    def is_duplicate(self) -> bool:
        """Whether the log already had this event."""
        return self.position is None

    @property
    def is_kept(self) -> bool:
        """Whether the log has this event, since now or before."""
        return self.position != 0
