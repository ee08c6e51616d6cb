"""Raw rows of any preset as rows of products: canonical values in fixed columns, the rest rejected with a reason."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from active_customers.importing.preset import Preset
from active_customers.importing.raw_fields import RawFields, RowCheck
from active_customers.importing.source import RawBatch, Reject
from active_customers.importing.values import ID_REMEDY, codes_of, ids_of, numbers_of, present, text_of, times_of

TEXTS = ("name", "description", "category", "brand", "url", "image")

SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("product_id", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in TEXTS),
        pa.field("price", pa.float64()),
        pa.field("currency", pa.string()),
        pa.field("variant_group", pa.string()),
        pa.field("replenishable", pa.bool_()),
        pa.field("released", pa.int64()),  # microseconds
    ]
)

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
_UNCLEAR = -2


class ProductRows:
    """Turns raw rows into what they say of products."""

    def __init__(self, preset: Preset) -> None:
        self._maps = preset.product_maps()

    def of(self, raw: RawBatch) -> tuple[pa.RecordBatch, list[Reject]]:
        """Return the rows of a batch (`SCHEMA`; null where a row says nothing) and those that cannot be read."""
        fields, check = RawFields(raw, self._maps.fields), RowCheck(raw)
        columns = {name: pc.utf8_trim_whitespace(text_of(fields.array(name))) for name in TEXTS}
        if levels := fields.map("category").levels:
            columns["category"] = pc.replace_substring(columns["category"], levels, " > ")
        columns |= {
            "product_id": _ids(fields, check, "product_id"),
            "price": _prices(fields, check),
            "currency": pc.utf8_upper(text_of(fields.array("currency"))),
            "variant_group": _ids(fields, check, "variant_group"),
            "replenishable": _flags(fields, check),
            "released": _days(fields, check),
        }
        check.refuse(~present(columns["product_id"]), fields.label("product_id"), columns["product_id"], ID_REMEDY)
        rows = pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)
        return (rows if check.good.all() else rows.filter(pa.array(check.good))), check.rejects


def _ids(fields: RawFields, check: RowCheck, name: str) -> pa.StringArray:
    array = fields.array(name)
    text, bad = ids_of(array, fields.map(name).whole)
    check.refuse(bad, fields.label(name), array, ID_REMEDY)
    return text


def _prices(fields: RawFields, check: RowCheck) -> pa.DoubleArray:
    array = fields.array("price")
    prices = numbers_of(array)
    known = prices.present & ~prices.bad
    if fields.map("price").positive:
        known &= prices.values > 0
    wrong = prices.bad | (known & (prices.values < 0))
    check.refuse(wrong, fields.label("price"), array, "give a number, zero or above")
    return pa.array(prices.values, mask=~known)


def _flags(fields: RawFields, check: RowCheck) -> pa.BooleanArray:
    array = fields.array("replenishable")
    words = dict.fromkeys(_YES, 1) | dict.fromkeys(_NO, 0)
    codes = codes_of(text_of(array), lambda word: words.get(word.lower(), _UNCLEAR))
    check.refuse(codes == _UNCLEAR, fields.label("replenishable"), array, "give true or false")
    return pa.array(codes == 1, mask=codes < 0)


def _days(fields: RawFields, check: RowCheck) -> pa.Int64Array:
    array, field = fields.array("released"), fields.map("released")
    times, bad = times_of(array, field.unit, field.formats)
    check.refuse(bad, fields.label("released"), array, "give a day such as 2025-01-01, not before 1970")
    return pa.array(times, mask=times < 0)
