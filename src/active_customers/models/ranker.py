"""Learning to rank: gradient-boosted trees by LightGBM, taken over into arrays that a kernel evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import MissingLibraryError
from active_customers.core.recommendation import Goal
from active_customers.kernels.trees import MOST_LEAVES, Forest, column_of


class RankerConfig(Config):
    """Parameters of the trees."""

    leaves: Annotated[int, Field(ge=2, le=MOST_LEAVES)] = 31
    """Leaves of a tree: what an answer pays for."""
    depth: Annotated[int, Field(ge=1, le=16)] = 8
    """Steps from a tree's root to a leaf, at most."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What each tree adds of what it found."""
    least_in_leaf: Annotated[int, Field(ge=1)] = 100
    """Rows of the training data that a leaf holds at least."""
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the features that each tree may use."""
    goal_trees: Annotated[int, Field(ge=1)] = 30
    """Trees on top of the others that learn what leads into the cart, and as many what leads to a purchase."""
    threads: Annotated[int, Field(ge=1)] = 2
    """Threads that train."""
    seed: int = 1
    """Of what is drawn by chance: the features of each tree."""


class Lists(NamedTuple):
    """What to learn from: lists of described products, one right answer or more in each.

    `features` float32[n, f], `labels` uint8[n] (1 for a right answer), `sizes` int64[lists] (rows of each list).
    """

    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    sizes: NDArray[np.int64]


def train(lists: Mapping[Goal, Lists], config: RankerConfig, n_trees: int) -> dict[Goal, Forest]:
    """Learn to put the right answers first (LambdaMART: Burges, "From RankNet to LambdaRank to LambdaMART", 2010).

    `n_trees` are learned from the lists of the next product, of which there are most; for each other goal some more are
    put on top. Raises `MissingLibraryError` where LightGBM cannot be loaded.
    """
    lightgbm = _lightgbm()
    settings = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 25,
        "num_leaves": config.leaves,
        "max_depth": config.depth,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.least_in_leaf,
        "feature_fraction": config.feature_share,
        "use_missing": False,
        "num_threads": config.threads,
        "seed": config.seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }

    def boosted(learned: Lists, count: int, below: Any = None) -> Any:
        data = lightgbm.Dataset(learned.features, learned.labels, group=learned.sizes, free_raw_data=True)
        return lightgbm.train(settings, data, num_boost_round=count, init_model=below)

    base = boosted(lists[Goal.NEXT], n_trees)
    boosters: dict[Goal, Any] = {Goal.NEXT: base}
    boosters |= {goal: boosted(lists[goal], config.goal_trees, base) for goal in lists if goal is not Goal.NEXT}
    return {goal: forest_of(booster.dump_model()) for goal, booster in boosters.items()}


def _lightgbm() -> Any:
    try:
        import lightgbm  # noqa: PLC0415 - serving does without
    except OSError as error:
        remedy = "install the system's OpenMP library (Debian, Ubuntu: apt-get install libgomp1)"
        raise MissingLibraryError(f"LightGBM, which trains the hybrid, cannot be loaded ({error}): {remedy}") from error
    return lightgbm


def forest_of(dumped: Mapping[str, Any]) -> Forest:
    """Return the trees of a LightGBM model as its `dump_model` gives them: numerical splits without missing values."""
    questions: list[tuple[int, float, int]] = []
    offsets, values = [0], []
    for tree in dumped["tree_info"]:
        asked, said = _flattened(tree["tree_structure"])
        questions += asked
        offsets.append(len(questions))
        row = np.zeros(MOST_LEAVES)
        row[[column_of(1 << leaf) for leaf in range(len(said))]] = said
        values.append(row)
    features, thresholds, masks = zip(*questions, strict=True) if questions else ((), (), ())
    return Forest(
        offsets=np.array(offsets, np.int64),
        features=np.array(features, np.int64),
        thresholds=_rounded_down(np.array(thresholds, np.float64)),
        masks=np.array(masks, np.uint32),
        values=np.array(values, np.float64).reshape(-1, MOST_LEAVES),
    )


def _flattened(root: Mapping[str, Any]) -> tuple[list[tuple[int, float, int]], list[float]]:
    """Return a tree's questions (feature, threshold, mask of the leaves that stay) and its leaves, left to right."""
    questions: list[tuple[int, float, int]] = []
    leaves: list[float] = []

    def walk(node: Mapping[str, Any]) -> None:
        if "leaf_value" in node:
            leaves.append(node["leaf_value"])
            return
        first = len(leaves)
        walk(node["left_child"])
        on_the_left = (1 << len(leaves)) - (1 << first)
        questions.append((node["split_feature"], node["threshold"], 0xFFFFFFFF & ~on_the_left))
        walk(node["right_child"])

    walk(root)
    return questions, leaves


def _rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 at most as large: features are float32, so every comparison comes out the same."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)


def no_forest() -> Forest:
    """Return a forest without trees."""
    return forest_of({"tree_info": []})
