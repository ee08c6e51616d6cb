"""Files of values are read by what divides their header, whatever their name promises."""

from __future__ import annotations

import pytest
from tests.importing.test_products import bring_in

from active_customers.core.product import Product


@pytest.mark.parametrize("divider", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.csv.gz"])
def test_what_divides_the_header_divides_the_rows(shop, write_raw, name, divider):
    rows = [["product_id", "name", "price"], ["a", "Pan", "9.5"], ["b", f'"Pot {divider} lid"', "5"]]
    content = "\r\n".join(divider.join(row) for row in rows).encode("utf-8-sig")
    report, products = bring_in(shop, write_raw(name, content))
    assert report.rejected.total() == 0
    assert list(products.values()) == [Product("a", "Pan", price=9.5), Product("b", f"Pot {divider} lid", price=5.0)]


def test_a_divider_inside_quotes_of_the_header_divides_nothing(shop, write_raw):
    _, products = bring_in(shop, write_raw("p.csv", b'product_id;name;"price, net"\na;Pan;5\n'))
    assert products == {"a": Product("a", "Pan")}


def test_a_header_with_its_own_divider_is_read_by_it(shop, write_raw):
    report, products = bring_in(shop, write_raw("p.csv", b"product_id,a;b;c;d\na,1\n"))
    assert (list(products), report.notes) == (["a"], ["columns not used: a;b;c;d"])


def test_a_file_of_one_column_is_read(shop, write_raw):
    _, products = bring_in(shop, write_raw("p.csv", b"product_id\na\n"))
    assert list(products) == ["a"]


def test_rows_with_other_numbers_of_values_are_still_told(shop, write_raw):
    report, products = bring_in(shop, write_raw("p.csv", b"product_id;name\na;Pan\nb;Pot;1\n"))
    assert list(products) == ["a"]
    assert "a row has 2 values like the header, not 3" in report.examples[0][1].reason
