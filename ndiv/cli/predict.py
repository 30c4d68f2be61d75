"""``ndiv predict``: forecast with a saved folder, after the series that it holds or those of another file."""

from __future__ import annotations

import argparse

EXAMPLE = "ndiv predict sales_model --out forecasts.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder written by 'ndiv fit' or NeuralForecast.save")
    parser.add_argument("file", metavar="FILE", nargs="?", help="CSV or Parquet with the history to forecast from "
                        "(default: the series saved with the models)")
    parser.add_argument("--futr", metavar="FILE", help="CSV or Parquet with future values of covariates")
    parser.add_argument("--static", metavar="FILE", help="CSV or Parquet of static covariates, one row a series")
    parser.add_argument("--h", type=int, metavar="N", help="steps to forecast (default: those trained for; more are recursive)")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--level", type=float, nargs="+", metavar="P", help="central intervals in per cent, such as 80 90")
    asked.add_argument("--quantiles", type=float, nargs="+", metavar="Q", help="quantiles, such as 0.1 0.5 0.9")
    parser.add_argument("--out", metavar="FILE", help="CSV or Parquet to write (default: CSV on standard output)")


def run(args: argparse.Namespace) -> None:
    from ndiv.forecast import NeuralForecast

    from ._io import check_output, read_static, write_frame

    check_output(args.out)
    nf = NeuralForecast.load(args.folder)
    frame = nf.predict(args.file, read_static(args.static), args.futr, h=args.h, level=args.level, quantiles=args.quantiles)
    write_frame(frame.to_pandas() if hasattr(frame, "to_pandas") else frame, args.out)
