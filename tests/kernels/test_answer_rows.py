"""Rows of an answer as JSON, held equal to `json` over the same rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.recommendation import ReasonCode
from active_customers.kernels.answer_rows import LENGTH_BITS, Fragments, Rows, write_rows

NAMES = ["Pan", "", "käse \u2028", 'say "cheese"', "a" * 300]
VERSIONS = np.arange(3, dtype=np.uint32)
"""Of the first products; those beyond have not changed."""
NAMING = [ReasonCode[name] for name in ("SESSION", "VIEWED_TOGETHER", "BOUGHT_TOGETHER", "RELATED", "SIMILAR")]


def fragments():
    """Return texts of the products of `NAMES`, the last one's missing."""
    text, heads, names = b"", [], []

    def put(piece):
        nonlocal text
        first, text = len(text), text + piece
        return first << LENGTH_BITS | len(piece)

    reasons = [put(f',"reason":"{code.word} '.encode()) for code in ReasonCode]
    for product, name in enumerate(NAMES):
        quoted = json.dumps(name).encode()
        names.append(put(quoted[1:-1]))
        heads.append(put(b'{"product_id":%d,"product_name":%b,"score":' % (product, quoted)))
    heads, names, reasons = (np.array(column, np.int64) for column in ([*heads, 0], [*names, 0], reasons))
    made_of = np.arange(len(heads), dtype=np.uint32)
    return Fragments(np.frombuffer(text, np.uint8).copy(), heads, names, made_of, reasons)


def rows_of(rows):
    columns = list(zip(*rows, strict=True)) or [()] * 4
    dtypes = (np.int64, np.float64, np.int64, np.int64)
    return Rows(*(np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)))


def expected(rows):
    return [
        {
            "product_id": product,
            "product_name": NAMES[product],
            "score": float(f"{int(score * 10_000 + 0.5) / 10_000:.4g}"),
            "reason": f"{ReasonCode(reason).word} {NAMES[evidence] if reason in NAMING else ''}",
        }
        for product, score, reason, evidence in rows
    ]


products = st.integers(0, len(NAMES) - 1)
row = st.tuples(products, st.floats(0, 1), st.sampled_from([int(code) for code in ReasonCode]), products)


@given(st.lists(row, max_size=12), st.integers(0, 100))
def test_what_is_written_reads_back_as_the_rows(rows, room):
    """Whatever the names, and whatever the room: what does not fit is counted and nothing is written beyond it."""
    out = np.full(8_000, 255, np.uint8)
    length = write_rows(fragments(), VERSIONS, rows_of(rows), len(rows), out)
    assert json.loads(b"[" + out[:length].tobytes() + b"]") == expected(rows)
    small = np.full(length + 8, 255, np.uint8)
    short = length * room // 101
    assert write_rows(fragments(), VERSIONS, rows_of(rows), len(rows), small[:short]) == length
    assert (small[short:] == 255).all()


@pytest.mark.parametrize("rank", [0, 1, 9, 10, 99, 100, 1_000, 1_001, 1_010, 1_234, 5_000, 9_999, 10_000])
def test_scores_have_four_digits_and_no_zeros_at_the_end(rank):
    """The text is the shortest one: consumers compare scores as numbers, people read them."""
    out = np.zeros(1_000, np.uint8)
    length = write_rows(fragments(), VERSIONS, rows_of([(0, rank / 10_000, int(ReasonCode.POPULAR), 0)]), 1, out)
    text = out[:length].tobytes().split(b'"score":')[1].split(b",")[0]
    assert text == b"%.4g" % (rank / 10_000)


@pytest.mark.parametrize("missing", [len(NAMES), len(NAMES) + 1, 10**9])
def test_a_product_without_texts_is_named(missing):
    """As the product of a row and as its evidence, within the arrays and beyond them."""
    out = np.zeros(1_000, np.uint8)
    for rows in ([(0, 1.0, 0, 1), (missing, 0.5, 4, 0)], [(0, 1.0, int(ReasonCode.SESSION), missing)]):
        assert write_rows(fragments(), VERSIONS, rows_of(rows), len(rows), out) == -1 - missing


@pytest.mark.parametrize("rows", [[(2, 1.0, int(ReasonCode.POPULAR), 0)], [(0, 1.0, int(ReasonCode.SESSION), 2)]])
def test_a_product_that_changed_since_its_texts_were_made_is_named(rows):
    """As the product of a row and as its evidence."""
    out = np.zeros(1_000, np.uint8)
    versions = VERSIONS.copy()
    assert write_rows(fragments(), versions, rows_of(rows), 1, out) > 0
    versions[2] += 1
    assert write_rows(fragments(), versions, rows_of(rows), 1, out) == -1 - 2


def test_the_evidence_of_a_reason_that_names_nothing_is_not_looked_at():
    """Popular products have no evidence: its number is no product's."""
    out = np.zeros(1_000, np.uint8)
    assert write_rows(fragments(), VERSIONS, rows_of([(0, 1.0, int(ReasonCode.POPULAR), 2**32 - 1)]), 1, out) > 0
