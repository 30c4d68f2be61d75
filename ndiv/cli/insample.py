"""``ndiv insample``: what the models of a saved folder forecast from each cutoff of the series saved with them."""

from __future__ import annotations

import argparse

from ._saved import written

EXAMPLE = "ndiv insample sales_model --step-size 12 --out fitted.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder written by 'ndiv fit' or NeuralForecast.save")
    parser.add_argument("--step-size", type=int, default=1, metavar="N", help="rows from one cutoff to the next (default 1)")
    parser.add_argument("--level", type=float, nargs="+", metavar="P", help="central intervals in per cent, such as 80 90")
    parser.add_argument("--out", metavar="FILE", help="CSV or Parquet to write (default: CSV on standard output)")


def run(args: argparse.Namespace) -> None:
    from ndiv.forecast import NeuralForecast

    from ._io import check_output

    check_output(args.out)
    written(NeuralForecast.load(args.folder).predict_insample(args.step_size, level=args.level), args.out)
