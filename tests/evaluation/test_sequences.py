"""Sequence files in their several shapes."""

from datetime import UTC, datetime
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.evaluation.sequences import is_sequence_table, read_sequences


def stored(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def test_rows_come_by_session_in_file_order_and_by_position(tmp_path):
    path = stored(tmp_path / "s.parquet", session_id=[9, 4, 9, 4], pos=[1, 0, 0, 1], item_id=[11, 12, 13, 14])
    read = read_sequences(path)
    assert read.sessions.tolist() == [9, 9, 4, 4]
    assert read.products.tolist() == [13, 11, 12, 14]
    assert read.times is None


def test_csv_reads_like_parquet(tmp_path):
    columns = {"user_id": [1, 1, 2], "pos": [0, 1, 0], "item_id": ["a", "b", "a"]}
    pyarrow.csv.write_csv(pa.table(columns), tmp_path / "s.csv")
    ours, theirs = read_sequences(tmp_path / "s.csv"), read_sequences(stored(tmp_path / "s.parquet", **columns))
    assert ours.products.tolist() == theirs.products.tolist() == ["a", "b", "a"]
    assert ours.sessions.tolist() == theirs.sessions.tolist()


@pytest.mark.parametrize("scale", [1.0, 1_000, 1_000_000])
def test_times_in_seconds_milliseconds_and_microseconds_are_told_apart(tmp_path, scale):
    times = [1_590_884_413 * scale, 1_590_884_500 * scale]
    read = read_sequences(stored(tmp_path / "s.parquet", SessionId=[1, 1], ItemId=[2, 3], Time=times))
    assert read.times.tolist() == [1_590_884_413_000_000, 1_590_884_500_000_000]


def test_timestamps_are_read(tmp_path):
    moment = datetime(2025, 1, 1, 12, tzinfo=UTC)
    read = read_sequences(stored(tmp_path / "s.parquet", session_id=["x"], product_id=["y"], ts=[moment]))
    assert read.times.tolist() == [1_735_732_800_000_000]


def test_the_source_names_the_file_and_its_hash(tmp_path):
    path = stored(tmp_path / "s.parquet", session_id=[1], pos=[0], item_id=[1])
    source = read_sequences(path).source
    assert source.name == "s.parquet"
    assert source.sha256 == sha256(path.read_bytes()).hexdigest()


def test_other_tables_are_refused_with_the_columns_needed(tmp_path):
    with pytest.raises(InvalidValueError, match="item_id"):
        read_sequences(stored(tmp_path / "s.parquet", session_id=[1], pos=[0]))


def test_empty_cells_are_refused(tmp_path):
    path = stored(tmp_path / "s.parquet", session_id=[1, None], pos=[0, 1], item_id=[1, 2])
    with pytest.raises(InvalidValueError, match="empty"):
        read_sequences(path)


def test_a_table_with_kinds_of_events_is_no_sequence_file():
    assert not is_sequence_table(["session_id", "item_id", "ts", "event"])


def test_integer_ids_keep_their_type(tmp_path):
    path = stored(
        tmp_path / "s.parquet",
        session_id=pa.array([1], pa.int32()),
        pos=[0],
        item_id=pa.array([2], pa.int64()),
    )
    read = read_sequences(path)
    assert read.sessions.dtype == np.int32
    assert read.products.dtype == np.int64
