"""Plots of backtests, residuals, learning, decompositions, attributions and coverage: what is drawn, in both themes, readable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.colors import to_rgb

import ndiv
from ndiv.errors import ConfigError, EmptyDataError, FeatureError
from ndiv.plot import (
    plot_attributions,
    plot_coverage,
    plot_cross_validation,
    plot_decomposition,
    plot_forecast,
    plot_learning,
    plot_residuals,
)
from ndiv.plot.style import THEMES


@pytest.fixture(scope="module")
def cv() -> pd.DataFrame:
    draw, parts = np.random.default_rng(0), []
    times = pd.date_range("2020-01-01", periods=40)
    for name in "ab":
        for cutoff in (20, 26, 32):
            y = draw.normal(size=6)
            parts.append(pd.DataFrame({"unique_id": name, "ds": times[cutoff:cutoff + 6], "cutoff": times[cutoff - 1], "y": y,
                                       "m": y + 0.5, "m-lo-80": y - 1, "m-hi-80": y + np.where(np.arange(6) < 3, 1, -0.5),
                                       "naive": 0.0}))
    return pd.concat(parts, ignore_index=True)


RECORDS = [{"step": 10.0 * k, "train_loss": 2.0 / k, "valid_loss": 1 + (k - 3) ** 2} for k in range(1, 6)]
PARTS = {"unique_id": ["a"] * 6, "ds": [1, 1, 2, 2, 3, 3], "output": ["m"] * 6, "part": ["trend", "season"] * 3,
         "value": [1.0, 0.5, 2.0, -0.5, 3.0, 0.25]}
ROWS = {"feature": ["y"] * 4 + ["price"], "lag": [1, 2, 1, 2, 1], "step": [1, 1, 2, 2, 1], "attribution": [1.0, -2.0, 0.5, 0.5, 0.1]}


def every(cv: pd.DataFrame, theme: str, folder: Path | None = None) -> dict[str, Any]:
    def path(name: str) -> Path | None:
        return folder / f"{name}.svg" if folder is not None else None

    return {"windows": plot_cross_validation(cv, None, path("windows"), theme=theme),
            "residuals": plot_residuals(ndiv.diagnose_residuals(cv, "naive"), path=path("residuals"), theme=theme),
            "learning": plot_learning({"m": RECORDS}, path("learning"), theme=theme),
            "decomposition": plot_decomposition(PARTS, path("decomposition"), theme=theme),
            "attributions": plot_attributions(ROWS, path("attributions"), theme=theme),
            "coverage": plot_coverage(cv, path("coverage"), theme=theme),
            "forecast": plot_forecast({"unique_id": [1, 1], "ds": [1, 2], "y": [1.0, 2.0]},
                                      {"unique_id": [1], "ds": [3], "m": [3.0]}, path=path("forecast"), theme=theme)}


def contrast(one: Any, two: Any) -> float:
    """The contrast ratio of WCAG 2."""
    light = []
    for colour in (one, two):
        channels = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        light.append(0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_text_is_readable_and_legends_cover_nothing(cv: pd.DataFrame, theme: str, tmp_path: Path) -> None:
    look = THEMES[theme]
    for name, figure in every(cv, theme, tmp_path if theme == "light" else None).items():
        assert to_rgb(figure.get_facecolor()) == to_rgb(look.paper)
        texts = [t for ax in figure.axes for t in (ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels())]
        texts += [t for legend in figure.legends for t in legend.get_texts()]
        assert all(contrast(t.get_color(), look.paper) >= 4.5 for t in texts if t.get_text()), name
        if theme == "light":  # what lies where does not depend on colours
            assert (tmp_path / f"{name}.svg").stat().st_size > 5000
        for legend in figure.legends if theme == "light" else ():
            top = legend.get_window_extent().y1
            assert all(ax.get_tightbbox().y0 >= top - 1 for ax in figure.axes if ax.get_visible()), name


def test_colours_of_lines_are_seen() -> None:
    for look in THEMES.values():
        assert all(contrast(colour, look.paper) >= 1.9 for colour in look.colours)
        assert len(set(look.colours)) == 6


def test_windows(cv: pd.DataFrame) -> None:
    figure = plot_cross_validation(pl.from_pandas(cv), ids=["b"], models=["m"])
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines].count("m") == 3
    assert len({line.get_color() for line in lines if line.get_label() == "m"}) == 1
    assert len(figure.axes[0].collections) == 3  # a band for each window
    with pytest.raises(FeatureError, match="cutoff"):
        plot_cross_validation(cv.drop(columns="cutoff"))


def test_residuals(cv: pd.DataFrame) -> None:
    found = ndiv.diagnose_residuals(cv)
    figure = found.plot("b", "naive", unit="km")
    assert figure.get_suptitle().startswith("b, naive")
    assert np.allclose(figure.axes[0].get_lines()[1].get_ydata(), cv.y[cv.unique_id == "b"])
    assert figure.axes[0].get_ylabel() == "residual (km)"
    assert np.allclose(figure.axes[2].get_lines()[1].get_ydata(), found.acf["b", "naive"][1:])
    few = ndiv.diagnose_residuals(cv[cv.cutoff == cv.cutoff.min()], "naive")
    assert len(plot_residuals(few).axes) == 2
    with pytest.raises(ConfigError, match="'nave'"):
        plot_residuals(found, model="nave")


def test_learning() -> None:
    figure = plot_learning({"m": RECORDS, "n": [{"step": 1.0, "train_loss": 2.0}]})
    train, valid, best = figure.axes[0].get_lines()
    assert valid.get_ydata().tolist() == [5.0, 2.0, 1.0, 2.0, 5.0]
    assert (best.get_xdata()[0], best.get_ydata()[0]) == (30.0, 1.0)
    assert len(train.get_xdata()) == 5
    assert len(figure.axes[1].get_lines()) == 1
    model = ndiv.models.NLinear(h=2, input_size=4)
    with pytest.raises(EmptyDataError, match="no model has a record"):
        plot_learning(model)
    with pytest.raises(ConfigError, match="is no model"):
        plot_learning([3])


def test_decomposition() -> None:
    figure = plot_decomposition(PARTS)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["sum", "trend", "season"]
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == [1.5, 1.5, 3.25]
    with pytest.raises(ConfigError, match="no series 'b'"):
        plot_decomposition(PARTS, series="b")
    with pytest.raises(FeatureError, match="no output 'n'"):
        plot_decomposition(PARTS, output="n")


def test_attributions() -> None:
    figure = plot_attributions(ROWS)
    bars = {t.get_text(): p.get_width() for t, p in zip(figure.axes[0].get_yticklabels(), figure.axes[0].patches, strict=True)}
    assert bars == pytest.approx({"y": 1.0, "price": 0.1})
    assert figure.axes[1].collections[0].get_array().reshape(2, 2).tolist() == [[1.0, -2.0], [0.5, 0.5]]
    many = {"feature": [f"x{k}" for k in range(9)], "weight": list(range(9))}
    assert [t.get_text() for t in plot_attributions(many, top=2).axes[0].get_yticklabels()] == ["x8", "x7", "mean of 7 others"]
    with pytest.raises(FeatureError, match="no lags of the feature 'price'"):
        plot_attributions(ROWS, feature="price")
    with pytest.raises(FeatureError, match="'attribution'"):
        plot_attributions({"feature": ["y"]})


def test_coverage(cv: pd.DataFrame) -> None:
    line = plot_coverage(cv).axes[0].get_lines()[-1]
    assert (line.get_xdata()[0], line.get_ydata()[0]) == (80.0, pytest.approx(50.0))
    with pytest.raises(FeatureError, match="no columns of intervals"):
        plot_coverage(cv[["unique_id", "ds", "y", "m"]])


def test_unknown_theme(cv: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dark'"):
        plot_coverage(cv, theme="darc")


def test_learning_of_a_model_shows_every_part_of_its_training() -> None:
    model = ndiv.models.NLinear(h=2, input_size=4)
    model.train_trajectories = [float(k) for k in range(120)]
    model.history = [{"step": 120.0, "train_loss": 59.5, "valid_loss": 1.0}]
    train, valid, _ = plot_learning(model).axes[0].get_lines()
    assert list(train.get_xdata()) == [2.0 * k for k in range(1, 61)]
    assert list(train.get_ydata())[:2] == [0.5, 2.5]
    assert list(valid.get_xdata()) == [120.0]
