"""An answer as JSON, put together from fragments that were encoded once."""

from __future__ import annotations

import orjson

from active_customers.core.attribution import Shown, TokenSigner
from active_customers.core.clock import SECOND, format_time
from active_customers.core.identifiers import json_id
from active_customers.core.recommendation import ReasonCode, Recommendation
from active_customers.realtime.engine import Answer
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import RecommendationQuery

# Each sentence says what the source really knows; %b is the name of the evidence.
SENTENCES = {
    ReasonCode.SESSION: b"Chosen by customers who also looked at %b",
    ReasonCode.REVISIT: b"You looked at this before",
    ReasonCode.VIEWED_TOGETHER: b"Customers who looked at %b also looked at this",
    ReasonCode.BOUGHT_TOGETHER: b"Often in one basket with %b",
    ReasonCode.POPULAR: b"Popular with customers of this shop",
    ReasonCode.TRENDING: b"Trending: more and more customers look at this",
    ReasonCode.CATALOG: b"From the catalogue of this shop",
}


class AnswerEncoder:
    """Writes answers in the shape of `schemas.RecommendationAnswer`."""

    def __init__(self, cards: ProductCards, signer: TokenSigner) -> None:
        self._cards = cards
        self._signer = signer

    def encode(self, query: RecommendationQuery, answer: Answer) -> bytes:
        """Return the body of the answer to a query."""
        token = self._signer.sign(
            Shown(
                query.customer_id,
                answer.now,
                answer.model_version,
                query.context,
                query.channel,
                [recommendation.product for recommendation in answer.recommendations],
            )
        )
        return b'{"customer_id":%b,"recommendations":[%b],"metadata":{"model_version":%b,"timestamp":"%b",' % (
            orjson.dumps(json_id(query.customer_id)),
            b",".join([self._product(recommendation) for recommendation in answer.recommendations]),
            orjson.dumps(answer.model_version),
            format_time(answer.now - answer.now % SECOND).encode(),
        ) + b'"recommendation_id":"%b","context":"%b","channel":"%b","degraded":%b}}' % (
            token.encode(),
            query.context.name.lower().encode(),
            query.channel.name.lower().encode(),
            orjson.dumps(answer.degraded),
        )

    def _product(self, recommendation: Recommendation) -> bytes:
        sentence = SENTENCES[recommendation.reason]
        if b"%b" in sentence:
            sentence = sentence % self._cards.card(recommendation.evidence).name
        return b'%b%.4g,"reason":"%b"}' % (
            self._cards.card(recommendation.product).head,
            recommendation.score,
            sentence,
        )
