"""Plots: what is drawn, that nothing is hidden or left changed, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ndiv.errors import ConfigError, EmptyDataError, FeatureError, FileError
from ndiv.plot import plot_forecast


@pytest.fixture
def frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    times = pd.date_range("2020-01-01", periods=40)
    both = pd.concat([pd.DataFrame({"unique_id": i, "ds": times, "y": np.sin(np.arange(40) / 3) + k})
                      for k, i in enumerate(["north", "south"])], ignore_index=True)
    last = both.groupby("unique_id").tail(6)
    forecasts = last[["unique_id", "ds"]].assign(NHITS=last.y + 0.1, **{"NHITS-lo-90": last.y - 1, "NHITS-hi-90": last.y + 1},
                                                 DLinear=last.y - 0.1)
    return both.drop(index=last.index), forecasts, last


def labels(figure: Any) -> list[str]:
    return [t.get_text() for t in figure.legends[0].get_texts()]


def test_series_models_bands_and_legend(frames: Any, like: Any, tmp_path: Path) -> None:
    history, forecasts, actual = map(like, frames)
    figure = plot_forecast(history, forecasts, actual, tmp_path / "plot.png", title="Two shops")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["north", "south"]
    assert sorted(labels(figure)) == ["DLinear", "NHITS", "NHITS 90%", "actual", "history"]
    first = figure.axes[0]
    lines = {line.get_label(): line for line in first.get_lines()}
    assert len(lines["history"].get_xdata()) == 30  # enough to see the forecast in
    assert len(lines["actual"].get_xdata()) == 7  # joined to the history
    assert lines["NHITS"].get_color() != lines["DLinear"].get_color()
    assert lines["NHITS"].get_linestyle() != lines["DLinear"].get_linestyle()
    assert first.get_ylabel() == "y"
    assert figure.axes[1].get_xlabel() == "ds"
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_legend_lies_outside_the_panels(frames: Any, tmp_path: Path) -> None:
    figure = plot_forecast(*frames, tmp_path / "plot.svg")
    box = figure.legends[0].get_window_extent()
    assert all(ax.get_tightbbox().y0 >= box.y1 - 1 for ax in figure.axes)


def test_choices(frames: Any) -> None:
    history, forecasts, _ = frames
    figure = plot_forecast(history, forecasts, ids=["south"], models=["DLinear"], max_history=5)
    assert labels(figure) == ["history", "DLinear"]
    assert len(figure.axes) == 1
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == 5


def test_plain_arrays_and_integer_times() -> None:
    figure = plot_forecast({"unique_id": [1, 1], "ds": [1, 2], "y": [1.0, 2.0]}, {"unique_id": [1], "ds": [3], "NHITS": [3.0]})
    assert labels(figure) == ["history", "NHITS"]


def test_refused(frames: Any, tmp_path: Path) -> None:
    history, forecasts, _ = frames
    for arguments, kind, text in (
        ((history.drop(columns="y"), forecasts), FeatureError, "history has no column 'y'"),
        ((history, forecasts.iloc[:0]), EmptyDataError, "forecasts has no rows"),
        ((history, forecasts[["unique_id", "ds"]]), FeatureError, "no column of forecasts"),
        ((history, forecasts, None, tmp_path / "plot.xyz"), ConfigError, r"plot\.xyz.*png"),
        ((history, forecasts, None, tmp_path / "no" / "plot.png"), FileError, "folder"),
    ):
        with pytest.raises(kind, match=text):
            plot_forecast(*arguments)
    with pytest.raises(ConfigError, match="'west'"):
        plot_forecast(history, forecasts, ids=["west"])
    with pytest.raises(FeatureError, match=r"'NHIT'.*Did you mean 'NHITS'"):
        plot_forecast(history, forecasts, models=["NHIT"])


def test_without_matplotlib_and_without_touching_pyplot() -> None:
    code = ("import sys; sys.modules['matplotlib'] = None\n"
            "from ndiv.plot import plot_forecast\n"
            "try:\n    plot_forecast({}, {})\nexcept ValueError as error:\n    print(error)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'matplotlib', which is not installed" in done.stdout
    code = ("import sys\nfrom ndiv.plot import plot_forecast\n"
            "a = {'unique_id': ['a'], 'ds': [1], 'y': [1.0]}\nplot_forecast(a, a | {'m': [1.0]})\n"
            "print('matplotlib.pyplot' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
