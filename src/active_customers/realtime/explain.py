"""The whole account of one product for one customer: what every source says, how it was ranked, why it is not shown."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from active_customers.catalog.rules import RuleKind
from active_customers.core.clock import format_time
from active_customers.core.event import Channel
from active_customers.core.identifiers import NO_NUMBER, json_id
from active_customers.core.product import Standing
from active_customers.core.recommendation import Goal, ReasonCode
from active_customers.core.session import State
from active_customers.kernels.answer_rows import Rows
from active_customers.kernels.explanation import NUMBERS, Findings
from active_customers.kernels.hybrid import FIRST_NEWEST, FIRST_SUM, GUESS, KNN, KNN_AFTER, OWN, STRONGEST
from active_customers.kernels.retrieval import Asked, Sources
from active_customers.kernels.state_sections import Numbers
from active_customers.models.hybrid_model import RELATIONS
from active_customers.models.patterns import Place
from active_customers.realtime.engine import Answer, Engine
from active_customers.realtime.explain_page import CodeAndText, Page, delivery_factor
from active_customers.realtime.feature_words import FEATURES
from active_customers.realtime.languages import Languages
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.ruling import RULED_OUT
from active_customers.realtime.schemas import Query, RecommendedProduct
from active_customers.realtime.session_recommender import SessionRecommender
from active_customers.storage.base import CatalogStore

_SLIGHT = 0.005
"""A factor of the context that is nearer to 1 is not worth a line."""
_LONGEST_MS = 10_000
"""An answer that is explained takes the time it needs."""


class _Told(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Because(_Told):
    """Why a product is not in the answer."""

    code: str
    text: str


class SourceWord(_Told):
    """What one source says of the product."""

    source: str
    text: str
    numbers: dict[str, float]


class Contribution(_Told):
    """What one feature adds to the logit."""

    feature: str
    source: str
    words: str
    value: float
    """The feature's value for this product."""
    contribution: float
    """Its Shapley value: what knowing it adds to what the trees say."""


class Ranking(_Told):
    """How the trees ranked the product: `base` + `first_guess` + all contributions = `logit`."""

    place: int
    """Among those that were ranked, 1 for the best."""
    ranked: int
    logit: float
    probability: float
    """The logit through the logistic function; the answer's score falls with it."""
    base: float
    """What the trees say of a product of which nothing is known."""
    first_guess: float
    """What the trees start from: the logarithm of what the deciding source says, as a share of the best candidate's."""
    contributions: list[Contribution]
    """The largest first; features that add nothing are left out."""


class Applied(_Told):
    """What was applied to the product after it was ranked."""

    kind: Literal["rule", "context", "delivery"]
    name: str
    text: str
    factor: float | None = None
    """What its score was multiplied by."""
    removed: bool = False
    """Whether it is not shown because of this."""


class Account(_Told):
    """Everything that is behind one product in the present answer for one customer."""

    customer_id: int | str
    product_id: int | str
    context: str
    channel: str
    n: int
    model_version: str
    timestamp: str
    rank: int | None
    """Its place in the answer, 1 for the first; null where it is not shown."""
    shown: RecommendedProduct | None
    """Its row of the answer."""
    not_shown: list[Because]
    """Why it is not shown, everything that applies."""
    acts: list[int | str]
    """Products of the acts that sources were asked with, oldest first."""
    sources: list[SourceWord]
    ranking: Ranking | None
    """Null where it was not among the products that the trees ranked."""
    applied: list[Applied]


_CLOSED = {
    Standing.SOLD_OUT: Because(code="sold_out", text="it is sold out"),
    Standing.HIDDEN: Because(code="hidden", text="the shop hides it"),
    Standing.NOT_YET: Because(code="not_yet_released", text="its release lies ahead and it cannot be ordered before"),
    Standing.DELETED: Because(code="deleted", text="the shop took it out of the catalogue"),
}
_UNKNOWN = Because(
    code="unknown", text="neither the catalogue nor any event names it: is the id written as the shop does?"
)
_RULED = {
    RuleKind.INCLUDE: "it is none of the products that alone are shown",
    RuleKind.EXCLUDE: "it is not to be shown",
    RuleKind.BOOST: "it is to count more",
    RuleKind.BURY: "it is to count less",
    RuleKind.PIN: "it is to stand at a certain place",
}
_RELATED = {
    "content": (
        "the catalogue describes it like products of this visit",
        "the catalogue describes it like none of them",
    ),
    "linear": ("the regressions relate it to products of this visit", "the regressions relate it to none of them"),
    "after": ("it came after products of this visit in sessions", "it came after none of them in any session"),
    "beside": ("it stood close to products of this visit in sessions", "it stood close to none of them in any session"),
}


class Explainer:
    """Explains answers of an engine. For the thread that answers: it uses the same scratch memory."""

    def __init__(self, engine: Engine, catalog: CatalogStore, cards: ProductCards) -> None:
        self._engine = engine
        self._catalog = catalog
        self._cards = cards

    @property
    def languages(self) -> Languages:
        """The languages that reasons can be given in."""
        return self._cards.texts.languages

    def rehearse(self) -> None:
        """Explain what nobody asked, so that no answer waits for what is loaded on its first use."""
        self.account(Query("nobody"), "nothing")

    def account(self, query: Query, product_id: str, language: int = 0) -> Account:
        """Return the account of a product in the answer to a query; an unknown product has one, too."""
        number = self._catalog.product_number(product_id)
        answer = self._engine.recommend(query._replace(deadline_ms=_LONGEST_MS))
        size, version, now = answer.size, answer.model_version, answer.now
        shown = answer.rows.products[:size].tolist()
        place = shown.index(number) if number in shown else -1
        row = self._row(answer, place, language) if place >= 0 else None
        state, asked = self._engine.question(query)
        page = Page.of(self._engine, query, (state, asked), answer)
        recommender = self._engine.way(query).recommender
        findings = self._look_into(recommender, (state, asked), page, number)
        applied = []
        if number != NO_NUMBER:
            applied = [*self._of_context(number, (now, query.channel), findings), *self._of_delivery(number, page)]
            applied += self._of_rules(query, number)
        asked = asked._replace(excluded=self._numbers(query.exclude))
        why_not = [] if place >= 0 else list(_why_not(number, asked, findings, page, applied))
        return Account(
            customer_id=json_id(query.customer_id),
            product_id=json_id(product_id),
            context=query.context.word,
            channel=query.channel.word,
            n=query.n,
            model_version=version,
            timestamp=format_time(now),
            rank=place + 1 if place >= 0 else None,
            shown=row,
            not_shown=why_not,
            acts=[self._id(product) for product in findings.sections.products.tolist() if page.nearest is None],
            sources=[] if number == NO_NUMBER else list(_words(number, asked, findings, page)),
            ranking=_ranking(number, findings),
            applied=applied,
        )

    def _row(self, answer: Answer, place: int, language: int) -> RecommendedProduct:
        products, scores, reasons, evidence = answer.rows
        its = slice(place, place + 1)
        one = Rows(products[its].copy(), scores[its].copy(), reasons[its].copy(), evidence[its].copy())
        return RecommendedProduct.model_validate_json(self._cards.texts.rows(one, 1, language))

    def _of_context(self, number: int, moment: tuple[int, Channel], findings: Findings) -> Iterator[Applied]:
        """Yield what the hour and the channel say of a product, and what they do with its score."""
        context = self._engine.recommender.context
        for (cycle, part, learned), factor in context.factors(number, moment, ranked=number in findings.ranked):
            if abs(learned - 1) >= _SLIGHT:
                text = f"{_part_named(cycle, part, context.place)} it is wanted {learned:.2f} times as much as usual"
                yield Applied(kind="context", name=cycle, text=text, factor=factor)

    def _look_into(
        self, recommender: SessionRecommender, question: tuple[State, Asked], page: Page, number: int
    ) -> Findings:
        """Return what is behind the answer; what stands in for a product was not ranked."""
        state, asked = question
        if page.members is not None:
            asked = self._engine.storefront.among(page.members, asked)
        findings = recommender.look_into(state, asked, number)
        return findings if page.nearest is None else findings._replace(ranked=findings.ranked[:0])

    def _numbers(self, product_ids: Iterable[str]) -> Numbers:
        return np.array([self._catalog.product_number(product_id) for product_id in product_ids], np.uint32)

    def _of_delivery(self, number: int, page: Page) -> Iterator[Applied]:
        """Yield what the gap to free delivery does with a product's score."""
        factor = delivery_factor(self._engine, number, page.gap)
        if page.gap is not None and factor != 1.0:
            text = f"it would close the gap of {page.gap.missing:.2f} to free delivery"
            yield Applied(kind="delivery", name="free_delivery", text=text, factor=factor)

    def _of_rules(self, query: Query, number: int) -> Iterator[Applied]:
        """Yield what the shop's rules do to a product in the answer to a query."""
        rules = self._engine.rules
        for name in self._engine.rules_on(query, number):
            rule = rules.in_force(name)
            if rule is not None:
                removed = rule.kind in (RuleKind.INCLUDE, RuleKind.EXCLUDE)
                factor = rule.factor if rule.kind in (RuleKind.BOOST, RuleKind.BURY) else None
                yield Applied(kind="rule", name=name, text=_RULED[rule.kind], factor=factor, removed=removed)

    def _id(self, product: int) -> int | str:
        return json_id(self._catalog.product_id(product) or str(product))


def _part_named(cycle: str, part: int, place: Place) -> str:
    if cycle == "channel":
        return f"in the channel {Channel(part).word}"
    if cycle == "holiday":
        return f"before {place.holidays[part - 1]} ({place.country})" if part else "with no holiday ahead"
    if cycle == "hour":
        return f"from {part} to {part + 1} h ({place.zone})"
    names = calendar.day_name if cycle == "weekday" else calendar.month_name[1:]
    return f"{'on' if cycle == 'weekday' else 'in'} {names[part]} ({place.zone})"


def _why_not(
    number: int, asked: Asked, findings: Findings, page: Page, applied: Iterable[Applied]
) -> Iterator[Because]:
    """Yield everything that keeps a product out of the answer; where nothing does, how far behind it is."""
    if number == NO_NUMBER:
        yield _UNKNOWN
        return
    kept_out = [*_forbidden(number, asked), *_kept_out(number, asked, findings)]
    kept_out += [Because(code=code, text=text) for code, text in page.kept_out(number)]
    removed = [Because(code=found.kind, text=f"{found.name}: {found.text}") for found in applied if found.removed]
    kept_out += removed
    if not removed and number < len(asked.standing) and asked.standing[number] == RULED_OUT:
        kept_out.append(Because(code="filtered", text="the filter of the request does not hold for it"))
    yield from kept_out
    if not kept_out:
        yield _behind(number, asked, findings, page)


def _forbidden(number: int, asked: Asked) -> Iterator[Because]:
    standing = int(asked.standing[number]) if number < len(asked.standing) else Standing.UNKNOWN
    if standing in _CLOSED:
        yield _CLOSED[Standing(standing)]


def _kept_out(number: int, asked: Asked, findings: Findings) -> Iterator[Because]:
    """Yield what the customer or the request keeps out, as `kernels.retrieval` does."""
    only_new = asked.goal == Goal.NEW
    page = findings.sections.products[-1:] if asked.last_is_page else asked.products
    if number in findings.sections.cart:
        yield Because(code="in_cart", text="it is in the cart")
    if number in findings.sections.hidden:
        yield Because(code="hidden_by_customer", text="the customer hid it")
    if number in findings.sections.bought and (only_new or number not in asked.replenishable):
        text = "the customer bought it, and its catalogue entry does not say `replenishable`"
        yield Because(code="bought", text="the customer bought it before" if only_new else text)
    if only_new and number in findings.sections.products:
        yield Because(code="known_already", text="the customer acted on it before, and only new products are asked for")
    if not only_new and number in page:
        yield Because(code="on_page", text="it is the product on the page")
    if number in asked.excluded:
        yield Because(code="excluded", text="the request excludes it")


def _behind(number: int, asked: Asked, findings: Findings, page: Page) -> Because:
    """Return how far a product that may be shown is behind the answer's last one."""
    if page.nearest is not None:
        code, text = page.stood_in(number, asked.n)
    elif number in findings.cart or number in findings.ranked:
        code, text = _in_line(number, asked.n, findings, page)
    else:
        code, text = _not_ranked(number, findings, page)
    return Because(code=code, text=text)


def _in_line(number: int, n: int, findings: Findings, page: Page) -> CodeAndText:
    """Return where a product stands among what goes with the cart and what is ranked, which follows it."""
    cart = findings.cart.tolist()
    place = list(dict.fromkeys([*cart, *_weighed(findings, page.sources)])).index(number) + 1
    if number in cart:
        where = f"at place {place} of {len(cart)} that go with the cart"
    else:
        where = f"at place {place} of {len(findings.ranked)} ranked"
        where += f", after {len(cart)} that go with the cart" if cart else ""
    if place > n:
        return "ranked_below", f"it is {where}, and the answer ends at {n}"
    return "moved_out", f"it is {where}: {page.moved_by} moved it out"


def _not_ranked(number: int, findings: Findings, page: Page) -> CodeAndText:
    """Return why a product was not even ranked."""
    numbers = dict(zip(NUMBERS, findings.numbers.tolist(), strict=True))
    proposed, place = int(numbers["candidates"]), int(numbers["place"])
    if place > 0:
        text = f"it is at place {place} of {proposed} proposed, by the sum of what sources say"
        return "not_promising", f"{text}: too far down to be ranked"
    if page.members is not None:
        return "popular_below", "of the page's products it is only among those that follow, the most popular first"
    popular = page.sources.popular.products.tolist()
    if number in popular:
        text = f"only its popularity proposes it, at place {popular.index(number) + 1}, and the answer is full before"
        return "popular_below", text
    done = "the customer has done nothing that sources could be asked with"
    done = done if len(findings.sections.products) == 0 else "no source proposes it for what the customer did"
    return "no_source", f"{done}, and it is not among the most popular"


def _weighed(findings: Findings, sources: Sources) -> list[int]:
    """Return the ranked products in the order that the hour's weights give them."""
    ranked, weights = findings.ranked, sources.weights
    factors = np.array([weights[product] if product < len(weights) else 1.0 for product in ranked.tolist()])
    scores = factors / (1.0 + np.exp(-findings.logits))
    return [int(product) for product in ranked[np.argsort(-scores, kind="stable")]]


def _words(number: int, asked: Asked, findings: Findings, page: Page) -> Iterator[SourceWord]:
    if page.nearest is not None:
        yield _standing_in(number, page.nearest)
        return
    numbers = dict(zip(NUMBERS, findings.numbers.tolist(), strict=True))
    said = findings.gathered.tolist()
    yield _near_sessions(numbers, said)
    for relation, name in enumerate(RELATIONS):
        told = {"sum": said[FIRST_SUM + relation], "newest": said[FIRST_NEWEST + relation]}
        yield SourceWord(source=name, text=_RELATED[name][0 if told["sum"] > 0 else 1], numbers=told)
    cosines = {"cosine": numbers["taste"], "newest": numbers["newest_taste"]}
    yield SourceWord(
        source="taste", text="how near its vector is to the visit's and to the newest act's", numbers=cosines
    )
    n_acts = int(np.sum(findings.sections.products == number))
    text = f"the customer acted on it {n_acts} times" if n_acts else "the customer did not act on it"
    yield SourceWord(source="own_acts", text=text, numbers={"acts": n_acts, "weight": said[OWN]})
    if asked.is_cart:
        yield _with_cart(number, findings)
    yield _popularity(number, page.sources)


def _standing_in(number: int, nearest: list[int]) -> SourceWord:
    if number not in nearest:
        text = "it is not among what stands in for the product asked about"
        return SourceWord(source="stand_in", text=text, numbers={"of": float(len(nearest))})
    place = nearest.index(number) + 1
    text = f"it is at place {place} of the {len(nearest)} that stand in for the product asked about"
    return SourceWord(source="stand_in", text=text, numbers={"place": float(place), "of": float(len(nearest))})


def _near_sessions(numbers: dict[str, float], said: list[float]) -> SourceWord:
    sessions, votes = numbers["sessions"] + numbers["live_sessions"], numbers["votes"] + numbers["live_votes"]
    text = f"it stands {votes:.0f} times in the {sessions:.0f} visits that resemble this one most"
    if numbers["live_votes"]:
        text += f", {numbers['live_votes']:.0f} of them since the model was trained"
    told = {name: numbers[name] for name in ("sessions", "live_sessions", "votes", "live_votes")}
    told |= {"sum": said[KNN], "after": said[KNN_AFTER], "strongest": said[STRONGEST]}
    return SourceWord(source="near_sessions", text=text, numbers=told)


def _with_cart(number: int, findings: Findings) -> SourceWord:
    cart = findings.cart.tolist()
    if number not in cart:
        return SourceWord(source="bought_together", text="it goes with nothing in the cart", numbers={"score": 0.0})
    place = cart.index(number)
    told = {"place": place + 1.0, "of": float(len(cart)), "score": float(findings.cart_scores[place])}
    text = f"it is at place {place + 1} of {len(cart)} that are bought with what is in the cart"
    return SourceWord(source="bought_together", text=text, numbers=told)


def _popularity(number: int, sources: Sources) -> SourceWord:
    ranked = sources.popular.products.tolist()
    if number not in ranked:
        text = f"it is not among the {len(ranked)} most popular"
        return SourceWord(source="popular", text=text, numbers={"score": 0.0})
    place = ranked.index(number)
    word = ReasonCode(int(sources.popular.reasons[place])).word
    told = {"place": place + 1.0, "of": float(len(ranked)), "score": float(sources.popular.scores[place])}
    text = f"it is at place {place + 1} of the {len(ranked)} most popular; its reason there is {word}"
    return SourceWord(source="popular", text=text, numbers=told)


def _ranking(number: int, findings: Findings) -> Ranking | None:
    """Return how a product was ranked; None for one that was not."""
    ranked = findings.ranked.tolist()
    if number not in ranked:
        return None
    place = ranked.index(number)
    logit, columns = float(findings.logits[place]), findings.columns.tolist()
    shares: list[float] = findings.shares.tolist()
    base = shares.pop()
    added = [
        Contribution(
            feature=feature.name, source=feature.source, words=feature.words, value=value, contribution=contribution
        )
        for feature, value, contribution in zip(FEATURES, columns, shares, strict=True)
        if contribution != 0.0
    ]
    return Ranking(
        place=place + 1,
        ranked=len(ranked),
        logit=logit,
        probability=1.0 / (1.0 + float(np.exp(-logit))),
        base=base,
        first_guess=columns[GUESS],
        contributions=sorted(added, key=lambda found: -abs(found.contribution)),
    )
