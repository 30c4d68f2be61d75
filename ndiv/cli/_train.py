"""What commands that train models share: their options, and the forecaster that these describe."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from ndiv.errors import ConfigError

__all__ = ["add_training_options", "add_window_options", "forecaster", "levels", "window_options"]


def add_training_options(parser: argparse.ArgumentParser, h_required: bool = True) -> None:
    """--model, --h, --input-size, --freq, --set, --val-size, --local-scaler, --static and the column names."""
    from ._io import add_column_options, add_rule_options

    parser.add_argument("--model", action="append", metavar="NAME", help="model to train; may be given again (default NHITS)")
    parser.add_argument("--h", type=int, required=h_required, metavar="N", help="steps to forecast")
    parser.add_argument("--input-size", type=int, default=-1, metavar="N", help="steps that a model looks back (default 3 h)")
    parser.add_argument("--freq", metavar="FREQ", help="step between times: h, D, MS, 1h, 1 ... (default: inferred)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="any other argument of the models, such as max_steps=500 or loss=MQLoss")
    parser.add_argument("--val-size", type=int, default=0, metavar="N", help="steps before each cutoff that validate")
    parser.add_argument("--local-scaler", metavar="NAME", help="scale each series: standard, robust, minmax, boxcox ...")
    parser.add_argument("--static", metavar="FILE", help="CSV or Parquet of static covariates, one row a series")
    parser.add_argument("--level", metavar="LEVELS", help="intervals in percent, such as 80,95, of a loss that knows them or "
                        "of --intervals")
    parser.add_argument("--intervals", metavar="METHOD", help="conformal intervals, as of 'ndiv fit'")
    add_rule_options(parser)
    add_column_options(parser)


def levels(text: str | None) -> list[float] | None:
    """``"80,95"`` as numbers; `ConfigError` (E0010) for anything else.

    >>> levels("80,95.5"), levels(None)
    ([80, 95.5], None)
    """
    if text is None:
        return None
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--level {text!r} is no list of numbers", value=text, hint="For example 80,95.") from None
    return [int(v) if v == int(v) else v for v in found]


def add_window_options(parser: argparse.ArgumentParser, windows: int) -> None:
    """--n-windows, --step-size, --refit, --season, --no-baselines."""
    parser.add_argument("--n-windows", type=int, default=windows, metavar="N",
                        help=f"windows of each series (default {windows})")
    parser.add_argument("--step-size", type=int, metavar="N", help="steps from one window to the next (default h)")
    parser.add_argument("--refit", type=int, nargs="?", const=1, default=0, metavar="K",
                        help="train again before each window, or each K-th (default: once, before the first)")
    parser.add_argument("--season", type=int, metavar="N", help="steps of a season (default: by the step between times)")
    parser.add_argument("--no-baselines", action="store_true", help="leave out the naive and seasonal naive forecasts")


def forecaster(args: argparse.Namespace) -> Any:
    """The untrained `NeuralForecast`."""
    from ndiv.forecast import NeuralForecast
    from ndiv.models import get_model

    from ._io import parse_freq, rules_of
    from .fit import settings

    options = {"h": args.h, "input_size": args.input_size, **settings(args.settings)}
    models = [get_model(name)(**options) for name in args.model or ["NHITS"]]
    return NeuralForecast(models, parse_freq(args.freq), args.local_scaler, **dataclasses.asdict(rules_of(args)))


def window_options(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `ndiv.backtest`."""
    from ._io import read_static
    from .fit import intervals

    return {"level": levels(args.level), "prediction_intervals": intervals(args.intervals),
            "n_windows": args.n_windows, "step_size": args.step_size, "refit": args.refit, "season": args.season,
            "baselines": not args.no_baselines, "val_size": args.val_size, "static_df": read_static(args.static),
            "id_col": args.id_col, "time_col": args.time_col, "target_col": args.target_col}
