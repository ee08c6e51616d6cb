"""Product feeds as other systems write them: what they say becomes products, what is wrong costs its own row only."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.importing.conftest import MemoryShop
from tests.importing.test_products import bring_in

from active_customers.core.clock import parse_time
from active_customers.core.errors import InvalidValueError
from active_customers.core.product import Product
from active_customers.importing.feed_items import FeedReader
from active_customers.importing.products import check_products, import_products
from active_customers.importing.request import ImportConfig, ImportRequest
from active_customers.importing.source import Wanted

HEAD = '<?xml version="1.0"?>\n<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel><title>Shop</title>'
FOOT = "</channel></rss>"
GOOGLE = "google-merchant"
LENIENT = ImportConfig(most_rejected_share=1.0)


def item(product: str, **fields: str) -> str:
    given = {"id": product, "title": product.title(), "price": "10 EUR", "availability": "in_stock"} | fields
    return "<item>" + "".join(f"<g:{name}>{text}</g:{name}>" for name, text in given.items() if text) + "</item>"


def feed(*items: str, head: str = HEAD) -> bytes:
    return "\n".join([head, *items, FOOT]).encode()


def reasons(report) -> dict[int, str]:
    return {reject.row: reject.reason for _, reject in report.examples}


def test_every_field_of_a_merchant_feed_is_understood(shop, write_raw):
    full = """<item>
      <title>not Google's</title><g:id>7</g:id><g:title><![CDATA[Oak & steel]]></g:title>
      <description>&lt;p&gt;Oiled&lt;/p&gt; oak</description><link>https://shop.example/7</link>
      <g:image_link>https://shop.example/7.png</g:image_link><g:product_type>Home > Boards</g:product_type>
      <g:brand>Mare</g:brand><g:price>1,299.00 EUR</g:price><g:sale_price>999,50 EUR</g:sale_price>
      <g:sale_price_effective_date>2025-01-01T00:00+0100/2025-02-01T00:00:00Z</g:sale_price_effective_date>
      <g:availability>preorder</g:availability><g:availability_date>2025-03-01</g:availability_date>
      <g:item_group_id>boards</g:item_group_id><g:color>brown</g:color><g:size>L</g:size>
      <g:custom_label_0>gift</g:custom_label_0><g:custom_label_3>new</g:custom_label_3>
      <g:shipping><g:country>DE</g:country><g:price>4 EUR</g:price></g:shipping>
    </item>"""
    report, products = bring_in(shop, write_raw("feed.xml", feed(full)), preset=GOOGLE)
    assert (report.accepted, report.rejected.total()) == (1, 0)
    assert products["7"] == Product(
        "7",
        name="Oak & steel",
        description="Oiled oak",
        category="Home > Boards",
        brand="Mare",
        price=1299.0,
        currency="EUR",
        sale_price=999.5,
        sale_from=parse_time("2025-01-01T00:00:00+01:00"),
        sale_until=parse_time("2025-02-01T00:00:00Z"),
        availability="preorder",
        released=parse_time("2025-03-01T00:00:00Z"),
        variant_group="boards",
        url="https://shop.example/7",
        image="https://shop.example/7.png",
        tags=("gift", "new"),
        attributes={"colour": "brown", "size": "L"},
    )


def test_atom_and_tsv_say_the_same_as_rss(shop, write_raw):
    atom = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
      <entry><g:id>a</g:id><title>Pan</title><link href="https://shop.example/a"/><g:price>5 EUR</g:price>
      <g:availability>out of stock</g:availability></entry></feed>"""
    tsv = "id\ttitle\tlink\tprice\tavailability\titem group id\nb\tPot\thttps://shop.example/b\t6 EUR\tIn Stock\tg\n"
    paths = write_raw("a.atom", atom.encode()), write_raw("b.tsv.gz", tsv.encode())
    _, products = bring_in(shop, *paths, preset=GOOGLE)
    assert list(products.values()) == [
        Product("a", "Pan", url="https://shop.example/a", price=5.0, currency="EUR", availability="out_of_stock"),
        Product(
            "b",
            "Pot",
            url="https://shop.example/b",
            price=6.0,
            currency="EUR",
            availability="in_stock",
            variant_group="g",
        ),
    ]


def test_what_is_wrong_with_an_item_costs_only_itself(shop, write_raw):
    items = [
        item("good"),
        "<item><g:id>broken</g:id><g:title>A & B</g:title></item>",
        item("negative", price="-1 EUR"),
        item("dear", sale_price="11 EUR"),
        item("nameless", title=""),
        item("good"),
        item("perhaps", availability="perhaps"),
        item("script", link="javascript:alert(1)"),
        item("last"),
    ]
    report, products = bring_in(shop, write_raw("feed.xml", feed(*items)), preset=GOOGLE)
    assert list(products) == ["dear", "good", "script", "last"]
    assert (report.rejected.total(), report.repeated, report.left_out.total()) == (4, 1, 2)
    found = reasons(report)
    assert found[2] == (
        "line 4: item: 'g:id>broken</g:id><g:title>A & B</g:title></item>' is not valid: "
        "write it as well-formed XML (not well-formed (invalid token))"
    )
    assert found[3].startswith("price: '-1 EUR' is not valid: give a number such as 9.99, zero or above")
    assert found[5].startswith("name (column title): it is required")


def test_text_in_another_encoding_is_read_as_declared_and_rejected_where_it_lies(shop, write_raw):
    latin = feed(item("a", title="Käse"), head=HEAD.replace("?>", ' encoding="ISO-8859-1"?>', 1))
    wrong = feed(item("b", title="Käse"), item("c")).replace("Käse".encode(), "Käse".encode("latin-1"))
    utf16 = feed(item("d", title="Käse")).decode().encode("utf-16")
    paths = [
        write_raw("latin.xml", latin.decode().encode("latin-1")),
        write_raw("wrong.xml", wrong),
        write_raw("utf16.xml", utf16),
    ]
    report, products = bring_in(shop, *paths, preset=GOOGLE)
    assert {product: entry.name for product, entry in products.items()} == {"a": "Käse", "c": "C", "d": "Käse"}
    assert "text is utf-8, as the feed says" in reasons(report)[1]


BOMB = """<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]>
<rss><channel>"""


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (feed(item("a", title="&lol2;"), head=BOMB), "a feed declares no entities"),
        (feed(item("a"), head='<!DOCTYPE rss SYSTEM "http://evil.example/x.dtd"><rss>'), "a feed declares no entities"),
        (feed(item("a"), head='<?xml version="1.0" encoding="klingon"?><rss>'), "write the feed in UTF-8"),
        (b"<rss>" + b"x" * (1 << 20), "a feed has <item> or <entry> elements"),
    ],
    ids=["bomb", "external", "encoding", "no feed"],
)
def test_what_is_no_feed_or_a_trap_is_refused_whole(shop, write_raw, content, remedy):
    with pytest.raises(InvalidValueError, match=remedy):
        bring_in(shop, write_raw("feed.xml", content), preset=GOOGLE)
    assert shop.store.catalog.n_products() == 0


def test_an_entity_that_only_an_item_uses_is_not_expanded(shop, write_raw):
    report, products = bring_in(shop, write_raw("feed.xml", feed(item("a", title="&lol;"), item("b"))), preset=GOOGLE)
    assert list(products) == ["b"]
    assert "undefined entity" in reasons(report)[1]


def test_a_feed_that_is_cut_off_gives_what_is_whole_and_says_so(shop, write_raw):
    content = feed(item("a"), item("b"))
    cut = content[: content.index(b"<g:title>B")]
    report, products = bring_in(shop, write_raw("feed.xml", cut), preset=GOOGLE)
    assert list(products) == ["a"]
    assert "cut off" in reasons(report)[2]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20), max_size=8),
    st.integers(1, 40),
)
def test_items_are_the_same_however_the_file_is_cut_into_blocks(tmp_path_factory, names, block):
    """Whatever stands in an item, and wherever a block ends."""
    path = tmp_path_factory.mktemp("feed") / "feed.xml"
    path.write_bytes(
        feed(*(f"<item><g:id>{i}</g:id><g:title><![CDATA[{n}]]></g:title></item>" for i, n in enumerate(names)))
    )

    def read(block_bytes: int):
        [batch] = FeedReader(1_000, block_bytes).batches(path, Wanted(("id", "title")))
        columns = {name: column.to_pylist() for name, column in batch.columns.items()}
        return batch.rows.tolist(), columns, [reject.row for reject in batch.rejects]

    assert read(block) == read(1 << 20)


def test_an_item_that_is_too_long_is_rejected_and_memory_stays_small(shop, write_raw):
    long = item("long", description="x" * (3 << 20))
    report, products = bring_in(shop, write_raw("feed.xml", feed(item("a"), long, item("b"))), preset=GOOGLE)
    assert list(products) == ["a", "b"]
    assert "at most 1 MiB" in reasons(report)[2]


SHOPIFY = """Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,\
Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,\
Variant Compare At Price,Image Src,Status
boot,Boot,<p>Warm</p>,Mare,Shoes,"winter, new",TRUE,Size,40,Colour,red,B-40,shopify,3,deny,80.00,100.00,https://i/1.png,active
boot,,,,,,,,41,,blue,B-41,shopify,-2,deny,80.00,,,
boot,,,,,,,,42,,blue,B-42,shopify,0,continue,80.00,70.00,,
boot,,,,,,,,,,,,,,,,,https://i/2.png,
card,Gift card,,Mare,Gifts,,FALSE,Title,Default Title,,,,,0,deny,25.00,,,active
sock,Sock,,Mare,Shoes,,TRUE,Title,Default Title,,,S-1,,0,deny,5.00,,,draft
"""


def expected_boots() -> list[Product]:
    common = {
        "name": "Boot",
        "description": "Warm",
        "brand": "Mare",
        "category": "Shoes",
        "url": "/products/boot",
        "image": "https://i/1.png",
        "variant_group": "boot",
        "tags": ("winter", "new"),
    }
    return [
        Product("B-40", **common, price=100.0, sale_price=80.0, stock=3, attributes={"Size": "40", "Colour": "red"}),
        Product("B-41", **common, price=80.0, stock=0, attributes={"Size": "41", "Colour": "blue"}),
        Product(
            "B-42", **common, price=80.0, stock=0, availability="backorder", attributes={"Size": "42", "Colour": "blue"}
        ),
    ]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_a_shopify_export_is_a_product_a_variant_however_its_rows_are_batched(shop, write_raw, batch_rows):
    path, config = write_raw("products_export.csv", SHOPIFY.encode()), ImportConfig(batch_rows=batch_rows)
    report = import_products(shop.request(path, preset="shopify", config=config), shop, shop.clock)
    products = {product.product_id: product for _, product in shop.store.catalog.products()}
    assert report.rejected.total() == 0
    assert [products[sku] for sku in ("B-40", "B-41", "B-42")] == expected_boots()
    card, sock = products["card"], products["S-1"]
    assert (card.hidden, card.stock, card.attributes) == (True, None, {})
    assert (sock.hidden, sock.name) == (True, "Sock")
    assert len(products) == 5


def catalogue(shop: MemoryShop) -> dict[str, str | None]:
    return {product.product_id: product.told_availability for _, product in shop.store.catalog.products()}


def full(shop: MemoryShop, *paths, **more):
    request = ImportRequest(paths, shop.data_dir, GOOGLE, full=True, **{"config": LENIENT, **more})
    return import_products(request, shop, shop.clock, catalog=shop.store.catalog)


def test_a_full_feed_makes_unavailable_what_it_lacks_and_brings_back_what_it_has(shop, write_raw):
    both, one = write_raw("1.xml", feed(item("a"), item("b"))), write_raw("2.xml", feed(item("a")))
    assert full(shop, both).withdrawn == 0
    report = full(shop, one)
    assert report.withdrawn == 1
    assert "1 others are unavailable now" in str(report)
    assert catalogue(shop) == {"a": "in_stock", "b": "out_of_stock"}
    assert full(shop, one).withdrawn == 0
    full(shop, both)
    assert catalogue(shop) == {"a": "in_stock", "b": "in_stock"}


def test_what_a_full_feed_has_but_cannot_be_read_stays_as_it_was(shop, write_raw):
    full(shop, write_raw("1.xml", feed(item("a"), item("b"), item("c"))))
    full(shop, write_raw("2.xml", feed(item("a", price="-1 EUR"), item("b"))))
    assert catalogue(shop) == {"a": "in_stock", "b": "in_stock", "c": "out_of_stock"}


def test_a_full_feed_that_is_cut_off_makes_nothing_unavailable(shop, write_raw):
    content = feed(item("a"), item("b"))
    full(shop, write_raw("1.xml", content))
    report = full(shop, write_raw("2.xml", content[: content.index(b"<g:title>B")]))
    assert report.withdrawn is None
    assert "nothing was made unavailable" in str(report)
    assert catalogue(shop) == {"a": "in_stock", "b": "in_stock"}


def test_a_full_feed_that_lacks_most_of_the_catalogue_is_refused_unless_it_is_forced(shop, write_raw):
    full(shop, write_raw("1.xml", feed(item("a"), item("b"), item("c"))))
    cut = write_raw("2.xml", feed(item("a", title="New name")))
    with pytest.raises(InvalidValueError, match=r"2 of 3 products are not in it.*say --force"):
        full(shop, cut)
    assert catalogue(shop) == {"a": "in_stock", "b": "in_stock", "c": "in_stock"}
    assert shop.store.catalog.product(0).name != "New name"  # nothing of it was imported
    assert full(shop, cut, force=True).withdrawn == 2
    assert catalogue(shop) == {"a": "in_stock", "b": "out_of_stock", "c": "out_of_stock"}
    assert full(shop, cut).withdrawn == 0  # what is unavailable already is not counted again


def test_how_much_a_full_feed_may_lack_is_a_setting(shop, write_raw):
    config = ImportConfig(most_withdrawn_share=0.1)
    full(shop, write_raw("1.xml", feed(item("a"), item("b"), item("c"))), config=config)
    with pytest.raises(InvalidValueError, match="over 10% would become unavailable"):
        full(shop, write_raw("2.xml", feed(item("a"), item("b"))), config=config)


def test_a_dry_run_of_a_full_feed_says_what_would_become_unavailable(shop, write_raw):
    full(shop, write_raw("1.xml", feed(item("a"), item("b"))))
    request = ImportRequest([write_raw("2.xml", feed(item("b")))], shop.data_dir, GOOGLE, full=True)
    report = check_products(request, catalog=shop.store.catalog)
    assert report.withdrawn == 1
    assert "1 others would become unavailable" in str(report)
    assert catalogue(shop) == {"a": "in_stock", "b": "in_stock"}


def test_a_merged_file_changes_what_it_says_and_keeps_the_rest(shop, write):
    bring_in(shop, write("all.csv", [{"product_id": "a", "name": "Pan", "price": 5, "stock": 1}]))
    rows = [
        {"product_id": "a", "stock": 0, "sale_price": None, "price": None},
        {"product_id": "b", "stock": 2, "sale_price": None, "price": 3},
        {"product_id": "a", "stock": 4, "sale_price": None, "price": 4},
    ]
    request = ImportRequest([write("stock.csv", rows)], shop.data_dir, merge=True)
    report = import_products(request, shop, shop.clock)
    assert [product for _, product in shop.store.catalog.products()] == [
        Product("a", name="Pan", price=4.0, stock=4),
        Product("b", price=3.0, stock=2),
    ]
    assert report.products == 2


def test_a_merge_that_the_entry_forbids_is_rejected_by_name(shop, write):
    bring_in(shop, write("all.csv", [{"product_id": "a", "price": 5, "sale_price": 4}]))
    request = ImportRequest([write("new.csv", [{"product_id": "a", "price": 3}])], shop.data_dir, merge=True)
    report = import_products(request, shop, shop.clock)
    assert report.rejected == {"a: sale_price: it is at most the price, 3.0": 1}
    assert shop.store.catalog.product(0).price == 5.0


NATIVE = {
    "product_id": "p",
    "price": 9.0,
    "sale_price": 5.0,
    "sale_from": "2025-01-01",
    "sale_until": "2025-02-01",
    "stock": 3,
    "availability": "backorder",
    "tags": ["a", "b"],
    "attributes": {"colour": "red", "sizes": ["S", "M"], "weight": 1.5},
    "hidden": True,
}


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_native_files_have_all_fields(shop, write, ending):
    _, products = bring_in(shop, write(f"p.{ending}", [NATIVE]))
    entry = products["p"]
    assert (entry.price, entry.sale_price, entry.stock, entry.availability, entry.hidden) == (
        9.0,
        5.0,
        3,
        "backorder",
        True,
    )
    assert (entry.sale_from, entry.sale_until) == tuple(
        map(parse_time, ("2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"))
    )
    assert entry.tags == ("a", "b")
    assert entry.attributes == {"colour": "red", "sizes": ["S", "M"], "weight": 1.5}


def test_native_text_divides_tags_and_reads_attributes_as_json(shop, write_raw):
    text = 'product_id,tags,attributes\np,"a, b","{""size"": 4}"\nq,,not json\nr,,"{""x"": {""y"": 1}}"\n'
    report, products = bring_in(shop, write_raw("p.csv", text.encode()))
    assert products == {
        "p": Product("p", tags=("a", "b"), attributes={"size": 4}),
        "q": Product("q"),
        "r": Product("r"),
    }
    assert [each.field for _, each in report.warnings] == ["attributes", "attributes"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("stock", "1.5"), ("stock", "-1"), ("currency", "euros"), ("availability", "?"), ("hidden", "perhaps")],
)
def test_bad_values_of_native_files_are_rejected_by_name(shop, write, field, value):
    rows = [{"product_id": "ok", "price": 5, field: None}, {"product_id": "bad", "price": 5, field: value}]
    report, products = bring_in(shop, write("p.csv", rows))
    assert list(products) == ["ok"]
    assert [(reject.row, reject.field) for _, reject in report.examples] == [(2, field)]


def test_a_dry_run_of_a_feed_changes_nothing(shop, write_raw):
    path = write_raw("feed.xml.gz", feed(item("a"), item("b", price="x")))
    assert gzip.decompress(path.read_bytes()).startswith(b"<?xml")
    report = check_products(shop.request(path, preset=GOOGLE))
    assert (report.products, report.rejected.total()) == (1, 1)
    assert shop.store.catalog.n_products() == 0
