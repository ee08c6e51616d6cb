"""The simulated catalogue: unique names, believable prices, valid pictures."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from active_customers.evaluation.simulator.assortment import assortment_for
from active_customers.evaluation.simulator.catalogue import make_catalogue
from active_customers.evaluation.simulator.config import SimulatorConfig
from active_customers.evaluation.simulator.customers import customer_id
from active_customers.evaluation.simulator.naming import described
from active_customers.evaluation.simulator.pictures import Painter

CONFIG = SimulatorConfig(products=3_000, days=30, seed=2)


@pytest.fixture(scope="module")
def catalogue():
    return make_catalogue(CONFIG, assortment_for(CONFIG.products))


@pytest.fixture(scope="module")
def products(catalogue):
    return list(described(catalogue, pictures=True))


@pytest.mark.parametrize("n", [1, 2, 7, 16, 100, 449])
def test_a_catalogue_of_any_size_has_exactly_that_many_products(n):
    config = SimulatorConfig(products=n)
    catalogue = make_catalogue(config, assortment_for(n))
    assert len(catalogue) == len(list(described(catalogue, pictures=False))) == n
    assert catalogue.demand.sum() == pytest.approx(1)
    assert np.all(np.diff(catalogue.kind_start) > 0)


def test_names_and_ids_are_unique_and_made_of_brand_and_kind(catalogue, products):
    assert len({product.name for product in products}) == len({product.product_id for product in products}) == 3_000
    kinds = set(catalogue.assortment.kinds)
    for i, product in enumerate(products):
        assert product.name.startswith(product.brand)
        assert catalogue.assortment.kinds[catalogue.kind[i]] in product.name
    assert len(kinds) == len(catalogue.assortment.kinds)


def test_variants_share_brand_category_and_release_and_differ_in_name(products):
    groups = {}
    for product in products:
        if product.variant_group:
            groups.setdefault(product.variant_group, []).append(product)
    assert len(groups) > 100
    for variants in groups.values():
        assert len(variants) > 1
        assert len({(v.brand, v.category, v.released) for v in variants}) == 1


def test_prices_follow_category_brand_and_size(catalogue):
    assert np.all(np.isin(np.round(catalogue.price * 100).astype(int) % 100, [49, 99, 90, 95, 0]))
    assert catalogue.price.min() > 0
    names = [category.name for category in catalogue.assortment.categories]
    median = {name: np.median(catalogue.price[catalogue.category == i]) for i, name in enumerate(names)}
    assert median["Laptops"] > 5 * median["Mice & Keyboards"] > 5 * median["Seeds"]
    level = np.array([brand.level for brand in catalogue.assortment.brands])[catalogue.brand]
    assert np.corrcoef(level, catalogue.dearness)[0, 1] > 0.2
    sized = np.array([category.sized for category in catalogue.assortment.categories])[catalogue.category]
    same = (np.diff(catalogue.group) == 0) & sized[1:]
    assert np.all(np.diff(catalogue.price)[same] >= 0)


def test_part_of_the_catalogue_appears_within_the_period(catalogue):
    within = catalogue.released >= CONFIG.start
    assert 0.05 < within.mean() < 0.15
    assert np.all(catalogue.released < CONFIG.stop)
    firsts = catalogue.kind_start[:-1]
    assert all(
        np.any(catalogue.released[start:stop] < CONFIG.start)
        for start, stop in zip(firsts, catalogue.kind_start[1:], strict=True)
    )


def test_related_products_are_of_the_category_and_alike(catalogue):
    assert np.all(catalogue.category[catalogue.related] == catalogue.category[:, None])
    likeness = np.einsum("nd,nrd->nr", catalogue.style, catalogue.style[catalogue.related])
    likeness[catalogue.related == np.arange(len(catalogue))[:, None]] = -1  # the product itself only fills up
    assert np.all(np.diff(likeness, axis=1) < 1e-9)


def test_every_category_goes_with_another_and_some_products_are_used_up(catalogue, products):
    assert np.all(catalogue.assortment.complements[:, 0] >= 0)
    used_up = {product.category for product in products if product.replenishable}
    assert {"Grocery > Coffee & Tea > Coffee", "Beauty > Hair > Shampoo", "Pets > Dogs > Dog Food"} <= used_up
    assert "Electronics > Computers > Laptops" not in used_up


def test_every_picture_is_small_valid_xml(catalogue):
    painter = Painter(catalogue)
    pictures = [painter.picture(i) for i in range(len(catalogue))]
    assert all(200 < len(picture.encode()) < 2_048 for picture in pictures)
    for picture in pictures[::7]:
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own
        assert "$" not in picture


def test_pictures_tell_categories_and_brands_apart(catalogue):
    painter = Painter(catalogue)
    first_of_each = [painter.picture(int(start)) for start in catalogue.category_start[:-1]]
    assert len(set(first_of_each)) == len(first_of_each)
    rows = np.arange(catalogue.kind_start[0], catalogue.kind_start[1])
    by_brand = {catalogue.brand[row]: painter.picture(int(row)) for row in rows}
    assert len(by_brand) > 1
    assert len(set(by_brand.values())) == len(by_brand)


def test_customer_ids_are_unique():
    ids = {customer_id(i, is_anonymous) for i in range(20_000) for is_anonymous in (False, True)}
    assert len(ids) == 40_000
