"""``ndiv reconcile``: forecasts of a hierarchy made to add up."""

from __future__ import annotations

import argparse
import sys

EXAMPLE = "ndiv reconcile forecasts.csv --method mint_shrink --insample fitted.csv --out coherent.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._io import add_column_options

    parser.add_argument("file", metavar="FORECASTS", help="CSV or Parquet: unique_id, ds, one column a model; all levels")
    parser.add_argument("--summing", metavar="FILE", help="summing matrix; without it, ids are paths such as X and X/a")
    parser.add_argument("--method", action="append", metavar="NAME",
                        help="bottom_up, top_down, top_down_average, ols, wls_struct (default), wls_var, mint_shrink, erm; "
                             "may be given again")
    parser.add_argument("--insample", metavar="FILE", help="history and fitted values, for the methods that need them")
    parser.add_argument("--nonnegative", action="store_true", help="no value below 0")
    parser.add_argument("--out", metavar="FILE", help="CSV or Parquet to write (default: standard output)")
    add_column_options(parser)


def run(args: argparse.Namespace) -> None:
    from ndiv.data.readers import read_table
    from ndiv.hierarchy import coherence, reconcile, summing

    from ._io import check_output, read_static, write_frame

    check_output(args.out)
    names = {"id_col": args.id_col, "time_col": args.time_col, "target_col": args.target_col}
    frame = read_table(args.file, layout="long", **names)
    insample = None if args.insample is None else read_table(args.insample, layout="long", **names)
    S, tags = read_static(args.summing), None
    if S is None:
        S, tags = summing(frame[args.id_col], id_col=args.id_col)
    methods = args.method or ["wls_struct"]
    found = reconcile(frame, S, tags, methods, insample=insample, nonnegative=args.nonnegative, **names)
    write_frame(found, args.out)
    shown = [c for c in found.columns if str(c).rpartition("/")[2] in methods]
    before = [c.rpartition("/")[0] for c in shown]
    apart = coherence(found, S, models=[*before, *shown], id_col=args.id_col, time_col=args.time_col)
    for old, new in zip(before, shown, strict=True):
        print(f"{new}: {apart[new]:.1e} of its size from adding up ({old}: {apart[old]:.1e})", file=sys.stderr)
