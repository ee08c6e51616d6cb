"""Which holiday the shop's customers are preparing for on a day: public holidays of a country, by name.

By name, because some move: Easter is a month later in one year than in another. Dates are those of the `holidays`
package.
"""

from __future__ import annotations

from datetime import date, timedelta
from difflib import get_close_matches
from functools import lru_cache

import holidays
import numpy as np
from holidays.registry import COUNTRIES
from numpy.typing import NDArray

_EPOCH = date(1970, 1, 1)
_ENGLISH = "en_US"


def countries() -> frozenset[str]:
    """Return the codes of countries whose holidays are known (ISO 3166-1 alpha-2)."""
    return frozenset(holidays.list_supported_countries(include_aliases=False))


def country_meant(given: str) -> str:
    """Say which country code is meant, or where codes are listed.

    >>> country_meant("UK"), country_meant("germany")
    ('did you mean GB?', 'did you mean DE?')
    """
    codes = {code: names[1] for names in COUNTRIES.values() for code in names[1:]}
    by_name = {name.replace("_", " "): names[1] for name, names in COUNTRIES.items()}
    wanted = given.strip()
    code = codes.get(wanted.upper())
    if code is None:
        close = get_close_matches(wanted.lower().replace("_", " "), by_name, n=1)
        code = by_name[close[0]] if close else None
    return "codes are such as DE or GB (ISO 3166-1 alpha-2)" if code is None else f"did you mean {code}?"


def holidays_ahead(country: str, days: NDArray[np.int64], run_up: int) -> list[str]:
    """Return for each day, counted from 1970, the next holiday less than `run_up` days away; "" where there is none.

    The holiday itself belongs to its run-up. Of two that are near, the nearer one is meant. Without a country there
    are no holidays.
    """
    if not country or not len(days):
        return [""] * len(days)
    distinct, places = np.unique(days, return_inverse=True)
    found = [_ahead(country, _EPOCH + timedelta(days=day), run_up) for day in distinct.tolist()]
    return [found[place] for place in places.tolist()]


def _ahead(country: str, day: date, run_up: int) -> str:
    for away in range(run_up):
        then = day + timedelta(days=away)
        name = _of_year(country, then.year).get(then)
        if name:
            return name
    return ""


@lru_cache(maxsize=256)
def _of_year(country: str, year: int) -> dict[date, str]:
    """Return the holidays of a year; days off in place of one that falls on a weekend are none of their own."""
    language = _ENGLISH if _ENGLISH in holidays.country_holidays(country).supported_languages else None
    found = holidays.country_holidays(country, years=year, observed=False, language=language)
    return {day: found.get_list(day)[0] for day in found}
