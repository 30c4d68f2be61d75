"""`advise`: which models for these data and this goal, and why; which not, and why not.

Contract: models are refused by facts alone (data too short, covariates that they do not take, what they need and lack), ranked
by what was measured or by the registry, and each reason says which fact it is. A model of which nothing is known for a
goal is left out of its ranking, and listed as such.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ndiv.data._extras import need
from ndiv.errors import ConfigError, closest
from ndiv.forecast.reading import ColumnNames, as_frame, read_store
from ndiv.models import capabilities, get_model, list_models

from .facts import Profile, profile
from .measure import SETTING, measured
from .text import command, snippet

__all__ = ["GOALS", "Advice", "Choice", "advise"]

_MANY = 2000  # series that a model which sees all of them at once is still advised for
_PER_VALUE = 1000.0  # weights for each value to be forecast in training, above which a model is put behind smaller ones


@dataclass(frozen=True)
class Choice:
    """A model that is advised: its ``model`` name, ``reasons``, and ``settings`` for its constructor."""

    model: str
    reasons: list[str]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Advice:
    """What `advise` returns; ``str()`` of it is for reading.

    profile      facts of the data
    recommended  the best first
    refused      model -> why it cannot be used with these data
    unranked     model -> why nothing can be said of it for this goal
    command, snippet   what to run next: a line for a shell, and Python; empty where no model is left
    """

    goal: str
    h: int
    profile: Profile
    recommended: list[Choice]
    refused: dict[str, str]
    unranked: dict[str, str] = field(default_factory=dict)
    command: str = ""
    snippet: str = ""

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {"goal": self.goal, "h": self.h, "profile": self.profile.record(), "refused": self.refused,
                "unranked": self.unranked, "command": self.command, "snippet": self.snippet,
                "recommended": [{"model": c.model, "reasons": c.reasons, "settings": c.settings} for c in self.recommended]}

    def __str__(self) -> str:
        lines = [f"data: {self.profile}", f"goal: {self.goal}, {self.h} steps ahead", ""]
        for k, c in enumerate(self.recommended, 1):
            lines += [f"{k}. {c.model}", *(f"   - {reason}" for reason in c.reasons)]
        if not self.recommended:
            lines.append("no model can be advised:")
        lines.append("")
        why: dict[str, list[str]] = {}
        for name, reason in self.refused.items():
            why.setdefault(reason, []).append(name)
        everyone = not self.recommended and len(why) == 1
        lines += [f"not {'any' if everyone else ', '.join(names)}: {reason}" for reason, names in why.items()]
        if self.command:
            lines += ["", "run:", f"  {self.command}"]
        return "\n".join(lines)


def advise(df: Any, goal: str = "accuracy", *, h: int, freq: Any = None, futr_exog: Sequence[str] = (),
           hist_exog: Sequence[str] = (), static_df: Any = None, top: int = 3, id_col: str = "unique_id",
           time_col: str = "ds", target_col: str = "y") -> Advice:
    """Models for these data and a goal, with the reasons and something to run.

    df       long frame (pandas, polars) or path, as of `NeuralForecast.fit`; ``static_df``, ``freq`` too
    goal     "accuracy" (least measured error), "speed" (least time of a training step), "memory" (fewest weights),
             "intervals", "interpretability", "covariates" (takes most kinds), "horizon" (least error far ahead)
    h        steps to forecast
    futr_exog, hist_exog   columns known in the future, and in the past alone. A model must take every kind that is named;
             other columns of numbers are mentioned, and not used
    top      models to name at most

    Raises `ConfigError` (E0010) for a goal that is not there, and for data what `NeuralForecast.fit` raises.

    >>> from ndiv.utils import AirPassengersDF
    >>> advice = advise(AirPassengersDF, "speed", h=12)
    >>> advice.profile.season, len(advice.recommended), advice.command.split()[:2]
    (12, 3, ['ndiv', 'fit'])
    """
    if goal not in GOALS:
        raise ConfigError(f"unknown goal {goal!r}", value=goal, hint=closest(goal, GOALS))
    for name, value in (("h", h), ("top", top)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}", value=value)
    names = ColumnNames(id_col, time_col, target_col)
    source = os.fspath(df) if isinstance(df, (str, os.PathLike)) else "FILE.csv"
    facts = _read(as_frame(df, names), freq, names, list(futr_exog), list(hist_exog), static_df)
    size = _input_size(facts, h)
    refused = {name: why for name in list_models() if (why := _refusal(name, facts, h, size))}
    ranked: list[tuple[Any, Choice]] = []
    unranked: dict[str, str] = {}
    for name in list_models():
        if name in refused:
            continue
        found = GOALS[goal](name, facts, h)
        if isinstance(found, str):
            unranked[name] = found
            continue
        rank, reasons = found
        weighed, remark = _weight(name, facts, h, size)
        settings = _settings(name, facts, h, size, goal)
        # What is too large for the data comes after all that is not, whatever the goal says.
        ranked.append(((weighed, rank, name), Choice(name, [*reasons, *remark, *_remarks(name, facts)], settings)))
    chosen = [c for _, c in sorted(ranked, key=lambda pair: pair[0])][:top]
    return Advice(goal, h, facts, chosen, refused, unranked, command(source, chosen, facts, names) if chosen else "",
                  snippet(source, chosen, facts, names) if chosen else "")


def _read(frame: Any, freq: Any, names: ColumnNames, futr: list[str], hist: list[str], static_df: Any) -> Profile:
    nw = need("narwhals")
    stat = [] if static_df is None else [c for c in nw.from_native(static_df, eager_only=True).columns if c != names.id_col]
    store = read_store(frame, freq, names, {"futr": futr, "hist": hist, "stat": stat, "cat": []}, static_df)
    used = {names.id_col, names.time_col, names.target_col, "available_mask", *futr, *hist}
    table = nw.from_native(frame, eager_only=True, pass_through=True)
    columns = getattr(table, "columns", [])
    unused = [c for c in columns if c not in used and table[c].dtype.is_numeric()] if hasattr(table, "with_columns") else []
    return profile(store, unused)


def _input_size(facts: Profile, h: int) -> int:
    """Steps to look back: two horizons or two strong seasons, whichever is more, as far as the shortest series reaches with one
    horizon left to validate on."""
    want = 2 * h
    if facts.season is not None and (facts.strength or 0.0) >= 0.3:
        want = max(want, 2 * facts.season)
    return min(want, facts.shortest - h - 1)


def _refusal(name: str, facts: Profile, h: int, size: int) -> str:
    """Why a model cannot be used; empty where it can."""
    cls, can = get_model(name), capabilities(name)
    if size < 1:
        return (f"the shortest series has {facts.shortest} rows, and {h + 2} are needed: one to look back on, one to learn "
                f"from, {h} to validate on")
    for kind, columns, word in (("futr_exog", facts.futr, "known in the future"), ("hist_exog", facts.hist, "historic"),
                                ("stat_exog", facts.stat, "static")):
        if columns and not can[kind]:
            return f"takes no covariates that are {word}"
    if name == "TimeLLM":
        return "needs the folder of a language model (llm=...)"
    if name == "EventNHITS":
        return "reads events, and there are none (NHITS is the same without them)"
    if name == "MultiSeries":
        return "learns what series share, and there is one" if facts.series == 1 else ""
    if cls.MULTIVARIATE and facts.series == 1:
        return "sees all series at once, and there is one"
    if cls.MULTIVARIATE and facts.series > _MANY:
        return f"sees all series at once, and there are {facts.series}"
    if cls.MULTIVARIATE and not facts.aligned:
        return "sees all series at once, and they end at different times"
    patch = 16 if name == "PatchTST" else 0
    return f"cuts the window into patches of {patch} steps, and no more than {size} fit" if size < patch else ""


def _weight(name: str, facts: Profile, h: int, size: int) -> tuple[bool, list[str]]:
    """Whether a model has too many weights for the data, and the remark that says so."""
    cost = measured()["cost"].get(name)
    values = facts.rows - facts.series * (size + h - 1)
    values = max(values, 1) * h
    if cost is None or cost["parameters"] / values <= _PER_VALUE:
        return False, []
    return True, [f"{cost['parameters']:,} weights (at h = {SETTING['h']}) are many for {values:,} values to train on"]


def _remarks(name: str, facts: Profile) -> list[str]:
    if not facts.intermittent or not capabilities(name)["probabilistic"]:
        return []
    kind = "NegativeBinomial" if facts.counts else "Tweedie"
    return [f"{100 * facts.zeros:.0f} % of the values are 0: consider loss=DistributionLoss('{kind}')"]


def _settings(name: str, facts: Profile, h: int, size: int, goal: str) -> dict[str, Any]:
    """Arguments for the constructor: what the data ask for, and the model's defaults else."""
    cls = get_model(name)
    settings: dict[str, Any] = {"h": h, "input_size": size, "max_steps": 500}
    own = {"NLinear", "PatchTST", "TSMixer", "iTransformer"}  # which normalize the window themselves
    if name not in own and cls.DEFAULTS.get("scaler_type", "identity") == "identity":
        settings["scaler_type"] = "standard"
    for key, columns in (("futr_exog_list", facts.futr), ("hist_exog_list", facts.hist), ("stat_exog_list", facts.stat)):
        if columns:
            settings[key] = list(columns)
    if goal == "intervals":
        # DeepAR's coverage was measured with Student's t.
        settings["loss"] = "StudentT" if name == "DeepAR" else "MQLoss"
    return settings


# -- goals: a model's rank (the lower the better) with the reasons, or why nothing can be said ----------------------------

Ranked = tuple[Any, list[str]] | str


def _accuracy(name: str, facts: Profile, h: int) -> Ranked:
    table = measured()["etth1"].get(name)
    if table is None:
        return "its error was not measured (docs/accuracy.md)"
    entry = table["96"]
    reasons = [f"mean squared error {entry['mse']:.4f} on ETTh1, 96 steps ahead (docs/accuracy.md)"]
    m4 = measured()["m4"].get(name)
    if m4 is not None:
        reasons.append(f"OWA {m4['owa']:.3f} on M4's hourly series, where the seasonal naive has 0.627")
    return entry["mse"], reasons


def _horizon(name: str, facts: Profile, h: int) -> Ranked:
    if not capabilities(name)["long_horizon"]:
        return "was not published on long horizons"
    table = measured()["etth1"].get(name)
    if table is None:
        return "published on long horizons, and its error was not measured here"
    far = min((int(k) for k in table), key=lambda k: (abs(k - h), k))
    error = table[str(far)]["mse"]
    # Errors of different horizons do not compare: those measured nearest to h come first.
    return (abs(far - h), error), ["was published on horizons of hundreds of steps",
                                   f"mean squared error {error:.4f} on ETTh1, {far} steps ahead (docs/accuracy.md)"]


def _speed(name: str, facts: Profile, h: int) -> Ranked:
    cost = measured()["cost"].get(name)
    if cost is None:
        return "its time was not measured"
    return cost["step_ms"], [f"a training step takes {cost['step_ms']:.3g} ms and a forecast {cost['forecast_ms']:.3g} ms "
                             f"({_at()}, one thread)"]


def _memory(name: str, facts: Profile, h: int) -> Ranked:
    cost = measured()["cost"].get(name)
    if cost is None:
        return "its weights were not counted"
    size = cost["parameters"] * 4
    return cost["parameters"], [f"{cost['parameters']:,} weights, {_bytes(size)} to forecast with; training keeps them four "
                                f"times ({_at()})"]


def _intervals(name: str, facts: Profile, h: int) -> Ranked:
    if not capabilities(name)["probabilistic"]:
        return "takes no quantile or distribution losses"
    found = _accuracy(name, facts, h)
    if isinstance(found, str):
        return found
    reasons = ["takes quantile and distribution losses, which give intervals"]
    m4 = measured()["m4"].get(name)
    if m4 is not None and m4["coverage"]:
        held = " and ".join(f"{c:g}" for c in m4["coverage"])
        reasons.append(f"with Student's t its intervals of 80 and 90 % held {held} % of M4's hourly values")
    # A measured coverage says more of intervals than an error of points does.
    return (0 if len(reasons) > 1 else 1, found[0]), [*reasons, *found[1]]


def _interpretability(name: str, facts: Profile, h: int) -> Ranked:
    cls = get_model(name)
    reasons = []
    if hasattr(cls, "feature_importances"):
        reasons.append("says which inputs and past steps a forecast rests on: feature_importances, attention_weights")
    if hasattr(cls, "decompose"):
        reasons.append("its forecast is a sum of parts that can be looked at: decompose")
    if name in ("NLinear", "DLinear"):
        reasons.append("its forecast is a weighted sum of the window: the weights are all there is to read")
    if not reasons:
        return "has no explanation of its own"
    covariates = bool(facts.futr or facts.hist or facts.stat)
    found = _accuracy(name, facts, h)
    error = float("inf") if isinstance(found, str) else found[0]
    return (not (covariates and hasattr(cls, "feature_importances")), -len(reasons), error), reasons


def _covariates(name: str, facts: Profile, h: int) -> Ranked:
    can = capabilities(name)
    kinds = [word for kind, word in (("futr_exog", "known in the future"), ("hist_exog", "historic"), ("stat_exog", "static"),
                                     ("cat_exog", "categorical")) if can[kind]]
    if not kinds:
        return "takes no covariates"
    found = _accuracy(name, facts, h)
    error, more = (float("inf"), []) if isinstance(found, str) else found
    return (-len(kinds), error), [f"takes covariates that are {', '.join(kinds)}", *more]


GOALS: dict[str, Callable[[str, Profile, int], Ranked]] = {
    "accuracy": _accuracy, "covariates": _covariates, "horizon": _horizon, "interpretability": _interpretability,
    "intervals": _intervals, "memory": _memory, "speed": _speed}


def _at() -> str:
    return f"L = {SETTING['input_size']}, h = {SETTING['h']}, batch {SETTING['batch_size']}, default settings"


def _bytes(size: float) -> str:
    return f"{size / 1e6:.3g} MB" if size >= 1e5 else f"{size / 1e3:.3g} kB"
