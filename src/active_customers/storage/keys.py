"""Signing keys of a data directory: made at first use, readable by their owner only, rotated by adding one."""

from __future__ import annotations

import secrets
from pathlib import Path

import orjson

from active_customers.core.errors import StorageError
from active_customers.storage.durable import write_whole

_KEY_BYTES = 32


def load_keys(path: Path) -> dict[int, bytes]:
    """Return the signing keys by id, making the first one where there is none yet.

    Raises `StorageError` when the file is not what this module wrote.
    """
    try:
        found: dict[str, str] = orjson.loads(path.read_bytes())
        keys = {int(key_id): bytes.fromhex(key) for key_id, key in found.items()}
    except FileNotFoundError:
        return rotate_keys(path, {})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(path, str(error)) from error
    if not keys or any(key_id not in range(256) or len(key) != _KEY_BYTES for key_id, key in keys.items()):
        raise _damaged(path, "ids lie in 0..255, keys have 32 bytes")
    return keys


def _damaged(path: Path, why: str) -> StorageError:
    return StorageError(f"{path} holds no signing keys ({why}): restore it, or remove it to make new ones")


def rotate_keys(path: Path, keys: dict[int, bytes], keep: int = 8) -> dict[int, bytes]:
    """Add a key that signs from now on; the newest `keep` go on verifying. Ids count up from 0 to 255."""
    fresh = dict(sorted(keys.items())[-(keep - 1) :]) | {max(keys, default=-1) + 1: secrets.token_bytes(_KEY_BYTES)}
    write_whole(path, orjson.dumps({str(key_id): key.hex() for key_id, key in fresh.items()}), mode=0o600)
    return fresh
