"""Arrays in files that grow while they are mapped."""

import errno
import os

import numpy as np
import pytest

from active_customers.core.errors import DiskFullError, StorageError
from active_customers.storage.mapped_arrays import Column

PAIRS = Column("pairs", np.uint32, 2)


def test_a_file_has_the_rows_it_was_made_with_all_zero(tmp_path):
    array = PAIRS.grow(tmp_path, 3)
    assert array.tolist() == [0] * 6
    assert PAIRS.path(tmp_path).stat().st_size == 3 * PAIRS.row_bytes == 24


def test_what_is_written_is_seen_through_every_mapping_at_once(tmp_path):
    array = PAIRS.grow(tmp_path, 2)
    reader = PAIRS.read(tmp_path)
    array[3] = 9
    assert reader.tolist() == [0, 0, 0, 9]


def test_mappings_stay_valid_when_the_file_grows_and_see_the_rows_they_had(tmp_path):
    small = PAIRS.grow(tmp_path, 1)
    reader = PAIRS.read(tmp_path)
    large = PAIRS.grow(tmp_path, 5000)
    large[[0, -1]] = 1, 2
    assert small.tolist() == reader.tolist() == [1, 0]
    assert PAIRS.read(tmp_path)[-1] == 2


def test_a_file_never_shrinks(tmp_path):
    PAIRS.grow(tmp_path, 4)
    assert len(PAIRS.grow(tmp_path, 1)) == 8


def test_the_beginning_of_a_row_that_is_not_whole_is_left_out(tmp_path):
    PAIRS.grow(tmp_path, 2)
    with PAIRS.path(tmp_path).open("ab") as file:
        file.write(b"1234567")
    assert len(PAIRS.read(tmp_path)) == 4


def test_readers_cannot_write_and_get_an_empty_array_of_an_empty_file(tmp_path):
    for rows in (0, 1):
        PAIRS.grow(tmp_path, rows)
        array = PAIRS.read(tmp_path)
        assert len(array) == 2 * rows
        assert not array.flags.writeable


def test_reading_what_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        PAIRS.read(tmp_path)


def test_columns_of_another_layout_are_other_files(tmp_path):
    others = [Column("pairs", np.uint32, 3), Column("pairs", np.int32, 2), Column("pears", np.uint32, 2)]
    assert len({column.path(tmp_path) for column in (PAIRS, *others)}) == 4


def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path, monkeypatch):
    PAIRS.grow(tmp_path, 1)[0] = 5

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFullError, match="no room"):
        PAIRS.grow(tmp_path, 2)
    assert PAIRS.read(tmp_path).tolist() == [5, 0]


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        PAIRS.grow(tmp_path / "missing", 1)
