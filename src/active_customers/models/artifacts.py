"""Published models: one folder of `.npy` files and a manifest per version, and a pointer to the current one.

Layout: `models/<version>/<model>.<array>.npy`, tables for people and other jobs as `models/<version>/<name>.parquet`,
`models/<version>/manifest.json` with the hashes of both,
`models/<version>/manifest.sha256` with the manifest's own, `models/current` (the version's name), `models/rolled-back`
(the version that an operator went back to last) and `models/reports/` (see `batch.refresh_reports`). A version is
written under a temporary name and renamed; then the pointer is. So a reader sees a whole version or none, whenever the
publisher dies.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import orjson

from active_customers.core.clock import format_time
from active_customers.core.errors import ArtifactError, InvalidValueError, StorageError
from active_customers.models.base import Arrays
from active_customers.storage.durable import make_folder, sync, write_whole, writing
from active_customers.storage.lock import holding_lock, take_lock

FORMAT = 2
"""Counted up when models change so that those published before cannot be read as they are meant."""

ANY = ""
"""Stands for whatever version is in force."""

_REMEDY = "run refresh to publish a new one"
_VERSION = re.compile(r"v(\d{4}\.\d{2}\.\d{2})-(\d+)")


class DamagedArtifactError(ArtifactError):
    """A model version is not what was published, or of another program version.

    Unlike one that cannot be read just now, it never can be.
    """


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version says about itself."""

    version: str
    created: int
    watermark: int
    """First log position above all that this version has read."""
    n_products: int
    """Product numbers below this one existed when the models were trained."""
    configs: dict[str, dict[str, Any]]
    """Configuration by model name."""
    hashes: dict[str, str]
    """SHA-256 by file name."""
    facts: dict[str, Any]
    """Counts for people: events, sessions, customers, seconds."""
    format: int = FORMAT
    holes: list[tuple[int, int]] = field(default_factory=list)
    """Ranges of log positions below the watermark, both ends included, that this version has not read: those of imports
    that were under way, or given up."""


class ArtifactStore:
    """The published versions of one data directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self) -> list[str]:
        """Return the published versions, oldest first."""
        names = (path.parent.name for path in self._root.glob("v*/manifest.json"))
        return sorted((name for name in names if _VERSION.fullmatch(name)), key=_age)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only publisher until the block ends; raises `StoreLockedError` at once when there is another."""
        make_folder(self._root)
        descriptor = take_lock(
            self._root / "lock", f"another refresh is running on {self._root}: wait until it has ended"
        )
        try:
            with self._pointing():
                for leftover in self._root.glob(".*.tmp"):
                    shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            yield
        finally:
            os.close(descriptor)

    def current(self) -> str | None:
        """Return the version that is in force, or None when nothing was published."""
        return self._pointer("current")

    def is_rolled_back(self) -> bool:
        """Return whether an operator put the version in force there, in the place of a newer one."""
        current = self.current()
        return current in self.versions()[:-1] and current == self._pointer("rolled-back")

    def _pointer(self, name: str) -> str | None:
        try:
            return (self._root / name).read_text(errors="replace").strip()
        except FileNotFoundError:
            return None

    def folder(self, version: str) -> Path:
        """Return where a version lies."""
        return self._root / version

    @property
    def reports(self) -> Path:
        """Where refreshes leave `<version>.json`."""
        return self._root / "reports"

    def reported(self) -> list[str]:
        """Return the versions that a refresh has left a report of, oldest first: published or not."""
        names = (path.stem for path in self.reports.glob("v*.json"))
        return sorted((name for name in names if _VERSION.fullmatch(name)), key=_age)

    def next_version(self, now: int) -> str:
        """Return the name of the next version: the day and a number, such as `v2025.01.31-002`."""
        day = f"v{format_time(now)[:10].replace('-', '.')}-"
        names = [*(path.name for path in self._root.glob(f"{day}*")), self.current() or "", *self.reported()]
        taken = [_age(name)[1] for name in names if name.startswith(day) and _VERSION.fullmatch(name)]
        return f"{day}{max(taken, default=0) + 1:03d}"

    def publish(
        self,
        manifest: Manifest,
        models: Mapping[str, Arrays],
        replacing: str | None = ANY,
        tables: Iterable[Path] = (),
    ) -> None:
        """Write a version and point to it; `exclusive` must hold from `next_version` on.

        `tables` are Parquet files on the same disk, which move in under their names.

        Raises `DiskFullError` or `StorageError` when it cannot be written, and `ArtifactError` when another version
        than the one to replace is in force by then; then nothing of it is left.
        """
        folder = self.folder(manifest.version)
        temporary = self._root / f".{manifest.version}.{uuid4().hex}.tmp"
        try:
            with writing(folder):
                self._write(temporary, manifest, models, tables)
            with self._pointing():
                self._check_in_force(replacing)
                with writing(folder):
                    temporary.replace(folder)
                self.point_to(manifest.version)
        except StorageError:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    @contextmanager
    def _pointing(self) -> Iterator[None]:
        """Keep others from putting a version in force or removing one; for moments only, unlike `exclusive`."""
        with holding_lock(self._root / "current.lock"):
            yield

    def _check_in_force(self, expected: str | None) -> None:
        current = self.current()
        if expected not in (ANY, current):
            raise ArtifactError(f"{current} was put in force meanwhile: refresh again, to be compared with that")

    def roll_back(self, version: str | None = None) -> str:
        """Put another published version in force, by default the one before that in force; return which.

        Raises `InvalidValueError` for a version that is not there, `ArtifactError` for one that cannot be used or when
        there is none before; then the version in force stays.
        """
        if not self._root.exists():
            raise ArtifactError("nothing was published yet: run refresh")
        with self._pointing():
            version = self._version_before() if version is None else version
            if version not in self.versions():
                known = ", ".join(self.versions()) or "nothing: run refresh first"
                raise InvalidValueError("version", version, f"published are {known}")
            self.load(version)
            write_whole(self._root / "rolled-back", f"{version}\n".encode())
            self.point_to(version)
        return version

    def _version_before(self) -> str:
        current, versions = self.current(), self.versions()
        earlier = versions[: versions.index(current)] if current in versions else versions
        if not earlier:
            raise ArtifactError(f"there is no version before {current}: run refresh to publish a new one")
        return earlier[-1]

    def _write(self, temporary: Path, manifest: Manifest, models: Mapping[str, Arrays], tables: Iterable[Path]) -> None:
        temporary.mkdir(parents=True)
        hashes: dict[str, str] = {}
        for table in tables:
            path = table.replace(temporary / table.name)
            sync(path)
            hashes[path.name] = _hash(path)
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

    def point_to(self, version: str) -> None:
        """Put a version in force."""
        write_whole(self._root / "current", f"{version}\n".encode())

    def manifest(self, version: str) -> Manifest:
        """Return what a version says about itself; raises as `load` does, but looks at no array."""
        folder = self.folder(version)
        with _reading(version):
            _check(version, folder / "manifest.json", (folder / "manifest.sha256").read_text().strip())
            document = orjson.loads((folder / "manifest.json").read_bytes())
            if document["format"] != FORMAT:
                has = f"has format {document['format']}, where this program reads {FORMAT}"
                raise DamagedArtifactError(f"model {version} {has}: {_REMEDY}")
            return Manifest(**document)

    def load(self, version: str) -> tuple[Manifest, dict[str, dict[str, np.ndarray[Any, Any]]]]:
        """Map a version's arrays, read-only; its tables are left alone.

        Raises `DamagedArtifactError` when anything of it was altered or it is of another program version, and
        `ArtifactError` when it cannot be read.
        """
        folder = self.folder(version)
        manifest = self.manifest(version)
        with _reading(version):
            models: dict[str, dict[str, np.ndarray[Any, Any]]] = {name: {} for name in manifest.configs}
            for file, expected in manifest.hashes.items():
                if not file.endswith(".npy"):
                    continue
                _check(version, folder / file, expected)
                model, array, _ = file.split(".")
                models[model][array] = np.load(folder / file, mmap_mode="r", allow_pickle=False)
        return manifest, models

    def table(self, version: str, name: str) -> Path:
        """Return the Parquet file of a version's table; raises as `load` does, for a version without it too."""
        path, manifest = self.folder(version) / f"{name}.parquet", self.manifest(version)
        if path.name not in manifest.hashes:
            raise ArtifactError(f"model {version} has no table of {name}: {_REMEDY}")
        with _reading(version):
            _check(version, path, manifest.hashes[path.name])
        return path

    def prune(self, keep: int) -> list[str]:
        """Remove all but the newest `keep` versions and the current one; return what went."""
        with self._pointing():
            current = self.current()
            gone = [name for name in self.versions()[:-keep] if name != current]
            for name in gone:
                shutil.rmtree(self._root / name)
        return gone


@contextmanager
def _reading(version: str) -> Iterator[None]:
    """Tell what keeps a version from being read."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"model {version} cannot be read ({error}): {_REMEDY}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedArtifactError(f"model {version} makes no sense ({error!r}): {_REMEDY}") from error


def _age(version: str) -> tuple[str, int]:
    """Return what versions are ordered by: the day and the number, which may outgrow its three digits."""
    day, number = version.rsplit("-", 1)
    return day, int(number)


def _check(version: str, path: Path, expected: str) -> None:
    if _hash(path) != expected:
        raise DamagedArtifactError(f"model {version}: {path.name} does not match its hash: {_REMEDY}")


def _hash(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
