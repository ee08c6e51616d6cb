"""The public shapes: what may be posted and asked, checked by Pydantic, and the same in the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from active_customers.core.clock import parse_time
from active_customers.core.errors import InvalidValueError, meant
from active_customers.core.event import (
    CONSENTS,
    MAX_METADATA_DEPTH,
    MAX_QUANTITY,
    MAX_TEXT_LENGTH,
    MAX_TOKEN_LENGTH,
    NO_PRODUCT_NEEDED,
    PUBLIC_WORDS,
    Channel,
    Context,
    EventType,
    Word,
    event_type_named,
    is_nested_deeper,
)
from active_customers.core.identifiers import MAX_ID_LENGTH, MAX_JSON_INTEGER, canonical_id

MAX_BATCH = 1000
"""Events in one request."""
MAX_SHOWN = 100
"""Products in one impression event."""
MAX_STORED = 10_000
"""Events that one request may store, each product of a list that was seen being one."""
MAX_N = 100
"""Products in one answer."""
MAX_PRODUCTS = 1000
"""Products in one request that changes the catalogue."""
LANGUAGE_TAG = r"^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$"
"""A language as BCP 47 writes it: de, de-AT, zh-Hant-TW."""
SERVED_CONTEXTS = (
    Context.HOME,
    Context.BROWSE,
    Context.CART,
    Context.CHECKOUT,
    Context.DISCOVER,
    Context.CATEGORY,
    Context.SEARCH,
    Context.OUT_OF_STOCK,
)
NEEDED = {Context.CATEGORY: "category", Context.SEARCH: "query", Context.OUT_OF_STOCK: "product_id"}
"""The parameter that an answer for a context is about."""


def _metadata(value: object) -> object:
    if is_nested_deeper(value, MAX_METADATA_DEPTH):
        raise PydanticCustomError("metadata", f"nest it at most {MAX_METADATA_DEPTH} levels deep")
    return value


def _event_type(value: object) -> EventType:
    kind = event_type_named(value) if isinstance(value, str) else None
    if kind is None:
        raise PydanticCustomError("event_type", "send one of {words}", {"words": ", ".join(PUBLIC_WORDS)})
    return kind


def parsed_time(value: object) -> int:
    """Return the microseconds of a timestamp, for Pydantic; its error says what to send."""
    try:
        if isinstance(value, str):
            return parse_time(value)
    except (ValueError, OverflowError):
        pass
    raise PydanticCustomError(
        "timestamp", "send an RFC 3339 time with its zone, such as 2025-01-01T12:00:00Z, from 1970 on"
    )


def one_of(members: Iterable[Word]) -> BeforeValidator:
    """Accept the word of one of the members."""
    by_word = {member.word: member for member in members}

    def member_of(value: object) -> Word:
        member = by_word.get(value) if isinstance(value, str) else None
        if member is None:
            raise PydanticCustomError("word", "send one of {words}", {"words": ", ".join(by_word)})
        return member

    return BeforeValidator(member_of)


def _consent(value: object) -> object:
    if value in CONSENTS:
        return value
    raise PydanticCustomError("consent", "send one of {words}", {"words": ", ".join(CONSENTS)})


_LANGUAGE_SCHEMA = {"type": "string", "pattern": LANGUAGE_TAG, "maxLength": 35}


def _language(value: object) -> object:
    if isinstance(value, str) and len(value) <= 35 and re.fullmatch(LANGUAGE_TAG, value):
        return value
    raise PydanticCustomError("language", "send a language such as de or de-AT")


def _words(names: Sequence[str], default: str | None = None) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string", "enum": list(names)}
    return WithJsonSchema(schema if default is None else schema | {"default": default})


ChannelWord = Annotated[Channel, one_of(Channel), _words([channel.word for channel in Channel])]
"""A channel by its name."""


_ID_SCHEMA = WithJsonSchema(
    {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": MAX_JSON_INTEGER},
            {"type": "string", "minLength": 1, "maxLength": MAX_ID_LENGTH},
        ],
        "examples": [12345, "SKU-9"],
    }
)
Id = Annotated[str, BeforeValidator(canonical_id), _ID_SCHEMA]
"""An id as the shop writes it; `12345` and `"12345"` are one id."""

Token = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN_LENGTH, strict=True)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT_LENGTH, strict=True)]


LanguageTag = Annotated[str, BeforeValidator(_language), WithJsonSchema(_LANGUAGE_SCHEMA)]


class EventIn(BaseModel):
    """One act of one customer."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    customer_id: Id
    """The shop's id of the customer, known or anonymous (a cookie's value will do)."""
    event_type: Annotated[EventType, BeforeValidator(_event_type), _words(tuple(PUBLIC_WORDS))]
    """What they did. The event names of Google Analytics 4 and of other systems are understood as well."""
    product_id: Id | None = None
    """The product it was done to; not needed for search, login, consent, unsubscribe, checkout and opens."""
    product_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_SHOWN)] | None = None
    """For impression, in place of `product_id`: all products of a list that was seen."""
    timestamp: (
        Annotated[int, BeforeValidator(parsed_time), WithJsonSchema({"type": "string", "format": "date-time"})] | None
    ) = None
    """When it happened; the time of arrival when it is missing. At most 5 minutes ahead."""
    metadata: Annotated[dict[str, Any], BeforeValidator(_metadata)] = Field(default_factory=dict)
    """Anything else worth keeping; stored as it is."""
    event_id: Id | None = None
    """An id of this event by the shop's choice: a second event with it within 7 days is a duplicate."""
    session_id: Id | None = None
    """The session it belongs to; found by time when it is missing (a pause of 30 minutes ends a session)."""
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY, strict=True)] = 1
    """How many, for cart, purchase and refund."""
    price: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | None = None
    """Price of one, in `currency`."""
    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$", strict=True)] | None = None
    """ISO 4217 code, such as EUR."""
    order_id: Id | None = None
    """The order: several purchase events with one `order_id` are one order; a refund names it."""
    recommendation_id: Token | None = None
    """`metadata.recommendation_id` of the answer that led here."""
    context: Annotated[Context, one_of(Context), _words([context.word for context in Context])] | None = None
    """Where in the shop it happened."""
    channel: ChannelWord | None = None
    """Through which medium it happened."""
    query: Text | None = None
    """What was searched for."""
    category: Text | None = None
    """The category that was looked at."""
    consent: Annotated[str, BeforeValidator(_consent), _words(CONSENTS)] | None = None
    """What may be kept: of a consent event from then on, of any other this once; none, session or profile."""
    other_customer_id: Id | None = None
    """For login: the id under which the customer acted before, whose acts become theirs; needs the server scope."""

    @model_validator(mode="after")
    def _has_its_product(self) -> EventIn:
        if self.product_ids is not None:
            if self.event_type != EventType.IMPRESSION or self.product_id is not None:
                raise PydanticCustomError("product_ids", "it is for impression events, in place of product_id")
        elif self.product_id is None and self.event_type not in NO_PRODUCT_NEEDED:
            raise PydanticCustomError(
                "product_id", "a {word} event needs the product it was done to", {"word": self.event_type.word}
            )
        return self


class EventBatch(BaseModel):
    """Several events; each is answered on its own, and a bad one costs none of the others."""

    events: list[EventIn] = Field(min_length=1, max_length=MAX_BATCH)


class EventResult(BaseModel):
    """What became of one event."""

    event_id: int | str | None
    status: Literal["accepted", "duplicate", "rejected"]
    error: str | None = None


class EventResults(BaseModel):
    """What became of each event, in the order posted."""

    results: list[EventResult]


class RecommendationQuery(BaseModel):
    """What a shop asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    customer_id: Id
    """Who is looking, known or anonymous; an id never seen before is fine."""
    context: Annotated[
        Context,
        one_of(SERVED_CONTEXTS),
        _words([context.word for context in SERVED_CONTEXTS], "home"),
    ] = Context.HOME
    """Where the answer is shown."""
    n: Annotated[int, Field(ge=1, le=MAX_N)] = 10
    """How many products."""
    channel: ChannelWord = Channel.WEB
    """The medium of the answer."""
    product_id: Annotated[list[Id], Field(max_length=20)] = Field(default_factory=list)
    """The product on the page (repeatable); for browse, the last product viewed when it is missing."""
    exclude: Annotated[list[Id], Field(max_length=200)] = Field(default_factory=list)
    """Products not to propose (repeatable)."""
    filter: Annotated[str, Field(max_length=2_000)] = ""
    """Only products that this holds for, such as `price < 50 and brand in ("Mare", "Oak")`."""
    deadline_ms: Annotated[int, Field(ge=1, le=10_000)] = 50
    """After so many milliseconds the best answer so far is given, and says what it left out."""
    lang: LanguageTag = ""
    """Language of the reasons, such as de; what `Accept-Language` says when it is missing."""
    cursor: Annotated[str, StringConstraints(min_length=1, max_length=4_096)] | None = None
    """`start` for a list that can go on, then the `next_cursor` of the answer before: no product comes twice."""
    category: Text | None = None
    """For the context category: its path, such as `Kitchen > Pans`; what is below counts."""
    query: Text | None = None
    """For the context search: what was searched for."""
    strategy: Text | None = None
    """A strategy to answer by, instead of what is set or an experiment chooses; it takes a server key."""

    @model_validator(mode="after")
    def _has_what_its_context_is_about(self) -> RecommendationQuery:
        needed = NEEDED.get(self.context)
        if needed is not None and not getattr(self, needed):
            raise PydanticCustomError(
                needed, "context={word} needs it: send {name}=...", {"word": self.context.word, "name": needed}
            )
        for context in (Context.CATEGORY, Context.SEARCH):
            if getattr(self, NEEDED[context]) is not None and self.context != context:
                message = "it goes with context={word}: send both, or neither"
                raise PydanticCustomError(NEEDED[context], message, {"word": context.word})
        return self


class Query(NamedTuple):
    """A checked `RecommendationQuery`, as it goes through the engine: fields of the same names and meanings."""

    customer_id: str
    context: Context = Context.HOME
    n: int = 10
    channel: Channel = Channel.WEB
    product_id: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    filter: str = ""
    deadline_ms: int = 50
    lang: str = ""
    cursor: str | None = None
    category: str | None = None
    query: str | None = None
    strategy: str | None = None

    @classmethod
    def of(cls, query: RecommendationQuery) -> Self:
        """Return a checked query as values that nobody can change."""
        return cls(**{**dict(query), "product_id": tuple(query.product_id), "exclude": tuple(query.exclude)})


REPEATABLE = frozenset({"product_id", "exclude"})


class Evidence(BaseModel):
    """What a reason rests on; at most one of the counts."""

    product_ids: list[int | str]
    """Products that the reason is about; empty for what is popular, and for what nobody is to see."""
    votes: int | None = None
    """How often the product stands in the visits that resemble this one most."""
    acts: int | None = None
    """The customer's own acts on it."""
    sessions: int | None = None
    """Sessions that hold the product and the evidence."""


class RecommendedProduct(BaseModel):
    """One product of an answer."""

    product_id: int | str
    product_name: str
    score: float
    reason: str
    """Why, as a sentence in the language asked for."""
    reason_code: str
    """The same as a word that stays the same in all languages."""
    evidence: Evidence
    source: str
    """Who proposed it: hybrid, bought_together, popular or catalog."""
    price: float | None = None
    """What it costs now; missing where nobody told."""
    currency: str | None = None
    availability: str | None = None
    """in_stock, preorder or backorder; missing where the shop says nothing of it."""


class FreeDelivery(BaseModel):
    """What a cart lacks until its delivery is free, by the prices of the moment."""

    threshold: Annotated[float, Field(alias="from")]
    """Value of a cart from which delivery is free."""
    cart_value: float
    missing: float
    """0 where nothing is missing."""


class AnswerMetadata(BaseModel):
    """What an answer says about itself."""

    model_version: str
    timestamp: str
    recommendation_id: str
    context: str
    channel: str
    strategy: str | None = None
    """By which strategy it was made; missing where nothing differs from what is set."""
    experiments: dict[str, str] | None = None
    """The customer's variant in each experiment that this answer is of, by its name; missing where there is none."""
    degraded: list[str]
    """Empty, or what could not be done: no_model, live_index, deadline, no_match, catalogue_index, no_products"""
    free_delivery: FreeDelivery | None = None
    """On cart and checkout pages of a shop that says from when delivery is free; missing where a price is not known."""
    next_cursor: str | None = None
    """Only where `cursor` was sent: what the list goes on with, or null at its end."""


class RecommendationAnswer(BaseModel):
    """The products to show, best first."""

    customer_id: int | str
    recommendations: list[RecommendedProduct]
    metadata: AnswerMetadata


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    value: str | None = None
    remedy: str | None = None


def in_our_words(message: str) -> str:
    """Return what Pydantic says is wrong as the end of a sentence.

    >>> in_our_words("Input should be greater than 0"), in_our_words("Value error, send a list")
    ('it should be greater than 0', 'send a list')
    """
    return message.removeprefix("Value error, ").replace("Input should", "it should")


def first_error(error: ValidationError, model: type[BaseModel], at: str = "") -> InvalidValueError:
    """Return the first thing Pydantic found wrong as an error that names field, value and remedy.

    `at` is the place of the checked object in what was sent, such as ``events[3].``.
    """
    details = error.errors(include_url=False)[0]
    field = _path(details, at)
    name = field.rpartition(".")[2]
    value = details["input"]
    remedies = {
        "missing": "it is required",
        "extra_forbidden": f"there is no such field; {meant(name, model.model_fields)}",
        "dict_type": "send a JSON object",
        "model_type": "send a JSON object",
        "list_type": "send a list",
    }
    if details["type"] == "missing":
        value = None
    if details["type"] in (*NEEDED.values(), "product_ids"):
        return InvalidValueError(f"{at}{details['type']}", None, details["msg"])
    return InvalidValueError(field, value, remedies.get(details["type"]) or in_our_words(details["msg"]))


def _path(details: ErrorDetails, at: str) -> str:
    path = at
    for part in details["loc"]:
        if isinstance(part, int):
            path = path.removesuffix(".") + f"[{part}]."
        else:
            path += f"{part}."
    return path.removesuffix(".") or "body"
