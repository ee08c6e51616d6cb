"""Every prediction of an evaluation in one Parquet file, so that anyone can recompute its figures."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from active_customers.core.identifiers import NO_NUMBER
from active_customers.evaluation.task import Predictions, Task

COLUMNS = ("model", "session_id", "prefix_len", "rank", "product_id", "score")


class PredictionDump:
    """A Parquet file with one row for each predicted product, in the ids of the input files.

    Columns: model, session_id, prefix_len (acts shown), rank (from 1), product_id, score. A question to which a model
    proposed nothing has no rows; it still counts in the figures.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, model: str, task: Task, predictions: Predictions) -> None:
        """Append one model's predictions."""
        questions, places = np.nonzero(predictions.products != NO_NUMBER)
        columns = (
            pa.repeat(model, len(questions)),
            pa.array(task.session_ids[task.sessions[questions]]),
            pa.array(task.lengths[questions].astype(np.int32)),
            pa.array((places + 1).astype(np.int32)),
            pa.array(task.unfolding.product_ids[predictions.products[questions, places]]),
            pa.array(predictions.scores[questions, places]),
        )
        table = pa.table(dict(zip(COLUMNS, columns, strict=True)))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)
