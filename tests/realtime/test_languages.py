"""Which language an answer speaks, and what a file of texts must hold."""

from __future__ import annotations

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from active_customers.core.errors import InvalidValueError, SettingsError
from active_customers.core.event import Context
from active_customers.core.product import Product
from active_customers.core.recommendation import ReasonCode
from active_customers.realtime.languages import PRODUCT, TextsConfig, load_languages, shipped_languages
from active_customers.realtime.product_cards import ProductCards
from active_customers.realtime.schemas import Query

WORDS = [code.word for code in ReasonCode]
ENGLISH = shipped_languages().known[0]


def texts(**changes):
    """Return a complete file: the English sentences after a mark, but for what is changed."""
    reasons = {code.word: f"fr {sentence}" for code, sentence in ENGLISH.sentences.items()}
    shelves = {word: f"fr {title}" for word, title in ENGLISH.titles.items()}
    return {"unnamed": "un produit", "reasons": reasons, "shelves": shelves} | changes


def languages_with(folder, language="en", **files):
    for name, content in files.items():
        (folder / f"{name.replace('_', '-')}.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
    return load_languages(TextsConfig(language=language, folder=str(folder)))


def chosen(languages, header):
    return languages.known[languages.asked("", [(b"host", b"shop"), (b"accept-language", header.encode())])].tag


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de-AT", "de"),
        ("de-Latn-CH-1996", "de"),
        ("fr, de;q=0.3, en;q=0.7", "en"),
        ("en;q=0.7,de;q=0.71", "de"),
        ("de;q=0, *", "en"),
        ("en;q=0, *", "de"),
        ("*;q=0.1, de;q=0.001", "en"),
        ("fr-CH, fr;q=0.9, de;q=0.8, *;q=0.5", "de"),
        ("pt", "pt-BR"),
        ("pt-PT", "en"),
        ("pt-br", "pt-BR"),
        ("en-GB;q=0, en", "en"),
        ("", "en"),
        ("ja", "en"),
        ("de;q=2", "en"),
        ("de;q=0.1234, pt;q=nonsense", "en"),
        (", ,;q=1,de", "de"),
        ("d" * 600 + ",de", "en"),
    ],
)
def test_accept_language_is_understood_as_rfc_9110_has_it(tmp_path, header, tag):
    assert chosen(languages_with(tmp_path, pt_BR=texts()), header) == tag


@given(st.text(st.characters(codec="latin-1"), max_size=80))
def test_any_header_chooses_a_language(header):
    languages = shipped_languages()
    assert languages.asked("", [(b"accept-language", header.encode("latin-1"))]) in range(len(languages.known))


def test_what_is_asked_by_name_beats_the_header():
    languages = shipped_languages()
    assert languages.known[languages.asked("de-CH", [(b"accept-language", b"en")])].tag == "de"


def test_the_shop_s_language_answers_where_none_fits(tmp_path):
    languages = languages_with(tmp_path, language="DE")
    assert languages.known[0].tag == chosen(languages, "ja") == "de"
    assert chosen(languages, "en") == "en"


def test_no_header_means_the_shop_s_language():
    assert shipped_languages().asked("", [(b"accept", b"*/*")]) == 0


@pytest.mark.parametrize("language", shipped_languages().known, ids=lambda language: language.tag)
def test_every_shipped_language_has_every_reason(language):
    assert set(language.sentences) == set(ReasonCode)


def test_a_file_of_a_shipped_language_may_change_single_sentences(tmp_path):
    languages = languages_with(tmp_path, de={"reasons": {"popular": "Der Renner"}})
    german = next(language for language in languages.known if language.tag == "de")
    assert german.sentences[ReasonCode.POPULAR] == "Der Renner"
    assert german.sentences[ReasonCode.REVISIT] == "Das haben Sie sich schon angesehen"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"unnamed": "x", "reasons": {"popular": "x"}}, "fr.yaml: reasons.*text for session, revisit"),
        ({"reasons": texts()["reasons"], "shelves": texts()["shelves"]}, "fr.yaml: unnamed"),
        (texts(reasons=texts()["reasons"] | {"populer": "x"}), "did you mean popular"),
        (
            texts(reasons=texts()["reasons"] | {"session": "sans nom"}),
            r"fr.yaml: reasons.session.*name \{product\} once",
        ),
        (texts(reasons=texts()["reasons"] | {"session": PRODUCT * 2}), r"name \{product\} once"),
        (texts(reasons=texts()["reasons"] | {"popular": PRODUCT}), "not at all"),
        (texts(reasons=texts()["reasons"] | {"popular": "{name}"}), "is the only placeholder"),
        (texts(reasons=texts()["reasons"] | {"popular": 7}), "one line of text"),
        (texts(reasons=texts()["reasons"] | {"popular": "a\nb"}), "one line of text"),
        (texts(reasons=texts()["reasons"] | {"popular": "a" * 301}), "300 characters"),
        (texts(unnamed=PRODUCT), "fr.yaml: unnamed"),
        ([], "the keys `unnamed`, `reasons` and `shelves`"),
        (texts(shelves={"popular": "x"}), "fr.yaml: shelves.*text for complete_cart"),
        (
            texts(shelves=texts()["shelves"] | {"because_you_viewed": "x"}),
            r"fr.yaml: shelves.because.*name \{product\} once",
        ),
    ],
    ids=str,
)
def test_a_file_that_is_not_complete_or_not_true_to_english_is_refused(tmp_path, content, message):
    with pytest.raises(InvalidValueError, match=message):
        languages_with(tmp_path, fr=content)


def test_a_file_that_is_no_yaml_is_refused(tmp_path):
    (tmp_path / "fr.yaml").write_text("reasons: [")
    with pytest.raises(InvalidValueError, match=r"fr\.yaml.*cannot be read as YAML"):
        languages_with(tmp_path)


def test_a_file_that_is_named_after_no_language_is_refused(tmp_path):
    with pytest.raises(InvalidValueError, match="name the file after its language"):
        languages_with(tmp_path, **{"mon texte": texts()})


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"texts\.folder.*no such folder"):
        load_languages(TextsConfig(folder=str(tmp_path / "none")))


def test_a_default_that_nobody_wrote_is_refused():
    with pytest.raises(SettingsError, match=r"texts\.language.*there are de, en"):
        load_languages(TextsConfig(language="fr"))


def headers_of(reply):
    return {name: value for name, value in reply.headers if name in (b"content-language", b"vary")}


def test_an_answer_says_its_language_and_that_another_header_would_have_another(shop):
    reply = shop.reply_to_get("customer_id=anna", ((b"accept-language", b"de-DE,de;q=0.9"),))
    assert headers_of(reply) == {b"content-language": b"de", b"vary": b"accept-language"}
    assert b"Kunden dieses Shops" in reply.body
    assert headers_of(shop.reply_to_get("customer_id=anna")) == {
        b"content-language": b"en",
        b"vary": b"accept-language",
    }


def test_an_answer_in_a_language_asked_for_by_name_varies_with_no_header(shop):
    reply = shop.reply_to_get("customer_id=anna&lang=de", ((b"accept-language", b"en"),))
    assert headers_of(reply) == {b"content-language": b"de"}


@pytest.mark.parametrize("lang", ["", "de_DE", "d%C3%A9", "x" * 9, "de-" * 12])
def test_a_language_that_is_no_tag_is_refused(shop, lang):
    reply = shop.reply_to_get(f"customer_id=anna&lang={lang}")
    assert (reply.status, b'"field":"lang"' in reply.body) == (400, True)


def test_in_german_the_product_is_named_within_the_sentence(shop):
    shop.act("anna", "cart_add", "k0")
    [first, *_] = shop.ask("anna", context="cart", lang="de")["recommendations"]
    assert (first["product_id"], first["reason"]) == ("k4", "Wird zusammen mit k0 gekauft")


@pytest.mark.parametrize(
    ("lang", "reason"),
    [
        ("en", "Of interest in visits like yours that included a product you chose"),
        ("de", "Gefragt bei Besuchen wie Ihrem mit einem Produkt, das Sie gewählt haben"),
    ],
)
def test_a_hidden_product_is_no_evidence_in_any_language(shop, lang, reason):
    shop.act("anna", "view", "k0")
    shop.sell(Product("k0", name="Secret", hidden=True))
    rows = shop.ask("anna", lang=lang, n=4)["recommendations"]
    assert (rows[0]["reason"], rows[0]["evidence"]["product_ids"]) == (reason, [])
    assert "Secret" not in str(rows)


def test_a_sentence_may_begin_with_the_product(tmp_path, shop):
    languages = languages_with(tmp_path, en={"reasons": {"bought_together": f'{PRODUCT} is "alike"'}})
    shop.act("anna", "cart_add", "k0")
    answer = shop.engine.recommend(Query("anna", Context.CART))
    cards = ProductCards(shop.store.catalog, languages=languages)
    assert orjson.loads(b"[%b]" % cards.texts.rows(answer.rows, 1))[0]["reason"] == 'k0 is "alike"'
