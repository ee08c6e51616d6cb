"""The simulated shop behaves like a shop: figures within wide margins of what real ones report."""

import duckdb
import pytest

from active_customers.evaluation.simulator import SimulatorConfig, simulate
from active_customers.evaluation.simulator.assortment import assortment_for


def _load(report_and_folder):
    report, out = report_and_folder
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    con.execute("create table events as select * from read_parquet(?)", [str(out / "events.parquet")])
    con.execute(
        "create table products as select * exclude replenishable replace (product_id::varchar as product_id), "
        "coalesce(replenishable, false) as replenishable, string_split(category, ' > ')[1] as department "
        "from read_json(?)",
        [str(out / "products.jsonl")],
    )
    return report, con


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    out = tmp_path_factory.mktemp("month")
    config = SimulatorConfig(customers=4_000, products=500, days=28, seed=3, pictures=False)
    return _load((simulate(config, out), out))


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    out = tmp_path_factory.mktemp("year")
    config = SimulatorConfig(customers=700, products=450, days=365, visits_per_month=4, pictures=False)
    return _load((simulate(config, out), out))


@pytest.fixture(scope="module")
def big_baskets(tmp_path_factory):
    """A shop whose carts are filled easily and always paid, for figures about what is bought together."""
    out = tmp_path_factory.mktemp("big_baskets")
    always = {"cart_rate": 0.02, "checkout_rate": 1.0, "payment_rate": 1.0}
    return _load((simulate(SimulatorConfig(customers=3_000, days=21, pictures=False, **always), out), out))


def _one(con, query):
    return con.execute(query).fetchone()


def test_one_to_six_percent_of_sessions_end_with_an_order(month):
    report, con = month
    sessions, orders = _one(
        con, "select count(distinct session_id), count(distinct order_id) filter (event_type = 'purchase') from events"
    )
    assert 0.01 < orders / sessions < 0.06
    assert report.conversion == pytest.approx(orders / sessions, abs=1e-4)
    assert (report.sessions, report.orders) == (sessions, orders)


def test_most_carts_are_abandoned(month):
    report, con = month
    carts, bought = _one(
        con,
        "select count(*), count(*) filter (has_order) from (select bool_or(event_type = 'cart_add') as has_cart, "
        "bool_or(event_type = 'purchase') as has_order from events where session_id is not null group by session_id) "
        "where has_cart",
    )
    assert 0.55 < 1 - bought / carts < 0.85
    assert report.cart_abandonment == pytest.approx(1 - bought / carts, abs=1e-4)


def test_the_top_fifth_of_products_has_most_views_but_not_all(month):
    share, viewed = _one(
        month[1],
        "with views as (select count(*) as n from events where event_type = 'view' group by product_id), "
        "ranked as (select n, row_number() over (order by n desc) as place from views) "
        "select sum(n) filter (place <= 100) / sum(n), count(*) from ranked",
    )
    assert 0.5 < share < 0.9
    assert viewed > 400


def test_sessions_have_three_to_eight_events(month):
    report, con = month
    (mean,) = _one(con, "select count(*) / count(distinct session_id) from events where session_id is not null")
    assert 3 < mean < 8
    assert report.session_length == pytest.approx(mean, abs=1e-3)


def test_many_customers_return_and_many_do_not(month):
    report, con = month
    (returning,) = _one(
        con, "select avg((n > 1)::int) from (select count(distinct session_id) as n from events group by customer_id)"
    )
    assert 0.3 < returning < 0.75
    assert report.returning_customers == pytest.approx(returning, abs=1e-3)


def test_the_evening_is_busiest_and_the_night_quiet(month):
    by_hour = dict(month[1].execute("select hour(timestamp), count(*) from events group by all").fetchall())
    assert 18 <= max(by_hour, key=by_hour.get) <= 22
    assert sum(by_hour.get(hour, 0) for hour in range(1, 5)) < 0.1 * sum(by_hour.values())


def test_sunday_is_busier_than_friday(month):
    by_day = dict(
        month[1].execute("select isodow(timestamp), count(distinct session_id) from events group by all").fetchall()
    )
    assert by_day[7] > 1.1 * by_day[5]


def test_customers_look_at_their_own_categories_more_than_others_do(month):
    """Two halves of a customer's sessions share departments more often than those of two strangers would."""
    own, base = _one(
        month[1],
        "with views as (select customer_id, hash(session_id) % 2 as half, department, count(*) as n "
        "from events join products using (product_id) where event_type = 'view' group by all), "
        "shares as (select *, n / sum(n) over (partition by customer_id, half) as share from views), "
        "means as (select department, sum(n) / sum(sum(n)) over () as share from views group by all) "
        "select (select sum(a.share * b.share) / (select count(*) from (select customer_id from views group by 1 "
        "having count(distinct half) = 2)) from shares a join shares b on a.customer_id = b.customer_id "
        "and a.department = b.department where a.half = 0 and b.half = 1), (select sum(share * share) from means)",
    )
    assert own > 1.5 * base


def test_complements_are_bought_together_above_chance(big_baskets):
    """Orders that hold two categories that go together, against as many orders put together at random."""
    con = big_baskets[1]
    assortment = assortment_for(500)
    pairs = {tuple(sorted((i, int(j)))) for i, others in enumerate(assortment.complements) for j in others if j >= 0}
    paths = [(assortment.categories[i].path, assortment.categories[j].path) for i, j in sorted(pairs)]
    con.execute("create or replace temp table pairs (a varchar, b varchar)")
    con.executemany("insert into pairs values (?, ?)", paths)
    together, by_chance = _one(
        con,
        "with lines as (select distinct order_id, products.category as path from events join products "
        "using (product_id) where event_type = 'purchase'), "
        "orders as (select count(distinct order_id) as n from lines), "
        "counts as (select path, count(*) as n from lines group by path) "
        "select (select count(*) from pairs join lines x on x.path = a join lines y on y.path = b "
        "and x.order_id = y.order_id), (select sum(x.n * y.n / orders.n) from pairs join counts x on x.path = a "
        "join counts y on y.path = b, orders)",
    )
    assert together > 50
    assert together > 2 * by_chance


def test_gardens_are_wanted_in_spring_and_scarves_in_winter(year):
    spring, autumn, winter, summer = _one(
        year[1],
        "select count(*) filter (category like '%Seeds' and month(timestamp) in (3, 4, 5)), "
        "count(*) filter (category like '%Seeds' and month(timestamp) in (9, 10, 11)), "
        "count(*) filter (category like '%Scarves%' and month(timestamp) in (11, 12, 1)), "
        "count(*) filter (category like '%Scarves%' and month(timestamp) in (5, 6, 7)) "
        "from (select timestamp, product_id from events where event_type = 'view') join products using (product_id)",
    )
    assert spring > 3 * autumn
    assert winter > 3 * summer


def test_what_is_used_up_is_bought_again_by_the_same_customer(year):
    again, other = _one(
        year[1],
        "select count(*) filter (replenishable and n > 1) / count(*) filter (replenishable), "
        "count(*) filter (not replenishable and n > 1) / count(*) filter (not replenishable) from "
        "(select customer_id, product_id, count(distinct order_id) as n from events where event_type = 'purchase' "
        "group by all) join products using (product_id)",
    )
    assert again > other
    assert again > 0.05


def test_every_act_of_an_order_hangs_together(month):
    """Purchases follow a cart_add of the same product and a checkout in their session; refunds name a real order."""
    con = month[1]
    for step in ("cart_add", "checkout"):
        missing = con.execute(
            "select count(*) from events p where p.event_type = 'purchase' and not exists (select 1 from events e "
            "where e.event_type = $1 and e.session_id = p.session_id and e.timestamp < p.timestamp "
            "and coalesce(e.product_id, p.product_id) = p.product_id)",
            [step],
        ).fetchone()
        assert missing == (0,)
    (refunds, orphans) = _one(
        con,
        "select count(*), count(*) filter (p.order_id is null) from (select * from events where event_type = 'refund') "
        "r left join (select distinct order_id, product_id from events where event_type = 'purchase') p "
        "using (order_id, product_id)",
    )
    assert refunds > 0
    assert orphans == 0


def test_every_public_act_of_a_customer_occurs_with_its_fields(month):
    by_type = dict(month[1].execute("select event_type, count(*) from events group by all").fetchall())
    shown = {"view", "click", "cart_add", "cart_remove", "checkout", "purchase", "refund", "wishlist_add", "search"}
    assert set(by_type) == shown
    assert by_type == month[0].events_by_type
    (incomplete,) = _one(
        month[1],
        "select count(*) from events where (event_type = 'search') <> (query is not null) or "
        "(event_type in ('purchase', 'refund')) <> (order_id is not null) or "
        "(product_id is null) <> (event_type in ('search', 'checkout')) or (price is null) <> (currency is null)",
    )
    assert incomplete == 0


def test_known_and_anonymous_customers_come(month):
    known, anonymous = _one(
        month[1],
        "select count(distinct customer_id) filter (regexp_matches(customer_id, '^[0-9]+$')), "
        "count(distinct customer_id) filter (customer_id like 'visitor-%') from events",
    )
    assert 0.3 < anonymous / (known + anonymous) < 0.5
    assert known + anonymous == month[0].customers > 0.85 * 4_000
