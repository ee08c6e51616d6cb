"""Raw rows of any preset as rows of events: canonical values in fixed columns, the rest rejected with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from active_customers.core.consent import PROFILE
from active_customers.core.event import (
    CONSENTS,
    MAX_QUANTITY,
    MAX_TEXT_LENGTH,
    MAX_TOKEN_LENGTH,
    NO_PRODUCT_NEEDED,
    Channel,
    Context,
    EventType,
    event_type_named,
)
from active_customers.importing.details import METADATA_REMEDY, details_of, objects_of, quoted
from active_customers.importing.preset import IGNORED, Preset
from active_customers.importing.raw_fields import RawFields, RowCheck
from active_customers.importing.source import RawBatch, Reject
from active_customers.importing.values import (
    ID_REMEDY,
    codes_of,
    ids_of,
    mask_of,
    numbers_of,
    present,
    text_of,
    times_of,
)

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),  # in the file, from 1
        pa.field("customer_id", pa.string(), nullable=False),
        pa.field("event_type", pa.uint8(), nullable=False),
        pa.field("product_id", pa.string()),
        pa.field("time", pa.int64(), nullable=False),  # microseconds
        pa.field("session_id", pa.string()),
        pa.field("quantity", pa.int32(), nullable=False),
        pa.field("price", pa.float64()),
        pa.field("context", pa.uint8()),
        pa.field("channel", pa.uint8()),
        pa.field("event_id", pa.string()),
        pa.field("order_id", pa.string()),
        pa.field("currency", pa.string()),
        pa.field("details", pa.string()),  # JSON of event_id, currency, order_id and the rarer fields
    ]
)

NO_CONSENT = "no consent to a profile"
"""The name under which rows are counted that their customers do not want kept."""

_SHORTER = "give at most {} characters"

_IGNORED, _UNKNOWN = -2, -3
_NEEDS_NO_PRODUCT = np.zeros(256, np.bool_)
_NEEDS_NO_PRODUCT[[int(kind) for kind in NO_PRODUCT_NEEDED]] = True


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of one raw batch (`SCHEMA`), the rows it rejected, and the names of those it passed over."""

    events: pa.RecordBatch
    rejects: Sequence[Reject]
    ignored: Counter[str]


class Wanted(NamedTuple):
    """What rows become events: how they are read, the last time that is not in the future, and what may be kept.

    `consent` counts where a row says nothing.
    """

    preset: Preset
    latest: int
    consent: str = PROFILE


class EventRows:
    """Turns raw rows into events."""

    def __init__(self, wanted: Wanted) -> None:
        self._maps = wanted.preset.event_maps()
        self._latest = wanted.latest
        self._consent = wanted.consent

    def of(self, raw: RawBatch) -> EventBatch:
        """Return the events of a batch, in its order."""
        fields, check = RawFields(raw, self._maps.fields), RowCheck(raw)
        kinds, ignored = self._kinds(fields, check)
        kinds, quantities = self._signed_quantities(fields, check, kinds)
        columns = {
            "row": pa.array(raw.rows),
            "customer_id": _ids(fields, check, "customer_id", required=np.ones(len(raw), np.bool_)),
            "event_type": pa.array(kinds),
            "product_id": _ids(fields, check, "product_id", required=~_NEEDS_NO_PRODUCT[kinds]),
            "time": pa.array(self._times(fields, check)),
            "session_id": _ids(fields, check, "session_id"),
            "quantity": pa.array(quantities),
            "price": _prices(fields, check),
            "context": _words(fields, check, "context", Context),
            "channel": _words(fields, check, "channel", Channel),
            "event_id": _ids(fields, check, "event_id"),
            "order_id": _ids(fields, check, "order_id"),
            "currency": _currencies(fields, check),
        }
        consents = _consents(fields, check)
        columns["details"] = _details(fields, check, columns | {"consent": consents})
        ignored += self._refused(check, kinds, consents)
        events = pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        if not check.good.all():
            events = events.filter(pa.array(check.good))
        return EventBatch(events, check.rejects, ignored)

    def _code_of(self, name: str) -> int:
        word = self._maps.types.get(name, name)
        kind = None if word == IGNORED else event_type_named(word)
        if kind is not None:
            return int(kind)
        return _IGNORED if IGNORED in (word, self._maps.unknown_types) else _UNKNOWN

    def _kinds(self, fields: RawFields, check: RowCheck) -> tuple[NDArray[np.uint8], Counter[str]]:
        """Return event types; rejects what has none and drops what the preset ignores, counted by name."""
        text = text_of(fields.array("event_type"))
        codes = codes_of(text, self._code_of)
        ignored = codes == _IGNORED
        label = fields.label("event_type")
        check.refuse(codes == _UNKNOWN, label, text, "use a name from the list of event types")
        check.refuse(codes == -1, label, text, "say what happened")
        check.drop(ignored)
        names = Counter(pc.filter(text, pa.array(ignored)).to_pylist()) if ignored.any() else Counter()
        return np.maximum(codes, 0).astype(np.uint8), names

    def _refused(self, check: RowCheck, kinds: NDArray[np.uint8], consents: pa.StringArray) -> Counter[str]:
        """Drop rows whose customer did not agree to more than the visit, which is long over; return their number."""
        refused = mask_of(pc.not_equal(pc.fill_null(consents, self._consent), PROFILE)) & check.good
        refused &= kinds != EventType.CONSENT
        check.drop(refused)
        return Counter({NO_CONSENT: int(refused.sum())}) if refused.any() else Counter()

    def _signed_quantities(
        self, fields: RawFields, check: RowCheck, kinds: NDArray[np.uint8]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return event types and quantities, after the preset's rule for quantities below zero; no quantity is 1."""
        array = fields.array("quantity")
        numbers = numbers_of(array)
        values = np.where(numbers.present & ~numbers.bad, numbers.values, 1.0)
        if self._maps.negative_quantity is not None:
            opposite = self._code_of(self._maps.negative_quantity)
            kinds = np.where(values < 0, opposite, kinds).astype(np.uint8)
            values = np.abs(values)
        wrong = numbers.bad | (values < 1) | (values > MAX_QUANTITY) | (values != np.floor(values))
        check.refuse(wrong, fields.label("quantity"), array, f"give an integer in 1..{MAX_QUANTITY}")
        return kinds, np.where(wrong, 1, values).astype(np.int32)

    def _times(self, fields: RawFields, check: RowCheck) -> NDArray[np.int64]:
        array, label, field = fields.array("timestamp"), fields.label("timestamp"), fields.map("timestamp")
        times, bad = times_of(array, field.unit, field.formats)
        expected = "an RFC 3339 time such as 2025-01-01T12:00:00Z"
        if field.unit:
            expected += f", or {field.unit} since 1970"
        check.refuse(bad, label, array, f"give {expected}, not before 1970")
        check.refuse(~bad & (times < 0), label, array, f"an import needs the time of every event: give {expected}")
        check.refuse(times > self._latest, label, array, "it is more than 5 minutes ahead of the clock: check its unit")
        return times


def _ids(fields: RawFields, check: RowCheck, name: str, required: NDArray[np.bool_] | None = None) -> pa.StringArray:
    array = fields.array(name)
    text, bad = ids_of(array, fields.map(name).whole)
    check.refuse(bad, fields.label(name), array, ID_REMEDY)
    if required is not None:
        check.refuse(required & ~present(text), fields.label(name), array, "this event needs one")
    return text


def _prices(fields: RawFields, check: RowCheck) -> pa.DoubleArray:
    array = fields.array("price")
    prices = numbers_of(array)
    wrong = prices.bad | (prices.present & (prices.values < 0))
    check.refuse(wrong, fields.label("price"), array, "give a number such as 9.99, zero or above")
    return pa.array(prices.values, mask=~prices.present)


def _words(fields: RawFields, check: RowCheck, name: str, words: type[Context | Channel]) -> pa.UInt8Array:
    by_word = {word.name.lower(): int(word) for word in words}
    text = text_of(fields.array(name))
    codes = codes_of(text, lambda word: by_word.get(word.lower(), _UNKNOWN))
    check.refuse(codes == _UNKNOWN, fields.label(name), text, f"use one of {', '.join(by_word)}")
    return pa.array(np.maximum(codes, 0).astype(np.uint8), mask=codes < 0)


def _currencies(fields: RawFields, check: RowCheck) -> pa.StringArray:
    text = pc.utf8_upper(text_of(fields.array("currency")))
    wrong = present(text) & ~mask_of(pc.match_substring_regex(text, "^[A-Z]{3}$"))
    check.refuse(wrong, fields.label("currency"), text, "give a code of three letters such as EUR")
    return text


def _texts(fields: RawFields, check: RowCheck, name: str, longest: int) -> pa.StringArray:
    text = text_of(fields.array(name))
    check.refuse(mask_of(pc.greater(pc.utf8_length(text), longest)), fields.label(name), text, _SHORTER.format(longest))
    return text


def _consents(fields: RawFields, check: RowCheck) -> pa.StringArray:
    text = text_of(fields.array("consent"))
    wrong = present(text) & ~mask_of(pc.is_in(text, pa.array(CONSENTS)))
    check.refuse(wrong, fields.label("consent"), text, f"use one of {', '.join(CONSENTS)}")
    return text


def _metadata(fields: RawFields, check: RowCheck) -> pa.StringArray:
    array = fields.array("metadata")
    objects = objects_of(array)
    given = present(array if pa.types.is_nested(array.type) else text_of(array))
    check.refuse(given & ~present(objects), fields.label("metadata"), array, METADATA_REMEDY)
    return pc.if_else(pc.equal(objects, "{}"), None, objects)


def _details(fields: RawFields, check: RowCheck, columns: dict[str, pa.Array]) -> pa.StringArray:
    """Return what the API keeps as the details of an event, in its order."""
    texts = {name: columns[name] for name in ("event_id", "currency", "order_id")}
    texts["recommendation_id"] = _texts(fields, check, "recommendation_id", MAX_TOKEN_LENGTH)
    texts |= {name: _texts(fields, check, name, MAX_TEXT_LENGTH) for name in ("query", "category")}
    texts["consent"] = columns["consent"]
    texts["other_customer_id"] = _ids(fields, check, "other_customer_id")
    members = {name: quoted(text) for name, text in texts.items()}
    return details_of(members | {"metadata": _metadata(fields, check)})
