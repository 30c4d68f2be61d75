"""``ndiv report``: one HTML file of data, models, backtest, forecasts and residuals, from raw data or a saved folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ndiv.errors import ConfigError

EXAMPLE = "ndiv report sales.csv --model NHITS --h 12 --freq MS --set loss=MQLoss --out sales.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._train import add_training_options, add_window_options

    parser.add_argument("source", metavar="SOURCE", help="CSV or Parquet to train on, or a folder written by 'ndiv fit'")
    parser.add_argument("--out", default="report.html", metavar="FILE", help="HTML file to write (default report.html)")
    parser.add_argument("--title", default="Forecast report", help="heading of the report")
    parser.add_argument("--unit", metavar="TEXT", help="unit of the target, for axes")
    parser.add_argument("--futr", metavar="FILE", help="CSV or Parquet with future values of covariates")
    parser.add_argument("--cv", metavar="FILE", help="forecasts of 'ndiv cv --out' to report, instead of a backtest now")
    parser.add_argument("--max-series", type=int, default=4, metavar="N", help="series to draw (default 4)")
    add_training_options(parser, h_required=False)
    add_window_options(parser, 3)


def run(args: argparse.Namespace) -> None:
    from ndiv.forecast.evaluation import backtest
    from ndiv.forecast.reporting import report
    from ndiv.forecast.reporting.build import check_report_path

    from ._io import read_forecasts, read_static
    from ._train import forecaster, levels, window_options
    from .fit import intervals

    check_report_path(args.out)  # before hours of training, not after
    saved = Path(args.source).is_dir() and (Path(args.source) / "ndiv.json").exists()
    names = {"id_col": args.id_col, "time_col": args.time_col, "target_col": args.target_col}
    nf, data, options = _loaded(args) if saved else (None, args.source, window_options(args))
    if not saved and args.h is None:
        raise ConfigError("--h is needed to train models on a file", value=None, hint="For example --h 12.")
    cv: Any = read_forecasts(args.cv, names) if args.cv is not None else None
    if cv is None and args.n_windows > 0 and data is not None:
        cv = backtest(_fresh(nf) if nf is not None else forecaster(args), data, **options)
    if nf is None:
        nf = forecaster(args).fit(data, read_static(args.static), args.val_size, **names,
                                  prediction_intervals=intervals(args.intervals))
    written = report(nf, cv, args.out, futr_df=args.futr, title=args.title, max_series=args.max_series, season=args.season,
                     target_unit=args.unit, level=levels(args.level))
    print(f"report written to {written}")


def _loaded(args: argparse.Namespace) -> tuple[Any, Any, dict[str, Any]]:
    """The saved forecaster, its series as a frame (None where they were not saved), the arguments of the backtest."""
    from dataclasses import asdict

    import numpy as np

    from ndiv.data.frames import to_frame
    from ndiv.forecast import NeuralForecast

    from ._train import window_options

    if args.model or args.settings or args.h is not None:
        raise ConfigError("--model, --h and --set are for data to train on; the models in a folder have theirs",
                          value=args.source, hint="Leave them out, or give the data file.")
    nf = NeuralForecast.load(args.source)
    options = {**window_options(args), **asdict(nf.columns)}
    store = nf.dataset
    if store is None or store.hist_names or store.futr_names or store.stat_names:
        return nf, None, options  # covariates would be needed beside the target
    y = np.where(store.mask, store.y.astype(np.float64), np.nan)
    frame = to_frame(np.repeat(store.ids, store.lengths), store.times, {nf.columns.target_col: y}, like=store.origin)
    return nf, frame, options


def _fresh(nf: Any) -> Any:
    """Untrained models of the same settings, so that the backtest leaves those that forecast alone."""
    from ndiv.forecast import NeuralForecast
    from ndiv.models.base import BaseModel

    return NeuralForecast([BaseModel.from_config(m.config()) for m in nf.models], nf.fitted_freq, nf.local_scaler_type)
