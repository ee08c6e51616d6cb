"""Signing keys: made once, kept from others, rotated without invalidating what was signed."""

import stat

import pytest
from tests.conftest import NOW

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.errors import StorageError
from active_customers.core.event import Channel, Context
from active_customers.storage.keys import load_keys, rotate_keys


def test_the_first_key_is_made_once_and_read_by_its_owner_only(tmp_path):
    path = tmp_path / "keys.json"
    keys = load_keys(path)
    assert [len(key) for key in keys.values()] == [32]
    assert load_keys(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_two_directories_share_a_key(tmp_path):
    assert load_keys(tmp_path / "a") != load_keys(tmp_path / "b")


def test_a_rotated_key_signs_and_the_older_ones_still_verify(tmp_path):
    path = tmp_path / "keys.json"
    old = load_keys(path)
    new = rotate_keys(path, old)
    assert new.items() > old.items()
    assert load_keys(path) == new
    token = TokenSigner(old).sign(Shown("a", NOW, "v1", Context.HOME, Channel.WEB, [1]))
    assert TokenSigner(new).verify(token) is not None


def test_only_the_newest_keys_are_kept(tmp_path):
    keys = {}
    for _ in range(12):
        keys = rotate_keys(tmp_path / "keys.json", keys)
    assert sorted(keys) == list(range(4, 12))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": "00"}', b'{"0": 1}', b'{"0": "xyz"}', b"{}", b"\xff"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path, content):
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="restore it, or remove it"):
        load_keys(path)
    assert path.read_bytes() == content
