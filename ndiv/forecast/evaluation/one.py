"""One metric on one part of the frame: what its function asks for, by the names of its parameters.

Contract: every answer has one row for each series (and cutoff), sorted, and a column for each model that the metric can be
taken of; a model without intervals has no column in the answer for a metric of intervals.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, FeatureError, closest

from .columns import Forecast

__all__ = ["Call", "table"]


@dataclass
class Call:
    """What all metrics of one call of `evaluate` share; ``hits``: the frame of right and wrong directions."""

    id_col: str
    time_col: str
    target_col: str
    cutoff_col: str
    history: Any = None
    seasonality: int | None = None
    baseline: str | None = None
    hits: Any = None

    def pool(self, frame: Any) -> None:
        """The history that is known before the first cutoff of each series: the scale of errors over all its cutoffs."""
        if self.history is None:
            return
        nw = need("narwhals")
        first = frame.group_by(self.id_col).agg(nw.col(self.cutoff_col).min().alias(self.cutoff_col))
        joined = self.history.drop(self.cutoff_col, strict=False).join(first, on=self.id_col, how="inner")
        self.history = joined.filter(nw.col(self.time_col) <= nw.col(self.cutoff_col)).drop(self.cutoff_col)

    def need_baseline(self, label: str, columns: list[str]) -> None:
        """Refuse a missing or unknown ``baseline``."""
        if self.baseline is None:
            raise ConfigError(f"the metric {label} needs baseline", value=label,
                              hint="Name a column of forecasts, such as those of the naive method.")
        if self.baseline not in columns:
            raise FeatureError(f"df has no column of forecasts {self.baseline!r}", value=self.baseline,
                               hint=closest(self.baseline, columns, "Columns"))

    def run(self, frame: Any, label: str, function: Callable[..., Any] | None, forecasts: list[Forecast],
            levels: list[float] | None, step: int | None) -> Iterator[tuple[str, Any]]:
        """(label, narwhals frame) of the metric; several of one for each level or quantile."""
        nw = need("narwhals")
        keys = [self.id_col, *([self.cutoff_col] if self.cutoff_col in frame.columns else [])]
        if function is None:  # directional_accuracy
            names = [f.point for f in forecasts]
            hits = self.hits if step is None else self.hits.filter(nw.col("step") == step)
            yield label, hits.select(*keys, *names).group_by(*keys).agg(nw.all().mean()).sort(*keys)
            return
        wanted = inspect.signature(function).parameters
        base = frame.select(*dict.fromkeys([*keys, self.time_col, self.target_col]))
        kind = next((k for k in ("q", "quantiles", "level") if k in wanted), None)
        if kind is None and str(getattr(wanted.get("models"), "annotation", "")).startswith("typing.Dict"):
            kind = "q"  # calibration has columns of a quantile and does not ask for which
        given = self._given(label, wanted, frame.columns)
        if kind is None:
            asked = [self.baseline] if "baseline" in wanted else []
            names = list(dict.fromkeys(f.point for f in forecasts))
            some = base.with_columns(frame[n] for n in dict.fromkeys([*names, *asked]))
            yield label, self._call(function, some, keys, models=names, **given)
        elif kind == "level":
            yield from self._by_level(function, label, base, frame, keys, forecasts, levels, given)
        else:
            yield from self._by_quantile(function, label, kind, frame, keys, forecasts, levels, given)

    def _given(self, label: str, wanted: Any, columns: list[str]) -> dict[str, Any]:
        """The arguments besides frame and models; `ConfigError` (E0010) for one that is not there."""
        given: dict[str, Any] = {}
        if "train_df" in wanted:
            if self.history is None:
                raise ConfigError(f"the metric {label} needs train_df", value=label, hint="Pass the history as train_df.")
            given.update(train_df=self.history.sort(self.id_col, self.time_col).to_native())
            if "time_col" in wanted:
                given.update(time_col=self.time_col)
        season = wanted.get("seasonality")
        if season is not None and (season.default is season.empty or self.seasonality is not None):
            if self.seasonality is None:
                raise ConfigError(f"the metric {label} needs seasonality", value=label,
                                  hint="Pass the season in steps: 12 for months, 24 for hours, 1 for none.")
            given.update(seasonality=self.seasonality)
        if "baseline" in wanted and wanted["baseline"].default is wanted["baseline"].empty:
            self.need_baseline(label, columns)
            given.update(baseline=self.baseline)
        return given

    def _by_level(self, function: Callable[..., Any], label: str, base: Any, frame: Any, keys: list[str],
                  forecasts: list[Forecast], levels: list[float] | None, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        found = sorted({level for f in forecasts for level in f.levels}) if levels is None else levels
        if not found:
            raise _no_columns(label, "intervals, such as NHITS-lo-90 and NHITS-hi-90")
        for level in found:
            have = [f for f in forecasts if level in f.levels]
            shown: float = int(level) if level == int(level) else level
            some = base.with_columns(frame[f.levels[level][side]].alias(f"{f.point}-{name}-{shown}")
                                     for f in have for side, name in enumerate(("lo", "hi")))
            answer = self._call(function, some, keys, models=[f.point for f in have], level=shown, **given)
            yield f"{label}_level{shown}", answer

    def _by_quantile(self, function: Callable[..., Any], label: str, kind: str, frame: Any, keys: list[str],
                     forecasts: list[Forecast], levels: list[float] | None, given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        own = {f.point: f.quantiles for f in forecasts if f.quantiles}
        if levels is not None:
            wanted = {round(0.5 + sign * level / 200, 6) for level in levels for sign in (-1, 1)}
            own = {name: {q: c for q, c in columns.items() if q in wanted} for name, columns in own.items()}
        own = {name: columns for name, columns in own.items() if columns}
        if not own:
            raise _no_columns(label, "quantiles, such as NHITS_ql0.1, or intervals")
        if kind == "quantiles":  # models may have different ones
            parts = [self._call(function, frame, keys, models={name: list(columns.values())}, quantiles=np.array([*columns]),
                                **given) for name, columns in own.items()]
            whole = parts[0]
            for part in parts[1:]:
                whole = whole.join(part, on=keys, how="left")
            yield label, whole
            return
        asks = "q" in inspect.signature(function).parameters
        for q in sorted({q for columns in own.values() for q in columns}):
            models = {name: columns[q] for name, columns in own.items() if q in columns}
            yield f"{label}_q{q:g}", self._call(function, frame, keys, models=models, **({"q": q} if asks else {}), **given)

    def _call(self, function: Callable[..., Any], frame: Any, keys: list[str], **given: Any) -> Any:
        """The function's answer on a frame of the user's library: key columns and one column a model, sorted."""
        nw = need("narwhals")
        names = {"id_col": self.id_col, "target_col": self.target_col, "cutoff_col": self.cutoff_col}
        result = nw.from_native(function(frame.to_native(), **names, **given))
        return result.select(*keys, *given["models"]).sort(*keys)


def _no_columns(label: str, what: str) -> FeatureError:
    return FeatureError(f"the metric {label} needs columns of {what}", value=label,
                        hint="They come from a model with a quantile or distribution loss, or from prediction intervals.")


def table(scored: Any, order: list[str], columns: list[str], chosen: dict[str, Any], call: Call) -> Any:
    """The rows as asked for: owa in its place, metrics in theirs, groups sorted within each."""
    nw = need("narwhals")
    if "owa" in chosen:
        groups = order[:-1]
        parts = [scored.filter(nw.col("metric") == f"owa:{name}") for name in ("smape", "mase")]
        for k, part in enumerate(parts):
            ratios = [(nw.col(c) / nw.col(str(call.baseline))).alias(c) for c in columns]
            parts[k] = part.select(*groups, *ratios)
        both = nw.concat(parts, how="vertical")
        means = both.group_by(*groups).agg(nw.col(c).mean() for c in columns) if groups else both.select(
            nw.col(c).mean() for c in columns)
        owa = means.with_columns(nw.lit("owa").alias("metric")).select(*order, *columns)
        rest = scored.filter(~nw.col("metric").str.starts_with("owa:"))
        scored = nw.concat([rest.select(*order, *columns), owa], how="diagonal")
    scored = scored.select(*order, *[c for c in columns if c in scored.columns])
    places = {name: k for k, name in enumerate(dict.fromkeys(scored["metric"].to_list()))}
    labels = list(chosen)

    def place(name: str) -> tuple[int, int]:  # "coverage_level90" stands where "coverage" was asked for
        root = max((x for x in labels if name == x or name.startswith(f"{x}_")), key=len, default=name)
        return (labels.index(root) if root in labels else len(labels), places[name])

    rank = {name: k for k, name in enumerate(sorted(places, key=place))}
    ranks = nw.new_series("_rank", [rank[m] for m in scored["metric"].to_list()], backend=scored.implementation)
    scored = nw.maybe_reset_index(scored).with_columns(ranks).sort("_rank", *order[:-1]).drop("_rank")
    return nw.maybe_reset_index(scored)
