"""How simulated customers read recommendations, what is counted of it, and what is said to the service."""

from __future__ import annotations

import http.server
import socket
import threading

import numpy as np
import orjson
import pytest

from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Channel, Context, EventType
from active_customers.evaluation.closed_loop import ClosedLoop, DayFigures, LoopConfig, Place, own_service
from active_customers.evaluation.closed_loop.client import Client
from active_customers.evaluation.closed_loop.crowd import Crowd, UnavailableError
from active_customers.evaluation.closed_loop.day import ShoppingDay, read_lists
from active_customers.evaluation.closed_loop.groups import Figure, Groups
from active_customers.evaluation.closed_loop.http_connection import Reply
from active_customers.evaluation.closed_loop.judge import Judge
from active_customers.evaluation.closed_loop.products import ProductCounts
from active_customers.evaluation.closed_loop.wire import Acts, Answer, Questions
from active_customers.evaluation.simulator import Shop, SimulatorConfig, Truth
from active_customers.evaluation.simulator.customers import NOTHING
from active_customers.evaluation.simulator.simulation import Life
from active_customers.realtime.schemas import EventIn

CONFIG = SimulatorConfig(customers=1_500, products=120, days=6, seed=3, cart_rate=0.05)


@pytest.fixture(scope="module")
def shop():
    return Shop.open(CONFIG)


def _played(shop, recommend, attention=1.0, days=1):
    """Play days in which `recommend(day, rows)` says what is shown; return their events, clicks and looks."""
    life = Life(shop)
    clicks = looks = 0
    for number in range(days):
        day, stop = ShoppingDay(life, number, attention), shop.config.moment_of(number + 2)
        while len((turn := day.turn(stop))[0]):
            seen = day.see(*turn, recommend(day, turn[0]), np.arange(len(turn[0])))
            clicks += int((seen.place >= 0).sum())
            looks += int(seen.looked.sum())
        assert day.is_over
    return life.journal.until(stop), clicks, looks


def _best(day, rows):
    return Truth(day._shop).best_pages(day.minds(rows), 10, day.day)


def _random(day, rows):
    return np.random.default_rng(1).integers(120, size=(len(rows), 10))


def _nothing(day, rows):
    return np.full((len(rows), 10), NOTHING)


def _revenue(columns):
    bought = columns["event_type"] == EventType.PURCHASE
    return float((columns["price"][bought] * columns["quantity"][bought]).sum())


def test_better_recommendations_bring_more_clicks_and_more_revenue():
    shop = Shop.open(CONFIG.model_copy(update={"customers": 6_000}))
    best, random, none = (_played(shop, recommend, days=4) for recommend in (_best, _random, _nothing))
    assert best[1] / best[2] > 2 * random[1] / random[2]
    assert _revenue(best[0]) > 1.3 * max(_revenue(random[0]), _revenue(none[0]))
    assert none[1] == none[2] == 0


def test_who_does_not_look_at_recommendations_acts_as_without_them(shop):
    columns, clicks, looks = _played(shop, _best, attention=0.0)
    assert clicks == looks == 0
    assert not (columns["event_type"] == EventType.IMPRESSION).any()
    assert _revenue(columns) > 0


def test_what_follows_from_a_recommendation_names_its_answer(shop):
    columns, clicks, looks = _played(shop, _best)
    kind, answer = columns["event_type"], columns["answer"]
    assert ((kind == EventType.VIEW) & (answer != NOTHING)).sum() == clicks
    assert ((kind == EventType.CLICK) & (answer != NOTHING)).sum() == clicks
    assert ((kind == EventType.IMPRESSION) & (answer != NOTHING)).sum() == looks
    assert ((kind == EventType.CART_ADD) & (answer != NOTHING)).any()
    assert (answer[kind == EventType.SEARCH] == NOTHING).all()


def test_the_same_answers_make_the_same_customers_do_the_same(shop):
    one, other = (_played(shop, _best, attention=0.6)[0] for _ in range(2))
    for name, column in one.items():
        np.testing.assert_array_equal(column, other[name])


def test_what_is_bought_comes_from_recommendations_too(shop):
    columns, _, _ = _played(shop, _best)
    bought = columns["event_type"] == EventType.PURCHASE
    found = (columns["event_type"] == EventType.CART_ADD) & (columns["answer"] != NOTHING)
    basket = set(zip(columns["session"][found].tolist(), columns["product"][found].tolist(), strict=True))
    orders = list(zip(columns["session"][bought].tolist(), columns["product"][bought].tolist(), strict=True))
    assert sum(order in basket for order in orders) > len(orders) / 4


def test_lists_are_read_from_the_top_and_seldom_to_the_end():
    rng = np.random.default_rng(0)
    click = np.full((50_000, 4), 0.1)
    place, read = read_lists(click, np.ones(click.shape, bool), 0.9, rng)
    chosen = np.array([(place == i).mean() for i in range(4)])
    np.testing.assert_allclose(chosen, 0.1 * (0.9 * 0.9) ** np.arange(4), atol=0.005)
    assert (read[place >= 0] == place[place >= 0] + 1).all()
    assert read.min() == 1


def test_empty_places_are_not_looked_at():
    place, read = read_lists(np.full((9, 3), 0.5), np.array([[True, False, False]] * 9), 1.0, np.random.default_rng(0))
    assert set(read.tolist()) == {1}
    assert set(place.tolist()) <= {-1, 0}


def test_the_best_lists_have_no_regret_and_others_have(shop):
    groups = Groups(CONFIG.customers)
    day = ShoppingDay(Life(shop), 2, 1.0)
    rows = np.arange(60)
    figures = {}
    for recommend in (_best, _random):
        judge, figures[recommend] = Judge(shop, 1.0, groups), DayFigures("today")
        judge.take(day.minds(rows), recommend(day, rows), 2, figures[recommend])
        judge.close(figures[recommend])
    assert figures[_best].regret == pytest.approx(0)
    assert figures[_random].regret > 0.5
    assert figures[_random].judged == 60


def test_products_are_clicked_at_their_true_rate(shop):
    day, counts = ShoppingDay(Life(shop), 2, 0.9), ProductCounts(shop)
    while len((turn := day.turn(shop.config.moment_of(4)))[0]):
        pages = np.tile(np.arange(10, 20), (len(turn[0]), 1))
        counts.add(pages, day.see(*turn, pages, np.arange(len(turn[0]))))
    figures = counts.figures()
    assert [row["product_id"] for row in figures] == list(range(10_011, 10_021))
    seen = np.array([row["impressions"] for row in figures])
    assert (np.diff(seen) < 0).all()
    expected = sum(row["true_rate"] * row["impressions"] for row in figures)
    assert sum(row["clicks"] for row in figures) == pytest.approx(expected, rel=0.2)


def test_customers_count_for_their_variant_from_their_first_answer_on():
    groups = Groups(3)
    groups.add(Figure.REVENUE, np.array([0, 1]), np.array([100.0, 100.0]))
    groups.show(0, {"strategy": "a"})
    groups.show(1, {"strategy": "b"})
    groups.show(2, {"strategy": "a"})
    groups.add(Figure.REVENUE, np.array([0, 0, 1]), np.array([3.0, 4.0, 5.0]))
    found = groups.figures()["strategy"]
    assert (found["a"].revenue, found["a"].customers, found["a"].revenue_per_customer) == (7.0, 2, 3.5)
    assert found["a"].standard_error == pytest.approx(3.5)
    assert found["b"].revenue == 5.0


def test_who_saw_two_variants_is_left_out_and_counted():
    groups = Groups(2)
    for variant in ("a", "b", "a"):
        groups.show(0, {"look": variant})
    groups.show(1, {"look": "b"})
    assert groups.mixed() == {"look": 1}
    assert {name: found.customers for name, found in groups.figures()["look"].items()} == {"a": 0, "b": 1}


def test_every_act_of_a_day_is_an_event_that_the_service_takes(shop):
    columns, _, _ = _played(shop, _best, attention=0.5)
    acts = Acts(shop)
    acts.answers = {
        n: Answer(list(range(120)), ["a"] * 5 + ["b"] * 115, "v1", None, {}) for n in range(CONFIG.customers)
    }
    batches = acts.by_customer(columns)
    events = [event for batch in batches for event in batch]
    assert {event["event_type"] for event in events} >= {
        "view",
        "click",
        "cart_add",
        "search",
        "impression",
        "purchase",
    }
    assert len({event["event_id"] for event in events}) == len(events) >= len(columns["time"])
    for event in events:
        EventIn.model_validate_json(orjson.dumps(event))


def test_a_page_asks_by_what_it_is_about(shop):
    visits = Life(shop).admit(2)
    rows = np.array([0])
    visits.channel[0], visits.current[0] = Channel.MOBILE, 7
    category = shop.catalogue.assortment.categories[visits.needs.category[0]].path.replace(" ", "%20")
    paths = {
        context: Questions(shop, 10, has_homepage=False).paths(visits, rows, np.array([context]))[0]
        for context in (Context.HOME, Context.BROWSE, Context.CATEGORY, Context.SEARCH)
    }
    assert paths[Context.HOME].endswith("&n=10&context=home&channel=mobile")
    assert paths[Context.BROWSE].endswith("&context=browse&channel=mobile&product_id=10008")
    assert category.split("%20")[0] in paths[Context.CATEGORY].rpartition("category=")[2]
    assert "&query=" in paths[Context.SEARCH]


def test_an_answer_tells_its_strategy_and_variants_where_it_has_them():
    told = {"model_version": "v1", "recommendation_id": "t", "strategy": "hybrid", "variants": {"look": "b"}}
    body = orjson.dumps({"recommendations": [{"product_id": 10_002}, {"product_id": 999_999}], "metadata": told})
    answer = Answer.of(Reply(200, body), 120)
    assert answer == Answer([1], ["t"], "v1", "hybrid", {"look": "b"})
    assert Answer.of(Reply(503, b"{}"), 120) is None


def test_shelves_are_read_one_after_the_other_and_each_keeps_its_token():
    shelves = [
        {"recommendation_id": "a", "products": [{"product_id": 10_001}, {"product_id": 10_002}]},
        {"recommendation_id": "b", "products": [{"product_id": 10_003}]},
    ]
    answer = Answer.of(Reply(200, orjson.dumps({"shelves": shelves, "metadata": {"model_version": "v1"}})), 120)
    assert answer.products == [0, 1, 2]
    assert answer.token_of(2) == "b"
    assert answer.seen(3) == {"a": [0, 1], "b": [2]}
    assert answer.seen(1) == {"a": [0]}


def test_a_home_page_asks_for_shelves(shop):
    questions = Questions(shop, 10, has_homepage=True)
    path = questions.paths(Life(shop).admit(2), np.array([0]), np.array([Context.HOME]))[0]
    assert path.startswith("/api/v1/homepage?shelves=3&n=3&customer_id=")


@pytest.mark.parametrize("url", ["https://127.0.0.1:8000", "http://shop.example:8000", "http://127.0.0.1", "8000"])
def test_only_a_service_on_this_machine_can_be_met(url):
    with pytest.raises(InvalidValueError, match=r"url: .*http://127\.0\.0\.1:PORT"):
        Place.at(url, None)


def test_simulated_customers_go_to_no_shop_that_lives(tmp_path):
    (tmp_path / "store").mkdir()
    with pytest.raises(InvalidValueError, match="a shop lives there"), own_service(tmp_path):
        pass


def test_a_warm_up_leaves_days_to_play():
    with pytest.raises(InvalidValueError, match="warm_up_days: 6 is not valid: leave some of the 6 days"):
        ClosedLoop(CONFIG, LoopConfig(warm_up_days=6), Place(0), None)


class _Strict(http.server.BaseHTTPRequestHandler):
    """A service that answers no question, and takes the first of two events only."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._reply(400, {"title": "Bad Request", "detail": "n: 0 is not valid"})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        rejected = {"status": "rejected", "error": "price: -1 is not valid"}
        self._reply(202, {"results": [{"status": "accepted"}, rejected]})

    def _reply(self, status, body):
        content = orjson.dumps(body)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


def _serving(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def strict():
    yield from _serving(_Strict)


def test_what_goes_wrong_is_counted_and_told_in_the_words_of_the_service(strict):
    with Client(Place(strict), 1) as client:
        client.ask(["/api/v1/recommendations?n=0"])
        client.post_events([[{"price": 1}, {"price": -1}]])
    assert (client.requests, client.failures) == (2, 2)
    assert client.first_failures == ["400: n: 0 is not valid", "202: price: -1 is not valid"]


class _Moody(http.server.BaseHTTPRequestHandler):
    """A service that drops every fifth connection and is busy now and then."""

    protocol_version = "HTTP/1.1"
    seen: list[str]
    asked = 0

    def do_GET(self):
        type(self).asked += 1
        if self.asked % 5 == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self.path.encode()
        self.send_response(503 if self.asked % 7 == 0 else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def moody():
    yield from _serving(_Moody)


def test_what_is_lost_or_refused_for_a_while_is_asked_again_and_answers_keep_their_order(moody):
    crowd = Crowd(moody, 4)
    requests = [f"GET /{i} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for i in range(40)]
    replies = crowd.exchange(requests)
    crowd.close()
    assert [reply.body.decode() for reply in replies] == [f"/{i}" for i in range(40)]
    assert {reply.status for reply in replies} == {200}


def test_nobody_at_home_is_told(moody):
    with pytest.raises(UnavailableError, match="nobody answers on port 1 "):
        Crowd(1, 1)
