"""``ndiv tune``: search the settings of a model on a file, and save the best model for ``ndiv predict``."""

from __future__ import annotations

import argparse
import json
import re
from typing import Any

EXAMPLE = "ndiv tune sales.csv --model NHITS --h 12 --trials 20 --time 300 --storage study.db --out sales_model"

_NUMBERS = re.compile(r"(-?\d+(?:\.\d+)?(?:e-?\d+)?)\.\.(-?\d+(?:\.\d+)?(?:e-?\d+)?)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ._io import add_column_options

    parser.add_argument("file", metavar="FILE", help="CSV or Parquet: unique_id, ds, y; or one column a series")
    parser.add_argument("--model", default="NHITS", metavar="NAME", help="model to tune (default NHITS)")
    parser.add_argument("--h", type=int, required=True, metavar="N", help="steps to forecast")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="settings to try (default 20)")
    parser.add_argument("--time", type=float, metavar="SECONDS", help="begin no trial after that long")
    parser.add_argument("--storage", metavar="FILE", help="SQLite file that keeps the trials, to go on with later")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the search (default 1)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trials at the same time (default 1)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
                        help="fix an argument, or search it: max_steps=500, input_size=[24,48], learning_rate=0.0001..0.01")
    parser.add_argument("--val-size", type=int, default=0, metavar="N", help="last steps of each series, to judge by (h)")
    parser.add_argument("--freq", metavar="FREQ", help="step between times: h, D, MS, 1h, 1 ... (default: inferred)")
    parser.add_argument("--local-scaler", metavar="NAME", help="scale each series: standard, robust, minmax, boxcox ...")
    parser.add_argument("--static", metavar="FILE", help="CSV or Parquet of static covariates, one row a series")
    parser.add_argument("--out", metavar="DIR", help="folder to save the best model to")
    parser.add_argument("--overwrite", action="store_true", help="replace what was saved in DIR")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_column_options(parser)


def ranges(pairs: list[str]) -> dict[str, Any]:
    """Settings as typed; ``LOW..HIGH`` is a range, of whole numbers where both are, else on a logarithmic scale.

    >>> ranges(["max_steps=5", "hidden_size=16..64"])["hidden_size"].kind
    'int'
    """
    from ndiv.tuning import choice, loguniform, randint, uniform

    from .fit import settings

    found: dict[str, Any] = {}
    for key, value in settings(pairs).items():
        ends = _NUMBERS.fullmatch(value) if isinstance(value, str) else None
        if ends:
            low, high = (json.loads(end) for end in ends.groups())
            whole = isinstance(low, int) and isinstance(high, int)
            value = randint(low, high + 1) if whole else (loguniform if low > 0 else uniform)(low, high)
        elif isinstance(value, list) and not key.endswith("_list"):
            value = choice(value)
        found[key] = value
    return found


def run(args: argparse.Namespace) -> None:
    from ndiv.forecast.persistence import check_target
    from ndiv.models import get_model
    from ndiv.tuning import default_space, tune
    from ndiv.tuning.ranges import Space

    from ._io import parse_freq, read_static

    name = get_model(args.model).__name__
    if args.out is not None:
        check_target(args.out, args.overwrite)  # before the search, not after
    own = ranges(args.settings)
    space = Space.of(default_space(name), args.h)
    found = tune(name, args.file, args.h, {**space, **own}, n_trials=args.trials, time_budget=args.time, val_size=args.val_size,
                 static_df=read_static(args.static), freq=parse_freq(args.freq), storage=args.storage, seed=args.seed,
                 n_jobs=args.jobs, local_scaler_type=args.local_scaler, alias=name, id_col=args.id_col,
                 time_col=args.time_col, target_col=args.target_col)
    if args.out is not None:
        found.forecaster.save(args.out, overwrite=args.overwrite)
    _show(found, args)


def _show(found: Any, args: argparse.Namespace) -> None:
    from ._io import table

    trials = json.loads(found.results.to_json(orient="records", double_precision=15))
    if args.json:
        print(json.dumps({"best_loss": found.best_loss, "best_config": found.best_config, "trials": trials}, indent=1))
        return
    columns = [c for c in found.results.columns if c != "reason" or any(t["reason"] for t in trials)]
    columns = [c for c in columns if c != "reason"] + [c for c in columns if c == "reason"]
    print(table(columns, [[_cell(t[c]) for c in columns] for t in trials]))
    best = " ".join(f"{k}={_plain(v)}" for k, v in found.best_config.items())
    print(f"\nbest validation loss {found.best_loss:.6g}: {best}")
    if args.out is not None:
        print(f"saved to {args.out}")


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), default=str)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
