"""Learning to rank: gradient-boosted trees by LightGBM, taken over into arrays that a kernel evaluates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from active_customers.core.config import Config
from active_customers.core.errors import MissingLibraryError
from active_customers.core.recommendation import Goal
from active_customers.kernels.hybrid import GUESS
from active_customers.kernels.trees import MOST_LEAVES, Forest, add_trees, column_of, padded


class RankerConfig(Config):
    """Parameters of the trees."""

    leaves: Annotated[int, Field(ge=2, le=MOST_LEAVES)] = 16
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
    lists_enough: Annotated[int, Field(ge=1)] = 5_000
    """Lists to learn from with which no number of trees is too many; of fewer a part says when to stop."""
    threads: Annotated[int, Field(ge=1)] = 1
    """Threads that train. They wait for each other without rest: beside a busy service several take many times as
    long as one."""
    seed: int = 1
    """Of what is drawn by chance: the features of each tree."""


_JUDGING = 0.2
"""Share of few lists, the newest, that are not learned from but say when more trees stop helping."""
_JUDGED = 20
"""First products of a list that are judged."""
_PATIENCE = 10
"""Trees that may come without helping."""


class Lists(NamedTuple):
    """What to learn from: lists of described products, one right answer or more in each.

    `features` float32[n, f], `labels` uint8[n] (1 for a right answer), `sizes` int64[lists] (rows of each list).
    """

    features: NDArray[np.float32]
    labels: NDArray[np.uint8]
    sizes: NDArray[np.int64]

    @property
    def guesses(self) -> NDArray[np.float64]:
        """The first guess about each row, which trees start from."""
        return self.features[:, GUESS].astype(np.float64)

    @classmethod
    def end_to_end(cls, parts: Sequence[Self]) -> Self:
        """Put lists together; parts without any are passed over."""
        some = [part for part in parts if len(part.sizes)] or [*parts[:1]]
        return cls(*(np.concatenate(column) for column in zip(*some, strict=True)))


def train(
    lists: Mapping[Goal, Lists], config: RankerConfig, n_trees: int, told: Callable[[], None] = lambda: None
) -> dict[Goal, Forest]:
    """Learn to put the right answers first (LambdaMART: Burges, "From RankNet to LambdaRank to LambdaMART", 2010).

    Up to `n_trees` are learned from the lists of the next product, of which there are most; for other goals of the same
    visit some more are put on top. What is bought at the next visit is another question with another first guess: up
    to `n_trees` are learned for it alone. `told` is called after each goal. Raises `MissingLibraryError` where LightGBM
    cannot be loaded.
    """
    forests: dict[Goal, Forest] = {}
    for goal in sorted(lists, key=lambda goal: goal is not Goal.NEXT):
        if goal in (Goal.NEXT, Goal.RETURN):
            forests[goal] = _boosted(lists[goal], lists[goal].guesses, config, n_trees)
        else:
            below = _said(forests[Goal.NEXT], lists[goal])
            forests[goal] = joined(forests[Goal.NEXT], _boosted(lists[goal], below, config, config.goal_trees))
        told()
    return forests


def _boosted(lists: Lists, below: NDArray[np.float64], config: RankerConfig, n_trees: int) -> Forest:
    """Learn trees on top of what is said `below` [n].

    Of few lists the newest say when to stop, which is at once where no number of trees ranks better than none.
    """
    lightgbm = _lightgbm()
    settings = {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 25,
        "metric": "ndcg",
        "eval_at": [_JUDGED],
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
    n_lists = len(lists.sizes)
    n_learned = n_lists if n_lists >= config.lists_enough else round(n_lists * (1 - _JUDGING))
    row = int(lists.sizes[:n_learned].sum())

    def part(rows: slice, which: slice) -> Any:
        return lightgbm.Dataset(
            lists.features[rows], lists.labels[rows], group=lists.sizes[which], init_score=below[rows]
        )

    data = part(slice(None, row), slice(None, n_learned))
    if n_learned == n_lists:
        return forest_of(lightgbm.train(settings, data, num_boost_round=n_trees).dump_model())
    judging = part(slice(row, None), slice(n_learned, None))
    patience = lightgbm.early_stopping(_PATIENCE, verbose=False)
    booster = lightgbm.train(settings, data, n_trees, valid_sets=[judging], callbacks=[patience])
    judged = Lists(lists.features[row:], lists.labels[row:], lists.sizes[n_learned:])
    if booster.best_score["valid_0"][f"ndcg@{_JUDGED}"] <= ndcg(judged, below[row:]):
        return no_forest()
    return forest_of(booster.dump_model(num_iteration=booster.best_iteration))


def ndcg(lists: Lists, said: NDArray[np.float64], n: int = _JUDGED) -> float:
    """Return the mean NDCG of the first `n` in the order of what is said [rows], as LightGBM computes it.

    Every list has a row and a right answer at least. Equal scores stay in their order.
    """
    starts = np.cumsum(lists.sizes) - lists.sizes
    order = np.lexsort((-said, np.repeat(np.arange(len(starts)), lists.sizes)))
    ranks = np.arange(len(said)) - np.repeat(starts, lists.sizes)
    discounts = np.where(ranks < n, 1.0 / np.log2(ranks + 2.0), 0.0)
    n_right = np.repeat(np.add.reduceat(lists.labels.astype(np.int64), starts), lists.sizes)
    gained, possible = lists.labels[order] * discounts, (ranks < n_right) * discounts
    return float(np.mean(np.add.reduceat(gained, starts) / np.add.reduceat(possible, starts)))


def _said(forest: Forest, lists: Lists) -> NDArray[np.float64]:
    """Return the first guess and what trees add to it, for all rows."""
    sums, n = lists.guesses.copy(), len(lists.features)
    columns = np.zeros((lists.features.shape[1], padded(n)), np.float32)
    columns[:, :n] = lists.features.T
    add_trees(forest, columns, np.empty(padded(n), np.uint32), sums)
    return sums


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
    offsets = [0]
    values: list[NDArray[np.float64]] = []
    covers: list[NDArray[np.float64]] = []
    for tree in dumped["tree_info"]:
        asked, leaves = _flattened(tree["tree_structure"])
        questions += asked
        offsets.append(len(questions))
        places = [column_of(1 << leaf) for leaf in range(len(leaves))]
        for column, rows in ((0, values), (1, covers)):
            row = np.zeros(MOST_LEAVES)
            row[places] = [leaf[column] for leaf in leaves]
            rows.append(row)
    features, thresholds, masks = zip(*questions, strict=True) if questions else ((), (), ())
    return Forest(
        offsets=np.array(offsets, np.int64),
        features=np.array(features, np.int64),
        thresholds=_rounded_down(np.array(thresholds, np.float64)),
        masks=np.array(masks, np.uint32),
        values=np.array(values, np.float64).reshape(-1, MOST_LEAVES),
        covers=np.array(covers, np.float64).reshape(-1, MOST_LEAVES),
    )


def _flattened(root: Mapping[str, Any]) -> tuple[list[tuple[int, float, int]], list[tuple[float, float]]]:
    """Return a tree's questions (feature, threshold, mask of the leaves that stay) and its leaves, left to right.

    Of a leaf what it says and how many training rows came there; LightGBM counts none for a tree without questions.
    """
    questions: list[tuple[int, float, int]] = []
    leaves: list[tuple[float, float]] = []

    def walk(node: Mapping[str, Any]) -> None:
        if "leaf_value" in node:
            leaves.append((node["leaf_value"], max(node.get("leaf_count", 1), 1)))
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


def joined(one: Forest, other: Forest) -> Forest:
    """Return the trees of both."""
    offsets = np.concatenate((one.offsets, one.offsets[-1] + other.offsets[1:]))
    return Forest(
        offsets,
        np.concatenate((one.features, other.features)),
        np.concatenate((one.thresholds, other.thresholds)),
        np.concatenate((one.masks, other.masks)),
        np.concatenate((one.values, other.values)),
        np.concatenate((one.covers, other.covers)),
    )


def even_covers(offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return covers that count every leaf alike, for trees that were published before covers were kept."""
    covers = np.zeros((len(offsets) - 1, MOST_LEAVES))
    for tree, n_questions in enumerate(np.diff(offsets).tolist()):
        covers[tree, [column_of(1 << leaf) for leaf in range(n_questions + 1)]] = 1.0
    return covers


def no_forest() -> Forest:
    """Return a forest without trees."""
    return forest_of({"tree_info": []})
