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
    parser.add_argument("--h", type=int, metavar="N", help="steps to forecast, at most those trained for")
    parser.add_argument("--out", metavar="FILE", help="CSV or Parquet to write (default: CSV on standard output)")


def run(args: argparse.Namespace) -> None:
    from ndiv.forecast import NeuralForecast

    from ._io import check_output, read_static, write_frame

    check_output(args.out)
    nf = NeuralForecast.load(args.folder)
    frame = nf.predict(args.file, read_static(args.static), args.futr, h=args.h)
    write_frame(frame.to_pandas() if hasattr(frame, "to_pandas") else frame, args.out)
