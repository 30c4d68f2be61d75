"""``ndiv bench``: arguments, exit status, and the printing of ``ndiv bench accuracy``.

Contract: `add_arguments` fills a parser, `run` takes what it parsed and returns the exit status: 0, or 2 after one line
on standard error when the input is bad. Rows are printed as soon as they are known. `m4_cli`, `extensions` and `language` have
the others.

    ndiv bench accuracy --data ETTh1.csv.gz --models NLinear,DLinear --h 96 192 --seeds 1 2 3 --json results.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError, NdivError
from . import coverage, extensions, language, m4_cli
from .shared import check_writable, environment, model_names

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = "ndiv bench accuracy --data ETTh1.csv.gz --models NLinear,DLinear --h 96"

_EXAMPLE = """example:
  ndiv bench accuracy --data ETTh1.csv.gz --baselines
  ndiv bench accuracy --data ETTh1.csv.gz --models NLinear,DLinear --h 96 192 336 720 --seeds 1 2 3 --json out.json

The matrices are small: with OPENBLAS_NUM_THREADS=1 training takes less processor time, and on a busy machine less time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmarks, each a subcommand, to ``parser``."""
    kinds = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    accuracy = kinds.add_parser(
        "accuracy", help="train on ETTh1 and print test errors beside published ones", epilog=_EXAMPLE,
        description="Train models by the protocol of long-term forecasting papers and print their errors.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = accuracy.add_argument
    add("--data", required=True, metavar="PATH", help="the file, or the folder that holds it")
    add("--dataset", default="ETTh1", help="default: ETTh1")
    add("--models", default="NLinear,DLinear,NHITS,MLP", metavar="A,B", help="names, separated by commas; default: %(default)s")
    add("--h", type=int, nargs="+", default=[96], metavar="H", help="horizons; default: 96")
    add("--input-size", type=int, metavar="L", help="lookback; default: the model's setting")
    add("--seeds", type=int, nargs="+", default=[1], metavar="S", help="one training each; default: 1")
    add("--max-epochs", type=int, metavar="N", help="passes over the training windows at most; default: the setting")
    add("--variant", choices=("paper", "compat"), default="paper", help="of the models; default: paper")
    add("--ot", action="store_true", help="the column OT alone")
    add("--baselines", action="store_true", help="only the baselines, which take no training")
    add("--select", action="store_true", help="compare settings by validation loss alone; the test rows are not looked at")
    add("--json", metavar="FILE", help="write all records there as well")
    add("--quiet", action="store_true", help="no progress on standard error")
    m4_cli.add_arguments(kinds)
    extensions.add_arguments(kinds)
    language.add_arguments(kinds)
    coverage.add_arguments(kinds)


def run(args: argparse.Namespace) -> int:
    """Run what was asked for; 0, or 2 and one line on standard error when the input is bad."""
    try:
        {"accuracy": _accuracy, "m4": m4_cli.m4, "extensions": extensions.extensions,
         "language": language.language, "coverage": coverage.coverage}[args.benchmark](args)
    except NdivError as error:
        print(f"ndiv bench: {error}", file=sys.stderr)
        return 2
    return 0


def _accuracy(args: argparse.Namespace) -> None:
    from . import etth

    models = [] if args.baselines else model_names(args.models)
    for key, value in (("--h", min(args.h)), ("--input-size", args.input_size), ("--max-epochs", args.max_epochs)):
        if value is not None and value < 1:
            raise ConfigError(f"{key} must be at least 1, not {value}", value=value, hint="give a positive whole number")
    data = etth.load(args.dataset, args.data)
    data = data.only("OT") if args.ot else data
    check_writable(args.json)
    report: dict[str, Any] = {"dataset": data.protocol.name, "columns": list(data.names), "protocol": _protocol(data, args.h),
                              "environment": environment(), "baselines": [], "selection": [], "runs": [], "summary": []}
    if args.select:
        report["selection"] = _select(args, models, data)
    else:
        report["baselines"] = _baselines(args, data)
        report["runs"], report["summary"] = _runs(args, models, data)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _protocol(data: Any, horizons: Sequence[int]) -> dict[str, Any]:
    p = data.protocol
    return {"train_rows": [0, p.train], "valid_rows": [p.train, p.valid], "test_rows": [p.valid, p.test],
            "test_windows": {str(h): p.count("test", h) for h in horizons}, "standardized": "mean and ddof 0 of train_rows"}


def _baselines(args: argparse.Namespace, data: Any) -> list[dict[str, Any]]:
    from . import baselines, tables

    records = [r for h in args.h for r in baselines.baseline_scores(data, h)]
    print(tables.table(tables.BASELINE_HEADER, [tables.baseline_row(r) for r in records]) + "\n", flush=True)
    if any(r["agrees"] is False for r in records):
        print(f"ndiv bench: the baselines differ from the known figures, so this is not {data.protocol.name} as published",
              file=sys.stderr)
    return records


def _setting(args: argparse.Namespace, found: Any) -> Any:
    if args.input_size is None or args.input_size == found.input_size:
        return found
    return replace(found, input_size=args.input_size, source=f"{found.source}; L as asked for")


def _verbose(args: argparse.Namespace) -> bool | None:
    return False if args.quiet else None


def _runs(args: argparse.Namespace, models: list[str], data: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from . import accuracy, settings, tables

    runs: list[dict[str, Any]] = []
    widths = (max((len(m) for m in models), default=0) + (0 if args.variant == "paper" else len(args.variant) + 3),
              4, 4, 4, 6, 6, 9, 7, 13, 7)
    for model in models:
        for h in args.h:
            how = _setting(args, settings.setting(model, h))
            for seed in args.seeds:
                record = accuracy.run(model, how, data, h, seed, variant=args.variant, max_epochs=args.max_epochs,
                                      verbose=_verbose(args))
                if not runs:
                    print(tables.line(tables.RUN_HEADER, widths))
                    print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
                runs.append({**record, "settings": how.text()})
                print(tables.line(tables.run_row(record), widths), flush=True)
    summary = tables.summary_records(runs)
    if summary:
        rows = [tables.summary_row(r, figures=not args.ot) for r in summary]
        print("\n" + tables.table(tables.SUMMARY_HEADER, rows), flush=True)
    return runs, summary


def _select(args: argparse.Namespace, models: list[str], data: Any) -> list[dict[str, Any]]:
    """Validation losses of the candidate settings; `accuracy.fit` is never given the test rows."""
    from . import accuracy, settings, tables

    records: list[dict[str, Any]] = []
    print(tables.line(("model", "L", "h", "valid MSE", "best epoch of each seed", "minutes", "settings")))
    print("|" + "---|" * 7)
    for model in models:
        for h in args.h:
            for how in (_setting(args, s) for s in settings.candidates(model, h)):
                fits = [accuracy.fit(model, how, data, h, seed, variant=args.variant, max_epochs=args.max_epochs,
                                     verbose=_verbose(args)) for seed in args.seeds]
                mean = sum(f.valid_mse for f in fits) / len(fits)
                minutes = sum(f.seconds for f in fits) / 60
                records.append({"model": model, "variant": args.variant, "input_size": how.input_size, "h": h,
                                "valid_mse": mean, "valid_mse_by_seed": [f.valid_mse for f in fits],
                                "best_epochs": [f.best_epoch for f in fits], "seeds": list(args.seeds), "minutes": minutes,
                                "settings": how.text(), "setting": how.record()})
                print(tables.line((model, how.input_size, h, f"{mean:.4f}", " ".join(str(f.best_epoch) for f in fits),
                                   f"{minutes:.2f}", how.text())), flush=True)
    return records
