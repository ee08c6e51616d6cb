"""Published models: one folder of `.npy` files and a manifest per version, and a pointer to the current one.

Layout: `models/<version>/<model>.<array>.npy`, `models/<version>/manifest.json` with their hashes,
`models/<version>/manifest.sha256` with the manifest's own, and `models/current` (the version's name). A version is
written under a temporary name and renamed; then the pointer is. So a reader sees a whole version or none, whenever the
publisher dies.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from active_customers.core.clock import format_time
from active_customers.core.errors import ArtifactError
from active_customers.models.base import Arrays
from active_customers.storage.archive import sync

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version says about itself."""

    version: str
    created: int
    watermark: int
    """First log position that this version has not read."""
    n_products: int
    """Product numbers below this one existed when the models were trained."""
    configs: dict[str, dict[str, Any]]
    """Configuration by model name."""
    hashes: dict[str, str]
    """SHA-256 by file name."""
    facts: dict[str, Any]
    """Counts for people: events, sessions, customers, seconds."""
    format: int = FORMAT


class ArtifactStore:
    """The published versions of one data directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self) -> list[str]:
        """Return the published versions, oldest first."""
        return sorted(path.parent.name for path in self._root.glob("v*/manifest.json"))

    def current(self) -> str | None:
        """Return the version that is in force, or None when nothing was published."""
        try:
            return (self._root / "current").read_text().strip()
        except FileNotFoundError:
            return None

    def next_version(self, now: int) -> str:
        """Return the name of the next version: the day and a number, such as `v2025.01.31-2`."""
        day = f"v{format_time(now)[:10].replace('-', '.')}-"
        taken = [int(name.removeprefix(day)) for name in self.versions() if name.startswith(day)]
        return f"{day}{max(taken, default=0) + 1:03d}"

    def publish(self, manifest: Manifest, models: Mapping[str, Arrays]) -> None:
        """Write a version and point to it. `manifest.hashes` is filled in here."""
        folder = self._root / manifest.version
        temporary = self._root / f".{manifest.version}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        hashes: dict[str, str] = {}
        for model, arrays in models.items():
            for name, array in arrays.items():
                path = temporary / f"{model}.{name}.npy"
                np.save(path, array, allow_pickle=False)
                sync(path)
                hashes[path.name] = _hash(path)
        document = asdict(manifest) | {"hashes": hashes}
        (temporary / "manifest.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        (temporary / "manifest.sha256").write_text(_hash(temporary / "manifest.json") + "\n")
        for path in (temporary / "manifest.json", temporary / "manifest.sha256", temporary):
            sync(path)
        temporary.replace(folder)
        self.point_to(manifest.version)

    def point_to(self, version: str) -> None:
        """Put a version in force."""
        temporary = self._root / ".current.tmp"
        temporary.write_text(version + "\n")
        sync(temporary)
        temporary.replace(self._root / "current")
        sync(self._root)

    def load(self, version: str) -> tuple[Manifest, dict[str, dict[str, np.ndarray[Any, Any]]]]:
        """Map a version's arrays, read-only; raises `ArtifactError` when anything of it is missing or altered."""
        folder = self._root / version
        try:
            _check(version, folder / "manifest.json", (folder / "manifest.sha256").read_text().strip())
            manifest = Manifest(**orjson.loads((folder / "manifest.json").read_bytes()))
            models: dict[str, dict[str, np.ndarray[Any, Any]]] = {name: {} for name in manifest.configs}
            for file, expected in manifest.hashes.items():
                _check(version, folder / file, expected)
                model, array, _ = file.split(".")
                models[model][array] = np.load(folder / file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"model {version} cannot be read ({error}): publish again or roll back") from error
        return manifest, models

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` versions and the current one; return what went."""
        current = self.current()
        gone = [name for name in self.versions()[:-keep] if name != current]
        for name in gone:
            shutil.rmtree(self._root / name)
        return gone


def _check(version: str, path: Path, expected: str) -> None:
    if _hash(path) != expected:
        raise ArtifactError(f"model {version}: {path.name} does not match its hash: publish again or roll back")


def _hash(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
