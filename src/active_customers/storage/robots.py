"""Customers who act as no person does, recognised by stated rules as their events are stored."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from active_customers.core.clock import MINUTE, SECOND
from active_customers.core.config import Config, StringList
from active_customers.core.event import Event, EventType

RATE, TIRELESS, USER_AGENT = "rate", "tireless", "user_agent"
RULES = (RATE, TIRELESS, USER_AGENT)
"""By name."""

KNOWN_ROBOTS = (
    "googlebot",
    "adsbot",
    "bingbot",
    "slurp",
    "duckduckbot",
    "baiduspider",
    "yandexbot",
    "applebot",
    "facebookexternalhit",
    "petalbot",
    "bytespider",
    "gptbot",
    "claudebot",
    "ccbot",
    "amazonbot",
    "ahrefsbot",
    "semrushbot",
    "mj12bot",
    "dotbot",
    "crawler",
    "headlesschrome",
    "phantomjs",
    "python-requests",
    "python-urllib",
    "scrapy",
    "curl/",
    "wget/",
)

LOOKS = frozenset({EventType.VIEW, EventType.CLICK})
"""What the rule about products counts: an order may have a thousand lines."""

_NEVER = 1 << 62

_MOST_WATCHED = 50_000
"""Customers that are watched at a time; some 300 bytes each. Then all but those of the newest minutes are let go."""


class RobotConfig(Config):
    """Who is taken for a robot; docs/privacy.md says how many customers of real shops each rule would hit."""

    events_per_minute: Annotated[int, Field(ge=0)] = 60
    """More events of one customer in a minute are no person's, if it goes on; impressions do not count, 0 switches it
    off."""
    minutes: Annotated[int, Field(ge=1)] = 5
    """For so many minutes in a row it has to go on."""
    products_without_pause: Annotated[int, Field(ge=0)] = 500
    """So many looks (views, clicks) from one product to another without a pause are no person's; 0 switches it off."""
    pause_seconds: Annotated[int, Field(ge=1)] = 60
    """A longer time between two acts is a pause."""
    user_agents: StringList = KNOWN_ROBOTS
    """Pieces of `metadata.user_agent`, in any case, that name a robot."""


class _Watched:
    """What is remembered of a customer: the minute under way, and the acts since the last pause."""

    __slots__ = ("events", "latest", "minute", "minutes", "product", "products")

    def __init__(self) -> None:
        self.minute = self.minutes = self.events = 0
        self.latest = self.products = 0
        self.product: str | None = None


class RobotWatch:
    """Watches events as they come, by the shop's own time. What it remembers is lost with the process, and harmless.

    >>> from active_customers.core.event import EventType
    >>> watch = RobotWatch(RobotConfig())
    >>> watch.rule_for(7, Event("c", EventType.VIEW, 0, "p", details={"metadata": {"user_agent": "Googlebot/2.1"}}))
    'user_agent'
    """

    def __init__(self, config: RobotConfig) -> None:
        self._user_agents = tuple(piece.lower() for piece in config.user_agents)
        self._most_events = config.events_per_minute or _NEVER
        self._minutes = config.minutes
        self._most_products = config.products_without_pause or _NEVER
        self._pause = config.pause_seconds * SECOND
        self._watched: dict[int, _Watched] = {}

    def rule_for(self, customer: int, event: Event) -> str | None:
        """Return the rule by which a customer's event shows that they are a robot, or None."""
        metadata = event.details.get("metadata")
        if metadata and self.names_robot(metadata.get("user_agent")):
            return USER_AGENT
        if event.event_type == EventType.IMPRESSION or not event.event_type.is_public:
            return None  # a page shows dozens, and none of them is an act; nor is what the service notes itself
        watched = self._watched.get(customer) or self._begin(customer, event.time)
        minute = event.time // MINUTE
        if minute == watched.minute:
            watched.events += 1
        else:
            goes_on = minute == watched.minute + 1 and watched.events > self._most_events
            watched.minutes = watched.minutes if goes_on else 0
            watched.minute, watched.events = minute, 1
        if watched.events > self._most_events:
            watched.minutes += watched.events == self._most_events + 1
            if watched.minutes >= self._minutes:
                return RATE
        if event.event_type in LOOKS and event.product_id is not None and self._is_tireless(watched, event):
            return TIRELESS
        return None

    def _begin(self, customer: int, time: int) -> _Watched:
        """Begin to watch a customer; when there are too many, only those of the newest minutes are watched on."""
        if len(self._watched) >= _MOST_WATCHED:
            since = time // MINUTE - 2
            self._watched = {number: each for number, each in self._watched.items() if each.minute >= since}
        if len(self._watched) >= _MOST_WATCHED:
            self._watched = {}
        watched = self._watched[customer] = _Watched()
        return watched

    def _is_tireless(self, watched: _Watched, event: Event) -> bool:
        """Count looks at another product since the last pause."""
        if abs(event.time - watched.latest) > self._pause:
            watched.products = 0
        watched.products += event.product_id != watched.product
        watched.latest, watched.product = event.time, event.product_id
        return watched.products >= self._most_products

    def names_robot(self, user_agent: object) -> bool:
        """Tell whether a user agent is that of a robot."""
        if not isinstance(user_agent, str):
            return False
        name = user_agent.lower()
        return any(piece in name for piece in self._user_agents)
