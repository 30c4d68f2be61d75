"""`plot_residuals`: errors over time, their distribution, their autocorrelation, and their quantiles beside the normal ones.

Contract: four panels of one series and model, from a `ResidualDiagnostics`; what has no tests (too few residuals) has the first
two panels alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.errors import ConfigError, closest

from .style import Theme, begin, caption, dress, finish, new_figure

__all__ = ["plot_residuals"]


def plot_residuals(diagnostics: Any, series: Any = None, model: str | None = None, path: Any = None, *,
                   title: str | None = None, unit: str | None = None, theme: str = "light") -> Any:
    """Draw what `ndiv.diagnose_residuals` found for one series and model (default: the first).

    ``unit``: of the target, for the axes. Returns the matplotlib ``Figure``. Raises `ConfigError` (E0010) for a series or model
    that is not there, `FileError` (E0006).

    >>> import ndiv, numpy as np, pandas as pd
    >>> y = np.sin(np.arange(30.0))
    >>> found = ndiv.diagnose_residuals(pd.DataFrame({"unique_id": "a", "ds": range(30), "y": y, "m": y ** 3}))
    >>> len(plot_residuals(found).axes)
    4
    """
    look = begin(theme, path)
    keys = [key for key in diagnostics.residuals if (series is None or key[0] == series) and (model is None or key[1] == model)]
    if not keys:
        raise ConfigError(f"there are no residuals of series {series!r} and model {model!r}", value=(series, model),
                          hint=closest(model, {m for _, m in diagnostics.residuals}, "Models"))
    key = keys[0]
    errors, clock = diagnostics.residuals[key], diagnostics.times[key]
    label = f"residual ({unit})" if unit else "residual"
    whole = key in diagnostics.acf
    figure = new_figure(11.0, 6.4 if whole else 3.4, look)
    axes = figure.subplots(2 if whole else 1, 2, squeeze=False)
    few = len(errors) <= 150
    axes[0, 0].axhline(0, color=look.grey, linewidth=1)
    axes[0, 0].plot(clock, errors, color=look.colours[0], linewidth=1.2, marker="o" if few else None, markersize=3)
    dress(axes[0, 0], look, clock.dtype.kind == "M", "time", label, "over time")
    _histogram(axes[0, 1], errors, look, label)
    if whole:
        _correlogram(axes[1, 0], diagnostics.acf[key], len(errors), look)
        _quantiles(axes[1, 1], diagnostics.qq[key], look, label)
    caption(figure, look, title if title is not None else f"{key[0]}, {key[1]}: residuals (actual less forecast)", [axes[0, 1]])
    return finish(figure, path)


def _histogram(ax: Any, errors: np.ndarray, look: Theme, label: str) -> None:
    """Counts, and the normal curve of the same mean and spread."""
    bins = np.histogram_bin_edges(errors, min(max(int(np.sqrt(len(errors))), 5), 30))
    ax.hist(errors, bins=bins, color=look.colours[5], edgecolor=look.paper, linewidth=0.8, label="residuals")
    spread = float(errors.std())
    if spread > 0:
        x = np.linspace(bins[0], bins[-1], 200)
        curve = np.exp(-0.5 * ((x - errors.mean()) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
        ax.plot(x, curve * len(errors) * (bins[1] - bins[0]), color=look.colours[1], linewidth=1.6,
                label="normal distribution of their mean and spread")
    dress(ax, look, None, label, "count", "distribution")


def _correlogram(ax: Any, acf: np.ndarray, n: int, look: Theme) -> None:
    """Autocorrelations from lag 1; outside the band one of 20 lies by chance."""
    lags = np.arange(1, len(acf))
    limit = 1.96 / np.sqrt(n)
    ax.axhspan(-limit, limit, color=look.rule, alpha=0.6, linewidth=0)
    ax.axhline(0, color=look.grey, linewidth=1)
    ax.vlines(lags, 0, acf[1:], color=look.colours[0], linewidth=2)
    ax.plot(lags, acf[1:], "o", color=look.colours[0], markersize=4)
    dress(ax, look, False, "lag (steps)", "correlation", "autocorrelation (grey: 95 % of what chance gives)")
    ax.set_ylim(min(-1.05 * limit, float(acf[1:].min()) * 1.1, -0.3), max(1.05 * limit, float(acf[1:].max()) * 1.1, 0.3))
    ax.margins(x=0.04)


def _quantiles(ax: Any, found: tuple[np.ndarray, np.ndarray], look: Theme, label: str) -> None:
    """Sorted residuals against the quantiles of the standard normal distribution; on the line they would be normal."""
    theory, values = found
    ends = np.array([theory[0], theory[-1]])
    ax.plot(ends, values.mean() + values.std() * ends, color=look.colours[1], linewidth=1.6)
    ax.plot(theory, values, "o", color=look.colours[0], markersize=3.5)
    dress(ax, look, None, "quantile of the normal distribution", label, "Q-Q (on the line: normal)")
    ax.margins(x=0.04)
