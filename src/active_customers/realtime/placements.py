"""`POST /api/v1/recommendations`: all lists of a page in one call, in which no product stands twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from active_customers.core.errors import (
    ActiveCustomersError,
    InvalidValueError,
    PlacementsRejectedError,
)
from active_customers.monitoring.metrics import DEGRADED, REQUEST_SECONDS, REQUESTS
from active_customers.realtime.access import Access, Scope
from active_customers.realtime.answers import AnswerEncoder
from active_customers.realtime.engine import Engine
from active_customers.realtime.hot_routes import JSON, TOO_LONG, ASGIScope, Receive, read_body
from active_customers.realtime.language_headers import LanguageHeaders
from active_customers.realtime.pages import Pages
from active_customers.realtime.problems import Headers, Reply, problem_of
from active_customers.realtime.schemas import (
    REPEATABLE,
    Id,
    Problem,
    Query,
    RecommendationAnswer,
    RecommendationQuery,
    first_error,
)

MOST_PLACEMENTS = 20
"""Lists in one call."""
_MILLISECOND = 1_000_000
_FOR_ALL = "send it once, beside `placements`: it is for all of them"


class PlacementsIn(BaseModel):
    """The lists of one page."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    customer_id: Id | None = None
    """Who is looking, for all placements that do not say so themselves."""
    deadline_ms: Annotated[int, Field(ge=1, le=10_000)] = 100
    """After so many milliseconds the placements that are left get the best answer that costs no time."""
    placements: Annotated[dict[str, dict[str, Any]], Field(min_length=1, max_length=MOST_PLACEMENTS)]
    """By a name of the shop's choice what `GET` takes, but `deadline_ms`; those before others have the first choice."""


class PlacementAnswers(BaseModel):
    """What each placement is answered, in the order asked: a list, or the problem that kept it from having one."""

    placements: dict[str, RecommendationAnswer | Problem]
    status: Literal["complete", "partial"]
    """Whether every placement has its list, with nothing left out for the deadline."""


class Placements:
    """Answers several queries as one: one deadline, and no product twice in what one customer sees."""

    def __init__(
        self,
        access: Access,
        answering: tuple[Engine, AnswerEncoder],
        timer: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._access = access
        self._engine, self._encoder = answering
        self._pages = Pages(*answering)
        self._languages = answering[1].languages
        self._headers = LanguageHeaders(self._languages, JSON)
        self._timer = timer

    async def answer(self, scope: ASGIScope, receive: Receive) -> Reply:
        """Answer a request; what is wrong with all of it comes back as a problem document."""
        started = time.perf_counter()
        try:
            self._access.check(scope["headers"], Scope.PUBLIC)
            body = await read_body(receive)
            if body is None:
                return TOO_LONG
            reply = self._answered(_request(body), scope["headers"])
        except ActiveCustomersError as error:
            reply = problem_of(error)
        REQUESTS.labels("placements", str(reply.status)).inc()
        REQUEST_SECONDS.labels("placements").observe(time.perf_counter() - started)
        return reply

    def _answered(self, asked: PlacementsIn, headers: Headers) -> Reply:
        """Return the reply, which names the languages of all placements.

        Raises `PlacementsRejectedError` when no placement could be answered.
        """
        deadline = self._timer() + asked.deadline_ms * _MILLISECOND
        shown: dict[str, list[int]] = {}
        problems: list[dict[str, Any]] = []
        parts, is_late, languages, negotiated = [], False, [], False
        for name, fields in asked.placements.items():
            try:
                query = _query(fields, asked.customer_id, f"placements.{name}.")
                if query.strategy is not None:
                    self._access.check(headers, Scope.SERVER)
                left = max(deadline - self._timer(), 0) // _MILLISECOND
                language = self._languages.asked(query.lang, headers)
                body, was_late = self._placed(query._replace(deadline_ms=left), shown, language)
                is_late |= was_late
                languages.append(language)
                negotiated |= not query.lang
            except ActiveCustomersError as error:
                body = problem_of(error).body
                problems.append({"placement": name, **orjson.loads(body)})
            parts.append(orjson.dumps(name) + b":" + body)
        if len(problems) == len(asked.placements):
            raise PlacementsRejectedError(problems)
        status = b"partial" if problems or is_late else b"complete"
        content = b'{"placements":{' + b",".join(parts) + b'},"status":"' + status + b'"}'
        return Reply(200, self._headers.of_all(languages, negotiated=negotiated), content)

    def _placed(self, query: Query, shown: dict[str, list[int]], language: int) -> tuple[bytes, bool]:
        """Answer one query without what its customer is shown already; say whether it was late."""
        mine = shown.setdefault(query.customer_id, [])
        body, answer = self._pages.answered(query, np.array(mine, np.uint32), language)
        mine += answer.products()
        if answer.size:
            self._engine.trials.note(query, answer.assigned, lambda: self._encoder.token(query, answer))
        for reason in answer.degraded:
            DEGRADED.labels(reason).inc()
        return body, "deadline" in answer.degraded


def _request(body: bytes) -> PlacementsIn:
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidValueError("body", body[:60], f"send a JSON object ({error})") from error
    try:
        return PlacementsIn.model_validate(sent)
    except ValidationError as error:
        raise first_error(error, PlacementsIn) from error


def _query(fields: Mapping[str, Any], customer_id: str | None, at: str) -> Query:
    """Return the query of a placement; raises `InvalidValueError` naming its field."""
    if "deadline_ms" in fields:
        raise InvalidValueError(f"{at}deadline_ms", fields["deadline_ms"], _FOR_ALL)
    several = {name: _several(value) if name in REPEATABLE else value for name, value in fields.items()}
    if customer_id is not None:
        several.setdefault("customer_id", customer_id)
    try:
        query = RecommendationQuery.model_validate(several)
    except ValidationError as error:
        raise first_error(error, RecommendationQuery, at) from error
    return Query.of(query)


def _several(value: object) -> object:
    """Return what may be sent once or several times as several."""
    return [value] if isinstance(value, str | int) else value
