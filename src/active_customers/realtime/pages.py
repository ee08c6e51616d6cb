"""Lists that go on: an answer that knows what was shown before it, and what the next one is asked with."""

from __future__ import annotations

import numpy as np
import orjson

from active_customers.core.cursor import MOST_SHOWN
from active_customers.kernels.state_sections import Numbers
from active_customers.models.base import NO_PRODUCTS
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Answer, Engine
from active_customers.realtime.schemas import Query

_END = b"}}"
"""How every body ends: metadata is the last of its members."""


class Pages:
    """Answers that go on from others: those of one list, or those of one page."""

    def __init__(self, engine: Engine, encoder: AnswerEncoder) -> None:
        self._engine = engine
        self._encoder = encoder

    def answered(self, query: Query, passed_over: Numbers = NO_PRODUCTS, language: int = 0) -> tuple[bytes, Answer]:
        """Return the body of the answer to a query, and the answer (its rows are good until the next question).

        Neither `passed_over` (product numbers) nor what the query's cursor says was shown is in it, nor another variant
        of these. Raises `InvalidValueError` for a cursor that is not good here.
        """
        if query.cursor is None:
            answer = self._recommended(query, passed_over)
            return self._encoder.encode(query, answer, language), answer
        cursors, now = self._encoder.cursors, self._engine.now()
        shown = np.array(cursors.read(query.cursor, query.customer_id, query.context, now), np.uint32)
        answer = self._recommended(query, np.concatenate((shown, passed_over)))
        body = self._encoder.encode(query, answer, language)
        so_far = {*shown.tolist(), *answer.products()}
        goes_on = answer.size == query.n and len(so_far) < MOST_SHOWN
        cursor = cursors.write(query.customer_id, query.context, so_far, now) if goes_on else None
        return body.removesuffix(_END) + b',"next_cursor":' + orjson.dumps(cursor) + _END, answer

    def _recommended(self, query: Query, passed_over: Numbers) -> Answer:
        if len(passed_over):
            return self._engine.recommend(query, self._engine.cards.with_variants(passed_over))
        return self._engine.recommend(query)
