"""The sections of a report, one method each, and what they find worth saying at its top.

Contract: a section says what is missing where something is; ``summary`` and ``careful`` fill while the sections are made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.frames import to_frame
from ndiv.data.store import SeriesStore
from ndiv.errors import MissingExtraError, NdivError

from ..columns import model_names
from ..core import NeuralForecast
from ..evaluation.backtests import BASELINES, Backtest
from ..evaluation.baselines import season_of
from ..evaluation.columns import forecast_columns, forecasts_of
from ..evaluation.comparison import compare
from ..evaluation.residuals import diagnose_residuals, p_text
from ..evaluation.scores import evaluate
from ..reading import ColumnNames
from .facts import SHOWN, data_facts, data_warnings, model_rows, number, series_rows
from .page import Page

__all__ = ["Case"]


class Case:
    """What is known of one report, and the sections that follow from it.

    summary, careful   sentences for the top, found on the way
    best               the model with the least error in the backtest
    """

    def __init__(self, nf: NeuralForecast | None, cv: Any, season: int | None, max_series: int, unit: str | None) -> None:
        self.nf = nf
        self.backtest = cv if isinstance(cv, Backtest) else None
        self.cv = cv.frame if isinstance(cv, Backtest) else cv
        source = self.backtest.nf if self.backtest is not None else nf
        self.store: SeriesStore | None = (nf.dataset if nf is not None and nf.dataset is not None
                                          else source.dataset if source is not None else None)
        self.columns = source.columns if source is not None else ColumnNames()
        self.max_series, self.unit = max(int(max_series), 1), unit
        self.season = self.backtest.season if self.backtest is not None and season is None else season
        if self.season is None and self.store is not None:
            self.season = season_of(self.store.times[:int(self.store.lengths[0])])
        self.summary: list[str] = []
        self.careful: list[str] = []
        self.best: str | None = None

    @property
    def names(self) -> dict[str, Any]:
        """The columns of ids, times and target as arguments."""
        return {"id_col": self.columns.id_col, "time_col": self.columns.time_col, "target_col": self.columns.target_col}

    @property
    def label(self) -> str:
        """The target and its unit."""
        return f"{self.columns.target_col} ({self.unit})" if self.unit else self.columns.target_col

    def history(self) -> Any:
        """id, time and target of the stored series; None without them."""
        if self.store is None:
            return None
        y = np.where(self.store.mask, self.store.y.astype(np.float64), np.nan)
        ids = np.repeat(self.store.ids, self.store.lengths)
        return to_frame(ids, self.store.times, {self.columns.target_col: y}, like=self.store.origin)

    # -- sections --------------------------------------------------------------------------------------------------

    def data(self, page: Page) -> None:
        """Facts of the series."""
        page.section("Data")
        if self.store is None:
            page.paragraph("The series were not saved with the models.")
            return
        store = self.store
        self.summary.append(f"{store.n_series:,} series of {len(store.y):,} rows in all, frequency {store.freq}.")
        self.careful += data_warnings(store, self.nf.models if self.nf is not None else [])
        page.table(["fact", "value"], data_facts(store), "All series together", words=(0, 1))
        more = f" (the first {SHOWN} of {store.n_series:,})" if store.n_series > SHOWN else ""
        page.table(["series", "rows", "from", "to", "mean", "deviation", "missing"], series_rows(store), f"Series{more}")

    def models(self, page: Page) -> None:
        """Models and their settings."""
        source = self.nf or (self.backtest.nf if self.backtest is not None else None)
        if source is None:
            return
        page.section("Models")
        names = model_names(source.models)
        seconds = self.backtest.seconds if self.backtest is not None else {}
        header = ["name", "model", "weights", "input", "loss", "scaler", "steps", "learning rate"]
        rows = model_rows(source.models, names, seconds)
        spent = "; seconds: training and forecasts of the backtest" if seconds else ""
        page.table([*header, *(["seconds"] if seconds else [])], [r if seconds else r[:-1] for r in rows],
                   f"Horizon {source.h}{spent}", words=(0, 1, 4, 5))
        for name, model in zip(names, source.models, strict=True):
            page.hidden(f"All settings of {name}", json.dumps(model.config(), indent=1, default=str))

    def training(self, page: Page) -> None:
        """Learning curves."""
        from ndiv.plot import plot_learning
        from ndiv.plot.learning import histories_of

        source = self.nf or (self.backtest.nf if self.backtest is not None else None)
        if source is None:
            return
        page.section("Training")
        found = {name: records for name, records in histories_of(source).items() if records}
        if not found:
            page.paragraph("There are no records of the training of these models.")
            return
        page.figure(plot_learning(found), f"Loss during training of {', '.join(found)}: of training in units of "
                    "its scaled windows, of validation in those of the data.")
        for name, records in found.items():
            valid = [r["valid_loss"] for r in records if "valid_loss" in r]
            if len(valid) > 2 and valid[-1] > 1.2 * min(valid):
                self.careful.append(f"{name}: the validation loss rose from {min(valid):.4g} to {valid[-1]:.4g}, a sign of "
                                    "overfitting; the best weights are kept where restore_best is on.")

    def scores(self, page: Page) -> None:
        """Errors beside those of baselines, whether they differ by more than luck, windows, errors by step."""
        page.section("Backtest")
        if self.cv is None:
            page.paragraph("No backtest was given, so nothing here says how good the forecasts are.")
            self.careful.append("There is no backtest: how good the forecasts are is not known.")
            return
        from ndiv.plot import plot_cross_validation

        scores = self.backtest.scores if self.backtest is not None else self._scores()
        frame = need("narwhals").from_native(scores, eager_only=True)
        metrics, models = frame["metric"].to_list(), [c for c in frame.columns if c != "metric"]
        errors = [k for k, m in enumerate(metrics) if not m.startswith(("coverage", "bias"))]
        values = np.array([[np.nan if v is None else float(v) for v in frame[m].to_list()] for m in models])
        best = [(int(np.nanargmin(values[:, k])), k + 1) for k in errors if np.isfinite(values[:, k]).any()]
        page.table(["model", *metrics], [[m, *map(number, values[r])] for r, m in enumerate(models)],
                   "Means over the series; lower is better, but for coverage. ★ is the best of a column", best=best)
        own = [m for m in models if m not in BASELINES]
        if own and metrics:
            self.best = min(own, key=lambda m: values[models.index(m), 0])
            self.summary.append(f"The best model by {metrics[0]} is {self.best}, with "
                                f"{number(values[models.index(self.best), 0])}.")
        rival = sorted((m for m in models if m in BASELINES), key=lambda m: values[models.index(m), 0])[:1]
        self._tests(page, own, rival)
        history = self.history()
        shown = [self.best, *rival] if self.best else None
        drawn = plot_cross_validation(self.cv, history, models=shown, max_series=min(self.max_series, 2), y_label=self.label,
                                      **self.names)
        page.figure(drawn, f"Windows of the backtest: {', '.join(shown or models)}.")
        page.figure(self._by_step(models), "Mean absolute error by step of the forecast.")

    def _scores(self) -> Any:
        frame = need("narwhals").from_native(self.cv, eager_only=True)
        points = forecast_columns(frame, (*self.names.values(), "cutoff"))
        levels = any(f.levels for f in forecasts_of(frame.columns, points))
        scaled = self.store is not None and self.season is not None
        metrics = ["mae", "rmse", "smape", *(["mase"] if scaled else []), *(["crps", "coverage"] if levels else [])]
        history = self.history() if scaled else None
        return evaluate(self.cv, metrics, points, history, seasonality=self.season, by="all", **self.names)

    def _tests(self, page: Page, own: list[str], rival: list[str]) -> None:
        page.heading("Is the difference more than luck?")
        pairs = [("the best baseline", rival[0], own)] if rival and own else []
        if len(own) > 1 and self.best:
            pairs.append(("the best model", self.best, [m for m in own if m != self.best]))
        if not pairs:
            page.paragraph("There are no two columns of forecasts to compare.")
            return
        for what, against, models in pairs:
            try:
                found = compare(self.cv, "mae", models=models, baseline=against, **self.names)
            except MissingExtraError as error:
                page.paragraph(f"Not tested: {error.message}. {error.hint}")
                return
            lines = str(found).splitlines()
            page.paragraph(f"{lines[0]}, against {what}, {against}:", quiet=True)
            page.bullets(line.strip() for line in lines[1:])
            if against in BASELINES:
                for row in need("narwhals").from_native(found.frame, eager_only=True).rows(named=True):
                    if row["difference"] >= 0:
                        self.careful.append(f"{row['model_a']} is no better than {against} ({row['loss_a']:.4g} against "
                                            f"{row['loss_b']:.4g}).")
                    elif row["model_a"] == self.best:
                        self.summary.append(found.sentence(row) + ".")

    def _by_step(self, models: list[str]) -> Any:
        from ndiv.plot.style import MARKERS, STYLES, THEMES, caption, dress, new_figure

        found = need("narwhals").from_native(evaluate(self.cv, "mae", models, by="step", **self.names), eager_only=True)
        look, steps = THEMES["light"], found["step"].to_list()
        figure = new_figure(9.0, 3.4, look)
        ax = figure.subplots()
        for k, name in enumerate(models):
            ax.plot(steps, found[name].to_numpy(), color=look.colours[k % len(look.colours)], linestyle=STYLES[k % len(STYLES)],
                    marker=MARKERS[k % len(MARKERS)] if len(steps) <= 40 else None, markersize=4, linewidth=1.6, label=name)
        dress(ax, look, False, "step of the forecast", f"mean absolute error{f' ({self.unit})' if self.unit else ''}")
        ax.set_ylim(bottom=0)
        caption(figure, look, None, [ax])
        return figure

    def forecasts(self, page: Page, futr_df: Any, level: Any) -> None:
        """What comes next."""
        if self.nf is None:
            return
        from ndiv.plot import plot_forecast

        page.section("Forecasts")
        history = self.history()
        if history is None or self.nf.dataset is None:
            page.paragraph("The series were not saved with the models, so there is nothing to forecast from.")
            return
        try:
            ahead = self.nf.predict(futr_df=futr_df, **({} if level is None else {"level": level}))
        except NdivError as error:
            page.paragraph(f"No forecasts: {error.message}. {error.hint or ''}")
            return
        if self.backtest is not None and self.backtest.nf is self.nf:
            page.paragraph("By the models as the backtest left them: trained on what precedes its last windows.", quiet=True)
        count = need("narwhals").from_native(ahead, eager_only=True)[self.columns.id_col].n_unique()
        more = f" (the first {self.max_series} of {count:,} series)" if count > self.max_series else ""
        page.figure(plot_forecast(history, ahead, max_series=self.max_series, y_label=self.label, **self.names),
                    f"The next {self.nf.h} steps, with intervals where the models have them{more}.")
        table = need("narwhals").from_native(ahead, eager_only=True)
        shown = table.head(self.nf.h * min(self.max_series, 2))
        page.hidden("The numbers", shown.to_pandas().to_string(index=False))

    def residuals(self, page: Page) -> None:
        """What the errors of the best model still hold."""
        if self.cv is None:
            return
        page.section("Residuals")
        from ndiv.plot import plot_residuals

        frame = need("narwhals").from_native(self.cv, eager_only=True)
        model = self.best or forecast_columns(frame, (*self.names.values(), "cutoff"))[0]
        ids = list(dict.fromkeys(frame[self.columns.id_col].to_list()))[:self.max_series]
        some = frame.filter(need("narwhals").col(self.columns.id_col).is_in(ids)).to_native()
        try:
            found = diagnose_residuals(some, model, **self.names)
        except MissingExtraError as error:
            page.paragraph(f"Not tested: {error.message}. {error.hint}")
            return
        rows = need("narwhals").from_native(found.frame, eager_only=True).rows()
        page.table(["series", "test", "p", "meaning"], [[str(r[0]), r[2], p_text(r[4]), r[7]] for r in rows],
                   f"Errors of {model} in the backtest", words=(0, 1, 3))
        if found.h > 1:
            page.paragraph(str(found).splitlines()[-1], quiet=True)
        page.figure(plot_residuals(found, unit=self.unit), f"Residuals of {model}, series {ids[0]}.")

    def coverage(self, page: Page) -> None:
        """How many values lie in the intervals."""
        if self.cv is None:
            return
        page.section("Coverage")
        frame = need("narwhals").from_native(self.cv, eager_only=True)
        points = forecast_columns(frame, (*self.names.values(), "cutoff"))
        have = [f for f in forecasts_of(frame.columns, points) if f.levels]
        if not have:
            page.paragraph("No model has intervals: they come from a quantile or distribution loss, or from conformal "
                           "prediction.")
            return
        from ndiv.plot import plot_coverage

        ask: Sequence[str] = ["coverage", "interval_width", "winkler_score"]
        found_all = evaluate(self.cv, ask, [f.point for f in have], by="all", **self.names)
        scores = need("narwhals").from_native(found_all, eager_only=True)
        rows = []
        for forecast in have:
            found = dict(zip(scores["metric"].to_list(), scores[forecast.point].to_list(), strict=True))
            for nominal in sorted(forecast.levels):
                inside, width, winkler = (found[f"{metric}_level{nominal:g}"] for metric in ask)
                name = forecast.point.removesuffix("-median")
                rows.append([name, f"{nominal:g} %", f"{inside:.1%}", number(width), number(winkler)])
                if abs(100 * inside - nominal) > 5:
                    self.careful.append(f"{name}: {inside:.0%} of the values lie in its {nominal:g} % intervals.")
        page.table(["model", "interval", "values inside", "mean width", "Winkler score"], rows, "Over all rows of the backtest")
        page.figure(plot_coverage(self.cv, **self.names),
                    "Observed against nominal coverage; on the line a model is calibrated.")
