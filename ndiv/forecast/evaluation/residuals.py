"""What the errors of a model still hold: a trend, a pattern in time, a bias, tails that a normal distribution has not.

Contract: a residual is the target less the forecast; where several forecasts have one time, their mean. The tests are those of
statsmodels; a test that a series is too short or too even for is said to be left out, never guessed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, closest

from .columns import forecast_columns, opened

__all__ = ["LEAST", "TESTS", "ResidualDiagnostics", "diagnose_residuals", "p_text"]

LEAST = 12  # residuals of a series below which no test is made
TESTS = ("bias", "adf", "kpss", "ljung_box", "jarque_bera")


@dataclass
class ResidualDiagnostics:
    """The answer of `diagnose_residuals`, which prints what it means.

    frame      one row a series, model and test: unique_id, model, test, statistic, p_value, n, problem (True, False; null where
               the test was left out), meaning
    residuals  (series, model) -> float64 [n] in order of time; ``times``: (series, model) -> [n]
    acf, pacf  (series, model) -> float64 [lags + 1], (partial) autocorrelations from lag 0
    qq         (series, model) -> (quantiles of the normal distribution, residuals), both float64 [n], sorted
    h          steps of a forecast: errors of one time share what the last h - 1 did
    alpha      level of significance
    """

    frame: Any
    residuals: dict[tuple[Any, str], np.ndarray]
    times: dict[tuple[Any, str], np.ndarray]
    acf: dict[tuple[Any, str], np.ndarray]
    pacf: dict[tuple[Any, str], np.ndarray]
    qq: dict[tuple[Any, str], tuple[np.ndarray, np.ndarray]]
    h: int
    alpha: float

    def __str__(self) -> str:
        rows = need("narwhals").from_native(self.frame, eager_only=True).rows()
        lines: list[str] = []
        for series, model, test, _, p, n, problem, meaning in rows:
            head = f"{series}, {model} ({n} residuals):"
            if head not in lines:
                lines.append(head)
            mark = "?" if problem is None or problem != problem else "!" if problem else " "
            lines.append(f"  {mark} {test:12} {p_text(p):10} {meaning}")
        if self.h > 1:
            lines.append(f"Forecasts are of up to {self.h} steps: autocorrelation up to lag {self.h - 1} is to be expected "
                         "of the best of them.")
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, series: Any = None, model: str | None = None, path: Any = None, **options: Any) -> Any:
        """`ndiv.plot.plot_residuals` of one series and model (default: the first)."""
        from ndiv.plot import plot_residuals

        return plot_residuals(self, series, model, path, **options)


def diagnose_residuals(df: Any, models: Sequence[str] | str | None = None, *, lags: int | None = None, alpha: float = 0.05,
                       id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
                       cutoff_col: str = "cutoff") -> ResidualDiagnostics:
    """Test the residuals of each series and model: bias, stationarity, autocorrelation, normality.

    df      actual values and forecasts side by side: a result of ``cross_validation`` or ``predict_insample``
    models  forecast columns (default: all)
    lags    of the autocorrelations and of Ljung-Box; default: 10, or a fifth of the residuals if that is less
    alpha   level of significance that the words use

    bias: t test of mean 0, its variance by Newey and West; adf: augmented Dickey-Fuller, lags by AIC; kpss, around a level;
    ljung_box: of all lags up to ``lags``; jarque_bera: of skewness and kurtosis. Raises `FeatureError` (E0004), `ConfigError`
    (E0010), `EmptyDataError` (E0003), and `MissingExtraError` without statsmodels.

    >>> import numpy as np, pandas as pd
    >>> draw = np.random.default_rng(0).normal(size=(2, 80))
    >>> df = pd.DataFrame({"unique_id": "a", "ds": range(80), "y": draw[0], "m": draw[0] + draw[1] + 3})
    >>> print(str(diagnose_residuals(df))[:94])
    a, m (80 residuals):
      ! bias         p < 0.001  forecasts are too high, by 2.917 on average
    """
    need("statsmodels", extra="diagnostics")
    nw = need("narwhals")
    names = (id_col, time_col, target_col, cutoff_col)
    frame = opened(df, "df", names)
    points = forecast_columns(frame, names) if models is None else [models] if isinstance(models, str) else list(models)
    for name in points:
        if name not in frame.columns:
            raise FeatureError(f"df has no column of forecasts {name!r}", value=name,
                               hint=closest(name, forecast_columns(frame, names), "Columns"))
    if not points:
        raise FeatureError("df has no column of forecasts", value=list(frame.columns))
    if lags is not None and (isinstance(lags, bool) or not isinstance(lags, (int, np.integer)) or lags < 1):
        raise ConfigError(f"lags must be a whole number of at least 1, got {lags!r}", value=lags)
    h = int(frame.group_by(id_col, cutoff_col).agg(nw.len().alias("n"))["n"].max() or 1) if cutoff_col in frame.columns else 1
    found = ResidualDiagnostics(None, {}, {}, {}, {}, {}, h, alpha)
    rows = []
    for series, model, clock, errors in _residuals(frame, points, names):
        found.residuals[series, model], found.times[series, model] = errors, clock
        _shapes(found, (series, model), errors, lags)
        rows += [(series, model, test, *answer) for test, answer in _tests(errors, lags, alpha)]
    if not rows:
        raise EmptyDataError("df has no row in which target and forecast are known", value=0)
    columns = [id_col, "model", "test", "statistic", "p_value", "n", "problem", "meaning"]
    table = {name: list(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}
    found.frame = nw.from_dict(table, backend=frame.implementation).to_native()
    return found


def p_text(p: float | None) -> str:
    """A p-value as it is shown; nothing for a test that was left out."""
    return "" if p is None or not np.isfinite(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _residuals(frame: Any, points: list[str], names: tuple[str, ...]) -> list[tuple[Any, str, np.ndarray, np.ndarray]]:
    """(series, model, times [n], residuals [n]) in order of time, one of each time."""
    id_col, time_col, target_col, _ = names
    ids, clock = frame[id_col].to_list(), frame[time_col].to_numpy()
    y = frame[target_col].to_numpy().astype(np.float64)
    rows: dict[Any, list[int]] = {}
    for row, series in enumerate(ids):
        rows.setdefault(series, []).append(row)
    out = []
    for series, own in rows.items():
        for model in points:
            errors = y[own] - frame[model].to_numpy().astype(np.float64)[own]
            known = np.isfinite(errors)
            if known.any():
                times, place = np.unique(clock[own][known], return_inverse=True)
                out.append((series, model, times, np.bincount(place, errors[known]) / np.bincount(place)))
    return out


def _lags(n: int, lags: int | None) -> int:
    return max(1, min(10 if lags is None else int(lags), (n // 5 if lags is None else n // 2 - 1)))


def _shapes(found: ResidualDiagnostics, key: tuple[Any, str], errors: np.ndarray, lags: int | None) -> None:
    """Autocorrelations and quantiles, where there is something to see."""
    if len(errors) < LEAST or np.ptp(errors) == 0:
        return
    tools = need("statsmodels.tsa.stattools", extra="diagnostics")
    wanted = _lags(len(errors), 20 if lags is None else lags)
    found.acf[key] = tools.acf(errors, nlags=wanted, fft=False)
    found.pacf[key] = tools.pacf(errors, nlags=wanted, method="ywm")
    theory = need("scipy.stats", extra="diagnostics").probplot(errors, dist="norm", fit=False)
    found.qq[key] = (np.asarray(theory[0]), np.asarray(theory[1]))


def _tests(errors: np.ndarray, lags: int | None, alpha: float) -> list[tuple[str, tuple[Any, ...]]]:
    """(test, (statistic, p, n, problem, meaning)) of one series."""
    n = len(errors)
    if n < LEAST:
        why = f"left out: {n} residuals are fewer than the {LEAST} that tests need"
    elif np.ptp(errors) <= 1e-12 * max(1.0, float(np.abs(errors).max())):
        why = "left out: the residuals are all the same"
    else:
        known = _lags(n, lags)
        return [(name, _one(test, errors, known, alpha)) for name, test in
                zip(TESTS, (_bias, _adf, _kpss, _ljung_box, _jarque_bera), strict=True)]
    return [(name, (np.nan, np.nan, n, None, why)) for name in TESTS]


def _one(test: Callable[..., tuple[float, float, bool, str]], errors: np.ndarray, lags: int, alpha: float) -> tuple[Any, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of p-values at the border of a table, which the words name as what they are
        statistic, p, problem, meaning = test(errors, lags, alpha)
    return float(statistic), float(p), len(errors), bool(problem), meaning


def _bias(errors: np.ndarray, lags: int, alpha: float) -> tuple[float, float, bool, str]:
    model = need("statsmodels.api", extra="diagnostics").OLS(errors, np.ones(len(errors)))
    fit = model.fit(cov_type="HAC", cov_kwds={"maxlags": lags}, use_t=True)
    statistic, p, mean = float(fit.tvalues[0]), float(fit.pvalues[0]), float(errors.mean())
    if p >= alpha:
        return statistic, p, False, f"no bias: the mean error of {mean:.4g} is what chance would leave"
    return statistic, p, True, f"forecasts are too {'low' if mean > 0 else 'high'}, by {abs(mean):.4g} on average"


def _first(answer: Any) -> tuple[float, float]:
    """Statistic and p-value: of a tuple, or of the object that newer releases of statsmodels give."""
    return (answer.statistic, answer.pvalue) if hasattr(answer, "pvalue") else tuple(answer[:2])


def _adf(errors: np.ndarray, lags: int, alpha: float) -> tuple[float, float, bool, str]:
    statistic, p = _first(need("statsmodels.tsa.stattools", extra="diagnostics").adfuller(errors, autolag="AIC"))
    if p < alpha:
        return statistic, p, False, "stationary: errors return to their mean"
    return statistic, p, True, "not shown to be stationary: errors may drift"


def _kpss(errors: np.ndarray, lags: int, alpha: float) -> tuple[float, float, bool, str]:
    statistic, p = _first(need("statsmodels.tsa.stattools", extra="diagnostics").kpss(errors, regression="c", nlags="auto"))
    border = " (p at the border of its table)" if p in (0.01, 0.1) else ""
    if p < alpha:
        return statistic, p, True, f"not stationary: the level of errors moves{border}"
    return statistic, p, False, f"no sign that the level of errors moves{border}"


def _ljung_box(errors: np.ndarray, lags: int, alpha: float) -> tuple[float, float, bool, str]:
    table = need("statsmodels.stats.diagnostic", extra="diagnostics").acorr_ljungbox(errors, lags=[lags])
    statistic, p = float(table["lb_stat"].iloc[0]), float(table["lb_pvalue"].iloc[0])
    if p < alpha:
        return statistic, p, True, f"errors follow from earlier ones (lags 1 to {lags}): there is a pattern left to learn"
    return statistic, p, False, f"no pattern in time up to lag {lags}"


def _jarque_bera(errors: np.ndarray, lags: int, alpha: float) -> tuple[float, float, bool, str]:
    statistic, p, skew, kurtosis = need("statsmodels.stats.stattools", extra="diagnostics").jarque_bera(errors)
    if p < alpha:
        return statistic, p, True, (f"not normal (skewness {skew:.2f}, kurtosis {kurtosis:.2f}): take intervals from quantiles "
                                    "or conformal prediction")
    return statistic, p, False, f"in accord with a normal distribution (skewness {skew:.2f}, kurtosis {kurtosis:.2f})"
