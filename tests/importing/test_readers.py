from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.importing.delimited import DelimitedReader
from active_customers.importing.json_lines import JsonLinesReader
from active_customers.importing.parquet import ParquetReader
from active_customers.importing.readers import read_batches, reader_for
from active_customers.importing.source import RawBatch, Wanted
from active_customers.importing.values import text_of

ROWS = [{"a": f"a{i}", "b": i, "c": None if i % 2 else "x"} for i in range(40)]
WANTED = Wanted(("a", "b", "c"))
FORMATS = ["csv", "tsv", "jsonl", "ndjson.gz", "csv.gz", "csv.zst", "tsv.gz", "jsonl.zst", "parquet"]


def cells(batches: list[RawBatch]) -> list[tuple[int, ...]]:
    found = []
    for batch in batches:
        columns = [text_of(column).to_pylist() for column in batch.columns.values()]
        found += list(zip(batch.rows.tolist(), *columns, strict=True))
    return found


@pytest.mark.parametrize("ending", [name for name in FORMATS if not name.startswith("ndjson")])
def test_every_format_gives_the_same_rows(write, ending):
    batches = list(read_batches(write(f"rows.{ending}", ROWS), WANTED))
    assert cells(batches) == [(i + 1, f"a{i}", str(i), None if i % 2 else "x") for i in range(40)]
    assert not any(batch.rejects for batch in batches)


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "parquet"])
def test_no_batch_has_more_rows_than_are_asked_for(write, ending):
    batches = list(read_batches(write(f"rows.{ending}", ROWS), WANTED, batch_rows=7))
    assert max(map(len, batches)) == 7
    assert cells(batches) == [(i + 1, f"a{i}", str(i), None if i % 2 else "x") for i in range(40)]


@pytest.mark.parametrize("ending", ["csv", "jsonl.gz", "parquet"])
def test_a_file_tells_its_columns(write, ending):
    path = write(f"rows.{ending}", ROWS)
    assert reader_for(path).column_names(path) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("many.csv", DelimitedReader(",", 900, block_bytes=4096)),
        ("many.csv.gz", DelimitedReader(",", 900, block_bytes=4096)),
        ("many.jsonl", JsonLinesReader(100, block_bytes=4096)),
        ("many.parquet", ParquetReader(100)),
    ],
)
def test_files_are_read_batch_by_batch_as_they_are_asked_for(write, name, reader):
    path = write(name, [{"a": f"{i * 7919 % 100_003:07d}", "b": i, "c": "y"} for i in range(30_000)])
    batches = reader.batches(path, WANTED)
    first = next(batches)
    assert 0 < len(first) < 1000
    assert first.bytes_read < path.stat().st_size / 2
    rest = [len(batch) for batch in batches]
    assert max(rest) < 1000
    assert len(first) + sum(rest) == 30_000


def test_one_huge_row_group_comes_in_batches(tmp_path):
    path = tmp_path / "one.parquet"
    pq.write_table(pa.table({"a": range(10_000)}), path, row_group_size=10_000)
    assert [len(batch) for batch in ParquetReader(3_000).batches(path, WANTED)] == [3_000, 3_000, 3_000, 1_000]


def test_lines_with_a_wrong_number_of_values_are_rejected_and_the_others_keep_their_numbers(write_raw):
    path = write_raw("odd.csv", b'a,b,c\n1,2,3\n4,5\n\n6,"seven\nlines",8\n9,9,9,9\n10,11,12\n')
    batches = list(read_batches(path, WANTED))
    assert cells(batches) == [(1, "1", "2", "3"), (3, "6", "seven\nlines", "8"), (5, "10", "11", "12")]
    rejects = [reject for batch in batches for reject in batch.rejects]
    assert [reject.row for reject in rejects] == [2, 4]
    assert rejects[0].reason == "row: '4,5' is not valid: a row has 3 values like the header, not 2"


def test_row_numbers_hold_across_blocks(write_raw):
    lines = [b"1,2,3" if i % 10 else b"1,2" for i in range(1, 2001)]
    path = write_raw("odd.csv", b"\n".join([b"a,b,c", *lines, b""]))
    batches = list(DelimitedReader(",", 1000, block_bytes=512).batches(path, WANTED))
    assert len(batches) > 5
    assert [row for row, *_ in cells(batches)] == [i for i in range(1, 2001) if i % 10]
    assert [reject.row for batch in batches for reject in batch.rejects] == list(range(10, 2001, 10))


def test_bytes_that_are_no_text_cost_only_their_row(write_raw):
    path = write_raw("bytes.csv", "a,b,c\nü,2,3\n".encode() + b"\xfc,2,3\n4,5,6\n")
    (batch,) = read_batches(path, WANTED)
    assert cells([batch]) == [(1, "ü", "2", "3"), (3, "4", "5", "6")]
    assert [(reject.row, reject.reason) for reject in batch.rejects] == [(2, "a: '\ufffd' is not valid: text is UTF-8")]


def test_a_byte_order_mark_is_no_part_of_the_first_name(write_raw):
    path = write_raw("bom.csv", b"\xef\xbb\xbfa,b,c\n1,2,3\n")
    assert reader_for(path).column_names(path) == ["a", "b", "c"]
    path = write_raw("bom.jsonl", b'\xef\xbb\xbf{"a": 1}\n')
    assert cells(list(read_batches(path, Wanted(("a",))))) == [(1, "1")]


def test_bad_json_lines_are_rejected_and_empty_ones_passed_over(write_raw):
    long = b'{"a": "' + b"x" * (1 << 20) + b'"}'
    lines = [
        b'{"a": 1}',
        b'{"a": 1',
        b"",
        b"[1]",
        b'{"a": NaN}',
        long,
        b'{"a": {"b": 1}}',
        b'{"a": "\xff"}',
        b'{"a": 2.0}',
    ]
    (batch,) = read_batches(write_raw("bad.jsonl", b"\n".join(lines)), Wanted(("a",)))
    assert cells([batch]) == [(1, "1"), (9, "2")]
    assert [reject.row for reject in batch.rejects] == [2, 4, 5, 6, 7, 8]
    reasons = [reject.reason for reject in batch.rejects]
    assert "a line is one JSON object" in reasons[0]
    assert "1 MiB" in reasons[3]
    assert reasons[4] == 'a: {"b": 1} is not valid: give a text or a number'


@pytest.mark.parametrize(
    ("name", "words"),
    [("absent.csv", "there is no such file"), ("data.xlsx", "name it .csv"), ("data.parquet.gz", "name it .csv")],
)
def test_files_that_cannot_be_read_are_named_with_a_remedy(tmp_path, name, words):
    path = tmp_path / name
    if not name.startswith("absent"):
        path.write_bytes(b"x")
    with pytest.raises(InvalidValueError, match=words):
        reader_for(path)


def test_a_file_that_breaks_off_says_after_which_row(tmp_path, write):
    whole = write("whole.csv.gz", [{"a": str(i * 7919), "b": i, "c": "y"} for i in range(20_000)])
    path = tmp_path / "cut.csv.gz"
    path.write_bytes(whole.read_bytes()[:-2_000])
    with pytest.raises(InvalidValueError, match=r"cannot be read on after row \d+"):
        list(read_batches(path, WANTED))


def test_what_is_no_parquet_is_said_to_be_none(tmp_path):
    path = tmp_path / "text.parquet"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(InvalidValueError, match="it is no Parquet"):
        list(read_batches(path, WANTED))


def test_an_empty_csv_is_told_to_have_a_header(tmp_path):
    path = tmp_path / "empty.csv"
    path.write_bytes(b"")
    with pytest.raises(InvalidValueError, match="the first line names the columns"):
        list(read_batches(path, WANTED))


@pytest.mark.parametrize("value", [datetime(2020, 6, 1, tzinfo=UTC), Decimal("1.50"), b"\xff"], ids=type)
@pytest.mark.parametrize("column", ["a.b", "m"])
def test_a_nested_value_that_is_neither_text_nor_number_rejects_its_row(tmp_path, column, value):
    path = tmp_path / "nested.parquet"
    rows = [{"a": {"b": None}, "m": {"x": None}}, {"a": {"b": "x"}, "m": {"x": None}}]
    rows[0][column[0]] = {"b" if column == "a.b" else "x": value}
    if column == "a.b":
        rows[1]["a"] = {"b": None}
    pq.write_table(pa.Table.from_pylist(rows), path)
    (batch,) = ParquetReader(100).batches(path, Wanted(("a.b", "m"), frozenset({"m"})))
    assert [(reject.row, reject.field) for reject in batch.rejects] == [(1, column)]
    assert batch.rejects[0].remedy.startswith("give a")
    assert batch.rows.tolist() == [2]
