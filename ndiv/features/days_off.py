"""`Holidays`: public holidays of countries, and the days around them, from the package ``holidays`` (an extra).

Contract: known for every time that the package knows; 1.0 on the day, by the clock of the frame's time zone, else 0.0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.frequency import Frequency
from ndiv.errors import ConfigError, DataError, closest

from .base import Column, KnownFeature, Panel, listed, step_days, whole

__all__ = ["Holidays"]


@dataclass
class Holidays(KnownFeature):
    """Public holidays: ``holiday_US``, and with days around them ``holiday_US_before1``, ``holiday_US_after1``.

    country  ISO code, also of a part ("US-CA"); a list makes columns for each; a dict id -> code gives each series that of
             its own country, in one column ``holiday``
    before   how many days before a holiday have columns of their own
    after    how many days after

    Raises `ConfigError` (E0010) for an unknown country and for steps longer than a day, `MissingExtraError` without the
    package, `DataError` (E0011) for a series that the dict does not hold.

    >>> [c.name for c in Holidays(["US", "DE-BY"], before=1).columns(Frequency("D"))]
    ['holiday_US', 'holiday_US_before1', 'holiday_DE-BY', 'holiday_DE-BY_before1']
    """

    country: Any
    before: int = 0
    after: int = 0

    def __post_init__(self) -> None:
        whole("Holidays", "before", self.before, 0), whole("Holidays", "after", self.after, 0)
        if isinstance(self.country, dict):
            self.by_id: dict[Any, str] | None = dict(self.country)
        elif _pairs(self.country):  # as `config` writes a dict, whose keys JSON would turn into text
            self.by_id = dict(self.country)
        else:
            self.by_id, self.country = None, listed(self.country)
        if self.by_id is not None:
            self.country = [[key, code] for key, code in self.by_id.items()]
        codes = sorted(set(self.by_id.values())) if self.by_id is not None else self.country
        if not codes:
            raise ConfigError("Holidays: there is no country", value=self.country, hint="For example Holidays('US').")
        for code in codes:
            _days(code, np.array([2020]))

    def columns(self, freq: Frequency) -> list[Column]:
        if freq.is_number or step_days(freq) > 1.5:
            what = "whole numbers" if freq.is_number else "longer than a day"
            raise ConfigError(f"Holidays need steps of at most a day, and those of freq={freq.freq!r} are {what}",
                              value=freq.freq, hint="Leave them out, or count holidays in a column of your own.")
        bases = ["holiday"] if self.by_id is not None else [f"holiday_{code}" for code in self.country]
        around = [f"_before{n}" for n in range(1, self.before + 1)] + [f"_after{n}" for n in range(1, self.after + 1)]
        return [Column(f"{base}{suffix}") for base in bases for suffix in ("", *around)]

    def at(self, panel: Panel, times: np.ndarray, owner: np.ndarray) -> np.ndarray:
        clock = panel.clock(times, "holidays")
        dates = clock.tz_localize(None).to_numpy().astype("datetime64[D]")
        years = np.unique(dates.astype("datetime64[Y]").astype(np.int64) + 1970)
        years = np.arange(years.min() - 1, years.max() + 2)  # days around the turn of a year
        shifts = [0, *range(1, self.before + 1), *(-n for n in range(1, self.after + 1))]
        if self.by_id is None:
            return np.stack([np.isin(dates + n, _days(code, years)) for code in self.country for n in shifts], axis=1) * 1.0
        lost = [i for i in panel.ids[np.unique(owner)] if i not in self.by_id]
        if lost:
            raise DataError(f"Holidays knows no country of {len(lost)} series: {', '.join(map(str, lost[:3]))}", value=lost[0],
                            hint="Add these ids to the dict that country= is given.")
        codes = np.array([self.by_id.get(i, "") for i in panel.ids])[owner]
        out = np.zeros((len(dates), len(shifts)))
        for code in np.unique(codes):
            rows = codes == code
            out[rows] = np.stack([np.isin(dates[rows] + n, _days(code, years)) for n in shifts], axis=1)
        return out


def _pairs(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, (list, tuple)) and len(v) == 2 for v in value)


def _days(code: Any, years: np.ndarray) -> np.ndarray:
    """The holidays of a country in some years, datetime64[D]."""
    package = need("holidays", extra="holidays")
    known = package.list_supported_countries()
    country, _, part = str(code).partition("-")
    if country not in known:
        raise ConfigError(f"Holidays: unknown country {code!r}", value=code, hint=_near(country, known))
    try:
        found = package.country_holidays(country, subdiv=part or None, years=years.tolist())
    except NotImplementedError:
        raise ConfigError(f"Holidays: {country} has no part {part!r}", value=code, hint=closest(part, known[country])) from None
    return np.array(sorted(found.keys()), "datetime64[D]")


def _near(country: str, known: Any) -> str:
    if country.upper() in known:
        return f"Did you mean {country.upper()!r}?"
    return "Give an ISO code, such as 'US', 'DE', 'GB' or 'CN'."
