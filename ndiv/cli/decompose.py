"""``ndiv decompose``: the parts that the forecasts of a saved folder are sums of."""

from __future__ import annotations

import argparse

from ._saved import add_saved, opened, written

EXAMPLE = "ndiv decompose sales_model --out parts.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved(parser)
    parser.add_argument("--by", default="stack", metavar="NAME", help="stack (default) or block, of models with stacks")


def run(args: argparse.Namespace) -> None:
    nf, given = opened(args)
    written(nf.decompose(**given, by=args.by), args.out)
