"""The rows of an answer as JSON, copied together from texts that were encoded once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import REASON_BITS, REASON_MASK
from active_customers.kernels.jit import kernel
from active_customers.kernels.shared_memory import load

Bytes = NDArray[np.uint8]
Spans = NDArray[np.int64]
"""Places in a text: where one begins, shifted left by `LENGTH_BITS`, plus how long it is; 0 for none."""

Versions = NDArray[np.uint32]
"""Numbers that grow with each change of a product; products beyond the end have not changed."""

LENGTH_BITS = 24
LENGTHS = (1 << LENGTH_BITS) - 1


class Rows(NamedTuple):
    """An answer, best first: product and evidence numbers, scores that fall from 1 at most, reasons (`REASON_BITS`).

    The arrays have room for the largest answer; how many rows are in use is told beside them.
    """

    products: NDArray[np.int64]
    scores: NDArray[np.float64]
    reasons: NDArray[np.int64]
    evidence: NDArray[np.int64]


class Fragments(NamedTuple):
    """Texts, and where they are.

    By product: `{"product_id":...,"product_name":"...","score":`, within it the id and the name without its quotes (0
    for one that reasons must not name), and the version of the product that they were made of. By language and reason:
    what comes between a score and the name of the evidence, and between that name and the evidence's id; where no name
    is told the first holds it all and the second is 0. By reason: what comes before a count, and what ends a row. By
    language: what a product is called that must not be named.
    """

    text: Bytes
    heads: Spans
    ids: Spans
    names: Spans
    made_of: Versions
    begins: Spans
    ends: Spans
    counts: Spans
    tails: Spans
    unnamed: Spans


@kernel
def write_rows(fragments: Fragments, versions: Versions, rows: Rows, part: tuple[int, int], out: Bytes) -> int:
    """Write the first rows as the members of a JSON array; return how many bytes they are.

    `part` is (how many rows, number of the language). Where the texts of a product are missing, or of another version
    than it has now, -1 - product is returned. What `out` has no room for is counted, not written.
    """
    size, language = part
    text, filled = fragments.text, 0
    for row in range(size):
        product, evidence = rows.products[row], rows.evidence[row]
        reason, count = rows.reasons[row] & REASON_MASK, rows.reasons[row] >> REASON_BITS
        if not _is_current(fragments, versions, product):
            return -1 - int(product)
        if evidence != NO_NUMBER and not _is_current(fragments, versions, evidence):
            return -1 - int(evidence)
        filled = _copy(text, fragments.heads[product], out, filled)
        filled = _write_score(rows.scores[row], out, filled)
        filled = _copy(text, fragments.begins[language, reason], out, filled)
        if fragments.ends[language, reason] > 0:
            name = fragments.names[evidence] if evidence != NO_NUMBER else 0
            filled = _copy(text, name if name > 0 else fragments.unnamed[language], out, filled)
            filled = _copy(text, fragments.ends[language, reason], out, filled)
        if evidence != NO_NUMBER:
            filled = _copy(text, fragments.ids[evidence], out, filled)
        filled = _put(out, filled, ord("]"))
        if count > 0:
            filled = _copy(text, fragments.counts[reason], out, filled)
            filled = _write_number(count, out, filled)
        filled = _copy(text, fragments.tails[reason], out, filled)
    return max(filled - 1, 0)  # without the last comma


@kernel
def _is_current(fragments: Fragments, versions: Versions, product: int) -> bool:
    if product >= len(fragments.heads) or fragments.heads[product] == 0:
        return False
    return product >= len(versions) or load(versions, product) == fragments.made_of[product]


@kernel
def _copy(text: Bytes, span: int, out: Bytes, filled: int) -> int:
    """Append a text if there is room; return how long all of it is.

    Unsigned places: for signed ones the compiler has to ask each time whether they count from the end, and copies byte
    by byte, three times as slowly.
    """
    first, length, at = np.uint64(span >> LENGTH_BITS), np.uint64(span & LENGTHS), np.uint64(filled)
    if at + length <= np.uint64(len(out)):
        for i in range(length):
            out[at + np.uint64(i)] = text[first + np.uint64(i)]
    return filled + (span & LENGTHS)


@kernel
def _write_score(score: float, out: Bytes, filled: int) -> int:
    """Append a score of 0..1, rounded to four digits, without zeros at its end."""
    rank = int(score * 10_000 + 0.5)
    if rank <= 0 or rank >= 10_000:
        return _put(out, filled, ord("1") if rank > 0 else ord("0"))
    filled = _put(out, filled, ord("0"))
    filled = _put(out, filled, ord("."))
    digit = 1_000
    while rank > 0:
        filled = _put(out, filled, ord("0") + rank // digit)
        rank %= digit
        digit //= 10
    return filled


@kernel
def _write_number(number: int, out: Bytes, filled: int) -> int:
    """Append a number of at least 1."""
    power = 1
    while power <= number // 10:
        power *= 10
    while power > 0:
        filled = _put(out, filled, ord("0") + number // power % 10)
        power //= 10
    return filled


@kernel
def _put(out: Bytes, filled: int, character: int) -> int:
    if filled < len(out):
        out[filled] = character
    return filled + 1
