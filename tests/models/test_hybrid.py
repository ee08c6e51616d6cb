"""The hybrid learns from the future of its sources only, and does without what is missing."""

from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import lightgbm_or_skip

from active_customers.core.errors import ArtifactError
from active_customers.core.event import EventType
from active_customers.core.recommendation import Goal
from active_customers.core.session import SessionQuery
from active_customers.kernels.hybrid import BESIDE, N_FEATURES
from active_customers.models.factorization import FactorizationConfig
from active_customers.models.hybrid_model import SETTINGS, Hybrid, HybridConfig
from active_customers.models.product_facts import FACTS
from active_customers.models.product_features import About, features_of

lightgbm_or_skip()

N = 40
QUICK = {
    "factorization": FactorizationConfig(passes=2),
    "ranker": {"least_in_leaf": 10, "threads": 1},
    "label_share": 0.3,
}


def tours(seed, count):
    """Sessions along a circle of products, one or two steps at a time: near products are related, direction matters."""
    rng = np.random.default_rng(seed)
    return [((rng.integers(N) + np.cumsum(rng.integers(1, 3, 6))) % N).tolist() for _ in range(count)]


@pytest.fixture(scope="module")
def history():
    return tours(1, 500)


@pytest.fixture(scope="module")
def hybrid(history):
    from tests.models.conftest import log_of  # noqa: PLC0415 - fixtures of a function cannot be used by a module's

    model = Hybrid(HybridConfig(**QUICK))
    model.fit(log_of(history, N))
    return model


def hits(model, sessions, n=2):
    found = 0
    for session in sessions:
        query = np.array(session[:-1], np.uint32)
        asked = SessionQuery(query, np.ones(len(query), np.uint8), np.zeros(len(query), np.int64), 0)
        found += session[-1] in model.candidates(asked, n).products
    return found / len(sessions)


def test_it_learns_which_way_customers_go(hybrid):
    assert 0 < len(hybrid.forests[Goal.NEXT].values) <= SETTINGS["fast"].trees
    assert hits(hybrid, tours(2, 200)) > 0.9


def test_what_the_trees_learn_from_is_described_by_the_sessions_before(make_log, history):
    """Another end of the sessions to foresee changes labels, and nothing in the descriptions of all questions.

    Both ends are products of their session, which always are candidates: so the lists are of the same questions.
    """
    model = Hybrid(HybridConfig(**QUICK))
    ends = [[[*session[:-1], session[place]] for session in history[400:]] for place in (0, 1)]
    one, other = (model.lists(make_log(history[:400] + late, N), 400)[Goal.NEXT] for late in ends)
    np.testing.assert_array_equal(one.sizes, other.sizes)
    np.testing.assert_array_equal(one.features, other.features)
    assert not np.array_equal(one.labels, other.labels)
    assert one.sizes.sum() == len(one.features) == len(one.labels)


def test_a_product_that_only_the_newest_sessions_hold_is_described_as_unknown(make_log, history):
    canary = N
    late = [[canary, *session[1:]] for session in history[400:]]
    model = Hybrid(HybridConfig(**QUICK))
    sources = model._kernel_sources(model._fitted(make_log(history[:400] + late, N + 1).first(400)))
    assert not sources.facts[canary, 0]
    assert not sources.vectors[canary].any()
    assert not any((relation.products == canary).any() for relation in sources.relations)


def described(log):
    """Neighbours on the circle have words in common."""
    said = [(p, [(About.NAME, str(p // 4)), (About.NAME, f"x{(p + 2) // 4}")]) for p in range(N)]
    return replace(log, features=features_of(said, N))


def test_of_products_that_are_withheld_the_sources_of_the_trees_know_what_the_catalogue_says_alone(make_log, history):
    log = described(make_log(history, N))
    model = Hybrid(HybridConfig(**QUICK, withheld_share=0.2))
    shown = model._withholding(log)
    withheld = np.setdiff1d(log.products, shown.products)
    assert 0 < len(withheld) < N / 2
    sources = model._kernel_sources(model._fitted(shown))
    assert not sources.facts[withheld, 0].any()
    content, *others = sources.relations
    assert np.isin(withheld, content.products).all()
    assert not any(np.isin(withheld, relation.products).any() for relation in others)


def test_nothing_is_withheld_where_no_catalogue_describes_products(make_log, history):
    log = make_log(history, N)
    assert Hybrid(HybridConfig(**QUICK, withheld_share=0.2))._withholding(log) is log


def test_acts_taken_out_of_a_log_take_sessions_without_others_along(make_log):
    log = described(make_log([[1, 2], [3], [2, 4]], N))
    left = log.where(log.products != 3)
    assert [part.tolist() for part in np.split(left.products, left.offsets[1:-1])] == [[1, 2], [2, 4]]
    assert left.customers.tolist() == [0, 2]
    assert left.features is log.features


def test_what_the_catalogue_describes_alike_is_proposed_without_any_act(make_log, history, ask):
    untouched = 17
    model = Hybrid(HybridConfig(**QUICK))
    model.fit(described(make_log([[p for p in session if p != untouched] or [0] for session in history], N)))
    assert untouched in model.candidates(ask(16), 12).products
    assert model.why(ask(16), untouched) == 16


def test_without_enough_to_learn_from_the_sources_are_added_up(make_log, ask):
    model = Hybrid(HybridConfig(**QUICK))
    model.fit(make_log([[0, 1, 2], [0, 1, 3]], 4))
    assert not any(len(forest.values) for forest in model.forests)
    assert 2 in model.candidates(ask(0, 1), 3).products


def test_what_is_excluded_takes_no_other_s_place(hybrid, ask):
    """Many excluded products leave as long a list as none."""
    query = ask(3, 4, 6)
    everything = hybrid.candidates(query, N)
    without = hybrid.candidates(query, 5, everything.products[:-5])
    assert sorted(without.products.tolist()) == sorted(everything.products[-5:].tolist())


def test_the_goal_decides_the_order(make_log, ask):
    """Customers look on at the next product, and put the one after that into the cart."""
    rng = np.random.default_rng(1)
    starts = rng.integers(N, size=600)
    sessions = [[s, (s + 1) % N, (s + 2) % N] for s in starts.tolist()]
    log = make_log(sessions, N)
    types = np.full(len(log.products), EventType.VIEW, np.uint8)
    types[2::3] = EventType.CART_ADD
    config = QUICK | {"ranker": {"least_in_leaf": 5, "threads": 1, "goal_trees": 60}}
    model = Hybrid(HybridConfig(**config))
    model.fit(replace(log, event_types=types))
    first = {
        goal: [int(model.candidates(ask(s)._replace(goal=goal), 1).products[0]) for s in range(N)] for goal in Goal
    }
    assert np.mean([(found - s) % N == 1 for s, found in enumerate(first[Goal.NEXT])]) > 0.9
    assert np.mean([(found - s) % N == 2 for s, found in enumerate(first[Goal.CART])]) > 0.9
    assert first[Goal.PURCHASE] == first[Goal.NEXT]  # nothing was bought: nothing else was learned


def test_a_relation_is_asked_about_no_more_products_than_its_own_depth(make_log):
    config = HybridConfig(**QUICK, query_depth=4, linear={"query_depth": 2}, content={"query_depth": 9})
    weights = Hybrid(config).sources.by_place
    assert (weights > 0).sum(axis=1).tolist() == [4, 2, 4, 4]


def test_arrays_described_by_other_columns_are_refused(hybrid):
    """Kernels check no bounds: a tree that asks for a column too many would read whatever stands there."""
    arrays, config = hybrid.arrays(), hybrid.config.model_dump()
    features = "next_forest_features"
    asked = arrays[features].copy()
    asked[0] = N_FEATURES + len(FACTS)
    for changed in ({"facts": arrays["facts"][:, :-1]}, {features: asked}):
        with pytest.raises(ArtifactError, match="of another version; refresh once"):
            Hybrid.from_arrays({**arrays, **changed}, config)


def test_whatever_source_is_empty_there_is_an_answer(hybrid, ask):
    """A missing source costs quality, never an answer."""
    whole = hybrid.sources
    nothing = [relation._replace(offsets=np.zeros_like(relation.offsets)) for relation in whole.relations]
    for relation in nothing:
        relation.offsets.flags.writeable = False
    try:
        for place in range(len(nothing)):
            relations = list(whole.relations)
            relations[place] = nothing[place]
            hybrid.sources = whole._replace(relations=tuple(relations))
            assert len(hybrid.candidates(ask(3, 4), 5).products) == 5
        hybrid.sources = whole._replace(vectors=whole.vectors[:0])
        assert len(hybrid.candidates(ask(3, 4), 5).products) == 5
        hybrid.sources = whole._replace(knn=whole.knn._replace(neighbours=1), relations=whole.relations)
        assert len(hybrid.candidates(ask(3, 4), 5).products) == 5
    finally:
        hybrid.sources = whole


def test_what_a_customer_buys_at_the_next_visit_is_learned_from_the_visits_before(make_log):
    """Everybody buys one of the two products of the first visit again, the one bought then, whichever came first."""
    rng = np.random.default_rng(2)
    pairs = [rng.permutation(N)[:2].tolist() for _ in range(400)]
    bought = rng.integers(2, size=400).tolist()
    log = make_log([*pairs, *([pair[place]] for pair, place in zip(pairs, bought, strict=True))], N)
    kinds = np.array([[EventType.PURCHASE, EventType.VIEW], [EventType.VIEW, EventType.PURCHASE]], np.uint8)
    types = np.concatenate((kinds[bought].ravel(), np.full(400, EventType.PURCHASE, np.uint8)))
    customers = np.concatenate([np.arange(400), np.arange(400)]).astype(np.uint32)
    model = Hybrid(HybridConfig(**QUICK | {"label_share": 0.4}))
    model.fit(replace(log, event_types=types, customers=customers))
    assert len(model.forests[Goal.RETURN].values) > 0
    hits = [
        model.candidates(
            SessionQuery(np.array(pair, np.uint32), kinds[place], np.zeros(2, np.int64), 0, Goal.RETURN), 1
        ).products[0]
        == pair[place]
        for pair, place in zip(pairs[:100], bought, strict=False)
    ]
    assert np.mean(hits) > 0.8


def test_without_visits_to_learn_from_what_was_acted_on_most_often_comes_first_at_the_next(make_log, ask):
    model = Hybrid(HybridConfig(**QUICK))
    model.fit_sources(make_log([[0, 1], [1, 2], [2, 3], [0, 3]], 4))
    query = ask(3, 0, 3, 1)
    at_the_next = model.candidates(query._replace(times=np.arange(4), goal=Goal.RETURN), 4).products
    assert at_the_next[0] == 3
    assert set(at_the_next[1:3].tolist()) == {0, 1}


def test_what_is_bought_at_every_visit_is_a_candidate_after_many_products_that_are_newer(make_log, ask):
    """The oldest of 400 products was bought at ten visits, the others at one: more than are described."""
    n = 400
    others = list(range(1, n))
    model = Hybrid(HybridConfig(**QUICK))
    model.fit_sources(make_log([[place, place + 1] for place in range(n - 1)], n))
    query = ask(*[0] * 10, *others)
    times = np.concatenate((np.arange(10), np.full(len(others), 10)))
    assert model.candidates(query._replace(times=times, goal=Goal.RETURN), 1).products.tolist() == [0]


def test_trees_of_the_next_visit_learn_from_as_many_windows_as_a_small_shop_needs(make_log):
    """One window is enough for the next product; customers are asked but once a visit, so all windows are for them."""
    rng = np.random.default_rng(3)
    n_customers, n_visits = 50, 8
    log = make_log(rng.integers(N, size=(n_customers * n_visits, 5)).tolist(), N)
    customers = np.tile(np.arange(n_customers), n_visits).astype(np.uint32)
    log = replace(log, event_types=np.full(len(log.products), EventType.PURCHASE, np.uint8), customers=customers)
    config = QUICK | {"label_share": 0.125, "ranker": {"least_in_leaf": 10, "threads": 1, "lists_enough": 120}}
    model = Hybrid(HybridConfig(**config))
    one_window = model.lists(log, len(customers) - n_customers)
    learned = model._all_lists(log, model._alike(log), lambda: None)
    assert len(one_window[Goal.RETURN].sizes) <= n_customers < len(learned[Goal.RETURN].sizes)
    assert len(learned[Goal.NEXT].sizes) == len(one_window[Goal.NEXT].sizes)


def test_trees_of_the_next_visit_learn_from_older_windows_where_the_newest_hold_no_return(make_log):
    """In the newest window there are strangers only."""
    rng = np.random.default_rng(3)
    n_customers, n_visits = 50, 8
    log = make_log(rng.integers(N, size=(n_customers * n_visits, 5)).tolist(), N)
    customers = np.tile(np.arange(n_customers), n_visits).astype(np.uint32)
    customers[-n_customers:] += n_customers
    log = replace(log, event_types=np.full(len(log.products), EventType.PURCHASE, np.uint8), customers=customers)
    config = QUICK | {"label_share": 0.125, "ranker": {"least_in_leaf": 10, "threads": 1, "lists_enough": 120}}
    model = Hybrid(HybridConfig(**config))
    assert len(model.lists(log, len(customers) - n_customers)[Goal.RETURN].sizes) == 0
    assert len(model._all_lists(log, model._alike(log), lambda: None)[Goal.RETURN].sizes) > 0


def test_a_question_is_described_by_all_of_its_acts_known_or_not(hybrid):
    """Serving counts what no model knows, as training does: the newest act is none of the known ones then."""
    known, unknown = np.array([3, 4], np.uint32), np.array([3, 4, N + 5], np.uint32)
    columns = []
    for query in (known, unknown):
        n = len(query)
        hybrid.candidates(SessionQuery(query, np.ones(n, np.uint8), np.zeros(n, np.int64), 0), 5)
        columns.append(hybrid._scratch.get().columns[:, 0].copy())
    assert not np.array_equal(*columns)


def asked_for_new(products, kinds):
    times = np.arange(len(products), dtype=np.int64)
    return SessionQuery(np.array(products, np.uint32), np.array(kinds, np.uint8), times, len(products), Goal.NEW)


def test_what_is_new_follows_from_what_was_bought_however_long_ago(hybrid):
    """Views of the newest products lead elsewhere: they decide what comes next, not what is bought first."""
    far = [20, 22, 24, 26, 28, 30, 32, 34, 36]
    query = asked_for_new([3, *far], [EventType.PURCHASE, *[EventType.VIEW] * len(far)])
    related = hybrid.sources.relations[BESIDE]
    nearest = set(related.products[related.offsets[3] :][:2].tolist())
    assert set(hybrid.candidates(query, 2).products.tolist()) == nearest
    assert not nearest & set(hybrid.candidates(query._replace(goal=Goal.NEXT), 5).products.tolist())


def test_what_is_new_is_nothing_that_the_customer_acted_on(hybrid):
    query = asked_for_new([3, 4, 6, 5], [EventType.VIEW, EventType.VIEW, EventType.CART_ADD, EventType.VIEW])
    found = hybrid.candidates(query, N).products.tolist()
    assert found
    assert not {3, 4, 5, 6} & set(found)


def test_all_of_a_long_history_says_what_is_new(hybrid):
    """More products than the sources are asked about elsewhere: the oldest one still brings its own in."""
    depth = hybrid.config.query_depth
    newest = [20 + place for place in range(depth)]
    query = asked_for_new([3, *newest], [EventType.VIEW] * (depth + 1))
    assert {2, 4} & set(hybrid.candidates(query, N).products.tolist())
