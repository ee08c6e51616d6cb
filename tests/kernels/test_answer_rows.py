"""Rows of an answer as JSON, held equal to `json` over the same rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.recommendation import COUNTED, REASON_BITS, ReasonCode
from active_customers.kernels.answer_rows import LENGTH_BITS, Fragments, Rows, write_rows

NAMES = ["Pan", "", "käse \u2028", 'say "cheese"', "a" * 300]
UNNAMED = 1
"""The product of `NAMES` that no reason may name."""
VERSIONS = np.arange(3, dtype=np.uint32)
"""Of the first products; those beyond have not changed."""
NAMING = [ReasonCode[name] for name in ("SESSION", "VIEWED_TOGETHER", "BOUGHT_TOGETHER", "RELATED", "SIMILAR")]
LANGUAGES = ("English", "Dütsch")


def fragments():
    """Return texts of the products of `NAMES`, the last one's missing; in the second language names come in between."""
    text, heads, ids, names = b"", [], [], []

    def put(piece):
        nonlocal text
        first, text = len(text), text + piece
        return first << LENGTH_BITS | len(piece)

    begins, ends = np.zeros((2, len(LANGUAGES), len(ReasonCode)), np.int64)
    counts, tails = np.zeros((2, len(ReasonCode)), np.int64)
    for code in ReasonCode:
        rest = b'","reason_code":"%b","evidence":{"product_ids":[' % code.word.encode()
        for number, language in enumerate(LANGUAGES):
            begin = f',"reason":"{language} {code.word} '.encode()
            begins[number, code] = put(begin if code in NAMING else begin + rest)
            ends[number, code] = put(b"." * number + rest) if code in NAMING else 0
        counts[code] = put(b',"%b":' % COUNTED[code].encode()) if code in COUNTED else 0
        tails[code] = put(b'},"source":"somebody"},')
    for product, name in enumerate(NAMES):
        quoted = json.dumps(name).encode()
        names.append(0 if product == UNNAMED else put(quoted[1:-1]))
        ids.append(0 if product == UNNAMED else put(b"%d" % product))
        heads.append(put(b'{"product_id":%d,"product_name":%b,"score":' % (product, quoted)))
    unnamed = np.array([put(language.encode()) for language in LANGUAGES], np.int64)
    heads, ids, names = (np.array([*column, 0], np.int64) for column in (heads, ids, names))
    made_of = np.arange(len(heads), dtype=np.uint32)
    by_reason = (begins, ends, counts, tails, unnamed)
    return Fragments(np.frombuffer(text, np.uint8).copy(), heads, ids, names, made_of, *by_reason)


def rows_of(rows):
    columns = list(zip(*rows, strict=True)) or [()] * 4
    dtypes = (np.int64, np.float64, np.int64, np.int64)
    return Rows(*(np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True)))


def expected(rows, language):
    """The twin: what `json` would write."""
    found = []
    for product, score, packed, evidence in rows:
        reason, count = ReasonCode(packed & 0xFF), packed >> REASON_BITS
        named = NAMES[evidence] if evidence not in (NO_NUMBER, UNNAMED) else LANGUAGES[language]
        counted = {COUNTED[reason]: count} if count else {}
        found.append(
            {
                "product_id": product,
                "product_name": NAMES[product],
                "score": float(f"{int(score * 10_000 + 0.5) / 10_000:.4g}"),
                "reason": f"{LANGUAGES[language]} {reason.word} {named + '.' * language if reason in NAMING else ''}",
                "reason_code": reason.word,
                "evidence": {"product_ids": [] if evidence in (NO_NUMBER, UNNAMED) else [evidence], **counted},
                "source": "somebody",
            }
        )
    return found


products = st.integers(0, len(NAMES) - 1)
numbers_of_times = st.one_of(st.just(0), st.integers(1, 10**7))
plain = st.sampled_from([int(code) for code in ReasonCode])
counted = st.tuples(st.sampled_from([int(code) for code in COUNTED]), numbers_of_times).map(
    lambda pair: pair[0] | pair[1] << REASON_BITS
)
row = st.tuples(products, st.floats(0, 1), plain | counted, products | st.just(NO_NUMBER))


@given(st.lists(row, max_size=12), st.integers(0, len(LANGUAGES) - 1), st.integers(0, 100))
def test_what_is_written_reads_back_as_the_rows(rows, language, room):
    """Whatever the names, and whatever the room: what does not fit is counted and nothing is written beyond it."""
    out = np.full(20_000, 255, np.uint8)
    part = (len(rows), language)
    length = write_rows(fragments(), VERSIONS, rows_of(rows), part, out)
    assert json.loads(b"[" + out[:length].tobytes() + b"]") == expected(rows, language)
    small = np.full(length + 8, 255, np.uint8)
    short = length * room // 101
    assert write_rows(fragments(), VERSIONS, rows_of(rows), part, small[:short]) == length
    assert (small[short:] == 255).all()


@pytest.mark.parametrize("rank", [0, 1, 9, 10, 99, 100, 1_000, 1_001, 1_010, 1_234, 5_000, 9_999, 10_000])
def test_scores_have_four_digits_and_no_zeros_at_the_end(rank):
    """The text is the shortest one: consumers compare scores as numbers, people read them."""
    out = np.zeros(1_000, np.uint8)
    length = write_rows(fragments(), VERSIONS, rows_of([(0, rank / 10_000, int(ReasonCode.POPULAR), 0)]), (1, 0), out)
    text = out[:length].tobytes().split(b'"score":')[1].split(b",")[0]
    assert text == b"%.4g" % (rank / 10_000)


@pytest.mark.parametrize("missing", [len(NAMES), len(NAMES) + 1, 10**9])
def test_a_product_without_texts_is_named(missing):
    """As the product of a row and as its evidence, within the arrays and beyond them."""
    out = np.zeros(1_000, np.uint8)
    for rows in ([(0, 1.0, 0, 1), (missing, 0.5, 4, 0)], [(0, 1.0, int(ReasonCode.SESSION), missing)]):
        assert write_rows(fragments(), VERSIONS, rows_of(rows), (len(rows), 0), out) == -1 - missing


@pytest.mark.parametrize("rows", [[(2, 1.0, int(ReasonCode.POPULAR), 0)], [(0, 1.0, int(ReasonCode.SESSION), 2)]])
def test_a_product_that_changed_since_its_texts_were_made_is_named(rows):
    """As the product of a row and as its evidence."""
    out = np.zeros(1_000, np.uint8)
    versions = VERSIONS.copy()
    assert write_rows(fragments(), versions, rows_of(rows), (1, 0), out) > 0
    versions[2] += 1
    assert write_rows(fragments(), versions, rows_of(rows), (1, 0), out) == -1 - 2


def test_no_evidence_is_told_where_there_is_none():
    """Popular products have no evidence: its number is no product's."""
    out = np.zeros(1_000, np.uint8)
    rows = [(0, 1.0, int(ReasonCode.POPULAR), NO_NUMBER)]
    length = write_rows(fragments(), VERSIONS, rows_of(rows), (1, 0), out)
    assert json.loads(out[:length].tobytes())["evidence"] == {"product_ids": []}
