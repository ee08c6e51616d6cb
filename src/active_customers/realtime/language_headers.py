"""What replies say of their language: `Content-Language`, and `Vary` where the request could have changed it."""

from __future__ import annotations

from collections.abc import Iterable

from active_customers.realtime.languages import Languages
from active_customers.realtime.problems import Headers

_VARY = (b"vary", b"accept-language")


class LanguageHeaders:
    """The headers of replies, made once for each language; `others` stand in front of them."""

    def __init__(self, languages: Languages, others: Headers) -> None:
        self._tags = [language.tag.encode() for language in languages.known]
        self._others = others
        self._when_asked: list[Headers] = [[*others, (b"content-language", tag)] for tag in self._tags]
        self._negotiated = self._when_asked
        if len(self._tags) > 1:
            self._negotiated = [[*headers, _VARY] for headers in self._when_asked]

    def of(self, language: int, asked: str) -> Headers:
        """Return the headers of a reply in a language; `asked` is what the query named, empty where none."""
        return (self._when_asked if asked else self._negotiated)[language]

    def of_all(self, languages: Iterable[int], *, negotiated: bool) -> Headers:
        """Return the headers of a reply with parts in several languages; `negotiated` where one named none."""
        spoken = b", ".join(dict.fromkeys(self._tags[language] for language in languages))
        headers = [*self._others, *([(b"content-language", spoken)] if spoken else [])]
        return [*headers, _VARY] if negotiated and len(self._tags) > 1 else headers
