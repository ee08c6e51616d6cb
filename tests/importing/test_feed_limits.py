"""What no feed may do: break off an import, take long over a text, or store what the API refuses."""

from __future__ import annotations

import re

import orjson
import pytest
from tests.importing.test_feeds import GOOGLE, feed, item
from tests.importing.test_merge import HEAD
from tests.importing.test_products import bring_in

from active_customers.catalog.product_schema import ProductIn
from active_customers.core.errors import InvalidValueError
from active_customers.core.product import Product
from active_customers.importing.product_values import plain_text
from active_customers.importing.products import import_products
from active_customers.importing.request import ImportConfig


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_rows_without_a_handle_share_nothing_and_break_off_nothing(shop, write_raw, batch_rows):
    rows = ",Cup,C-1,5,active\n,,C-2,6,active\n,Mug,C-3,7,active\npan,Pan,P-1,8,active\npan,,P-2,9,active\n,,C-4,6,\n"
    request = shop.request(
        write_raw("p.csv", (HEAD + rows).encode()), preset="shopify", config=ImportConfig(batch_rows=batch_rows)
    )
    report = import_products(request, shop, shop.clock)
    names = {product.product_id: product.name for _, product in shop.store.catalog.products()}
    assert names == {"C-1": "Cup", "C-3": "Mug", "P-1": "Pan", "P-2": "Pan"}
    assert [(reject.row, reject.field) for _, reject in report.examples] == [
        (2, "name (column Title)"),
        (6, "name (column Title)"),
    ]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("5 < 6 and 7 > 6", "5 6"),
        ("5 < 6", "5 < 6"),
        ("a<!-- <b>x</b> > -->b", "a b"),
        ("a<STYLE>p > b {}</style >b<script src=1>x()</script>c", "a b c"),
        ("a<script>never ended <b>", "a"),
        ("a<!-- never ended <b>", "a"),
        ("<scripted>a</scripted>", "a"),
        ("&#" + "9" * 5_000 + "; a", "&#" + "9" * 5_000 + "; a"),
    ],
)
def test_html_is_read_as_browsers_show_it(text, plain):
    assert plain_text(text) == plain


@pytest.mark.parametrize("part", ["<script ", "<!--", "<style>", "</script ", "<script>a</", "<", "<a "])
def test_the_same_mark_up_over_and_over_is_read_in_one_pass(part):
    """A megabyte of it: minutes, if every one of them were looked for to the end of the text."""
    assert len(plain_text(part * ((1 << 20) // len(part))) or "") <= 1 << 20


LONG = {
    "name": "x" * 501,
    "brand": "x" * 501,
    "description": "x" * 20_001,
    "category": "x" * 501,
    "url": "/" + "x" * 2_000,
    "image": "/" + "x" * 2_000,
    "currency": "EURO",
    "price": 1e12 + 1,
    "stock": 10**9 + 1,
    "tags": [f"t{i}" for i in range(101)],
    "attributes": {f"a{i}": 1 for i in range(201)},
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *LONG.items(),
        ("tags", ["x" * 101]),
        ("attributes", {"x" * 101: 1}),
        ("attributes", {"sizes": [str(i) for i in range(101)]}),
    ],
)
def test_what_the_api_refuses_no_file_brings_into_the_catalogue(shop, write, field, value):
    with pytest.raises(InvalidValueError):
        ProductIn.read({"price": 1.0, field: value})
    report, products = bring_in(shop, write("p.jsonl", [{"product_id": "a", field: value}, {"product_id": "b"}]))
    assert products.pop("a", Product("a")) == Product("a")
    assert list(products) == ["b"]
    assert [(each.row, each.field) for _, each in report.examples + report.warnings] == [(1, field)]


def test_what_is_as_long_as_may_be_is_imported_and_accepted_by_the_api(shop, write):
    most = {
        "name": "x" * 500,
        "brand": "x" * 500,
        "description": "x" * 20_000,
        "category": "x" * 500,
        "url": "/" + "x" * 1_999,
        "image": "/" + "x" * 1_999,
        "currency": "EUR",
        "price": 1e12,
        "stock": 10**9,
        "tags": ["x" * 100, *(f"t{i}" for i in range(99))],
        "attributes": {"x" * 100: 1} | {f"a{i}": "y" for i in range(199)},
    }
    report, products = bring_in(shop, write("p.jsonl", [most | {"product_id": "a"}]))
    assert report.rejected.total() == 0
    ProductIn.read(orjson.loads(orjson.dumps(products["a"].as_dict())))


@pytest.mark.parametrize("encoding", ["zlib", "bz2", "hex", "rot13", "idna", "undefined", "utf-16", "klingon"])
def test_a_feed_in_no_encoding_of_text_is_refused_by_name(shop, write_raw, encoding):
    content = feed(item("a"), head=f'<?xml version="1.0" encoding="{encoding}"?><rss>')
    with pytest.raises(InvalidValueError, match=re.escape(f"encoding: '{encoding}'") + ".*write the feed in UTF-8"):
        bring_in(shop, write_raw("feed.xml", content), preset=GOOGLE)
