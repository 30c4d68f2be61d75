"""``ndiv validate``: what is in a file of series, and whether ``ndiv fit`` would take it.

Status 0: it would; 2: it would refuse the data, or the file cannot be read.
"""

from __future__ import annotations

import argparse

EXAMPLE = "ndiv validate sales.csv --freq MS --h 12 --input-size 36"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._io import add_column_options, add_rule_options

    parser.add_argument("file", metavar="FILE", help="CSV, Parquet or folder of it: unique_id, ds, y; or one column a series")
    parser.add_argument("--freq", metavar="FREQ", help="step between times: h, D, MS, 1h, 1 ... (default: inferred)")
    parser.add_argument("--h", type=int, metavar="N", help="steps to forecast: says which series have few windows")
    parser.add_argument("--input-size", type=int, metavar="N", help="steps that a model looks back: names short series")
    for role, what in (("hist", "known up to the forecast"), ("futr", "known ahead"), ("stat", "in the file of --static"),
                       ("cat", "of these, those that hold categories")):
        parser.add_argument(f"--{role}-exog", default="", metavar="A,B", help=f"covariates {what}")
    parser.add_argument("--static", metavar="FILE", help="CSV or Parquet of static covariates, one row a series")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_rule_options(parser)
    add_column_options(parser)


def run(args: argparse.Namespace) -> int:
    from ndiv.data.validation import validate

    from ._io import parse_freq, read_static, rules_of

    lists = {f"{role}_exog": [n.strip() for n in getattr(args, f"{role}_exog").split(",") if n.strip()]
             for role in ("hist", "futr", "stat", "cat")}
    report = validate(args.file, parse_freq(args.freq), h=args.h, input_size=args.input_size, id_col=args.id_col,
                      time_col=args.time_col, target_col=args.target_col, static_df=read_static(args.static),
                      rules=rules_of(args), **lists)
    print(report.to_json() if args.json else report)
    return 0 if report.ok else 2
