"""``ndiv fit``: train models on a CSV or Parquet file and save them in a folder that ``ndiv predict`` reads."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from ndiv.errors import ConfigError

EXAMPLE = "ndiv fit sales.csv --model NHITS --h 12 --input-size 36 --freq MS --out sales_model --set max_steps=500"

_WORDS = {"true": True, "false": False, "none": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._io import add_column_options, add_rule_options
    from .features import add_feature_option

    parser.add_argument("file", metavar="FILE", help="CSV or Parquet: unique_id, ds, y; or one column a series")
    parser.add_argument("--model", action="append", metavar="NAME", help="model to train; may be given again (default NHITS)")
    parser.add_argument("--h", type=int, required=True, metavar="N", help="steps to forecast")
    parser.add_argument("--input-size", type=int, default=-1, metavar="N", help="steps that a model looks back (default 3 h)")
    parser.add_argument("--freq", metavar="FREQ", help="step between times: h, D, MS, 1h, 1 ... (default: inferred)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to save to")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="any other argument of the models, such as max_steps=500 or scaler_type=standard")
    parser.add_argument("--val-size", type=int, default=0, metavar="N", help="steps at the end of each series that validate")
    parser.add_argument("--local-scaler", metavar="NAME", help="scale each series: standard, minmax, log1p, diff-12 ...")
    parser.add_argument("--static-scaler", metavar="NAME", help="scale static covariates over all series: standard, minmax ...")
    parser.add_argument("--target-transform", metavar="NAME",
                        help="train on a function of the target: log, log1p, sqrt, asinh, cbrt")
    add_feature_option(parser)
    parser.add_argument("--static", metavar="FILE", help="CSV or Parquet of static covariates, one row a series")
    parser.add_argument("--intervals", metavar="METHOD[,KEY=VALUE]",
                        help="calibrate intervals for 'ndiv predict --level': conformal_distribution, conformal_error or cqr, "
                        "then n_windows, step_size, scores, by_step: cqr,n_windows=10,scores=pooled")
    parser.add_argument("--overwrite", action="store_true", help="replace what was saved in DIR")
    add_rule_options(parser)
    add_column_options(parser)


def settings(pairs: list[str]) -> dict[str, Any]:
    """``["max_steps=5", "alias=a"]`` as a dict; values are JSON where they can be, else text.

    >>> settings(["max_steps=5", "scaler_type=robust", 'futr_exog_list=["price"]'])
    {'max_steps': 5, 'scaler_type': 'robust', 'futr_exog_list': ['price']}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--set {pair!r} is not of the form key=value", value=pair, hint="For example max_steps=500.")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = _WORDS.get(text.lower(), text)
    return found


def intervals(text: str | None) -> Any:
    """The `PredictionIntervals` of ``cqr,n_windows=10``; None for None.

    >>> intervals("cqr,n_windows=10,scores=pooled").scores
    'pooled'
    """
    from ndiv.errors import closest
    from ndiv.utils import PredictionIntervals

    if text is None:
        return None
    method, *pairs = text.split(",")
    options = settings(pairs)
    valid = ("n_windows", "step_size", "scores", "by_step")
    for key in options:
        if key not in valid:
            raise ConfigError(f"--intervals knows no {key!r}", value=key, hint=closest(key, valid))
    return PredictionIntervals(method=method, **options)


def run(args: argparse.Namespace) -> None:
    from ndiv.forecast import NeuralForecast
    from ndiv.forecast.persistence import check_target
    from ndiv.models import get_model

    from ._io import parse_freq, read_static, rules_of

    calibration = intervals(args.intervals)
    options = {"h": args.h, "input_size": args.input_size, **settings(args.settings)}
    models = [get_model(name)(**options) for name in args.model or ["NHITS"]]
    check_target(args.out, args.overwrite)  # before hours of training, not after
    nf = NeuralForecast(models, parse_freq(args.freq), args.local_scaler, args.static_scaler, features=args.features,
                        target_transform=args.target_transform, **dataclasses.asdict(rules_of(args)))
    nf.fit(args.file, read_static(args.static), args.val_size, id_col=args.id_col, time_col=args.time_col,
           target_col=args.target_col, prediction_intervals=calibration)
    nf.save(args.out, overwrite=args.overwrite)
    assert nf.dataset is not None
    names = ", ".join(map(repr, models))
    print(f"trained {names} on {nf.dataset.n_series} series, {len(nf.dataset.y)} rows, freq {nf.fitted_freq}; "
          f"saved to {args.out}")
