"""Where a bandit's state lies: a board that one process writes and all others choose by, and checkpoints.

Both are nothing that is not in the log: without them a bandit begins anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from active_customers.experiments.bandits import make_policy
from active_customers.experiments.definition import Experiment
from active_customers.experiments.policy import Policy, board_bytes, board_in


class BanditFiles:
    """The files of bandits in a folder, by name and version."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def choosing(self, experiment: Experiment) -> Policy[Any] | None:
        """Return what chooses by what another process publishes; None as long as there is nothing of it."""
        return self._on_board(experiment, "r")

    def learning(self, experiment: Experiment) -> Policy[Any]:
        """Return the policy that publishes; the board is made where there is none, and kept where there is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path, size = self._board(experiment), board_bytes(_page_words(experiment))
        if not path.exists() or path.stat().st_size != size:
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(bytes(size))
            fresh.replace(path)
        policy = self._on_board(experiment, "r+")
        assert policy is not None  # noqa: S101 - it was made above
        return policy

    def restored(self, experiment: Experiment) -> Mapping[str, NDArray[Any]] | None:
        """Return the newest checkpoint; None where there is none that can be read."""
        try:
            with self._checkpoint(experiment).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None

    def save(self, experiment: Experiment, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a checkpoint that takes the place of the one before at once, or not at all."""
        path = self._checkpoint(experiment)
        fresh = path.with_suffix(f".{os.getpid()}.npz")
        with fresh.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def _on_board(self, experiment: Experiment, mode: str) -> Policy[Any] | None:
        if experiment.bandit is None:
            return None
        size = board_bytes(_page_words(experiment))
        try:
            memory = np.memmap(self._board(experiment), np.uint8, mode, shape=(size,))  # type: ignore[call-overload]
        except (OSError, ValueError):
            return None
        return make_policy(experiment.bandit.policy, len(experiment.variants), board_in(memory.view(np.ndarray)))

    def _board(self, experiment: Experiment) -> Path:
        return self._folder / f"{experiment.name}-{experiment.version}.board"

    def _checkpoint(self, experiment: Experiment) -> Path:
        return self._folder / f"{experiment.name}-{experiment.version}.npz"


def _page_words(experiment: Experiment) -> int:
    """Return how many numbers the policy publishes."""
    assert experiment.bandit is not None  # noqa: S101 - only bandits have boards
    return int(make_policy(experiment.bandit.policy, len(experiment.variants)).board.pages.shape[1])
