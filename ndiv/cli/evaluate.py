"""``ndiv evaluate``: errors of a file of forecasts against a file of what happened."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ndiv.errors import DataError, EmptyDataError, FeatureError

EXAMPLE = "ndiv evaluate forecasts.csv actuals.csv --train history.csv --seasonality 12"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._io import add_column_options

    parser.add_argument("forecasts", metavar="FORECASTS", help="CSV or Parquet: unique_id, ds, one column a model")
    parser.add_argument("actuals", metavar="ACTUALS", nargs="?",
                        help="CSV or Parquet: unique_id, ds, y; may be left out when FORECASTS has a column y")
    parser.add_argument("--train", metavar="FILE", help="history that scales mase, rmsse and msse")
    parser.add_argument("--seasonality", type=int, metavar="N", help="season in steps, for mase, rmsse and msse")
    parser.add_argument("--metrics", metavar="NAMES",
                        help="such as mae,coverage (default mae,rmse,mape,smape; mase with --train)")
    parser.add_argument("--by", choices=("series", "cutoff", "step", "all"),
                        help="what one row is for (default: the mean over series, of each cutoff)")
    parser.add_argument("--level", metavar="LEVELS", help="intervals that coverage, crps and others look at, such as 80,90 "
                        "(default: all)")
    parser.add_argument("--baseline", metavar="NAME", help="column that owa and rmae are relative to")
    parser.add_argument("--compare", metavar="NAME", help="also test every model against this column (Diebold-Mariano)")
    parser.add_argument("--by-series", action="store_true", help="a row for each series instead of the mean over all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_column_options(parser)


def run(args: argparse.Namespace) -> None:
    from ndiv.data.readers import read_table
    from ndiv.forecast.evaluation import compare, evaluate

    from ._io import read_forecasts
    from ._train import levels

    names = {"id_col": args.id_col, "time_col": args.time_col, "target_col": args.target_col}
    frame = read_forecasts(args.forecasts, names)
    if args.actuals is not None:
        frame = _beside(frame, read_table(args.actuals, **names), args)
    elif args.target_col not in frame.columns:
        raise FeatureError(f"{args.forecasts} has no column {args.target_col!r}", value=args.target_col,
                           hint="Give the file of actual values as second argument.")
    train = None if args.train is None else read_table(args.train, **names)
    errors = evaluate(frame, args.metrics.split(",") if args.metrics else None, train_df=train,
                      level=levels(args.level), seasonality=args.seasonality, baseline=args.baseline, by=args.by,
                      agg_fn=None if args.by_series or args.by is not None else "mean", **names)
    _show(errors, args)
    if args.compare is not None:
        print("", compare(frame, baseline=args.compare, **names), sep="\n", file=sys.stderr if args.json else sys.stdout)


def _beside(forecasts: Any, actuals: Any, args: argparse.Namespace) -> Any:
    """The forecasts with their actual values, rows without one left out (and counted on stderr)."""
    keys = [args.id_col, args.time_col]
    for file, frame, wanted in ((args.forecasts, forecasts, keys), (args.actuals, actuals, [*keys, args.target_col])):
        for name in wanted:
            if name not in frame.columns:
                raise FeatureError(f"{file} has no column {name!r}", value=name,
                                   hint=f"Columns: {', '.join(map(str, frame.columns))}.")
    if forecasts[args.time_col].dtype.kind != actuals[args.time_col].dtype.kind:
        raise DataError(f"the times of {args.forecasts} and {args.actuals} are of different kinds: "
                        f"{forecasts[args.time_col].iloc[0]!r} and {actuals[args.time_col].iloc[0]!r}", value=args.time_col)
    if forecasts[args.id_col].dtype != actuals[args.id_col].dtype:
        forecasts, actuals = (f.assign(**{args.id_col: f[args.id_col].astype(str)}) for f in (forecasts, actuals))
    twice = actuals.duplicated(keys)
    if twice.any():
        first = actuals.loc[twice].iloc[0]
        raise DataError(f"{args.actuals} has {int(twice.sum())} duplicate rows; the first: {first[args.id_col]} at "
                        f"{first[args.time_col]}", value=int(twice.sum()), hint="Keep one row for each id and time.")
    known = actuals[[*keys, args.target_col]].dropna()
    joined = forecasts.drop(columns=[args.target_col], errors="ignore").merge(known, on=keys, how="inner")
    if not len(joined):
        raise EmptyDataError(f"no row of {args.forecasts} has an actual value in {args.actuals}", value=0,
                             hint="Check that ids and times agree.")
    if len(joined) < len(forecasts):
        print(f"ndiv: {len(forecasts) - len(joined)} of {len(forecasts)} forecasts have no actual value and do not count",
              file=sys.stderr)
    return joined


def _show(errors: Any, args: argparse.Namespace) -> None:
    from ._io import table

    if args.json:
        print(json.dumps(json.loads(errors.to_json(orient="records", date_format="iso", double_precision=15)), indent=1))
        return
    words = [c for c in errors.columns if c in (args.id_col, "cutoff", "step", "metric")]
    rows = [[str(row[c]) if c in words else f"{row[c]:.6g}" for c in errors.columns] for _, row in errors.iterrows()]
    print(table([str(c) for c in errors.columns], rows))
