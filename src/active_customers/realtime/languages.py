"""The languages that answers speak: texts as data, checked when they are loaded, and chosen as a request asks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import Field, StringConstraints

from active_customers.core.config import Config
from active_customers.core.errors import InvalidValueError, SettingsError, meant
from active_customers.core.recommendation import ReasonCode
from active_customers.core.shelf import Shelf
from active_customers.realtime.schemas import LANGUAGE_TAG

PRODUCT = "{product}"
"""Stands in a sentence for the name of the product that the reason rests on."""

TRENDING_ANYWHERE = "trending_anywhere"
"""What trends are called where there are none in the customer's categories."""
BECAUSE_YOU_BOUGHT = "because_you_bought"
"""What is near to a product is called where the customer bought that."""
TITLES = (*(shelf.word for shelf in Shelf), TRENDING_ANYWHERE, BECAUSE_YOU_BOUGHT)
"""What titles of shelves go by in files."""

_ENGLISH = "en"
_MOST_LETTERS = 300
"""Of a sentence."""
_LONGEST_HEADER = 512
"""Bytes of an `Accept-Language` that are looked at; those of browsers have less than a hundred."""
_RANGE = re.compile(r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)(?:\s*;\s*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?")


class TextsConfig(Config):
    """Languages that answers speak."""

    language: Annotated[str, StringConstraints(pattern=LANGUAGE_TAG), Field(max_length=35)] = _ENGLISH
    """Language of answers where a request asks for none, or for none that there is: en, de, or one of `folder`."""
    folder: str = ""
    """Folder with the shop's own texts, a file for each language, such as fr.yaml; empty for none."""


class Language(NamedTuple):
    """What reasons and shelves are called in one language.

    `unnamed` is what a product is called that must not be named; `titles` are those of shelves, by `TITLES`.
    """

    tag: str
    unnamed: str
    sentences: Mapping[ReasonCode, str]
    titles: Mapping[str, str]


class Languages:
    """Languages by number; number 0 is the shop's own.

    >>> languages = load_languages(TextsConfig())
    >>> languages.known[languages.asked("", [(b"accept-language", b"fr, de-AT;q=0.8, en;q=0.5")])].tag
    'de'
    """

    def __init__(self, known: Iterable[Language]) -> None:
        self.known = tuple(known)
        self._tags = [language.tag.lower() for language in self.known]
        self._chosen = lru_cache(maxsize=1024)(self._choose)  # browsers send few, strangers as many as they like

    def asked(self, lang: str, headers: Iterable[tuple[bytes, bytes]]) -> int:
        """Return the number of the language that a request asks for: by `lang`, else by its `Accept-Language`."""
        if lang:
            return self._chosen(lang.encode())
        for name, value in headers:
            if name == b"accept-language":
                return self._chosen(value) if len(value) <= _LONGEST_HEADER else 0
        return 0

    def _choose(self, header: bytes) -> int:
        """Return the best of the languages for an `Accept-Language` (RFC 9110, 12.5.4), by the lookup of RFC 4647, 3.4.

        Of what is wanted most the first that there is: as it is written, then by less and less of it, then with more
        to it, so that de-AT finds de and pt finds pt-BR. What has a quality of 0 is not given for `*`.
        """
        ranges = list(_ranges(header.decode("latin-1")))
        refused = [wanted for wanted, quality in ranges if quality == 0]
        for wanted, quality in sorted(ranges, key=lambda pair: -pair[1]):
            if quality == 0:
                break
            fitting = self._not(refused) if wanted == "*" else self._fitting(wanted)
            if fitting is not None:
                return fitting
        return 0

    def _fitting(self, wanted: str) -> int | None:
        shorter = wanted
        while shorter:
            if shorter in self._tags:
                return self._tags.index(shorter)
            shorter = shorter.rpartition("-")[0]
        return next((number for number, tag in enumerate(self._tags) if tag.startswith(f"{wanted}-")), None)

    def _not(self, refused: list[str]) -> int | None:
        """Return the first language that none of the refused ranges means."""
        return next(
            (
                number
                for number, tag in enumerate(self._tags)
                if not any(tag == other or tag.startswith(f"{other}-") for other in refused)
            ),
            None,
        )


def _ranges(header: str) -> Iterator[tuple[str, float]]:
    """Yield what a header asks for, with qualities; what is not well formed is passed over."""
    for part in header.split(","):
        match = _RANGE.fullmatch(part.strip(" \t"))
        if match is not None:
            yield match[1].lower(), 1.0 if match[2] is None else float(match[2])


def load_languages(config: TextsConfig) -> Languages:
    """Return the shipped languages and the shop's own, the default first.

    A file of the shop's may change single sentences of a shipped language; one of another language holds them all.
    Raises `InvalidValueError` that names file, key and remedy, `SettingsError` for a default that is none of them.
    """
    found = {tag: _language(f"{tag}.yaml", text, None) for tag, text in _shipped()}
    english = found[_ENGLISH]
    for language in found.values():
        _check_placeholders(f"{language.tag}.yaml", language, english)
    for file, text in _own(config.folder):
        language = _language(file, text, found.get(Path(file).stem))
        _check_placeholders(file, language, english)
        found[language.tag] = language
    by_tag = {tag.lower(): language for tag, language in found.items()}
    default = by_tag.get(config.language.lower())
    if default is None:
        remedy = f"there are {', '.join(sorted(found))}: choose one of them, or put a file into texts.folder"
        raise SettingsError("texts.language", config.language, remedy)
    return Languages([default, *(language for tag, language in sorted(found.items()) if language is not default)])


@cache
def shipped_languages() -> Languages:
    """Return the languages of the package, English first."""
    return load_languages(TextsConfig())


def _shipped() -> Iterator[tuple[str, str]]:
    for entry in resources.files(__package__).joinpath("texts").iterdir():
        if entry.name.endswith(".yaml"):
            yield entry.name.removesuffix(".yaml"), entry.read_text(encoding="utf-8")


def _own(folder: str) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the shop's files."""
    if not folder:
        return
    if not Path(folder).is_dir():
        raise SettingsError("texts.folder", folder, "there is no such folder: make it, or leave the setting empty")
    for path in sorted(Path(folder).glob("*.yaml")):
        if not re.fullmatch(LANGUAGE_TAG, path.stem):
            raise InvalidValueError("texts.folder", path.name, "name the file after its language, such as fr.yaml")
        try:
            yield path.name, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidValueError("texts.folder", str(path), f"it cannot be read as UTF-8 ({error})") from error


def _language(file: str, text: str, before: Language | None) -> Language:
    """Return the language that a file holds; what it lacks is as it was `before`."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidValueError(file, None, f"it cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not isinstance(content.get("reasons"), dict):
        raise InvalidValueError(file, content, "give it the keys `unnamed`, `reasons` and `shelves`, as in en.yaml")
    by_word = {code.word: code for code in ReasonCode}
    known = {} if before is None else {code.word: sentence for code, sentence in before.sentences.items()}
    sentences = _texts(f"{file}: reasons", content["reasons"], by_word, known)
    titles = _texts(f"{file}: shelves", content.get("shelves", {}), TITLES, {} if before is None else before.titles)
    unnamed = _sentence(f"{file}: unnamed", content.get("unnamed", None if before is None else before.unnamed))
    by_code = {by_word[word]: sentence for word, sentence in sentences.items()}
    return Language(file.removesuffix(".yaml"), unnamed, by_code, titles)


def _texts(key: str, content: Any, words: Iterable[str], before: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of a part of a file by their words; what it lacks is as it was `before`."""
    if not isinstance(content, dict):
        raise InvalidValueError(key, content, "give it a text for each word, as en.yaml does")
    texts, known = dict(before), set(words)
    for word, text in content.items():
        if word not in known:
            raise InvalidValueError(key, word, f"there is no such word; {meant(str(word), sorted(known))}")
        texts[word] = _sentence(f"{key}.{word}", text)
    missing = [word for word in words if word not in texts]
    if missing:
        raise InvalidValueError(key, None, f"give it a text for {', '.join(missing)}")
    return texts


def _sentence(key: str, text: Any) -> str:
    if not isinstance(text, str) or not text.strip() or not text.isprintable() or len(text) > _MOST_LETTERS:
        raise InvalidValueError(key, text, f"write one line of text, of {_MOST_LETTERS} characters at most")
    if re.search(r"[{}]", text.replace(PRODUCT, "")):
        raise InvalidValueError(key, text, f"{PRODUCT} is the only placeholder, and braces stand for nothing else")
    return text


def _check_placeholders(file: str, language: Language, english: Language) -> None:
    """Refuse a sentence that names no product where English does, or the other way round."""
    if PRODUCT in language.unnamed:
        raise InvalidValueError(
            f"{file}: unnamed", language.unnamed, f"it stands where no product is named: no {PRODUCT}"
        )
    of_reasons = [(f"reasons.{code.word}", text, english.sentences[code]) for code, text in language.sentences.items()]
    of_shelves = [(f"shelves.{word}", text, english.titles[word]) for word, text in language.titles.items()]
    for key, sentence, original in of_reasons + of_shelves:
        wanted = original.count(PRODUCT)
        if sentence.count(PRODUCT) != wanted:
            remedy = f"name {PRODUCT} {'once, as' if wanted else 'not at all, like'} en.yaml: {original!r}"
            raise InvalidValueError(f"{file}: {key}", sentence, remedy)
