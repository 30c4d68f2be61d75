"""``ndiv predict``: forecast with a saved folder, after the series that it holds or those of another file."""

from __future__ import annotations

import argparse

EXAMPLE = "ndiv predict sales_model --out forecasts.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._saved import add_saved

    add_saved(parser)
    parser.add_argument("--h", type=int, metavar="N", help="steps to forecast (default: those trained for; more are recursive)")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--level", type=float, nargs="+", metavar="P", help="central intervals in per cent, such as 80 90")
    asked.add_argument("--quantiles", type=float, nargs="+", metavar="Q", help="quantiles, such as 0.1 0.5 0.9")


def run(args: argparse.Namespace) -> None:
    from ._saved import opened, written

    nf, given = opened(args)
    written(nf.predict(**given, h=args.h, level=args.level, quantiles=args.quantiles), args.out)
