"""``ndiv simulate``: sample paths of the forecasts of a saved folder."""

from __future__ import annotations

import argparse

from ._saved import add_saved, opened, written

EXAMPLE = "ndiv simulate sales_model --paths 200 --seed 1 --out paths.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved(parser)
    parser.add_argument("--paths", type=int, default=100, metavar="N", help="paths of each series and model (default 100)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random numbers (default: each model's random_seed)")
    parser.add_argument("--method", metavar="NAME", help="gaussian_copula or schaake_shuffle (default: a model's own paths "
                        "where it goes step after step, else gaussian_copula)")


def run(args: argparse.Namespace) -> None:
    nf, given = opened(args)
    written(nf.simulate(**given, n_paths=args.paths, seed=args.seed, method=args.method), args.out)
