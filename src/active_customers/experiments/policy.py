"""What all policies have in common: how they choose, learn, forget and publish."""

from __future__ import annotations

import math
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.clock import DAY
from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError
from active_customers.kernels.bandits import Board, publish
from active_customers.models.kernel_arguments import frozen

Floats = NDArray[np.float64]
MAX_ARMS = 1_000


class Choice(NamedTuple):
    """The arm that was chosen, and the chance that it had: log both."""

    arm: int
    propensity: float


class PolicyConfig(Config):
    """What all policies have in common."""

    explore: Annotated[float, Field(ge=0, le=1)] = 0.002
    """Share of choices made evenly among all arms, so that none is ever without a chance: what is never chosen cannot
    be judged from the log."""
    half_life_days: Annotated[float, Field(ge=0)] = 0.0
    """Days after which what was learned counts half, for what changes with time; 0 never forgets."""
    reward_cap: Annotated[float, Field(gt=0)] = 1.0
    """The largest reward of a choice: 1 for clicks, for revenue what a large order is worth; more counts as this."""


C = TypeVar("C", bound=PolicyConfig)


class Policy(Generic[C]):
    """A policy for `n_arms` arms; subclasses say what is learned and what is published.

    `state` is all that was learned, `board` what was published: flat arrays of fixed size, so that both may lie in
    mapped files. A process that only pulls hands over the board that another one writes.
    """

    def __init__(self, config: C, n_arms: int, words: int, page: int, board: Board | None = None) -> None:
        if not 1 <= n_arms <= MAX_ARMS:
            raise InvalidValueError("n_arms", n_arms, f"name 1 to {MAX_ARMS} arms")
        self.config = config
        self.n_arms = n_arms
        self.state: Floats = np.zeros(1 + words)
        """The time of the newest observation, then what was learned."""
        self.board = board or new_board(page)
        self.reading = Board(frozen(self.board.version), frozen(self.board.pages))

    def pull(self, context: NDArray[Any] | None, draw: float) -> Choice:
        """Return an arm and its propensity; `draw` is a number in [0, 1), evenly distributed, such as a hash."""
        raise NotImplementedError

    def update(self, arm: int, reward: float, context: NDArray[Any] | None, time: int) -> None:
        """Learn what a choice earned in all, 0 included; `time` is that of the choice, in microseconds.

        Raises `InvalidValueError` for an arm that there is not, a reward that is no number, or another context than
        the policy takes; nothing is learned then.
        """
        raise NotImplementedError

    def publish(self, rng: np.random.Generator) -> None:
        """Let choices follow what was learned until now."""
        publish(self.board, self.page(rng).astype(np.float32).ravel())

    def page(self, rng: np.random.Generator) -> Floats:
        """Return what is to be published."""
        raise NotImplementedError

    def checked(self, arm: int, reward: float) -> float:
        """Return the reward as a share of the largest one."""
        if not 0 <= arm < self.n_arms:
            raise InvalidValueError("arm", arm, f"send a number from 0 to {self.n_arms - 1}")
        if not math.isfinite(reward):
            raise InvalidValueError("reward", reward, "send a finite number")
        return min(max(reward / self.config.reward_cap, 0.0), 1.0)

    def faded(self, time: int) -> float:
        """Let what was learned fade until `time`, and return what an observation of that time counts for.

        What comes late, or from a clock that went back, counts for less instead of fading anything.
        """
        newest, half_life = self.state[0], self.config.half_life_days * DAY
        self.state[0] = max(newest, float(time))
        if not half_life or newest == 0.0:
            return 1.0
        if time <= newest:
            return float(0.5 ** ((newest - time) / half_life))
        self.state[1:] *= 0.5 ** ((time - newest) / half_life)
        return 1.0


def new_board(page: int) -> Board:
    """Return a board in this process's own memory, for pages of so many numbers, with nothing published yet."""
    return board_in(np.zeros(board_bytes(page), np.uint8))


def board_bytes(page: int) -> int:
    """Return the size of a board for pages of so many numbers."""
    return 8 + 2 * 4 * page


def board_in(memory: NDArray[np.uint8]) -> Board:
    """Return the board in memory of `board_bytes`, such as a mapped file; memory of zeros has nothing published."""
    return Board(memory[:8].view(np.int64), memory[8:].view(np.float32).reshape(2, -1))
