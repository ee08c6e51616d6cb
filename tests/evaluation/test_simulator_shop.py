"""The truth of the simulated shop: the probability it tells is the frequency that is drawn."""

from dataclasses import replace

import numpy as np
import pytest

from active_customers.core.clock import DAY
from active_customers.core.errors import InvalidValueError
from active_customers.core.event import Context, EventType
from active_customers.evaluation.simulator import Intent, Shop, SimulatorConfig
from active_customers.evaluation.simulator.needs import Needs
from active_customers.evaluation.simulator.shelves import Shelves
from active_customers.evaluation.simulator.shop import first_clicks
from active_customers.evaluation.simulator.simulation import days


@pytest.fixture(scope="module")
def shop():
    return Shop.open(SimulatorConfig(customers=300, products=200, days=30, seed=5))


def _for_sale(shop, n):
    return np.flatnonzero(shop.catalogue.released <= shop.config.start)[:n]


def _intent(shop, product):
    catalogue = shop.catalogue
    return Intent(int(catalogue.category[product]), int(catalogue.kind[product]), catalogue.style[product])


def test_responses_follow_the_choice_probabilities(shop):
    shown = _for_sale(shop, 8)
    intent = _intent(shop, shown[3])
    truth = shop.choice_probabilities(7, shown, shop.config.start, intent)
    rng = np.random.default_rng(0)
    n = 4_000
    answers = [shop.respond(7, shown, rng, shop.config.start, intent) for _ in range(n)]
    counts = np.bincount([place for place in answers if place is not None], minlength=8)
    assert truth.max() > 0.05
    assert np.all(np.abs(counts / n - truth) < 5 * np.sqrt(truth * (1 - truth) / n) + 1e-3)


def test_a_page_is_read_from_the_top_until_the_first_click():
    rng = np.random.default_rng(1)
    click = np.tile([0.0, 1.0, 1.0], (20_000, 1))
    places = first_clicks(click, 0.75, rng)
    assert set(places.tolist()) == {-1, 1}
    assert (places == 1).mean() == pytest.approx(0.75, abs=0.02)


def test_nothing_shown_is_nothing_clicked(shop):
    none = np.empty(0, np.int64)
    assert shop.respond(0, none, np.random.default_rng(0)) is None
    assert shop.click_probability(0, none, shop.config.start).shape == (0,)
    assert shop.choice_probabilities(0, none, shop.config.start).shape == (0,)


def test_many_customers_at_once_get_the_same_truth_as_one_by_one(shop):
    customers = np.arange(20)
    products = np.arange(60).reshape(20, 3)
    in_mind = np.arange(20) * 5
    moment = shop.config.stop - DAY
    together = shop.click_probabilities(customers, products, moment, Needs.like(shop.catalogue, in_mind))
    for i in range(20):
        alone = shop.click_probability(i, products[i], moment, _intent(shop, in_mind[i]))
        np.testing.assert_allclose(together[i], alone, rtol=1e-12)


def test_the_product_in_mind_is_clicked_more_than_any_other_category(shop):
    product = int(_for_sale(shop, 1)[0])
    intent = _intent(shop, product)
    others = np.flatnonzero(shop.catalogue.category != shop.catalogue.category[product])
    moment = shop.config.start
    wanted = np.mean([shop.click_probability(c, np.array([product]), moment, intent)[0] for c in range(50)])
    unwanted = np.mean([shop.click_probability(c, others, moment, intent).mean() for c in range(50)])
    assert wanted > 5 * unwanted


def test_taste_brand_price_and_need_each_move_the_truth(shop):
    """Raising one thing that speaks for a product, and nothing else, raises its probability."""
    product = np.array([_for_sale(shop, 1)[0]])
    category, people = shop.catalogue.category[product[0]], shop.customers
    taste = np.full_like(people.taste, 0.5 / people.taste.shape[1])
    taste[:, category] += 0.5
    department = shop.catalogue.assortment.category_department[category]
    favourites = people.favourites.copy()
    favourites[:, department] = shop.catalogue.brand[product[0]]
    nobody = replace(people, favourites=np.full_like(favourites, -1), budget=np.full_like(people.budget, 0.01))
    plain = replace(nobody, taste=np.full_like(taste, 1 / taste.shape[1]))
    base = Shop(shop.config, shop.catalogue, plain).click_probability(0, product, shop.config.start)[0]
    for better in (
        replace(plain, taste=taste),
        replace(plain, favourites=favourites),
        replace(plain, budget=np.full_like(people.budget, 1e6)),
    ):
        assert Shop(shop.config, shop.catalogue, better).click_probability(0, product, shop.config.start)[0] > base


def test_a_product_is_never_clicked_before_its_release(shop):
    late = np.flatnonzero(shop.catalogue.released > shop.config.start)
    assert len(late) > 0
    assert np.all(shop.click_probability(0, late, shop.config.start) == 0)
    assert np.all(shop.click_probability(0, late, shop.config.stop) > 0)


def test_unknown_rows_are_refused(shop):
    with pytest.raises(InvalidValueError, match="customer"):
        shop.click_probability(-1, np.array([0]), shop.config.start)
    with pytest.raises(InvalidValueError, match="products"):
        shop.click_probability(0, np.array([200]), shop.config.start)


def test_intents_follow_taste(shop):
    rng = np.random.default_rng(2)
    customer = int(np.argmax(shop.customers.taste.max(axis=1)))
    drawn = [shop.draw_intent(customer, shop.config.start, rng).category for _ in range(300)]
    assert np.bincount(drawn).argmax() in np.argsort(shop.customers.taste[customer])[-3:]


def test_pages_show_what_they_are_about(shop):
    rng, catalogue = np.random.default_rng(3), shop.catalogue
    shelves = Shelves(catalogue, shop.config.start)
    in_mind = _for_sale(shop, 50)
    needs = Needs.like(catalogue, in_mind)

    def page(context):
        listed = shelves.page(np.full(50, int(context)), needs, in_mind, 6, rng)
        assert listed.shape == (50, 6)
        return listed

    assert np.all(catalogue.category[page(Context.CATEGORY)] == needs.category[:, None])
    assert np.all(catalogue.kind[page(Context.SEARCH)] == needs.kind[:, None])
    assert np.all(catalogue.category[page(Context.BROWSE)] == needs.category[:, None])
    assert len(np.unique(catalogue.category[page(Context.HOME)])) > 5
    assert np.all(catalogue.released[page(Context.HOME)] <= shop.config.start)


def test_nothing_out_of_stock_goes_into_a_cart_but_it_is_viewed():
    shop = Shop.open(SimulatorConfig(customers=1_500, products=100, days=14, stock_out_share=1.0, cart_rate=0.05))
    carted, viewed = 0, 0
    for day, columns in enumerate(days(shop)):
        product, kind = columns["product"], columns["event_type"]
        # Sessions that began before midnight go by the stock of their first day.
        settled = columns["time"] > shop.config.moment_of(day) + DAY // 12
        gone = (product >= 0) & ~shop.catalogue.in_stock(day)[product] & settled
        carted += int((gone & (kind == EventType.CART_ADD)).sum())
        viewed += int((gone & (kind == EventType.VIEW)).sum())
    assert viewed > 100
    assert carted == 0
