"""``ndiv features``: add columns made of times and of the target to a CSV or Parquet file, or list them."""

from __future__ import annotations

import argparse
import json

from ndiv.errors import ConfigError

EXAMPLE = "ndiv features sales.csv --freq D --feature calendar --feature lags:1,7 --out sales_features.csv"


def add_feature_option(parser: argparse.ArgumentParser) -> None:
    """--feature, as `fit` takes it too."""
    from ndiv.features.specs import EXAMPLES

    parser.add_argument("--feature", action="append", metavar="SPEC", dest="features",
                        help=f"column(s) made of times or target; may be given again: {', '.join(EXAMPLES.values())}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._io import add_column_options

    parser.add_argument("file", metavar="FILE", help="CSV or Parquet: unique_id, ds, y; or one column a series")
    parser.add_argument("--freq", metavar="FREQ", help="step between times: h, D, MS, 1h, 1 ... (default: inferred)")
    add_feature_option(parser)
    parser.add_argument("--h", type=int, default=0, metavar="N", help="with --future or --list: how many steps ahead")
    parser.add_argument("--out", metavar="FILE", help="CSV or Parquet to write (default: CSV on standard output)")
    parser.add_argument("--future", metavar="FILE", help="also write the next N rows of each series, with what is known there")
    parser.add_argument("--list", action="store_true", help="print the names of the columns only")
    parser.add_argument("--json", action="store_true", help="with --list: print JSON")
    add_column_options(parser)


def run(args: argparse.Namespace) -> None:
    from ndiv.features import FeatureSet, make
    from ndiv.features.on_frames import inferred
    from ndiv.forecast.reading import ColumnNames, as_frame

    from ._io import check_output, parse_freq, write_frame

    names = {"id_col": args.id_col, "time_col": args.time_col, "target_col": args.target_col}
    if args.h < 0 or (args.future and not args.h):
        raise ConfigError("--future needs --h, the number of steps ahead", value=args.h, hint="For example --h 12.")
    for path in (args.out, args.future):
        check_output(path)
    df = as_frame(args.file, ColumnNames(**names))
    freq = parse_freq(args.freq)
    made = FeatureSet(args.features or ["calendar"], inferred(df, **names) if freq is None else freq)
    if args.list:
        found = made.names(max(args.h, 1))
        texts = {"futr": f"known {max(args.h, 1)} steps ahead", "hist": "known up to the forecast"}
        print(json.dumps(found) if args.json else "\n".join(f"{texts[k]}: {', '.join(v) or 'none'}" for k, v in found.items()))
        return
    past, future = make(df, made.freq.freq, made.features, max(args.h, 1), **names)
    write_frame(past, args.out)
    if args.future:
        write_frame(future, args.future)
