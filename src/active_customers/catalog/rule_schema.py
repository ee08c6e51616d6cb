"""Rules as they are sent, written and read: checked by Pydantic, and the same in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, WithJsonSchema

from active_customers.catalog.filter_parser import parse_filter
from active_customers.catalog.product_schema import Switch, Time
from active_customers.catalog.rules import PageWish, Rule, RuleKind, RuleRecord
from active_customers.core.clock import format_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context
from active_customers.core.identifiers import json_id
from active_customers.kernels.arrange import MAX_PINNED
from active_customers.realtime.schemas import Id, first_error

MAX_RULES = 2_000
"""Rules of one shop."""
MAX_NAMED = 10_000
"""Products that one rule names."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", strict=True)]
Most = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False, strict=True)]


def _day(value: object) -> object:
    """Return a time that YAML has read as one as the text that it was."""
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo else f"{value.isoformat()}Z"
    return value.isoformat() if isinstance(value, date) else value


Moment = Annotated[
    Time, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2025-01-31"]})
]
ContextWord = Annotated[str, WithJsonSchema({"type": "string", "enum": [context.word for context in Context]})]
ChannelWord = Annotated[str, WithJsonSchema({"type": "string", "enum": [channel.word for channel in Channel]})]

_OWN: dict[RuleKind, tuple[str, ...]] = {
    RuleKind.INCLUDE: ("filter", "product_ids"),
    RuleKind.EXCLUDE: ("filter", "product_ids"),
    RuleKind.BOOST: ("filter", "product_ids", "factor"),
    RuleKind.BURY: ("filter", "product_ids", "factor"),
    RuleKind.PIN: ("product_ids", "position"),
    RuleKind.PAGE: ("max_per_brand", "max_per_category", "one_per_variant_group", "diversity"),
}
"""Fields that only some kinds of rules have."""


class _Named(Protocol):
    @property
    def name(self) -> str | None: ...


N = TypeVar("N", bound=_Named)


def read_named(model: type[N], sent: object, at: str, name: str | None) -> N:
    """Return what was sent as a model that has a name, which the address may tell instead.

    Raises `InvalidValueError` naming the field below `at`; `name` is what the address calls it.
    """
    if name is not None and isinstance(sent, dict) and sent.get("name") is None:
        sent = {**sent, "name": name}
    schema = cast("type[BaseModel]", model)
    try:
        read = cast("N", schema.model_validate(sent))
    except ValidationError as error:
        raise first_error(error, schema, at) from error
    if read.name is None:
        raise InvalidValueError(f"{at}name", None, "it is required")
    if name not in (None, read.name):
        raise InvalidValueError(f"{at}name", read.name, f"leave it out: the address names {name!r}")
    return read


class RuleIn(BaseModel):
    """What a shop wants. A field that is null is not set."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: Name | None = None
    """What it is called, in answers to "why", too; where the address names it, it need not be repeated."""
    kind: Literal["include", "exclude", "boost", "bury", "pin", "page"]
    """What it does: show only these, never these, raise, lower, put at a place, or say how a page is made up."""
    filter: str | None = None
    """Which products, such as `category under "Kitchen" and price < 50`."""
    product_ids: Annotated[list[Id], Field(min_length=1, max_length=MAX_NAMED)] | None = None
    """Which products, by their ids; beside a filter, these too."""
    contexts: list[ContextWord] | None = None
    """Where it counts; everywhere when it is missing."""
    channels: list[ChannelWord] | None = None
    """In which channels it counts; in all when it is missing."""
    valid_from: Moment | None = None
    """From when on it counts."""
    valid_until: Moment | None = None
    """Until when it counts, this moment not included."""
    enabled: Switch = True
    """Whether it counts at all."""
    factor: Annotated[float, Field(ge=0.000_001, le=1_000, allow_inf_nan=False, strict=True)] | None = None
    """What scores are multiplied by: above 1 to boost, below 1 to bury."""
    position: Annotated[int, Field(ge=1, le=MAX_PINNED, strict=True)] | None = None
    """Place of the first pinned product, from 1; the others follow it."""
    max_per_brand: Most | None = None
    """Products of one brand on a page, at most: a number from 1 on, or a share below 1."""
    max_per_category: Most | None = None
    """Products of one category on a page, at most: a number from 1 on, or a share below 1."""
    one_per_variant_group: Switch | None = None
    """Whether one of a product's sizes and colours is enough; it is, unless a rule says false."""
    diversity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)] | None = None
    """How much being alike to what stands above counts against a product: 0 (not at all) to 1."""

    @classmethod
    def read(cls, sent: object, at: str = "", name: str | None = None) -> Self:
        """Return what was sent as a rule that can be put in force.

        Raises `InvalidValueError` naming the field below `at`; `name` is what the address calls it.
        """
        rule = read_named(cls, sent, at, name)
        rule._check(at)
        rule.rule(at)
        return rule

    def _check(self, at: str) -> None:
        """Raise `InvalidValueError` where fields do not go together."""
        kind = RuleKind(self.kind)
        own = _OWN[kind]
        for field in dict.fromkeys(name for names in _OWN.values() for name in names):
            value = getattr(self, field)
            if value is not None and field not in own:
                raise InvalidValueError(f"{at}{field}", value, f"a rule that is to {kind} has {', '.join(own)}")
        if all(getattr(self, field) is None for field in own if field not in ("factor", "position")):
            needed = " or ".join(field for field in own if field not in ("factor", "position"))
            raise InvalidValueError(f"{at}{own[0]}", None, f"give a rule that is to {kind} {needed}")
        if kind in (RuleKind.BOOST, RuleKind.BURY) and (
            self.factor is None or self.factor == 1 or (self.factor > 1) != (kind == RuleKind.BOOST)
        ):
            bound = "above 1" if kind == RuleKind.BOOST else "from 0.000001 and below 1"
            raise InvalidValueError(f"{at}factor", self.factor, f"to {kind}, give a factor {bound}")
        if kind == RuleKind.PIN and (self.position or 1) + len(self.product_ids or ()) - 1 > MAX_PINNED:
            raise InvalidValueError(f"{at}product_ids", self.product_ids, f"pin to the first {MAX_PINNED} places only")
        if self.valid_from is not None and self.valid_until is not None and self.valid_until <= self.valid_from:
            raise InvalidValueError(f"{at}valid_until", format_time(self.valid_until), "give a time after `valid_from`")

    def rule(self, at: str = "") -> Rule:
        """Return it as what is put in force; raises `InvalidValueError` naming the field below `at`."""
        wish = PageWish(self.max_per_brand, self.max_per_category, self.one_per_variant_group, self.diversity)
        return Rule(
            name=self.name or "",
            kind=RuleKind(self.kind),
            filter=None if self.filter is None else parse_filter(self.filter, f"{at}filter"),
            product_ids=tuple(dict.fromkeys(self.product_ids or ())),
            contexts=frozenset(members(Context, self.contexts, f"{at}contexts")),
            channels=frozenset(members(Channel, self.channels, f"{at}channels")),
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            enabled=self.enabled,
            factor=1.0 if self.factor is None else self.factor,
            position=self.position or 1,
            page=wish,
        )

    def record(self) -> RuleRecord:
        """Return the fields that are set, as JSON has them."""
        record = self.model_dump(exclude_none=True, exclude_defaults=True) | {"name": self.name, "kind": self.kind}
        for field in ("valid_from", "valid_until"):
            if field in record:
                record[field] = format_time(record[field])
        if "product_ids" in record:
            record["product_ids"] = list(map(json_id, record["product_ids"]))
        return {field: record[field] for field in type(self).model_fields if field in record}


class RuleSet(BaseModel):
    """All rules of a shop."""

    model_config = ConfigDict(extra="forbid")

    rules: Annotated[list[RuleIn], Field(max_length=MAX_RULES)]


class RuleResult(BaseModel):
    """What became of a rule, and how many products of the catalogue it is about at the moment."""

    name: str
    status: Literal["created", "replaced", "unchanged", "deleted"]
    products: int | None = None
    warnings: list[str] | None = None
    """What may not be meant, such as products that the catalogue does not have; the rule is stored all the same."""


class RuleResults(BaseModel):
    """What became of each rule, by name; with `dry_run` what would have."""

    results: list[RuleResult]
    dry_run: bool = False


def read_rules(sent: object) -> list[RuleIn]:
    """Return a whole set of rules, `{"rules": [...]}`; raises `InvalidValueError` naming the rule and the field."""
    rules = sent.get("rules") if isinstance(sent, dict) else None
    if not isinstance(sent, dict) or not isinstance(rules, list):
        raise InvalidValueError("rules", rules, "send a list of rules, which may be empty")
    if unknown := sorted(set(map(str, sent)) - {"rules"}):
        raise InvalidValueError(unknown[0], None, "there is no such field; known is rules")
    if len(rules) > MAX_RULES:
        raise InvalidValueError(
            "rules", f"{len(rules)} rules", f"have at most {MAX_RULES:,}: join some by their filters"
        )
    read = [RuleIn.read(rule, f"rules[{place}].") for place, rule in enumerate(rules)]
    names: dict[str | None, int] = {}
    for place, rule in enumerate(read):
        if rule.name in names:
            raise InvalidValueError(f"rules[{place}].name", rule.name, f"rules[{names[rule.name]}] has this name")
        names[rule.name] = place
    return read


def members(words: type[Context | Channel], given: Sequence[str] | None, field: str) -> list[Any]:
    """Return contexts or channels by their words; raises `InvalidValueError` for one that there is not."""
    known = {member.word: member for member in words}
    for word in given or ():
        if word not in known:
            raise InvalidValueError(field, word, f"send some of {', '.join(known)}")
    return [known[word] for word in given or ()]
