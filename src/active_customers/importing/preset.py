"""Presets: how the columns of a known file format become the fields of events and products. They are data (`presets/`).

The vocabulary, all of it::

    about:       one line for the person who chooses
    events:
      fields:                      # name of an event's field -> where it comes from
        customer_id: user_id       # short for {from: user_id}
        timestamp:
          from: [timestamp, ts]    # the first of these columns that has a value in the row
          unit: ms                 # numbers count s, ms or us since 1970; dates and RFC 3339 text are always understood
          formats: ["%m/%d/%Y %H:%M"]   # other ways in which times are written (C's strptime)
        event_type: {constant: view}    # the same in every row
        session_id: {from: visit, whole: true}             # text such as "17850.0" means the integer 17850
        customer_id: {from: user, otherwise: "guest-{order}"}  # where `from` is empty; {column} is that column's value
      types: {page_view: ignored}  # names of event types that are not known anyway, or not what they seem
      unknown_types: ignored       # instead of rejected
      negative_quantity: refund    # a row with a quantity below zero is this, with the quantity above zero
      explode: items               # a row for each element of this list; columns `items[].x` read the element
    products:
      fields:
        category: {from: category_code, levels: "."}       # levels of a path are divided by this
        name: {from: Description, choose: most_frequent}   # of a gathered product's values; the default is the last
        price: {from: UnitPrice, positive: true}           # zero and less say nothing
        price: {from: price, money: true}                  # may name its currency: "19.90 EUR"
        list_price: Compare At     # where it is above the price, the price is a sale price
        sale_dates: effective      # "from/until", both times
        stock: {from: Qty, given: Tracker, least: 0}       # only where another column has a value; less counts as 0
        hidden: {from: [Published, Status], words: {draft: "true", "true": "false"}}  # hidden if any column says so
        description: {from: Body, html: true}              # tags are taken out
        tags: [label_0, label_1]   # the values of all columns; `levels` divides one value into several
      attributes: {colour: color, "{Option Name}": Option Value}   # by name; {column} is that column's value
      explode: items
      needs: [name, price]         # fields without which a row is rejected
      gathered: true               # a log: of a product's many rows each field has a value; else the last row counts
      only_with: Price             # rows without a value in this column are passed over
      no_value: [Default Title]    # texts that say nothing
      fill_down: {by: Handle, columns: [Title]}  # where empty, the value of the first of the rows with one `by`

`from` may be a path into nested records (see `importing.records`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal, Self

import yaml
from pydantic import ConfigDict, Field, field_validator, model_validator

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError, meant
from active_customers.core.event import DETAIL_FIELDS
from active_customers.core.product import FIELDS
from active_customers.importing.source import Wanted

EVENT_FIELDS = (
    "customer_id",
    "event_type",
    "product_id",
    "timestamp",
    "session_id",
    "quantity",
    "price",
    "context",
    "channel",
    *DETAIL_FIELDS,
    "metadata",
)
FEED_FIELDS = ("list_price", "sale_dates")
"""What feeds write in place of fields of a product."""
SPARED = (
    *("name", "description", "brand", "category", "url", "image", "variant_group"),
    *("released", "replenishable", "tags", "attributes"),
)
"""Fields of products that are left out of a row where they cannot be read; sales are too, unless they are merged."""
_EVENT_NEEDS = ("customer_id", "event_type", "timestamp")
_STRUCTURED = ("metadata", "replenishable", "hidden", "tags", "attributes")
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")

DEFAULT = "native"
IGNORED = "ignored"


class FieldMap(Config):
    """Where one field comes from; the words are explained at the top of this file."""

    model_config = ConfigDict(populate_by_name=True)

    columns: tuple[str, ...] = Field(default=(), alias="from")
    """Columns to look in; the first that has a value counts."""
    constant: str | None = None
    """The value of every row."""
    otherwise: str | None = None
    """What to take where no column has a value."""
    unit: Literal["s", "ms", "us"] | None = None
    """What the numbers of a time count."""
    formats: tuple[str, ...] = ()
    """Further ways of writing a time."""
    whole: bool = False
    """Whether text like "17850.0" means an integer."""
    levels: str | None = None
    """What divides the levels of a path."""
    positive: bool = False
    """Whether numbers at or below zero say nothing."""
    choose: Literal["last", "most_frequent"] = "last"
    """Which of a product's many values counts."""
    money: bool = False
    """Whether a number may have its currency beside it."""
    html: bool = False
    """Whether text is HTML."""
    least: float | None = None
    """What smaller numbers count as."""
    given: str | None = None
    """A column without whose value the field has none."""
    words: Mapping[str, str] = {}
    """What words of the file mean, in small letters; others mean what they say."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_name(cls, value: Any) -> Any:
        return {"from": value} if isinstance(value, str | list) else value

    @field_validator("columns", mode="before")
    @classmethod
    def _as_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every column it reads, those inside `otherwise` included."""
        given = () if self.given is None else (self.given,)
        return self.columns + given + tuple(_PLACEHOLDER.findall(self.otherwise or ""))

    def found_in(self, names: Iterable[str]) -> bool:
        """Whether a file with these top-level columns can give the field a value."""
        tops = {re.split(r"[.\[]", column, maxsplit=1)[0] for column in self.columns}
        return self.constant is not None or not tops.isdisjoint(names)


class FillDown(Config):
    """Rows that stand together, of which only the first says what all have in common."""

    by: str
    """The column whose equal values join rows."""
    columns: tuple[str, ...]
    """What all have in common."""


class FieldMaps(Config):
    """The fields of one kind of row."""

    fields: Mapping[str, FieldMap]
    """Fields by name."""
    explode: str | None = None
    """The list whose elements become rows."""
    attributes: Mapping[str, str] = {}
    """Columns by the attribute that each is."""
    needs: tuple[str, ...] = ()
    """Fields without which a row is rejected."""
    gathered: bool = False
    """Whether a product is put together from many rows, field by field; else its last row is its entry."""
    only_with: str | None = None
    """A column without whose value a row is passed over."""
    no_value: tuple[str, ...] = ()
    """Texts that say nothing."""
    fill_down: FillDown | None = None
    """What rows have from the first of those that they stand with."""

    def wanted(self) -> Wanted:
        """Return what to read of a file."""
        columns = dict.fromkeys(column for each in self.fields.values() for column in each.all_columns)
        named = (column for name in self.attributes for column in _PLACEHOLDER.findall(name))
        filled = () if self.fill_down is None else (self.fill_down.by, *self.fill_down.columns)
        columns |= dict.fromkeys(filter(None, (*self.attributes.values(), *named, *filled, self.only_with)))
        structured = (self.fields[name].columns for name in _STRUCTURED if name in self.fields)
        return Wanted(tuple(columns), frozenset().union(*structured), self.explode, self._optional())

    def _optional(self) -> frozenset[str]:
        """Return columns of fields that a product can do without, and that no other field is read from."""
        spared, needed = set[str](), set[str]()
        for name, each in self.fields.items():
            (spared if name in SPARED and name not in self.needs else needed).update(each.all_columns)
        return frozenset(spared - needed)

    def missing(self, needed: Iterable[str], names: Iterable[str]) -> list[str]:
        """Return the columns that a file with these columns lacks; alternatives are joined by " or "."""
        absent = [self.fields[name] for name in needed if not self.fields[name].found_in(names)]
        return [" or ".join(each.columns) for each in absent]


class EventMaps(FieldMaps):
    """How rows become events."""

    types: Mapping[str, str] = {}
    """Event types by the name they have in the file; "ignored" for what is no event of a shop."""
    unknown_types: Literal["rejected", "ignored"] = "rejected"
    """What becomes of rows whose event type nobody knows."""
    negative_quantity: str | None = None
    """The event type of rows with a quantity below zero; without one they are rejected."""

    def _optional(self) -> frozenset[str]:
        """Return no column: an event is what all of its row says."""
        return frozenset()


class Preset(Config):
    """One file format."""

    name: str
    """What `--preset` calls it."""
    about: str
    """What it is, in one line."""
    events: EventMaps | None = None
    """How its rows become events; None when they cannot."""
    products: FieldMaps | None = None
    """How its rows become products; None when they cannot."""

    @model_validator(mode="after")
    def _knows_its_fields(self) -> Self:
        for maps, known in ((self.events, EVENT_FIELDS), (self.products, (*FIELDS, *FEED_FIELDS))):
            for name in () if maps is None else maps.fields:
                if name not in known:
                    raise ValueError(f"there is no field {name}; {meant(name, known)}")
        return self

    def event_maps(self) -> EventMaps:
        """Return how rows become events; raises `InvalidValueError` when the format has no events."""
        if self.events is None:
            raise InvalidValueError("preset", self.name, "it has no events: choose another")
        return self.events

    def product_maps(self) -> FieldMaps:
        """Return how rows become products; raises `InvalidValueError` when the format has no products."""
        if self.products is None:
            raise InvalidValueError("preset", self.name, "it says nothing of products: choose another")
        return self.products

    def missing(self, kind: Literal["events", "products"], names: Iterable[str]) -> list[str]:
        """Return the needed columns that are not among `names`."""
        names = set(names)
        if kind == "events":
            return self.event_maps().missing(_EVENT_NEEDS, names)
        return self.product_maps().missing(("product_id",), names)

    def fits(self, kind: Literal["events", "products"], names: Iterable[str]) -> bool:
        """Whether a file with these columns looks like this format."""
        maps = self.events if kind == "events" else self.products
        names = set(names)
        return maps is not None and not self.missing(kind, names) and maps.fields["product_id"].found_in(names)


def known_presets() -> list[str]:
    """Return the names of all presets."""
    folder = resources.files(__package__).joinpath("presets")
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


@cache
def preset_named(name: str) -> Preset:
    """Return a preset; raises `InvalidValueError` that lists the known ones."""
    if name not in known_presets():
        raise InvalidValueError("preset", name, f"choose one of {', '.join(known_presets())}")
    text = resources.files(__package__).joinpath("presets", f"{name}.yaml").read_text(encoding="utf-8")
    return Preset.model_validate({"name": name, **yaml.safe_load(text)})


def check_columns(file: str, names: list[str], kind: Literal["events", "products"], preset: Preset) -> None:
    """Check that a file has the columns that the preset needs.

    Raises `InvalidValueError` that says what is missing, what the file has, and which preset would fit.
    """
    missing = preset.missing(kind, names)
    if not missing:
        return
    fitting = [other for other in known_presets() if preset_named(other).fits(kind, names)]
    remedy = f"use --preset {' or --preset '.join(fitting)}, which fits" if fitting else "rename the file's columns"
    raise InvalidValueError(
        f"columns of {file}",
        ", ".join(names),
        f"the preset {preset.name} needs {', '.join(missing)} as well: {remedy}",
    )
