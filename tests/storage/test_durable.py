"""Files that are there whole or not at all."""

from __future__ import annotations

import stat

import pytest

from active_customers.storage.durable import make_folder, write_whole, written_whole


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with written_whole(path) as temporary:
        temporary.write_bytes(b"ne")
        assert path.read_bytes() == b"old"
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def fail_halfway(path):
    with written_whole(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError


def test_a_writer_that_fails_changes_nothing(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(RuntimeError):
        fail_halfway(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_never_readable_by_others(tmp_path):
    path = tmp_path / "file"
    with written_whole(path, mode=0o600) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_folders_are_made_with_those_above_them(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
