"""`backtest`: cross-validation, the same windows by two baselines, scores and times beside each other, in one call.

Contract: baselines and models forecast the same rows from the same history. A model's time is that of its own
cross-validation, checks of the data included.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.frames import to_frame
from ndiv.errors import ConfigError

from ..backtest import plan
from ..columns import model_names, output_columns
from ..core import NeuralForecast
from ..reading import ColumnNames, as_frame
from .baselines import naive, season_of, seasonal_naive
from .columns import forecast_columns, forecasts_of
from .comparison import Comparison, compare
from .scores import evaluate

__all__ = ["BASELINES", "Backtest", "backtest"]

BASELINES = ("Naive", "SeasonalNaive")


@dataclass
class Backtest:
    """What `backtest` found.

    frame     the result of ``cross_validation``, with the columns of the baselines
    scores    one row a metric, one column a model: means over series of errors over all windows
    seconds   time of each model: training and forecasts of all windows
    history   id, time and target of every series, of the kind of ``frame``
    season    steps of the seasonal naive method and of mase
    h         steps of a forecast; ``windows``: how many
    nf        the forecaster, its models as the last window left them
    columns   names of the id, time and target
    """

    frame: Any
    scores: Any
    seconds: dict[str, float]
    history: Any
    season: int
    h: int
    windows: int
    nf: NeuralForecast
    columns: ColumnNames

    @property
    def names(self) -> dict[str, Any]:
        """The columns of ids, times and target as arguments."""
        return {"id_col": self.columns.id_col, "time_col": self.columns.time_col, "target_col": self.columns.target_col}

    @property
    def models(self) -> list[str]:
        """Columns of point forecasts, those of the models before the baselines."""
        return [c for c in need("narwhals").from_native(self.scores, eager_only=True).columns if c != "metric"]

    def evaluate(self, metrics: Any = None, **options: Any) -> Any:
        """`ndiv.evaluate` on these forecasts, with their history, season and baseline: ``by="step"``, ``metrics=...``."""
        given = {"train_df": self.history, "seasonality": self.season, "models": self.models, **options}
        if "baseline" not in given and BASELINES[1] in given["models"]:
            given["baseline"] = BASELINES[1]
        return evaluate(self.frame, metrics, **given, **self.names)

    def compare(self, metric: Any = "mae", **options: Any) -> Comparison:
        """`ndiv.compare` on these forecasts: the Diebold-Mariano test of every pair, or with ``baseline=``."""
        return compare(self.frame, metric, **{"models": self.models, "h": self.h, **options}, **self.names)

    def plot(self, path: Any = None, **options: Any) -> Any:
        """`ndiv.plot.plot_cross_validation` of these windows, with the history before them."""
        from ndiv.plot import plot_cross_validation

        return plot_cross_validation(self.frame, self.history, path, **{**self.names, **options})

    def __str__(self) -> str:
        from ndiv.cli._io import table

        scores = need("narwhals").from_native(self.scores, eager_only=True)
        labels = scores["metric"].to_list()
        rows = [[name, *(_number(v) for v in scores[name].to_list()),
                 f"{self.seconds[name]:.2f}" if name in self.seconds else ""] for name in self.models]
        ids = need("narwhals").from_native(self.frame, eager_only=True)[self.columns.id_col].n_unique()
        head = f"{ids} series, {self.windows} windows of {self.h} steps, season {self.season}; means over the series"
        return f"{head}\n{table(['model', *labels, 'seconds'], rows)}"

    __repr__ = __str__


def _number(value: Any) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.4g}"


def backtest(models: Any, df: Any, freq: Any = None, *, n_windows: int | None = 3, step_size: int | None = None,
             test_size: int | None = None, val_size: int = 0, refit: bool | int = False, metrics: Sequence[Any] | None = None,
             season: int | None = None, baselines: bool = True, id_col: str = "unique_id", time_col: str = "ds",
             target_col: str = "y", **options: Any) -> Backtest:
    """Cross-validate models, score them beside the naive and the seasonal naive method, and time them.

    models     a model, a list of models, or a `NeuralForecast` (whose own freq and scaler then count)
    df, freq   as of `NeuralForecast.fit`: a frame or the path of a file
    n_windows, step_size, test_size, val_size, refit, **options
               as of `NeuralForecast.cross_validation`; ``step_size`` None: windows do not overlap
    metrics    as of `ndiv.evaluate`; default mae, rmse, smape and mase, and crps and coverage where there are intervals
    season     steps of the seasonal naive method and of mase; default: that of the step between times (24 for hours, 7 for
               days, 12 for months ...), else 1, which leaves the naive method alone
    baselines  False: no baselines

    Returns a `Backtest`, which prints its table. Raises what `NeuralForecast.cross_validation` and `evaluate` raise.

    >>> from ndiv.models import NLinear
    >>> from ndiv.utils import AirPassengersDF
    >>> result = backtest(NLinear(h=12, input_size=24, max_steps=50), AirPassengersDF, "ME", n_windows=2)
    >>> result.models, result.season
    (['NLinear', 'Naive', 'SeasonalNaive'], 12)
    """
    nf = models if isinstance(models, NeuralForecast) else NeuralForecast(models, freq)
    columns = ColumnNames(id_col, time_col, target_col)
    if season is not None and (isinstance(season, bool) or not isinstance(season, (int, np.integer)) or season < 1):
        raise ConfigError(f"season must be a whole number of at least 1, got {season!r}", value=season)
    steps = nf.h if options.get("h") is None else int(options["h"])
    after = plan(steps, n_windows if test_size is None else None, step_size, test_size)
    given = {"n_windows": None if test_size is not None else n_windows, "step_size": step_size, "test_size": test_size,
             "val_size": val_size, "refit": refit, "id_col": id_col, "time_col": time_col, "target_col": target_col, **options}
    frame, seconds = _forecasts(nf, as_frame(df, columns), given, columns)
    store = nf.dataset
    assert store is not None
    season = season_of(store.times[:int(store.lengths[0])]) if season is None else int(season)
    if baselines:
        ends = store.lengths[:, None] - after
        found = {BASELINES[0]: naive(store, ends, steps)}
        if season > 1:
            found[BASELINES[1]] = seasonal_naive(store, ends, steps, season)
        frame = _beside(frame, {name: values.reshape(-1) for name, values in found.items()})
    y = np.where(store.mask, store.y.astype(np.float64), np.nan)
    history = to_frame(np.repeat(store.ids, store.lengths), store.times, {target_col: y}, like=store.origin)
    result = Backtest(frame, None, seconds, history, season, steps, len(after), nf, columns)
    names = _points(frame, columns)
    if metrics is None:
        levels = any(f.levels for f in forecasts_of(_columns(frame), names))
        metrics = ["mae", "rmse", "smape", "mase", *(("crps", "coverage") if levels else ())]
    result.scores = evaluate(frame, metrics, names, history, seasonality=season, by="all",
                             baseline=BASELINES[season > 1] if baselines else None, **result.names)
    return result


def _columns(frame: Any) -> list[str]:
    return list(need("narwhals").from_native(frame, eager_only=True).columns)


def _points(frame: Any, columns: ColumnNames) -> list[str]:
    native = need("narwhals").from_native(frame, eager_only=True)
    return forecast_columns(native, (columns.id_col, columns.time_col, columns.target_col, "cutoff"))


def _forecasts(nf: NeuralForecast, df: Any, given: dict[str, Any], columns: ColumnNames) -> tuple[Any, dict[str, float]]:
    """The forecasts of all models side by side, and the seconds of each; ``nf`` is left as its own cross_validation would."""
    nw = need("narwhals")
    output_columns(nf.models, (columns.id_col, columns.time_col, columns.target_col, "cutoff"))
    whole, seconds = None, {}
    for model, together in zip(nf.models, model_names(nf.models), strict=True):
        one = copy.copy(nf)
        one.models = [model]
        begun = time.perf_counter()
        part = nw.from_native(one.cross_validation(df, **given), eager_only=True)
        spent = time.perf_counter() - begun
        (alone,) = model_names([model])
        keys = [columns.id_col, columns.time_col, "cutoff", columns.target_col]
        part = part.rename({c: together + c[len(alone):] for c in part.columns if c not in keys})
        for point in _points(part.to_native(), columns):
            seconds[point] = spent
        whole = part if whole is None else whole.with_columns(part[c] for c in part.columns if c not in keys)
        nf.__dict__.update({key: value for key, value in vars(one).items() if key != "models"})
    assert whole is not None
    return whole.to_native(), seconds


def _beside(frame: Any, found: dict[str, np.ndarray]) -> Any:
    """The frame, whose rows go by series, cutoff and time, with more columns."""
    nw = need("narwhals")
    native = nw.from_native(frame, eager_only=True)
    taken = [name for name in found if name in native.columns]
    if taken:
        raise ConfigError(f"a model is called {taken[0]}, as the baseline", value=taken[0],
                          hint="Give it another alias, or pass baselines=False.")
    made = nw.maybe_reset_index(native)
    return made.with_columns(nw.new_series(name, values, backend=native.implementation)
                             for name, values in found.items()).to_native()
