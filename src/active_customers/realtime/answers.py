"""An answer as JSON, put together from fragments that were encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import orjson

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import SECOND, format_time
from active_customers.core.cursor import Cursors
from active_customers.core.event import Channel, Context
from active_customers.core.identifiers import json_id
from active_customers.experiments.assignment import NOT_ASSIGNED, Assigned
from active_customers.realtime.engine import Answer
from active_customers.realtime.free_delivery import Gap
from active_customers.realtime.languages import Languages
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import Query

_CONTEXT_WORDS = [context.word.encode() for context in Context]
_CHANNEL_WORDS = [channel.word.encode() for channel in Channel]


class AnswerEncoder:
    """Writes answers in the shape of `schemas.RecommendationAnswer`, from what `cards` say of products."""

    def __init__(self, cards: ProductCards, signer: TokenSigner) -> None:
        self.cards = cards
        self._signer = signer
        self.cursors = Cursors(signer)
        """What lists that go on are continued by."""

    @property
    def languages(self) -> Languages:
        """The languages that answers speak."""
        return self.cards.texts.languages

    def token(self, query: Query, answer: Answer) -> str:
        """Return the `recommendation_id` of an answer; its rows must still be its own."""
        return self._sign(query, answer, answer.products())

    def encode(self, query: Query, answer: Answer, language: int = 0) -> bytes:
        """Return the body of the answer to a query, with reasons in one of the `languages`."""
        rows, size, degraded, version, now, gap, assigned = answer
        products = rows.products[:size].tolist()
        return b"".join(
            (
                b'{"customer_id":',
                orjson.dumps(json_id(query.customer_id)),
                b',"recommendations":[',
                self.cards.texts.rows(rows, size, language),
                b'],"metadata":{"model_version":"',
                version.encode(),
                b'","timestamp":"',
                _second(now // SECOND),
                b'","recommendation_id":"',
                self._sign(query, answer, products).encode(),
                b'","context":"',
                _CONTEXT_WORDS[query.context],
                b'","channel":"',
                _CHANNEL_WORDS[query.channel],
                b'"' if assigned is NOT_ASSIGNED else _told(assigned),
                b',"degraded":',
                orjson.dumps(degraded) if degraded else b"[]",
                b"}}" if gap is None else _free_delivery(gap),
            )
        )

    def _sign(self, query: Query, answer: Answer, products: Sequence[int]) -> str:
        codes, version = answer.assigned.codes(), answer.model_version
        shown = Shown(query.customer_id, answer.now, version, query.context, query.channel, products, variants=codes)
        return self._signer.sign(shown)


@lru_cache(maxsize=1024)
def _told(assigned: Assigned) -> bytes:
    """Return `told`, after the channel's word."""
    return b'",' + orjson.dumps(told(assigned))[1:-1]


def told(assigned: Assigned) -> dict[str, object]:
    """Return what metadata say of strategy and experiments."""
    if assigned is NOT_ASSIGNED:
        return {}
    said: dict[str, object] = {"strategy": assigned.strategy.name}
    if assigned.variants:
        said["experiments"] = {variant.experiment: variant.variant for variant in assigned.variants}
    return said


def _free_delivery(gap: Gap) -> bytes:
    told = {"from": gap.threshold, "cart_value": gap.cart_value, "missing": gap.missing}
    return b',"free_delivery":' + orjson.dumps(told) + b"}}"


@lru_cache(maxsize=8)
def _second(seconds: int) -> bytes:
    return format_time(seconds * SECOND).encode()
