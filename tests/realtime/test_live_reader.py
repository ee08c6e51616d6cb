"""What the live index proposes, and that it is what `SessionKnn` would."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from active_customers.core.clock import DAY
from active_customers.core.event import EventType
from active_customers.core.identifiers import NO_NUMBER
from active_customers.core.session import SessionQuery
from active_customers.models.base import SessionLog
from active_customers.models.session_knn import SessionKnn, SessionKnnConfig, repeat_share
from active_customers.realtime.live_index import LiveIndex, LiveIndexConfig
from active_customers.realtime.live_reader import LiveReader, Trained

NAMES = ("position", "session", "customer", "product", "event_type", "time")
N_PRODUCTS = 9
EVERYTHING = np.arange(N_PRODUCTS, dtype=np.uint32)
ROOMY = LiveIndexConfig(max_sessions=100, session_acts=6, sessions_per_product=100, segment_rows=N_PRODUCTS)


@pytest.fixture
def index(tmp_path):
    return LiveIndex(tmp_path, ROOMY).open()


@pytest.fixture
def reader(tmp_path):
    return LiveReader(tmp_path)


def ask(*products):
    n = len(products)
    return SessionQuery(np.array(products, np.uint32), np.ones(n, np.uint8), np.zeros(n, np.int64), now=0)


def log_of(rows, start=1):
    """Return columns of (session, product, time); customers are numbered as the sessions."""
    session, product, time = np.array(rows, np.int64).reshape(-1, 3).T
    position = np.arange(start, start + len(session))
    return dict(zip(NAMES, (position, session, session, product, np.ones(len(session), np.int64), time), strict=True))


def visit(index, session, *products, time=None):
    """Let a session look at products, a second apart."""
    first = index.watermark * 10_000_000 if time is None else time
    rows = [(session, product, first + i * 1_000_000) for i, product in enumerate(products)]
    index.learn(log_of(rows, index.watermark))


def listed(candidates):
    return [column.tolist() for column in (candidates.products, candidates.scores, candidates.evidence)]


def ranked(reader, *products, **asker):
    return reader.candidates(ask(*products), 10, np.array(products, np.uint32), **asker).products.tolist()


def test_a_product_first_seen_live_is_proposed_after_its_first_co_visit(index, reader):
    assert ranked(reader, 3) == []
    visit(index, 1, 3, 8)
    assert listed(reader.candidates(ask(3), 5, np.array([3], np.uint32)))[0::2] == [[8], [3]]
    assert ranked(reader, 8) == [3]


def test_it_does_so_beside_a_model_that_never_saw_the_product(index, reader):
    model = SessionKnn()
    visit(index, 1, 0, 1)
    model.fit(SessionLog.from_rows(log_of([(1, 0, 0), (1, 1, 1)]), n_products=2, as_of=10))
    reader.follow(Trained.of(model, watermark=index.watermark))
    visit(index, 2, 0, 7)
    assert ranked(reader, 0) == [7]


def test_sessions_that_the_model_has_learned_from_do_not_count_again(index, reader):
    visit(index, 1, 0, 1)
    visit(index, 2, 0, 2)
    assert ranked(reader, 0) == [2, 1]
    reader.follow(Trained(watermark=3))
    assert ranked(reader, 0) == [2]
    visit(index, 1, 3)  # it goes on
    assert set(ranked(reader, 0)) == {1, 2, 3}


def test_a_customers_own_sessions_do_not_count(index, reader):
    visit(index, 1, 0, 1)
    visit(index, 2, 0, 2)
    assert ranked(reader, 0, customer=2) == [1]
    assert reader.score(ask(0), np.array([1, 2], np.uint32), customer=2).tolist()[1] == 0
    assert reader.why(ask(0), 2, customer=2) == NO_NUMBER
    assert reader.why(ask(0), 2) == 0


def test_before_there_is_an_index_nothing_is_proposed_and_then_it_is_found(tmp_path):
    reader = LiveReader(tmp_path / "live")
    assert reader.watermark == 0
    assert ranked(reader, 0) == []
    assert reader.popular(5).products.tolist() == []
    assert reader.is_popular(EVERYTHING).tolist() == reader.is_trending(EVERYTHING).tolist() == [False] * N_PRODUCTS
    assert reader.score(ask(0), EVERYTHING).tolist() == [0] * N_PRODUCTS
    visit(LiveIndex(tmp_path / "live", ROOMY).open(), 1, 0, 1)
    assert ranked(reader, 0) == [1]
    assert reader.watermark == 3


def test_readers_follow_growth_and_a_new_writer_with_another_layout(tmp_path, reader):
    tiny = ROOMY.model_copy(update={"segment_rows": 1})
    index = LiveIndex(tmp_path, tiny).open()
    for session in range(1, 20):
        visit(index, session, 0, session)
        assert ranked(reader, session) == [0]
    index = LiveIndex(tmp_path, LiveIndexConfig(session_acts=5, sessions_per_product=3, segment_rows=2)).open()
    assert ranked(reader, 5) == []
    visit(index, 1, 0, 30)
    assert ranked(reader, 30) == [0]


def test_after_an_erasure_nothing_of_the_customer_is_proposed(index, reader):
    visit(index, 1, 0, 1)
    visit(index, 2, 0, 2)
    index.forget(1)
    assert ranked(reader, 0) == [2]
    assert ranked(reader, 1) == []


def test_excluded_products_never_come_and_the_others_move_up(index, reader):
    visit(index, 1, 0, 1, 2, 3, 4)
    best = reader.candidates(ask(0), 10).products
    rest = reader.candidates(ask(0), 2, best[[1, 0]]).products
    assert rest.tolist() == best[2:4].tolist()


acts = st.tuples(st.integers(1, 8), st.integers(0, N_PRODUCTS - 1), st.integers(0, 400).map(lambda day: day * DAY))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(st.lists(acts, min_size=1, max_size=40), st.lists(st.integers(0, N_PRODUCTS), min_size=1, max_size=5))
def test_scores_are_those_of_the_trained_model_over_the_same_log(tmp_path_factory, rows, query):
    folder = tmp_path_factory.mktemp("live")
    columns = log_of(rows)
    LiveIndex(folder, ROOMY).open().learn(columns)
    config = SessionKnnConfig(session_length=ROOMY.session_acts)
    log = SessionLog.from_rows(columns, N_PRODUCTS, as_of=10**18)
    model = SessionKnn(config)
    model.fit(log)
    reader = LiveReader(folder, config)
    for trained in (Trained(repeat_share=repeat_share(log)), Trained.of(model, watermark=0)):
        reader.follow(trained)
        ours, theirs = reader.candidates(ask(*query), 50), model.candidates(ask(*query), 50)
        assert sorted(ours.products.tolist()) == sorted(theirs.products.tolist())
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4)
        np.testing.assert_allclose(reader.score(ask(*query), EVERYTHING), model.score(ask(*query), EVERYTHING), 1e-4)
        assert set(ours.evidence.tolist()) <= set(query)


def test_the_scale_of_a_new_product_is_that_of_the_live_counts(index, reader):
    visit(index, 1, 0, 7)
    visit(index, 2, 0, 1)
    alone = reader.score(ask(0), np.array([7, 1], np.uint32))
    assert alone[0] == pytest.approx(alone[1], rel=1e-3)
    reader.follow(Trained(rarity=np.ones(3, np.float32)))  # product 7 is new to the model
    beside = reader.score(ask(0), np.array([7, 1], np.uint32))
    assert beside[0] / beside[1] == pytest.approx(1 + np.log(2), rel=1e-3)


def test_popular_is_what_was_acted_on_most_lately_with_weights(index, reader):
    first = 100 * DAY
    visit(index, 1, 5, 5, 5, time=first)
    visit(index, 2, 2, 2, time=first + 20 * DAY)
    columns = log_of([(3, 4, first + 20 * DAY)], index.watermark)
    columns["event_type"] = np.array([EventType.PURCHASE])
    index.learn(columns)
    popular = reader.popular(10)
    assert popular.products.tolist() == [4, 2, 5]
    assert popular.scores == pytest.approx([5, 2, 3 * 0.5 ** (20 / 7)], rel=1e-4)
    assert popular.evidence.tolist() == [NO_NUMBER] * 3
    assert reader.popular(1, np.array([4], np.uint32)).products.tolist() == [2]


def test_after_years_without_an_act_old_favourites_follow_by_how_many_chose_them(index, reader):
    for session in range(1, 10):
        visit(index, session, 1 if session < 4 else 0, time=session)
    visit(index, 99, 2, time=5_000 * DAY)
    ranking = reader.ranking()
    assert (ranking.products.tolist(), bool(np.all(ranking.scores > 0))) == ([0, 1], True)  # not what one looked at


def test_what_many_sessions_hold_is_popular(index, reader):
    for session in range(1, 8):
        visit(index, session, 0)
    visit(index, 9, 1, 1, 1, 1, 1, 1, 1)
    assert reader.is_popular(np.array([0, 1, 2, 4_000_000_000], np.uint32)).tolist() == [True, False, False, False]


def steady(index, days, product, start=0):
    """Let ten sessions a day look at a product."""
    rows = [(1000 * product + day * 10 + i, product, day * DAY + i) for day in range(start, days) for i in range(10)]
    index.learn(log_of(rows, index.watermark))


def test_a_product_whose_share_grows_is_trending_a_steady_one_is_not(tmp_path, reader):
    index = LiveIndex(tmp_path, LiveIndexConfig(max_sessions=5)).open()  # trends do not need the sessions
    steady(index, 40, product=0)
    assert reader.is_trending(EVERYTHING).tolist() == [False] * N_PRODUCTS
    steady(index, 40, product=7, start=38)  # never seen before
    assert np.flatnonzero(reader.is_trending(EVERYTHING)).tolist() == [7]
    assert not reader.is_trending(np.array([4_000_000_000], np.uint32))[0]


def test_without_a_past_to_compare_with_nothing_is_trending(index, reader):
    steady(index, 3, product=0)
    steady(index, 3, product=1, start=2)
    assert not reader.is_trending(EVERYTHING).any()
