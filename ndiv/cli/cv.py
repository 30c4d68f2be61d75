"""``ndiv cv``: cross-validate models on a file, beside naive baselines; scores to the screen, forecasts to a file."""

from __future__ import annotations

import argparse
import json

EXAMPLE = "ndiv cv sales.csv --model NHITS --model DLinear --h 12 --freq MS --n-windows 5 --out cv.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._train import add_training_options, add_window_options

    parser.add_argument("file", metavar="FILE", help="CSV or Parquet: unique_id, ds, y; or one column a series")
    add_training_options(parser)
    add_window_options(parser, 3)
    parser.add_argument("--out", metavar="FILE", help="CSV or Parquet to write the forecasts of all windows to")
    parser.add_argument("--json", action="store_true", help="print the scores as JSON")


def run(args: argparse.Namespace) -> None:
    from ndiv.data._extras import need
    from ndiv.forecast.evaluation import backtest

    from ._io import check_output, write_frame
    from ._train import forecaster, window_options

    check_output(args.out)
    found = backtest(forecaster(args), args.file, **window_options(args))
    if args.out is not None:
        write_frame(need("narwhals").from_native(found.frame, eager_only=True).to_pandas(), args.out)
    if args.json:
        scores = need("narwhals").from_native(found.scores, eager_only=True)
        metrics = scores["metric"].to_list()
        rows = []
        for name in found.models:
            values = [None if v is None or v != v else v for v in scores[name].to_list()]
            rows.append({"model": name, **dict(zip(metrics, values, strict=True)), "seconds": found.seconds.get(name)})
        print(json.dumps({"season": found.season, "h": found.h, "windows": found.windows, "models": rows}, indent=1))
    else:
        print(found)
