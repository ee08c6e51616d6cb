"""Files as evaluation reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from active_customers.core.errors import InvalidValueError, NoDataError
from active_customers.core.event import EventType
from active_customers.evaluation.evaluator import EvaluationRequest, evaluate
from active_customers.importing.interactions import read_held_out, read_interactions

ROWS = [("1", 1, "007"), ("1", 0, "7"), ("2", 0, "7")]


def stored(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def written(path, delimiter=","):
    lines = [delimiter.join(map(str, row)) for row in [("session_id", "pos", "item_id"), *ROWS]]
    content = "\n".join(lines).encode()
    return write(path, content)


def write(path, content):
    with pa.output_stream(path, compression={".gz": "gzip", ".zst": "zstd"}.get(path.suffix)) as stream:
        stream.write(content)
    return path


def events(path, *rows):
    """Write (customer, session, product, seconds) as views; an empty session is none."""
    lines = ["customer_id,session_id,event_type,product_id,timestamp"]
    for customer, session, product, seconds in rows:
        moment = datetime.fromtimestamp(1_700_000_000 + seconds, UTC).isoformat()
        lines.append(f"{customer},{session},view,{product},{moment}")
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("name", ["s.csv", "s.csv.gz", "s.csv.zst", "s.tsv", "s.tsv.gz"])
def test_delimited_sequences_are_read_with_their_ids_as_text(tmp_path, name):
    read = read_interactions(written(tmp_path / name, "\t" if ".tsv" in name else ","))
    assert read.sessions.tolist() == ["1", "1", "2"]
    assert read.products.tolist() == ["7", "007", "7"]


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz"])
def test_json_lines_sequences_are_read(tmp_path, name):
    lines = [orjson.dumps({"session_id": s, "pos": pos, "item_id": item}) for s, pos, item in ROWS]
    read = read_interactions(write(tmp_path / name, b"\n".join(lines)))
    assert read.products.tolist() == ["7", "007", "7"]


def test_integer_ids_of_parquet_keep_their_type(tmp_path):
    columns = {"session_id": pa.array([1], pa.int32()), "pos": [0], "item_id": pa.array([2], pa.int64())}
    read = read_interactions(stored(tmp_path / "s.parquet", **columns))
    assert read.sessions.dtype == np.int32
    assert read.products.dtype == np.int64


def test_times_are_timestamps_or_numbers(tmp_path):
    moment = datetime(2025, 1, 1, 12, tzinfo=UTC)
    typed = stored(tmp_path / "s.parquet", session_id=["x"], product_id=["y"], ts=[moment])
    numbers = stored(tmp_path / "n.parquet", SessionId=[1], ItemId=[2], Time=[1_735_732_800.0])
    texts = [
        write(tmp_path / f"{i}.csv", b"session_id,item_id,time\n1,2," + time)
        for i, time in enumerate([b"2025-01-01T12:00:00Z", b"1735732800", b"1735732800000", b"1735732800.0"])
    ]
    for path in (typed, numbers, *texts):
        assert read_interactions(path).times.tolist() == [1_735_732_800_000_000]


def test_the_source_names_the_file_and_its_hash(tmp_path):
    path = stored(tmp_path / "s.parquet", session_id=[1], pos=[0], item_id=[1])
    source = read_interactions(path).source
    assert (source.name, source.sha256) == ("s.parquet", sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("row", [b",0,1", b"1,,1", b"1,0,", b"1,first,1", b"1,0", b"1,0,1,1"])
def test_a_sequence_with_a_gap_is_refused(tmp_path, row):
    with pytest.raises(InvalidValueError):
        read_interactions(write(tmp_path / "s.csv", b"session_id,pos,item_id\n1,0,1\n" + row + b"\n"))


def test_a_file_without_rows_holds_no_data(tmp_path):
    with pytest.raises(NoDataError, match="no rows"):
        read_interactions(write(tmp_path / "s.csv", b"session_id,pos,item_id\n"))


def test_events_are_told_apart_by_customer_session_and_visit(tmp_path):
    path = events(
        tmp_path / "e.csv",
        ("a", "s", "p", 0),
        ("b", "s", "p", 0),
        ("b", "", "q", 60),
        ("b", "", "p", 90),
        ("b", "", "p", 3000),
        ("a/b", "s", "p", 0),
        ("a", "b/s", "p", 0),
    )
    assert read_interactions(path, "native").sessions.tolist() == [
        "a/s",
        "b/s",
        "b/visit/2023-11-14T22:13:20Z",
        "b/visit/2023-11-14T22:13:20Z",
        "b/visit/2023-11-14T23:03:20Z",
        "a%2Fb/s",
        "a/b%2Fs",
    ]


def test_events_keep_their_customers_and_the_names_of_orders(tmp_path):
    lines = ["customer_id,event_type,product_id,timestamp,order_id", "a,purchase,p,2025-01-01T00:00:00Z,7"]
    (tmp_path / "e.csv").write_text("\n".join([*lines, "b,view,q,2025-01-01T00:00:01Z,"]))
    read = read_interactions(tmp_path / "e.csv", "native")
    assert read.customers.tolist() == ["a", "b"]
    assert read.orders.tolist() == ["7", ""]


@pytest.mark.parametrize("name", ["customer_id", "user_id", "visitorid"])
def test_a_held_out_file_names_customers_and_products(tmp_path, name):
    read = read_held_out(write(tmp_path / "h.csv", f"item_id,{name}\n5,1\n6,1\n".encode()))
    assert read.customers.tolist() == ["1", "1"]
    assert read.products.tolist() == ["5", "6"]
    assert set(read.event_types.tolist()) == {EventType.PURCHASE}


def test_only_sessions_that_are_the_same_join_across_event_files(tmp_path):
    first = events(tmp_path / "1.csv", ("a", "s", "p", 0), ("a", "s", "q", 1), ("b", "", "p", 0), ("b", "", "q", 1))
    second = events(tmp_path / "2.csv", ("c", "t", "q", 9), ("c", "t", "r", 10), ("a", "s", "r", 11), ("d", "", "r", 5))
    parts = tuple(read_interactions(path, "native") for path in (first, second))
    dump = tmp_path / "dump.parquet"
    report = evaluate(EvaluationRequest(parts, parts[0], ("popularity",), dump=dump))
    assert report.data["n_train_sessions"] == 4
    assert set(pq.read_table(dump)["session_id"].to_pylist()) == {"a/s", "b/visit/2023-11-14T22:13:20Z"}


def test_a_file_of_neither_kind_is_refused_with_what_both_kinds_need(tmp_path):
    file = write(tmp_path / "acts.csv", b"user,thing,when\n1,2,3\n")
    with pytest.raises(InvalidValueError, match=r"columns of acts.csv: .*sequences.*events.*--preset"):
        read_interactions(file)
