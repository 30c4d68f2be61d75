"""What a search may try: ranges of one argument, and spaces of all.

Contract: names are those of ``ray.tune``, so that spaces written for it carry over. A `Space` is a dict of arguments; a
value is a `Range`, a list (one of its items is chosen) or anything else (taken as it is). Arguments whose names end in
``_list`` hold names of columns, so that a list there is a value. Calling a space with an Optuna trial draws settings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ndiv.errors import ConfigError

__all__ = ["FirstTrial", "Range", "Space", "choice", "loguniform", "qloguniform", "quniform", "randint", "uniform"]

_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Range:
    """The values that one argument may take; made by `choice`, `uniform`, `loguniform`, `quniform`, `randint`.

    kind     "choice", "float" or "int"
    values   of a choice
    low, high, step, log   of numbers, both ends included
    """

    kind: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False

    def draw(self, trial: Any, name: str) -> Any:
        """A value, chosen by an Optuna trial."""
        if self.kind == "int":
            return trial.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        if self.kind == "float":
            return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)
        if all(isinstance(v, _PLAIN) for v in self.values):
            return trial.suggest_categorical(name, self.values)
        # A study keeps plain values only: others go by what they look like.
        labels = {label(v): v for v in self.values}
        return labels[trial.suggest_categorical(name, list(labels))]

    def record(self) -> dict[str, Any]:
        """The fields, JSON-able if the values of a choice are."""
        return {"kind": self.kind, "values": list(self.values), "low": self.low, "high": self.high, "step": self.step,
                "log": self.log}


def label(value: Any) -> str:
    """How a value that is not plain is named in a study and its table."""
    try:
        return json.dumps(value)
    except TypeError:
        return repr(value)


def choice(values: Sequence[Any]) -> Range:
    """One of some values, which may be lists themselves. Raises `ConfigError` (E0010) for none.

    >>> choice(["identity", "robust"]).values
    ('identity', 'robust')
    """
    if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
        raise ConfigError(f"choice needs a list of at least one value, not {values!r}", value=values)
    return Range("choice", tuple(values))


def uniform(lower: float, upper: float) -> Range:
    """A number from ``lower`` to ``upper``."""
    return _numbers("float", lower, upper)


def quniform(lower: float, upper: float, q: float) -> Range:
    """A number from ``lower`` to ``upper`` in steps of ``q``; whole ones where all three are.

    >>> quniform(500, 1500, 100).kind
    'int'
    """
    whole = all(isinstance(v, int) for v in (lower, upper, q))
    return _numbers("int" if whole else "float", lower, upper, q)


def loguniform(lower: float, upper: float) -> Range:
    """A number from ``lower`` to ``upper``, whose logarithm is uniform: for rates."""
    return _numbers("float", lower, upper, log=True)


def qloguniform(lower: int, upper: int) -> Range:
    """A whole number from ``lower`` to ``upper``, both included, whose logarithm is uniform: for sizes."""
    return _numbers("int", lower, upper, log=True)


def randint(lower: int, upper: int) -> Range:
    """A whole number from ``lower`` to ``upper - 1``, as in NumPy and ``ray.tune``.

    >>> randint(1, 4).high
    3
    """
    return _numbers("int", lower, upper - 1)


def _numbers(kind: str, lower: float, upper: float, step: float | None = None, log: bool = False) -> Range:
    if not lower <= upper or (log and lower <= 0) or (step is not None and step <= 0):
        raise ConfigError(f"there is no number from {lower!r} to {upper!r}" + (f" in steps of {step!r}" if step else ""),
                          value=(lower, upper), hint="Give lower <= upper, positive for loguniform, and a positive step.")
    return Range(kind, low=lower, high=upper, step=step, log=log)


class FirstTrial:
    """Stands for an Optuna trial where only the names of a function's settings matter: the first value of each range."""

    number = 0

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[0]

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        return low

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return low

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        return low

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        return low

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        return low


class Space(dict[str, Any]):
    """A dict of arguments of which some are ranges; called with an Optuna trial, the settings that it draws.

    >>> space = Space({"learning_rate": loguniform(1e-4, 1e-2), "hidden_size": [64, 128], "max_steps": 100})
    >>> space(FirstTrial())
    {'learning_rate': 0.0001, 'hidden_size': 64, 'max_steps': 100}
    """

    def __call__(self, trial: Any) -> dict[str, Any]:
        return {name: value.draw(trial, name) if isinstance(value, Range) else value for name, value in self.ranges().items()}

    def ranges(self) -> dict[str, Any]:
        """The arguments with each list of values as a `Range`."""
        return {name: choice(value) if isinstance(value, list) and not name.endswith("_list") else value
                for name, value in self.items()}

    @staticmethod
    def of(config: Mapping[str, Any], h: int) -> Space:
        """A copy of ``config``; ``input_size_multiplier`` becomes ``input_size``, in steps of ``h``."""
        space = Space(config)
        if "input_size_multiplier" in space:
            sizes = space.pop("input_size_multiplier")
            sizes = sizes.values if isinstance(sizes, Range) else sizes if isinstance(sizes, (list, tuple)) else [sizes]
            space.setdefault("input_size", choice([-1 if s == -1 else h * s for s in sizes]))
        return space

    def no_longer_than(self, rows: int) -> Space:
        """Without the choices of ``input_size`` that are longer than that, where a shorter one is left."""
        sizes = self.ranges().get("input_size")
        if not isinstance(sizes, Range) or sizes.kind != "choice":
            return self
        short = [s for s in sizes.values if s <= rows]
        return Space({**self, "input_size": choice(short)}) if short else self

    def record(self) -> dict[str, Any]:
        """As plain data; `from_record` makes the space again."""
        return {name: {"range": value.record()} if isinstance(value, Range) else {"value": value}
                for name, value in self.ranges().items()}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> Space:
        """What `record` gave. Raises KeyError or TypeError for anything else."""
        made: dict[str, Any] = {}
        for name, entry in record.items():
            if "range" in entry:
                made[name] = Range(**{**entry["range"], "values": tuple(entry["range"]["values"])})
            else:
                made[name] = tuple(entry["value"]) if isinstance(entry["value"], list) else entry["value"]
        return Space(made)
