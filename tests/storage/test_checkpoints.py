"""Two copies, one of them always whole."""

import numpy as np
import pytest

from active_customers.storage.checkpoints import Checkpoints


def saved(folder, *values):
    checkpoints = Checkpoints(folder)
    for value in values:
        checkpoints.save({"value": np.array([value]), "text": np.frombuffer(b"same", np.uint8)})


def loaded(folder):
    arrays = Checkpoints(folder).load()
    return None if arrays is None else int(arrays["value"][0])


def copies(folder):
    """Return the copies' paths, the one written last first."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: path.read_bytes()[32:40], reverse=True)


def test_without_a_checkpoint_there_is_none(tmp_path):
    assert loaded(tmp_path) is None


def test_what_was_saved_last_is_loaded(tmp_path):
    saved(tmp_path, 1, 2, 3)
    assert loaded(tmp_path) == 3
    assert Checkpoints(tmp_path).load()["text"].tobytes() == b"same"


def test_copies_are_written_in_turn_also_by_another_process(tmp_path):
    for value in range(1, 6):
        saved(tmp_path, value)
        assert loaded(tmp_path) == value
    assert len(copies(tmp_path)) == 2


@pytest.mark.parametrize("place", [0, 33, 60, -1])
def test_a_copy_with_any_byte_altered_is_refused_and_the_other_one_used(tmp_path, place):
    saved(tmp_path, 1, 2)
    newest, other = copies(tmp_path)
    content = bytearray(newest.read_bytes())
    content[place] ^= 1
    newest.write_bytes(content)
    assert loaded(tmp_path) == 1
    saved(tmp_path, 3)  # over the one that is not whole
    assert loaded(tmp_path) == 3
    assert copies(tmp_path) == [newest, other]


@pytest.mark.parametrize("length", [0, 20, 40, 200])
def test_a_copy_that_was_cut_short_is_refused(tmp_path, length):
    saved(tmp_path, 1, 2)
    newest = copies(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:length])
    assert loaded(tmp_path) == 1


def test_when_no_copy_is_whole_there_is_no_checkpoint(tmp_path):
    saved(tmp_path, 1, 2)
    for path in copies(tmp_path):
        path.write_bytes(path.read_bytes()[:-1])
    assert loaded(tmp_path) is None
    saved(tmp_path, 3)
    assert loaded(tmp_path) == 3
