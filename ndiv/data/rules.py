"""What to do with data that break a rule: refuse them, which is the default, or repair them as the user says.

Contract: a `DataRules` holds valid choices only. It is plain data: `dataclasses.asdict` of it is JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ndiv.errors import ConfigError, closest

__all__ = ["CHOICES", "DataRules"]

CHOICES = {
    "duplicates": ("raise", "mean", "last"),
    "fill_gaps": ("raise", "mask"),
    "short_series": ("raise", "pad", "drop"),
    "exog_nan": ("raise", "ffill"),
}


@dataclass(frozen=True)
class DataRules:
    """Choices for data that would otherwise be refused.

    duplicates    rows with one id and time: "raise", "mean" (of what is known; categories: the last), or "last" in the frame
    fill_gaps     times that are left out: "raise", or "mask": rows with a missing target are put in
    short_series  series too short to train on: "raise", "pad" them on the left with masked steps, or "drop" them
    exog_nan      missing numbers of covariates: "raise", or "ffill": the last known value of the series

    Raises `ConfigError` (E0010) for any other choice.

    >>> DataRules(duplicates="last").changed(exog_nan="ffill")
    DataRules(duplicates='last', fill_gaps='raise', short_series='raise', exog_nan='ffill')
    """

    duplicates: str = "raise"
    fill_gaps: str = "raise"
    short_series: str = "raise"
    exog_nan: str = "raise"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value not in CHOICES[field.name]:
                raise ConfigError(f"unknown {field.name}={value!r}", value=value, hint=closest(value, CHOICES[field.name]))

    def changed(self, **choices: str | None) -> DataRules:
        """These rules with the choices that are not None."""
        given = {name: value for name, value in choices.items() if value is not None}
        return replace(self, **given) if given else self
