from __future__ import annotations

import pytest
from tests.importing.conftest import NOW

from active_customers.core.clock import DAY
from active_customers.core.errors import StoreLockedError
from active_customers.importing.folder import REJECTS, clear_leftovers, import_folder, import_lock


def test_a_folder_is_gone_when_the_import_is(tmp_path):
    with import_folder(tmp_path, NOW) as folder:
        (folder / "acts.npy").write_bytes(b"x")
        (folder / "scratch").mkdir()
    assert list(tmp_path.iterdir()) == []


def test_rejected_rows_stay_when_the_rest_goes(tmp_path):
    with import_folder(tmp_path, NOW) as folder:
        (folder / "acts.npy").write_bytes(b"x")
        (folder / REJECTS).write_bytes(b"{}\n")
    assert [path.name for path in folder.iterdir()] == [REJECTS]


def fail_after_writing(imports, name):
    with import_folder(imports, NOW) as folder:
        (folder / name).write_bytes(b"{}")
        raise RuntimeError


def test_an_import_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError):
        fail_after_writing(tmp_path, "acts.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_sealed_folder_is_the_stores_even_when_the_import_fails(tmp_path):
    with pytest.raises(RuntimeError):
        fail_after_writing(tmp_path, "staged.json")
    assert [path.name for path in tmp_path.glob("*/staged.json")] == ["staged.json"]


def aborted(imports, now, *names):
    """Make what a killed import leaves behind."""
    with import_folder(imports, now) as folder:
        pass
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


def test_leftovers_go_at_the_next_import(tmp_path):
    left = aborted(tmp_path, NOW, "acts.npy")
    with_rejects = aborted(tmp_path, NOW, "acts.npy", REJECTS)
    clear_leftovers(tmp_path, NOW + DAY, 7 * DAY)
    assert not left.exists()
    assert [path.name for path in with_rejects.iterdir()] == [REJECTS]


def test_an_adoption_is_left_alone(tmp_path):
    sealed = aborted(tmp_path, NOW, "acts.npy", "staged.json")
    clear_leftovers(tmp_path, NOW + 3 * DAY, 7 * DAY)
    assert (sealed / "acts.npy").exists()


def test_there_is_one_import_at_a_time(tmp_path):
    imports = tmp_path / "data" / "imports"
    locked = pytest.raises(StoreLockedError, match=r"another import into .*data is running")
    with import_lock(imports), locked, import_lock(imports):
        pass
    with pytest.raises(RuntimeError), import_lock(imports):
        raise RuntimeError
    with import_lock(imports):
        assert [path.name for path in imports.iterdir()] == ["lock"]


def test_rejected_rows_are_kept_as_long_as_was_asked(tmp_path):
    young, old = aborted(tmp_path, NOW, REJECTS), aborted(tmp_path, NOW - 8 * DAY, REJECTS)
    clear_leftovers(tmp_path, NOW, 7 * DAY)
    assert young.exists()
    assert not old.exists()
