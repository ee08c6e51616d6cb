"""Learning to rank: gradient-boosted trees by LightGBM, taken over into arrays that a kernel evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import MissingLibraryError
from active_customers.kernels.trees import Forest


class RankerConfig(Config):
    """Parameters of the trees."""

    leaves: Annotated[int, Field(ge=2, le=255)] = 31
    """Leaves of a tree."""
    depth: Annotated[int, Field(ge=1, le=16)] = 8
    """Steps from a tree's root to a leaf, at most: what an answer pays for."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """What each tree adds of what it found."""
    least_in_leaf: Annotated[int, Field(ge=1)] = 100
    """Rows of the training data that a leaf holds at least."""
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Share of the features that each tree may use."""
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


def train(lists: Lists, config: RankerConfig, n_trees: int) -> Forest:
    """Learn to put the right answers first (LambdaMART: Burges, "From RankNet to LambdaRank to LambdaMART", 2010).

    Raises `MissingLibraryError` where LightGBM cannot be loaded.
    """
    try:
        import lightgbm  # noqa: PLC0415 - serving does without
    except OSError as error:
        remedy = "install the system's OpenMP library (Debian, Ubuntu: apt-get install libgomp1)"
        raise MissingLibraryError(f"LightGBM, which trains the hybrid, cannot be loaded ({error}): {remedy}") from error

    booster = lightgbm.train(
        {
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
        },
        lightgbm.Dataset(lists.features, lists.labels, group=lists.sizes, free_raw_data=True),
        num_boost_round=n_trees,
    )
    return forest_of(booster.dump_model())


def forest_of(dumped: Mapping[str, Any]) -> Forest:
    """Return the trees of a LightGBM model as its `dump_model` gives them: numerical splits without missing values."""
    nodes: list[tuple[int, float, int, float]] = []
    roots, depths = [], []
    for tree in dumped["tree_info"]:
        first = len(nodes)
        roots.append(first)
        flat, depth = _flattened(tree["tree_structure"], first)
        nodes += flat
        depths.append(depth)
    features, thresholds, left, values = zip(*nodes, strict=True) if nodes else ((), (), (), ())
    return Forest(
        roots=np.array(roots, np.int32),
        depths=np.array(depths, np.int32),
        features=np.array(features, np.int16),
        thresholds=_rounded_down(np.array(thresholds, np.float64)),
        left=np.array(left, np.int32),
        values=np.array(values, np.float64),
    )


def _flattened(root: Mapping[str, Any], first: int) -> tuple[list[tuple[int, float, int, float]], int]:
    """Return a tree's nodes, level by level, the two ways of each side by side; and how deep it is."""
    rows: list[tuple[int, float, int, float]] = []
    level, depth = [root], -1
    end = first + 1
    while level:
        depth += 1
        below: list[Mapping[str, Any]] = []
        for node in level:
            if "leaf_value" in node:
                rows.append((0, np.inf, first + len(rows), node["leaf_value"]))
                continue
            rows.append((node["split_feature"], node["threshold"], end + len(below), 0.0))
            below += [node["left_child"], node["right_child"]]
        end += len(below)
        level = below
    return rows, depth


def _rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the largest float32 at most as large: features are float32, so every comparison comes out the same."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded).astype(np.float32)


def no_forest() -> Forest:
    """Return a forest without trees."""
    return forest_of({"tree_info": []})
