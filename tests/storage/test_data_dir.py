"""The data directory: one version, one owner."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from active_customers.core.errors import NewerDataError, StorageError, StoreLockedError
from active_customers.storage.data_dir import DataDirectory


@pytest.fixture
def directory(tmp_path):
    return DataDirectory(tmp_path / "deep" / "data")


def test_naming_a_directory_touches_nothing_and_preparing_creates_it(directory):
    assert not directory.root.exists()
    directory.prepare()
    directory.prepare()
    assert [path.name for path in directory.root.iterdir()] == ["format.json"]


def test_a_newer_format_is_refused_with_the_remedy(directory):
    directory.prepare()
    (directory.root / "format.json").write_text('{"format": 5}')
    with pytest.raises(NewerDataError, match=r"format 5, this one reads up to 4\): upgrade active-customers"):
        directory.prepare()


def test_an_older_format_is_taken_and_marked_so_that_an_older_program_refuses_it(directory):
    directory.prepare()
    (directory.root / "format.json").write_text('{"format": 1}')
    directory.prepare()
    assert (directory.root / "format.json").read_text() == '{"format":4}'


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "x"}', '{"format": null}'])
def test_a_directory_of_something_else_is_refused(directory, content):
    directory.prepare()
    (directory.root / "format.json").write_text(content)
    with pytest.raises(StorageError, match="name another one"):
        directory.prepare()


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="name another one"):
        DataDirectory(tmp_path / "file").prepare()
    with pytest.raises(StorageError, match="cannot be written to"):
        DataDirectory(tmp_path / "file").lock()


def test_there_is_one_owner_until_it_lets_go(directory):
    directory.prepare()
    lock = directory.lock()
    with pytest.raises(StoreLockedError, match="in use by another process"):
        directory.lock()
    os.close(lock)
    os.close(directory.lock())


def test_an_owner_that_was_killed_owns_nothing(directory):
    directory.prepare()
    code = (
        "import sys, pathlib; from active_customers.storage.data_dir import DataDirectory\n"
        "DataDirectory(pathlib.Path(sys.argv[1])).lock(); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(directory.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"locked\n"
        with pytest.raises(StoreLockedError):
            directory.lock()
        owner.kill()
    os.close(directory.lock())
