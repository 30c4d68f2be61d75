"""``ndiv explain``: how much of the forecasts of a saved folder is owed to each lag and covariate."""

from __future__ import annotations

import argparse

from ._saved import add_saved, opened, written

EXAMPLE = "ndiv explain sales_model --method shapley --steps 1 --out attributions.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved(parser)
    parser.add_argument("--method", default="integrated_gradients", metavar="NAME", help="integrated_gradients (default), "
                        "input_x_gradient, occlusion or shapley")
    parser.add_argument("--baseline", default="mean", metavar="NAME", help="what forecasts are compared with: that of a window "
                        "at its mean (default), its last value (last), or zero")
    parser.add_argument("--steps", type=int, nargs="+", metavar="N", help="steps of the forecast, from 1 (default: all)")
    parser.add_argument("--series", nargs="+", metavar="ID", help="series (default: all)")
    parser.add_argument("--samples", type=int, default=25, metavar="N", help="orders of sampled Shapley values (default 25)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of these orders (default 0)")
    parser.add_argument("--sums", action="store_true", help="write what the attributions add up to instead: forecast, "
                        "baseline, sum, gap")
    parser.add_argument("--json", action="store_true", help="write JSON records to standard output")


def run(args: argparse.Namespace) -> None:
    nf, given = opened(args)
    steps = None if args.steps is None else [k - 1 for k in args.steps]
    found = nf.explain(**given, horizons=steps, series=_ids(nf, args.series), method=args.method, baseline=args.baseline,
                       n_samples=args.samples, seed=args.seed)
    frame = found.additivity if args.sums else found.frame
    if not args.json:
        written(frame, args.out)
        return
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    print(frame.to_json(orient="records", date_format="iso"))


def _ids(nf: object, names: list[str] | None) -> list[object] | None:
    """The names as typed, or the whole numbers that they are where ids are numbers."""
    stored = getattr(nf, "dataset", None)
    numbers = stored is not None and stored.ids.dtype.kind in "iu"
    return None if names is None else [int(n) if numbers and n.lstrip("-").isdigit() else n for n in names]
