"""Raw rows of any preset as rows of products: canonical values in fixed columns, the rest rejected with a reason."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from active_customers.catalog.product_schema import URL_REMEDY, is_address, known_availability, path_of
from active_customers.core.product import (
    AVAILABILITIES,
    CURRENCY,
    FIELDS,
    MAX_PRICE,
    MAX_STOCK,
    TEXT_LENGTHS,
)
from active_customers.importing.preset import Preset
from active_customers.importing.product_values import (
    attributes_of,
    money_of,
    plain_text,
    starts_and_ends,
    tags_of,
    worded,
)
from active_customers.importing.raw_fields import RawFields, RowCheck
from active_customers.importing.row_shape import RowShape
from active_customers.importing.source import RawBatch, Reject
from active_customers.importing.values import (
    ID_REMEDY,
    Numbers,
    codes_of,
    ids_of,
    mask_of,
    numbers_of,
    present,
    rewritten,
    text_of,
    times_of,
)

_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("price", "sale_price"), pa.float64()),
    **dict.fromkeys(("released", "sale_from", "sale_until"), pa.int64()),  # microseconds
    **dict.fromkeys(("replenishable", "hidden"), pa.bool_()),
    "stock": pa.int64(),
    "tags": pa.list_(pa.string()),
}
"""Of what is no text; attributes are a JSON object."""

SCHEMA: pa.Schema = pa.schema(
    [pa.field("row", pa.int64()), *(pa.field(name, _TYPES.get(name, pa.string())) for name in FIELDS)]
)
"""The number of a row in its file, and what it says of the product."""

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
_UNCLEAR = -2


class ProductRows:
    """Turns the raw rows of one file, in order, into what they say of products."""

    def __init__(self, preset: Preset) -> None:
        self._maps = preset.product_maps()
        self._shape = RowShape(self._maps)
        self.refused: list[str] = []
        """Products of the rows rejected last: a feed has them, whatever is wrong with them."""
        self.has_nameless_rejects = False
        """Whether rows were rejected that may be any product's."""

    def of(self, batch: RawBatch) -> tuple[pa.RecordBatch, list[Reject]]:
        """Return the rows of a batch (`SCHEMA`; null where a row says nothing) and those that cannot be read."""
        raw = self._shape.of(batch)
        fields, check = RawFields(raw, self._maps.fields), RowCheck(raw)
        ids = _ids(fields, check, "product_id")
        check.refuse(~present(ids), fields.label("product_id"), ids, ID_REMEDY)
        columns = {"row": pa.array(raw.rows), "product_id": ids}
        columns |= {**_texts(fields, check), **_priced(fields, check), **_dated(fields, check)}
        columns |= {
            "variant_group": _ids(fields, check, "variant_group"),
            "replenishable": _flags(fields, check, "replenishable"),
            "hidden": _flags(fields, check, "hidden"),
            "stock": _stock(fields, check),
            "availability": _availability(fields, check),
            "tags": tags_of(fields, check),
            "attributes": attributes_of(fields, check, self._maps.attributes),
        }
        for name in self._maps.needs:
            check.refuse(~present(columns[name]), fields.label(name), columns[name], "it is required")
        rows = pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        self._note_refused(ids, check, len(batch.rejects))
        return (rows if check.good.all() else rows.filter(pa.array(check.good))), check.rejects

    def _note_refused(self, ids: pa.StringArray, check: RowCheck, n_unread: int) -> None:
        refused = ids.filter(pa.array(~check.good))
        self.has_nameless_rejects |= n_unread > 0 or refused.null_count > 0
        self.refused = refused.drop_null().to_pylist()


def _texts(fields: RawFields, check: RowCheck) -> dict[str, pa.Array]:
    columns = {name: pc.utf8_trim_whitespace(text_of(fields.array(name))) for name in TEXT_LENGTHS}
    divider = fields.map("category").levels or ">"
    columns["category"] = rewritten(columns["category"], lambda path: path_of(path, divider) or None)
    for name in ("name", "description"):
        if fields.map(name).html:
            columns[name] = rewritten(columns[name], plain_text)
    for name, longest in TEXT_LENGTHS.items():
        too_long = mask_of(pc.greater(pc.utf8_length(columns[name]), longest))
        check.refuse(too_long, fields.label(name), columns[name], f"give at most {longest:,} characters")
    for name in ("url", "image"):
        unsafe = codes_of(columns[name], is_address) == 0
        check.refuse(unsafe, fields.label(name), columns[name], URL_REMEDY)
    return columns


def _priced(fields: RawFields, check: RowCheck) -> dict[str, pa.Array]:
    """Return prices and currency; a list price above the price makes that a sale price."""
    price, currency = _price(fields, check, "price")
    sale, sale_currency = _price(fields, check, "sale_price")
    listed, _ = _price(fields, check, "list_price")
    was_more = pc.fill_null(pc.greater(listed, price), False)
    sale = pc.if_else(was_more, pc.coalesce(sale, price), sale)
    price = pc.if_else(was_more, listed, price)
    stray = mask_of(pc.and_(sale.is_valid(), price.is_null()))
    check.refuse(stray, fields.label("sale_price"), sale, "give the price that it is lower than")
    check.refuse(mask_of(pc.greater(sale, price)), fields.label("sale_price"), sale, "it is at most the price")
    given = pc.utf8_upper(pc.utf8_trim_whitespace(text_of(fields.array("currency"))))
    currency = pc.coalesce(given, currency, sale_currency)
    wrong = present(currency) & ~mask_of(pc.match_substring_regex(currency, CURRENCY))
    check.refuse(wrong, fields.label("currency"), currency, "give a code of three letters such as EUR")
    return {"price": price, "sale_price": sale, "currency": currency}


def _price(fields: RawFields, check: RowCheck, name: str) -> tuple[pa.DoubleArray, pa.StringArray]:
    array = fields.array(name)
    text, currency = money_of(array) if fields.map(name).money else (array, pa.nulls(len(array), pa.string()))
    prices = numbers_of(text)
    known = prices.present & ~prices.bad
    if fields.map(name).positive:
        known &= prices.values > 0
    wrong = prices.bad | (known & ((prices.values < 0) | (prices.values > MAX_PRICE)))
    remedy = f"give a number, zero or above, at most {MAX_PRICE:.0f}"
    remedy += ", alone or with a currency of three letters such as EUR" if fields.map(name).money else ""
    check.refuse(wrong, fields.label(name), array, remedy)
    return pa.array(prices.values, mask=~known), currency


def _dated(fields: RawFields, check: RowCheck) -> dict[str, pa.Array]:
    columns = {name: _day(fields, check, name, fields.array(name)) for name in ("released", "sale_from", "sale_until")}
    both = fields.array("sale_dates")
    for name, array in zip(("sale_from", "sale_until"), starts_and_ends(both), strict=True):
        columns[name] = pc.coalesce(columns[name], _day(fields, check, "sale_dates", array))
    backwards = mask_of(pc.less_equal(columns["sale_until"], columns["sale_from"]))
    label = fields.label("sale_dates" if fields.map("sale_dates").columns else "sale_until")
    check.refuse(backwards, label, both, "the end of a sale lies after its beginning")
    return columns


def _day(fields: RawFields, check: RowCheck, name: str, array: pa.Array) -> pa.Int64Array:
    field = fields.map(name)
    times, bad = times_of(array, field.unit, field.formats)
    check.refuse(bad, fields.label(name), array, "give a day such as 2025-01-01, not before 1970")
    return pa.array(times, mask=times < 0)


def _ids(fields: RawFields, check: RowCheck, name: str) -> pa.StringArray:
    array = fields.array(name)
    text, bad = ids_of(array, fields.map(name).whole)
    check.refuse(bad, fields.label(name), array, ID_REMEDY)
    return text


def _flags(fields: RawFields, check: RowCheck, name: str) -> pa.BooleanArray:
    """Return whether any of a field's columns says yes; null where none says anything."""
    words = dict.fromkeys(_YES, 1) | dict.fromkeys(_NO, 0)
    given, says_yes = pa.nulls(len(fields), pa.bool_()), pa.nulls(len(fields), pa.bool_())
    constant = [fields.array(name)] if fields.map(name).constant is not None else fields.arrays(name)
    for array in constant:
        text = worded(text_of(array), fields.map(name).words)
        codes = codes_of(text, lambda word: words.get(word.lower(), _UNCLEAR))
        check.refuse(codes == _UNCLEAR, fields.label(name), array, "give true or false")
        said = pa.array(codes == 1, mask=codes < 0)
        given = pc.coalesce(given, said)
        says_yes = pc.or_(pc.fill_null(says_yes, False), pc.fill_null(said, False))
    return pc.if_else(given.is_valid(), pc.fill_null(says_yes, False), None)


def _stock(fields: RawFields, check: RowCheck) -> pa.Int64Array:
    array, least = fields.array("stock"), fields.map("stock").least
    found: Numbers = numbers_of(array)
    known = found.present & ~found.bad
    values = found.values if least is None else found.values.clip(least)
    wrong = found.bad | (known & ((values < 0) | (values != values.round()) | (values > MAX_STOCK)))
    check.refuse(wrong, fields.label("stock"), array, f"give a whole number of pieces in 0..{MAX_STOCK}")
    known &= ~wrong
    return pa.array(np.where(known, values, 0).astype(np.int64), mask=~known)


def _availability(fields: RawFields, check: RowCheck) -> pa.StringArray:
    array = fields.array("availability")
    text = worded(text_of(array), fields.map("availability").words)
    known = rewritten(text, known_availability)
    unclear = present(text) & ~present(known)
    check.refuse(unclear, fields.label("availability"), array, f"give one of {', '.join(AVAILABILITIES)}")
    return known
