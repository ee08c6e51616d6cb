"""What the catalogue describes alike is proposed, whether or not anybody acted on it."""

from dataclasses import replace

import numpy as np
import pytest

from active_customers.core.product import Product
from active_customers.models.content import Content, ContentConfig
from active_customers.models.product_features import About, features_of, token_weights, tokens_of

COLOURS = ["red", "blue", "green", "black"]


def catalogue(seed, n):
    """Products with words by chance, some of which are in most of them."""
    rng = np.random.default_rng(seed)
    said = []
    for product in range(n):
        words = {str(w) for w in np.minimum(rng.geometric(0.1, 6), 40)}
        said.append((product, [(About.NAME, w) for w in words] + [(About.BRAND, str(rng.integers(5)))]))
    return features_of(said, n)


def described(log, *products):
    return replace(
        log, features=features_of(((p, tokens_of(product)) for p, product in enumerate(products)), log.n_products)
    )


def plain_cosines(features, by_field):
    """All cosines from the formula, product by product."""
    n = features.n_products
    rows = [features.tokens[features.offsets[p] : features.offsets[p + 1]] for p in range(n)]
    n_with = {t: sum(t in row for row in rows) for t in range(features.n_tokens)}
    vectors = np.zeros((n, features.n_tokens))
    for product, row in enumerate(rows):
        for token in row:
            vectors[product, token] = by_field[features.fields[token]] * np.log(n / n_with[token])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def test_neighbours_are_those_of_the_largest_cosine(make_log):
    features = catalogue(1, 60)
    config = ContentConfig(neighbours=8, brand=0.5)
    model = Content(config)
    model.fit(replace(make_log([[0, 1]], 60), features=features))
    expected = plain_cosines(features, config.by_field())
    np.fill_diagonal(expected, 0)
    related = model.related
    for product in range(60):
        row = slice(related.offsets[product], related.offsets[product + 1])
        best = np.lexsort((np.arange(60), -expected[product].astype(np.float32)))[:8]
        np.testing.assert_allclose(related.weights[row], expected[product][best], rtol=1e-5)
        np.testing.assert_allclose(expected[product][related.products[row]], related.weights[row], rtol=1e-5)


def test_a_product_without_any_act_is_proposed(make_log, ask):
    log = described(
        make_log([[0, 2], [2, 0]], 4),
        Product("0", name="oak board", category="Kitchen > Boards"),
        Product("1", name="walnut board", category="Kitchen > Boards"),
        Product("2", name="garden rake", category="Garden"),
        Product("3", name="rake"),
    )
    model = Content()
    model.fit(log)
    asked = ask(0)
    assert model.candidates(asked, 5, asked.products).products.tolist() == [1]
    assert model.why(asked, 1) == 0


def test_a_rare_word_counts_more_than_a_common_one(make_log, ask):
    names = ["theremin case", "theremin stand", "case one", "case two", "case three", "lamp"]
    model = Content()
    model.fit(described(make_log([[0]], 6), *(Product(name, name=name) for name in names)))
    assert model.candidates(ask(0), 1).products.tolist() == [1]


def test_a_field_that_weighs_nothing_brings_nobody_in(make_log, ask):
    products = [Product("a", brand="Oak"), Product("b", brand="oak"), Product("c", name="lamp")]
    found = {}
    for weight in (1.0, 0.0):
        model = Content(ContentConfig(brand=weight))
        model.fit(described(make_log([[0]], 3), *products))
        found[weight] = model.candidates(ask(0), 5).products.tolist()
    assert found == {1.0: [1], 0.0: []}


def test_a_token_with_too_long_a_list_brings_nobody_in(make_log, ask):
    products = [Product(str(p), brand="all", name="pair" if p < 2 else None) for p in range(9)] + [
        Product("x", name="lamp")
    ] * 3
    near = {}
    for looks in (20, 8):
        model = Content(ContentConfig(most_looks=looks))
        model.fit(described(make_log([[0]], 12), *products))
        near[looks] = sorted(model.candidates(ask(0), 12).products.tolist())
    assert near == {20: list(range(1, 9)), 8: [1]}


def test_the_newest_product_of_the_session_counts_most(make_log, ask):
    names = ["red hat", "red sock", "blue cup", "blue jug"]
    model = Content()
    model.fit(described(make_log([[0]], 4), *(Product(name, name=name) for name in names)))
    assert model.candidates(ask(0, 2), 2, np.array([0, 2], np.uint32)).products.tolist() == [3, 1]


def test_weights_of_a_product_have_length_one_and_what_all_have_weighs_nothing():
    features = features_of(((p, [(About.BRAND, "all"), (About.NAME, COLOURS[p % 3])]) for p in range(4)), 4)
    weights = token_weights(features, np.ones(len(About)))
    assert weights.reshape(4, 2)[:, 0].tolist() == [0] * 4
    np.testing.assert_allclose(weights.reshape(4, 2)[:, 1], 1)


def test_tokens_of_a_product_that_says_nothing_are_none():
    assert list(tokens_of(Product("7"))) == []
    assert list(tokens_of(Product("7", price=0.0))) == []


def test_features_of_a_product_beyond_the_catalogue_are_refused():
    with pytest.raises(IndexError):
        features_of([(3, [])], 3)


def test_the_beginning_of_a_log_keeps_its_features(described_blocks):
    assert described_blocks.first(3).features is described_blocks.features


def test_a_log_without_features_gives_no_candidates(blocks, ask):
    model = Content()
    model.fit(blocks)
    assert len(model.candidates(ask(3), 5).products) == 0
