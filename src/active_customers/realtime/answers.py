"""An answer as JSON, put together from fragments that were encoded once."""

from __future__ import annotations

from functools import lru_cache

import orjson

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import SECOND, format_time
from active_customers.core.event import Channel, Context
from active_customers.core.identifiers import json_id
from active_customers.core.recommendation import ReasonCode
from active_customers.realtime.engine import Answer
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import RecommendationQuery

# Each sentence says what the source really knows; %b is the name of the evidence.
SENTENCES = {
    ReasonCode.SESSION: b"Of interest in visits like yours that included %b",
    ReasonCode.REVISIT: b"You looked at this before",
    ReasonCode.VIEWED_TOGETHER: b"Of interest in the same visits as %b",
    ReasonCode.BOUGHT_TOGETHER: b"Bought together with %b",
    ReasonCode.POPULAR: b"Popular with customers of this shop",
    ReasonCode.TRENDING: b"Trending: more and more customers look at this",
    ReasonCode.SEEN: b"Looked at by other customers of this shop",
    ReasonCode.CATALOG: b"From the catalogue of this shop",
}


_NAMING = frozenset(reason for reason, sentence in SENTENCES.items() if b"%b" in sentence)

_CONTEXT_WORDS = [context.word.encode() for context in Context]
_CHANNEL_WORDS = [channel.word.encode() for channel in Channel]

# Scores are written with four digits; looking them up is several times faster than formatting them.
_SCORES = [b"%.4g" % (rank / 10_000) for rank in range(10_001)]


class AnswerEncoder:
    """Writes answers in the shape of `schemas.RecommendationAnswer`."""

    def __init__(self, cards: ProductCards, signer: TokenSigner) -> None:
        self._cards = cards
        self._signer = signer

    def encode(self, query: RecommendationQuery, answer: Answer) -> bytes:
        """Return the body of the answer to a query."""
        shown = Shown(
            query.customer_id,
            answer.now,
            answer.model_version,
            query.context,
            query.channel,
            [recommendation.product for recommendation in answer.recommendations],
        )
        parts = [b'{"customer_id":', orjson.dumps(json_id(query.customer_id)), b',"recommendations":[']
        parts += self._products(answer)
        parts += (
            b'],"metadata":{"model_version":"',
            answer.model_version.encode(),
            b'","timestamp":"',
            _second(answer.now // SECOND),
            b'","recommendation_id":"',
            self._signer.sign(shown).encode(),
            b'","context":"',
            _CONTEXT_WORDS[query.context],
            b'","channel":"',
            _CHANNEL_WORDS[query.channel],
            b'","degraded":',
            orjson.dumps(answer.degraded) if answer.degraded else b"[]",
            b"}}",
        )
        return b"".join(parts)

    def _products(self, answer: Answer) -> list[bytes]:
        card = self._cards.card
        parts: list[bytes] = []
        for product, score, reason, evidence in answer.recommendations:
            sentence = SENTENCES[reason]
            if reason in _NAMING:
                sentence = sentence % card(evidence).name
            parts += (card(product).head, _SCORES[int(score * 10_000 + 0.5)], b',"reason":"', sentence, b'"},')
        if parts:
            parts[-1] = b'"}'
        return parts


@lru_cache(maxsize=8)
def _second(seconds: int) -> bytes:
    return format_time(seconds * SECOND).encode()
