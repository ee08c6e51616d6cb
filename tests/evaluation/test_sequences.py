"""Sequences as columns: what they are recognised by and the order they come in."""

import numpy as np
import pytest

from active_customers.evaluation.sequences import (
    SequenceColumns,
    Sequences,
    epoch_microseconds,
    interactions_of,
    sequence_columns,
)


def test_rows_come_by_session_in_the_order_of_the_table_and_by_position():
    table = Sequences(np.array([9, 4, 9, 4]), np.array([11, 12, 13, 14]), None, np.array([1.0, 0, 0, 1]))
    read = interactions_of(table)
    assert read.sessions.tolist() == [9, 9, 4, 4]
    assert read.products.tolist() == [13, 11, 12, 14]
    assert read.times is None


def test_with_times_positions_order_what_happened_at_once():
    table = Sequences(np.array([1, 1]), np.array([11, 12]), np.array([5, 5]), np.array([1.0, 0]))
    assert interactions_of(table).products.tolist() == [12, 11]


@pytest.mark.parametrize("scale", [1.0, 1_000, 1_000_000])
def test_times_in_seconds_milliseconds_and_microseconds_are_told_apart(scale):
    numbers = np.array([1_590_884_413 * scale, 1_590_884_500 * scale])
    assert epoch_microseconds(numbers).tolist() == [1_590_884_413_000_000, 1_590_884_500_000_000]


def test_columns_are_found_whatever_their_case():
    assert sequence_columns(["SessionId", "ItemId", "Time"]) == SequenceColumns("SessionId", "ItemId", "Time", None)


@pytest.mark.parametrize(
    "names",
    [["session_id", "item_id", "ts", "event"], ["session_id", "pos"], ["item_id", "pos"], ["session_id", "item_id"]],
)
def test_other_tables_are_no_sequences(names):
    assert sequence_columns(names) is None
