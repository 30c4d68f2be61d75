"""``ndiv advise``: which models for a file and a goal, and why."""

from __future__ import annotations

import argparse
import json

EXAMPLE = "ndiv advise sales.csv --h 12 --goal speed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._io import add_column_options

    parser.add_argument("file", metavar="FILE", help="CSV or Parquet: unique_id, ds, y; or one column a series")
    parser.add_argument("--h", type=int, required=True, metavar="N", help="steps to forecast")
    parser.add_argument("--goal", default="accuracy", metavar="GOAL",
                        help="accuracy (default), speed, intervals, interpretability, covariates, memory, horizon")
    parser.add_argument("--freq", metavar="FREQ", help="step between times: h, D, MS, 1h, 1 ... (default: inferred)")
    parser.add_argument("--futr", metavar="NAMES", default="", help="columns known in the future, such as price,promo")
    parser.add_argument("--hist", metavar="NAMES", default="", help="columns known in the past alone")
    parser.add_argument("--static", metavar="FILE", help="CSV or Parquet of static covariates, one row a series")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="models to name (default 3)")
    parser.add_argument("--python", action="store_true", help="print Python that compares and trains the models")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_column_options(parser)


def run(args: argparse.Namespace) -> None:
    from ndiv.advice import advise

    from ._io import parse_freq, read_static

    futr, hist = ([name for name in text.split(",") if name] for text in (args.futr, args.hist))
    advice = advise(args.file, args.goal, h=args.h, freq=parse_freq(args.freq), futr_exog=futr, hist_exog=hist,
                    static_df=read_static(args.static), top=args.top, id_col=args.id_col, time_col=args.time_col,
                    target_col=args.target_col)
    if args.json:
        print(json.dumps(advice.record(), indent=1))
    else:
        print(advice.snippet if args.python else advice)
