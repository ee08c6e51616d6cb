"""Raw rows of any preset as rows of products: canonical values in fixed columns, the rest rejected with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

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
    Mask,
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

Objection = Callable[[Mask, str, pa.Array, str], None]
"""What is done about bad values: which rows, what the field is called, its values, the remedy."""

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
_UNCLEAR = -2


class ReadRows(NamedTuple):
    """Rows of a batch (`SCHEMA`; null where a row says nothing), those that cannot be read, and values left out."""

    rows: pa.RecordBatch
    rejects: list[Reject]
    left_out: list[Reject]


class ProductRows:
    """Turns the raw rows of one file, in order, into what they say of products.

    What cannot be read of a field in `preset.SPARED` is left out of its row, and so is a whole sale of which a part
    cannot be read; other fields tell whether and at which price a product is sold, and cost their row. Rows that are
    merged (`merge`) keep what an entry has, so there a sale costs its row too: an old one may not hold beside a new
    price.
    """

    def __init__(self, preset: Preset, *, merge: bool = False) -> None:
        self._maps = preset.product_maps()
        self._shape = RowShape(self._maps)
        self._merge = merge
        self.refused: list[str] = []
        """Products of the rows rejected last: a feed has them, whatever is wrong with them."""
        self.has_nameless_rejects = False
        """Whether rows were rejected that may be any product's."""

    def of(self, batch: RawBatch) -> ReadRows:
        """Return what the rows of a batch say."""
        raw = self._shape.of(batch)
        fields, check = RawFields(raw, self._maps.fields), RowCheck(raw)
        ids = _ids(fields, check.refuse, "product_id")
        check.refuse(~present(ids), fields.label("product_id"), ids, ID_REMEDY)
        columns = {"row": pa.array(raw.rows), "product_id": ids, **self._texts(fields, check)}
        columns |= _price_and_sale(fields, check, check.refuse if self._merge else check.spare)
        columns |= {
            "variant_group": _ids(fields, check.spare, "variant_group"),
            "released": _day(fields, check.spare, "released", fields.array("released"))[0],
            "replenishable": _flags(fields, check.spare, "replenishable"),
            "hidden": _flags(fields, check.refuse, "hidden"),
            "stock": _stock(fields, check),
            "availability": _availability(fields, check),
            "tags": tags_of(fields, check),
            "attributes": attributes_of(fields, check, self._maps.attributes),
        }
        for name in self._maps.needs:
            check.refuse(~present(columns[name]), fields.label(name), columns[name], "it is required")
        rows = pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        self._note_refused(ids, check, len(batch.rejects))
        good = rows if check.good.all() else rows.filter(pa.array(check.good))
        return ReadRows(good, check.rejects, check.left_out)

    def _note_refused(self, ids: pa.StringArray, check: RowCheck, n_unread: int) -> None:
        refused = ids.filter(pa.array(~check.good))
        self.has_nameless_rejects |= n_unread > 0 or refused.null_count > 0
        self.refused = refused.drop_null().to_pylist()

    def _texts(self, fields: RawFields, check: RowCheck) -> dict[str, pa.Array]:
        columns = {name: pc.utf8_trim_whitespace(text_of(fields.array(name))) for name in TEXT_LENGTHS}
        divider = fields.map("category").levels or ">"
        columns["category"] = rewritten(columns["category"], lambda path: path_of(path, divider) or None)
        for name in ("name", "description"):
            if fields.map(name).html:
                columns[name] = rewritten(columns[name], plain_text)
        for name, longest in TEXT_LENGTHS.items():
            object_to = check.refuse if name in self._maps.needs else check.spare
            too_long = mask_of(pc.greater(pc.utf8_length(columns[name]), longest))
            object_to(too_long, fields.label(name), columns[name], f"give at most {longest:,} characters")
            columns[name] = _without(columns[name], too_long)
        for name in ("url", "image"):
            unsafe = codes_of(columns[name], is_address) == 0
            check.spare(unsafe, fields.label(name), columns[name], URL_REMEDY)
            columns[name] = _without(columns[name], unsafe)
        return columns


def _without(array: pa.Array, bad: Mask) -> pa.Array:
    return pc.if_else(pa.array(bad), pa.scalar(None, array.type), array) if bad.any() else array


def _price_and_sale(fields: RawFields, check: RowCheck, object_to: Objection) -> dict[str, pa.Array]:
    """Return prices, currency and sale; a list price above the price makes that a sale price.

    A sale of which a part is bad is none: without its end it would hold for ever.
    """
    price, currency, _ = _price(fields, check.refuse, "price")
    sale, sale_currency, bad_sale = _price(fields, object_to, "sale_price")
    listed, _, bad_list = _price(fields, object_to, "list_price")
    sale, listed = _without(sale, bad_sale), _without(listed, bad_list)
    was_more = pc.fill_null(pc.greater(listed, price), False)
    sale = pc.if_else(was_more, pc.coalesce(sale, price), sale)
    price = pc.if_else(was_more, listed, price)
    stray = mask_of(pc.and_(sale.is_valid(), price.is_null()))
    object_to(stray, fields.label("sale_price"), sale, "give the price that it is lower than")
    above = mask_of(pc.greater(sale, price))
    object_to(above, fields.label("sale_price"), sale, "it is at most the price")
    given = pc.utf8_upper(pc.utf8_trim_whitespace(text_of(fields.array("currency"))))
    currency = pc.coalesce(given, currency, sale_currency)
    wrong = present(currency) & ~mask_of(pc.match_substring_regex(currency, CURRENCY))
    check.refuse(wrong, fields.label("currency"), currency, "give a code of three letters such as EUR")
    days, bad_days = _sale_days(fields, object_to)
    bad = bad_sale | bad_list | stray | above | bad_days
    columns = {"sale_price": sale, **days}
    return {name: _without(column, bad) for name, column in columns.items()} | {"price": price, "currency": currency}


def _price(fields: RawFields, object_to: Objection, name: str) -> tuple[pa.DoubleArray, pa.StringArray, Mask]:
    """Return prices, the currencies beside them, and which of them are bad."""
    array = fields.array(name)
    text, currency = money_of(array) if fields.map(name).money else (array, pa.nulls(len(array), pa.string()))
    prices = numbers_of(text)
    known = prices.present & ~prices.bad
    if fields.map(name).positive:
        known &= prices.values > 0
    wrong = prices.bad | (known & ((prices.values < 0) | (prices.values > MAX_PRICE)))
    remedy = f"give a number such as 9.99, zero or above, at most {MAX_PRICE:.0f}"
    remedy += ", alone or with a currency of three letters such as EUR" if fields.map(name).money else ""
    object_to(wrong, fields.label(name), array, remedy)
    return pa.array(prices.values, mask=~known), currency, wrong


def _sale_days(fields: RawFields, object_to: Objection) -> tuple[dict[str, pa.Array], Mask]:
    """Return when sales begin and end, and which of these are bad."""
    columns, bad = {}, np.zeros(len(fields), np.bool_)
    both = fields.array("sale_dates")
    for name, span in zip(("sale_from", "sale_until"), starts_and_ends(both), strict=True):
        own, wrong = _day(fields, object_to, name, fields.array(name))
        of_both, wrong_span = _day(fields, object_to, "sale_dates", span)
        columns[name] = pc.coalesce(own, of_both)
        bad |= wrong | wrong_span
    backwards = mask_of(pc.less_equal(columns["sale_until"], columns["sale_from"]))
    label = fields.label("sale_dates" if fields.map("sale_dates").columns else "sale_until")
    values = both if fields.map("sale_dates").columns else fields.array("sale_until")
    object_to(backwards, label, values, "the end of a sale lies after its beginning")
    return columns, bad | backwards


def _day(fields: RawFields, object_to: Objection, name: str, array: pa.Array) -> tuple[pa.Int64Array, Mask]:
    field = fields.map(name)
    times, bad = times_of(array, field.unit, field.formats)
    object_to(bad, fields.label(name), array, "give a day such as 2025-01-01, not before 1970")
    return pa.array(times, mask=times < 0), bad


def _ids(fields: RawFields, object_to: Objection, name: str) -> pa.StringArray:
    array = fields.array(name)
    text, bad = ids_of(array, fields.map(name).whole)
    object_to(bad, fields.label(name), array, ID_REMEDY)
    return _without(text, bad)


def _flags(fields: RawFields, object_to: Objection, name: str) -> pa.BooleanArray:
    """Return whether any of a field's columns says yes; null where none says anything."""
    words = dict.fromkeys(_YES, 1) | dict.fromkeys(_NO, 0)
    given, says_yes = pa.nulls(len(fields), pa.bool_()), pa.nulls(len(fields), pa.bool_())
    constant = [fields.array(name)] if fields.map(name).constant is not None else fields.arrays(name)
    for array in constant:
        text = worded(text_of(array), fields.map(name).words)
        codes = codes_of(text, lambda word: words.get(word.lower(), _UNCLEAR))
        object_to(codes == _UNCLEAR, fields.label(name), array, "give true or false")
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
