"""Products that no customer has met are proposed beside those that are described alike, and the answer says so."""

from active_customers.core.product import Product

LID = Product("lid", name="Copper pan lid", category="Kitchen > Pans")


def described(shop, *products):
    """Put products into the catalogue, and refresh."""
    shop.sell(*products)
    shop.learn("v2")


def test_an_imported_product_comes_up_once_the_customer_looks_at_a_similar_one(shop):
    shop.act("ann", "view", "k1")
    assert "lid" not in shop.products("ann", n=20)
    described(shop, Product("k1", name="Pan", category="Kitchen > Pans"), LID)
    shown = {row["product_id"]: row["reason"] for row in shop.ask("ann", n=20)["recommendations"]}
    assert shown["lid"] == "Similar to Pan"
    assert shown["k2"] != "Similar to Pan"


def test_it_does_not_come_up_beside_what_is_not_described_alike(shop):
    described(shop, Product("k1", name="Pan", category="Kitchen > Pans"), LID)
    shop.act("ann", "view", "g1")
    reasons = {row["reason"] for row in shop.ask("ann", n=20)["recommendations"] if row["product_id"] == "lid"}
    assert reasons <= {"From the catalogue of this shop"}


def test_a_customer_who_looks_at_an_untouched_product_is_shown_what_it_resembles(shop):
    described(shop, Product("k1", name="Pan", category="Kitchen > Pans"), LID)
    shop.act("ann", "view", "lid")
    best = shop.ask("ann", n=1)["recommendations"][0]
    assert (best["product_id"], best["reason"]) == ("k1", "Similar to Copper pan lid")


def test_what_is_hidden_or_on_the_page_is_not_proposed_however_similar(shop):
    described(shop, Product("k1", name="Pan", category="Kitchen > Pans"), LID)
    shop.act("ann", "view", "k1")
    assert "lid" not in shop.products("ann", n=20, product_id="lid")
    shop.act("ann", "hide", "lid")
    assert "lid" not in shop.products("ann", n=20)
