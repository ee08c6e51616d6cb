"""One question answered in one call, held equal to asking the models one by one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from active_customers.core.clock import DAY, HOUR
from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.product import Standing
from active_customers.core.recommendation import REASON_BITS, REASON_MASK, Goal, ReasonCode
from active_customers.core.session import MAX_WORDS, empty_state
from active_customers.kernels import live_knn, session_knn
from active_customers.kernels.candidate_set import Room, candidate_set, insert_query, make_room
from active_customers.kernels.hybrid import BESIDE
from active_customers.kernels.retrieval import Asked
from active_customers.kernels.session_state import fold
from active_customers.kernels.state_sections import read_sections
from active_customers.models.artifacts import Manifest
from active_customers.models.base import NO_PRODUCTS, SessionLog
from active_customers.models.factorization import FactorizationConfig
from active_customers.models.hybrid_model import RELATIONS, Hybrid, HybridConfig
from active_customers.models.item_knn import ItemKnn
from active_customers.models.kernel_arguments import frozen
from active_customers.models.popularity import Popularity
from active_customers.models.product_features import About, features_of
from active_customers.models.ranker_questions import Questions
from active_customers.models.session_knn import own_scratch
from active_customers.realtime.live_index import LiveIndex, LiveIndexConfig
from active_customers.realtime.live_reader import LiveReader, Trained, room_of, scratch_of, weighting_of
from active_customers.realtime.session_recommender import Models, SessionRecommender

N_PRODUCTS, TRAINED_PRODUCTS, NOW = 12, 10, 1000 * DAY
KINDS = [EventType.VIEW, EventType.CART_ADD, EventType.PURCHASE, EventType.HIDE]


def numbers(values):
    return np.array(values, np.uint32)


def columns_of(rows, start=1):
    """Return the log of (session, product, event type) rows, an hour apart; customers are numbered as sessions."""
    session, product, kind = np.array(rows, np.int64).reshape(-1, 3).T
    position = np.arange(start, start + len(session))
    values = (position, session, session, product, kind, NOW - DAY + position * HOUR)
    return dict(zip(("position", "session", "customer", "product", "event_type", "time"), values, strict=True))


def models_of(columns, watermark=1):
    said = [(p, [(About.BRAND, str(p % 4)), (About.NAME, str(p % 3))]) for p in range(TRAINED_PRODUCTS)]
    features = features_of(said, TRAINED_PRODUCTS)
    log = replace(SessionLog.from_rows(columns, TRAINED_PRODUCTS, NOW), features=features)
    models = Hybrid(HybridConfig(factorization=FactorizationConfig(passes=1))), ItemKnn(), Popularity()
    for model in models:
        model.fit(log)
    return Models(*models, Manifest("v1", NOW, watermark, TRAINED_PRODUCTS, {}, {}, {}))


def state_of(acts):
    table = np.array([[kind, product, NOW + i, 1, 0, i + 1] for i, (kind, product) in enumerate(acts)], np.int64)
    out = np.empty(MAX_WORDS, np.int64)
    state = out[: fold(empty_state(), table.reshape(-1, 6), out)].copy()
    state.flags.writeable = False
    return state


def answered(recommender, state, asked):
    """Return the columns of an answer, reasons without what was counted for them."""
    rows, size = recommender.retrieve(state, asked)
    products, scores, reasons, evidence = (column[:size] for column in rows)
    return [tuple(column.tolist()) for column in (products, scores, reasons & REASON_MASK, evidence)]


def counts(recommender, state, asked):
    """Return what was counted, by product and reason."""
    rows, size = recommender.retrieve(state, asked)
    codes, counted = rows.reasons[:size] & REASON_MASK, rows.reasons[:size] >> REASON_BITS
    return {
        (product, ReasonCode(code)): count
        for product, code, count in zip(rows.products.tolist(), codes.tolist(), counted.tolist(), strict=False)
    }


def n_known(live):
    """Return how many product numbers the model and the live index have room for: others are in no set."""
    return max(TRAINED_PRODUCTS, len(live.arrays().ends))


def votes_of(sections, models, live, asked):
    """Return the votes (product, amount, evidence) of all near sessions, trained and live; there are few, all count."""
    sessions, query = models.hybrid.sessions, numbers(sections.products)
    depth, room = 20 if asked.goal == Goal.NEW else 10, Room(0, n_known(live))
    scratch = own_scratch(sessions)._replace(candidates=candidate_set(n_known(live)))
    n_query = insert_query(scratch.candidates, query, depth)
    n_votes = session_knn.cast_votes(
        sessions.index,
        sessions.weighting,
        scratch,
        n_query,
        session_knn.find_sessions(sessions.index, sessions.weighting, scratch, min(n_query, 10)),
    )
    watermark = models.manifest.watermark
    trained = Trained.of(sessions, watermark) if sessions.n_sessions else Trained(watermark)
    arrays, weighting = (
        live.arrays(),
        weighting_of(live.arrays(), sessions.config, trained),
    )
    mine = scratch_of(arrays, sessions.config, make_room(room_of(arrays, sessions.config), room))
    n_query = insert_query(mine.knn.candidates, query, depth)
    n_found = live_knn.find_sessions(arrays, weighting, mine, min(n_query, 10), asked.customer)
    n_live = live_knn.cast_votes(arrays, weighting.knn, mine, n_query, (n_found, 0))
    return [
        row
        for votes, n in ((scratch.votes, n_votes), (mine.knn.votes, n_live))
        for row in zip(*(column[:n].tolist() for column in votes[:3]), strict=True)
    ]


WORTH = {EventType.VIEW: 0.2, EventType.CART_ADD: 0.5, EventType.PURCHASE: 1.0}


def weights_of(hybrid, sections, query, asked):
    """Return what each product of the query weighs in each relation: by its place, or by the most done with it."""
    if asked.goal != Goal.NEW:
        return hybrid.sources.by_place.tolist()
    done = list(zip(sections.products.tolist(), sections.event_types.tolist(), strict=True))
    return [[max(WORTH[kind] for acted, kind in done if acted == product) for product in query]] * len(RELATIONS)


def said(hybrid, query, votes, weights):
    """Return by source what it says of each product, and which relations lead to each, from which products."""
    columns = [defaultdict(float) for _ in range(1 + len(RELATIONS))]
    for product, amount, _ in votes:
        columns[0][product] += amount
    sources = defaultdict(list)
    for place, relation in reversed(list(enumerate(hybrid.sources.relations))):
        for weight, product in zip(weights[place], query, strict=False):
            rows = slice(*relation.offsets[product : product + 2]) if product + 1 < len(relation.offsets) else slice(0)
            for other, strength in zip(relation.products[rows].tolist(), relation.weights[rows].tolist(), strict=True):
                columns[1 + place][other] += weight * strength
                sources[other].append((RELATIONS[place], product))
    return columns, sources


def proposed(sections, models, live, asked, excluded):
    """Return (product, score, reason, possible evidence) of all that the hybrid proposes, best first."""
    hybrid, query = models.hybrid, []
    for product in sections.products.tolist()[::-1]:
        query += [product] if product not in query and product < n_known(live) else []
    newest = sections.products[-1]
    votes = votes_of(sections, models, live, asked)
    only_new = asked.goal == Goal.NEW
    columns, sources = said(hybrid, query, votes, weights_of(hybrid, sections, query, asked))
    own = defaultdict(set)
    for product, time in zip(sections.products.tolist(), sections.times.tolist(), strict=True):
        own[product] |= {time} if product in query else set()
    columns.append(defaultdict(float, {product: len(times) for product, times in own.items()}))
    is_next_visit = asked.goal == Goal.RETURN
    columns[-1][newest] *= 1 if is_next_visit else hybrid.sources.knn.repeat
    for product in columns[0]:
        columns[0][product] *= rarity_of(models, live, product)
        columns[0][product] *= hybrid.sources.knn.repeat if product == newest else 1
    if only_new:
        columns = [defaultdict(float, {p: x for p, x in column.items() if p not in own}) for column in columns]
    deciding = 1 + BESIDE if only_new else len(columns) - 1 if is_next_visit else 0
    most = [10 if place == deciding and (only_new or is_next_visit) else 1 for place in range(len(columns))]
    totals = {
        product: sum(
            times * column[product] / max(column.values())
            for times, column in zip(most, columns, strict=True)
            if any(column.values())
        )
        for product in {product for column in columns for product in column} - excluded
    }
    best = max((columns[deciding][product] for product in totals), default=0) or 1
    found = []
    for product, total in totals.items():
        guess = 0.01 + columns[deciding][product] / best + 0.001 * total
        score = guess / (1 + guess)
        strongest = max((amount for voted, amount, _ in votes if voted == product), default=0)
        if strongest:
            evidence = {from_ for voted, amount, from_ in votes if voted == product and amount > 0.999 * strongest}
            found.append((product, score, ReasonCode.SESSION, evidence))
        elif product in own:
            found.append((product, score, ReasonCode.REVISIT, {product}))
        else:
            relations = {relation for relation, _ in sources[product]}
            reason = ReasonCode.VIEWED_TOGETHER if relations & {"after", "beside"} else ReasonCode.RELATED
            reason = ReasonCode.SIMILAR if relations == {"content"} else reason
            found.append((product, score, reason, {sources[product][0][1]}))
    return sorted((row for row in found if totals[row[0]] > 0), key=lambda row: (-row[1], row[0]))


def rarity_of(models, live, product):
    rarity = models.hybrid.sessions.index.rarity
    is_known = models.hybrid.sessions.n_sessions and product < len(rarity)
    return rarity[product] if is_known else live_knn.rarity_of(live.arrays(), product)


def one_by_one(models, live, state, asked):
    """The twin: each source asked through its own interface, the answer put together from lists."""
    only_new = asked.goal == Goal.NEW
    sections = read_sections(state, asked.products, asked.now, asked.goal == Goal.RETURN or only_new)
    page = sections.products if only_new else sections.products[-1:] if asked.last_is_page else asked.products
    bought = set(sections.bought.tolist()) - (set() if only_new else set(asked.replenishable.tolist()))
    groups = (sections.cart, sections.hidden, page, asked.excluded)
    closed = [product for product, standing in enumerate(asked.standing.tolist()) if standing > Standing.OPEN]
    excluded = bought.union(closed, *(group.tolist() for group in groups))
    rows = []

    def take(found):
        shown = {row[0] for row in rows}
        top, best = (rows[-1][1] * 0.99 if rows else 1.0), None
        for product, score, reason, evidence in [row for row in found if row[0] not in shown][: asked.n - len(rows)]:
            best = best or score
            rows.append((product, top * (0.1 + 0.9 * score / best), int(reason), evidence))

    if asked.is_cart and len(sections.cart):
        found = models.items.bought_with(sections.cart, N_PRODUCTS, numbers(sorted(excluded)))
        columns = (column.tolist() for column in found)
        take([(p, score, ReasonCode.BOUGHT_TOGETHER, {e}) for p, score, e in zip(*columns, strict=True)])
    if len(sections.products):
        take(proposed(sections, models, live, asked, excluded))
    ranking = models.popularity.ranking() if models.hybrid.sessions.n_sessions else live.ranking()
    popular = zip(*(column.tolist() for column in ranking), strict=True)
    for product, score, reason in popular:
        if len(rows) < asked.n and product not in excluded and product not in {row[0] for row in rows}:
            first = next((row for row in rows if row[3] == NO_NUMBER), None)
            top = first[1] if first else (rows[-1][1] * 0.99 if rows else 1.0)
            best = ranking.scores[ranking.products.tolist().index(first[0])] if first else score
            rows.append((product, top * (0.1 + 0.9 * score / best), reason, NO_NUMBER))
    return rows


history = st.lists(
    st.tuples(st.integers(1, 7), st.integers(0, TRAINED_PRODUCTS - 1), st.sampled_from([1, 3, 6])), max_size=30
)
newer = st.lists(st.tuples(st.integers(8, 12), st.integers(0, N_PRODUCTS - 1), st.just(1)), max_size=15)
# Known to the model, to the live index alone, or to neither.
anything = st.integers(0, N_PRODUCTS + 2)
acts = st.lists(st.tuples(st.sampled_from(KINDS), anything), max_size=8)
few = st.lists(st.integers(0, N_PRODUCTS + 2), max_size=3).map(numbers)


standings = st.lists(st.sampled_from([0, 1, 1, 2, 3, 4, 5]), max_size=N_PRODUCTS)


@st.composite
def questions(draw):
    return Asked(
        n=draw(st.integers(1, N_PRODUCTS)),
        now=NOW + DAY,
        customer=draw(st.sampled_from([8, 9, NO_NUMBER])),
        last_is_page=draw(st.booleans()),
        is_cart=draw(st.booleans()),
        goal=draw(st.integers(0, len(Goal) - 1)),
        is_late=False,
        products=numbers(draw(st.lists(anything, max_size=3))),
        excluded=draw(few),
        replenishable=draw(few),
        standing=frozen(np.array(draw(standings), np.uint8)),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(history, newer, acts, questions())
def test_an_answer_is_what_the_sources_say_one_by_one(tmp_path_factory, old, new, done, asked):
    """Trained model and live index together: the same products, scores, reasons and evidence as asking each alone."""
    folder = tmp_path_factory.mktemp("live")
    config = LiveIndexConfig(max_sessions=100, session_acts=60, sessions_per_product=100, segment_rows=N_PRODUCTS)
    index = LiveIndex(folder, config).open()
    index.learn(columns_of(old))
    watermark = index.watermark
    index.learn(columns_of(new, watermark))
    models, live = models_of(columns_of(old), watermark), LiveReader(folder)
    recommender = SessionRecommender(models, live)
    recommender.refresh()
    state = state_of(done)
    ours = list(zip(*answered(recommender, state, asked), strict=True))
    theirs = one_by_one(models, live, state, asked)
    np.testing.assert_allclose([row[1] for row in ours], [row[1] for row in theirs], rtol=1e-3)
    for place, (product, score, reason, evidence) in enumerate(ours):
        same = [row for row in theirs if row[0] == product and abs(row[1] - score) < 1e-3 * score]
        assert same, (place, ours, theirs)
        possible = same[0][3] if isinstance(same[0][3], set) else {same[0][3]}
        assert evidence in possible
        assert reason == (ReasonCode.REVISIT if evidence == product else same[0][2])
    pool = list(zip(*answered(recommender, state, asked._replace(pool=asked.n + 4)), strict=True))
    assert pool[: asked.n] == ours
    assert len({row[0] for row in pool}) == len(pool) <= asked.n + 4


def asking(*, is_late=False, goal=Goal.NEXT):
    return Asked(5, NOW + DAY, NO_NUMBER, False, False, int(goal), is_late, NO_PRODUCTS, NO_PRODUCTS, NO_PRODUCTS)


@pytest.mark.parametrize(
    ("goal", "done", "leads_to"),
    [
        (Goal.NEXT, [(EventType.VIEW, 1), (EventType.VIEW, 2), (EventType.VIEW, 11)], EventType.VIEW),
        (Goal.CART, [(EventType.VIEW, 1), (EventType.CART_ADD, 2), (EventType.VIEW, 3)], EventType.CART_ADD),
        (Goal.PURCHASE, [(EventType.CART_ADD, 1), (EventType.PURCHASE, 2), (EventType.VIEW, 3)], EventType.PURCHASE),
        (Goal.RETURN, [(EventType.VIEW, 1), (EventType.VIEW, 3), (EventType.VIEW, 1)], EventType.PURCHASE),
    ],
)
def test_what_trees_learn_from_and_what_they_are_asked_about_is_described_alike(goal, done, leads_to):
    models = models_of(columns_of([(s, (s + step) % 6, 1) for s in range(5) for step in range(4)]))
    recommender = SessionRecommender(models)
    answered(recommender, state_of(done), asking(goal=goal))
    acts = [*done, (leads_to, 4)]
    sessions = [goal == Goal.RETURN and place == len(done) for place in range(len(acts))]
    kinds, products = zip(*acts, strict=True)
    columns = {
        "session": np.array(sessions, np.int64),
        "product": numbers(products),
        "event_type": np.array(kinds, np.uint8),
        "time": NOW + np.arange(len(acts)),
        "customer": np.zeros(len(acts), np.int64),
    }
    asked = Questions.of(SessionLog.from_rows(columns, TRAINED_PRODUCTS, NOW + DAY), 0, goal)
    learned = models.hybrid._lists(models.hybrid.sources, models.hybrid._scratch.get(), asked)
    n = int(learned.sizes[-1])
    served = recommender._view.scratch.get().hybrid.columns
    np.testing.assert_array_equal(served[:, :n].T, learned.features[-n:])


EACH_IN_TWO = [(session, product, 1) for session, pair in enumerate([(0, 1), (0, 2), (1, 2)]) for product in pair]
"""Sessions in which each of three products is in two."""


def test_whoever_is_late_gets_what_is_popular():
    """The popular needs no computation, and what is excluded stays out."""
    recommender = SessionRecommender(models_of(columns_of(EACH_IN_TWO)))
    state = state_of([(EventType.VIEW, 0), (EventType.HIDE, 2)])
    in_time, late = (answered(recommender, state, asking(is_late=is_late)) for is_late in (False, True))
    assert int(ReasonCode.SESSION) in in_time[2]
    assert set(late[2]) == {int(ReasonCode.SEEN)}
    assert set(late[0]) == {0, 1}


def test_what_is_closed_makes_way_for_what_comes_next():
    """Whether the customer's own acts or what is popular proposed it, early or late."""
    recommender = SessionRecommender(models_of(columns_of(EACH_IN_TWO)))
    state, standing = state_of([(EventType.VIEW, 0)]), np.zeros(2, np.uint8)
    standing[0], standing[1] = Standing.OPEN, Standing.SOLD_OUT
    for is_late in (False, True):
        asked = asking(is_late=is_late)
        everything, _, _, _ = answered(recommender, state, asked)
        without, _, _, _ = answered(recommender, state, asked._replace(standing=frozen(standing)))
        assert {0, 1, 2} <= set(everything)
        assert {0, 2} <= set(without)
        assert 1 not in without
        assert is_late or len(without) == len(everything)


def test_without_a_model_the_live_index_answers_alone(tmp_path):
    """On a shop's first day: from what others did a minute ago, and from what is popular among them."""
    live = LiveReader(tmp_path)
    recommender = SessionRecommender(live=live)
    assert recommender.manifest is None
    assert answered(recommender, state_of([(EventType.VIEW, 0)]), asking()) == [(), (), (), ()]
    index = LiveIndex(tmp_path, LiveIndexConfig(segment_rows=N_PRODUCTS)).open()
    index.learn(columns_of([(1, 0, 1), (1, 7, 1), (2, 3, 1), (3, 3, 1), (4, 0, 1)]))
    recommender.refresh()
    products, _, reasons, _ = answered(recommender, state_of([(EventType.VIEW, 0)]), asking())
    assert (products[0], reasons[0]) == (7, ReasonCode.SESSION)
    assert set(products[1:]) == {0, 3}


def test_votes_are_counted_for_what_near_sessions_hold():
    """Two of three sessions with the product of this one went on to product 1, one to product 2."""
    acts = [(1, 0, 1), (1, 1, 1), (2, 0, 1), (2, 1, 1), (3, 0, 1), (3, 2, 1)]
    recommender = SessionRecommender(models_of(columns_of(acts)))
    found = counts(recommender, state_of([(EventType.VIEW, 0)]), asking())
    assert (found[1, ReasonCode.SESSION], found[2, ReasonCode.SESSION]) == (2, 1)


def test_own_acts_are_counted_for_what_comes_back():
    recommender = SessionRecommender(models_of(columns_of([(1, 0, 1), (1, 1, 1)])))
    done = [(EventType.VIEW, 3), (EventType.VIEW, 4), (EventType.VIEW, 3), (EventType.CART_ADD, 3), (EventType.VIEW, 4)]
    state = state_of([*done, (EventType.CART_REMOVE, 3), (EventType.VIEW, 5)])  # the newest does not come back at once
    found = counts(recommender, state, asking())
    assert (found[3, ReasonCode.REVISIT], found[4, ReasonCode.REVISIT]) == (3, 2)


def test_sessions_that_bought_both_are_counted_for_what_goes_with_the_cart():
    bought = int(EventType.PURCHASE)
    acts = [(session, product, bought) for session in (1, 2, 3) for product in (0, 1)]
    recommender = SessionRecommender(models_of(columns_of(acts)))
    asked = asking()._replace(is_cart=True)
    assert counts(recommender, state_of([(EventType.CART_ADD, 0)]), asked)[1, ReasonCode.BOUGHT_TOGETHER] == 3


def test_nothing_is_counted_for_what_is_popular():
    recommender = SessionRecommender(models_of(columns_of([(1, 0, 1), (1, 1, 1), (2, 0, 1)])))
    assert set(counts(recommender, state_of([]), asking()).values()) == {0}
