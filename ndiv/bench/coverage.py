"""``ndiv bench coverage``: how often intervals hold the next 48 values of M4's hourly series, by way of calibration.

Contract: each model is trained once on all series without their last `SPAN` training values; on these it is calibrated by each
method, without training; then it forecasts once, after the training values, and is scored on the competition's 48 test values.
With --select the last 48 training values stand for the test, and no test value is looked at: `CHOICE` is what was best there,
by the competition's score of intervals (MSIS) among those whose 90 % intervals cover 88 to 92 %.

    ndiv bench coverage --data FOLDER
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..utils import PredictionIntervals
from .shared import check_writable, digest, environment

__all__ = ["CHOICE", "LEVELS", "MODELS", "SPAN", "WAYS", "add_arguments", "coverage", "run"]

LEVELS = (80, 90)
_WINDOWS, _STEP = 10, 24
SPAN = 48 + _STEP * (_WINDOWS - 1)  # training values that calibrate, and that no weight was fitted to

_COMMON: dict[str, Any] = {"h": 48, "input_size": 168, "scaler_type": "standard", "batch_size": 414, "windows_batch_size": 256,
                           "max_steps": 500, "learning_rate": 1e-3, "num_lr_decays": 3}
_QUANTILES: dict[str, Any] = {"loss": "MQLoss", "level": [50, 80, 90]}
MODELS: dict[str, dict[str, Any]] = {
    "NLinear, MAE": {"model": "NLinear", **_COMMON, "loss": "MAE"},
    "DLinear, MAE": {"model": "DLinear", **_COMMON, "loss": "MAE"},
    "NLinear, MQLoss": {"model": "NLinear", **_COMMON, "loss": _QUANTILES},
    "NHITS, MQLoss": {"model": "NHITS", **_COMMON, "loss": _QUANTILES, "mlp_units": [[128, 128], [128, 128]],
                      "n_pool_kernel_size": [8, 4, 1], "n_freq_downsample": [12, 4, 1]},
}


@dataclass(frozen=True)
class Way:
    """How intervals come about: ``method`` and ``scores`` of `PredictionIntervals`, or the model's own (None)."""

    method: str | None
    scores: str = "per_series"

    def settings(self) -> PredictionIntervals:
        assert self.method is not None
        return PredictionIntervals(_WINDOWS, self.method, _STEP, self.scores)


WAYS = (Way(None), *(Way(method, scores) for method in ("conformal_distribution", "conformal_error", "cqr")
                     for scores in ("per_series", "pooled")))
CHOICE = ("DLinear, MAE", Way("cqr"))


def add_arguments(kinds: Any) -> None:
    """Add the command to the subcommands ``kinds``."""
    parser = kinds.add_parser(
        "coverage", help="how often conformal intervals hold the values of M4's hourly series",
        description="Calibrate intervals on M4's 414 hourly series without a second training, and print their coverage.",
        epilog="example:\n  ndiv bench coverage --data FOLDER\n  ndiv bench coverage --data FOLDER --select",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, metavar="FOLDER", help="the folder with M4-Hourly-train.csv.gz and M4-Hourly-test.csv.gz")
    add("--seeds", type=int, nargs="+", default=[1], metavar="S", help="one training each; default: 1")
    add("--max-steps", type=int, metavar="N", help="training steps; default: 500")
    add("--select", action="store_true", help="score on the last 48 training values; test values are not looked at")
    add("--json", metavar="FILE", help="write all records there as well")


def coverage(args: argparse.Namespace) -> None:
    """Run what was asked for. Raises `ConfigError` (E0010), `FileError` (E0006)."""
    from . import m4, tables

    if args.max_steps is not None and args.max_steps < 1:
        raise ConfigError(f"--max-steps must be at least 1, not {args.max_steps}", value=args.max_steps,
                          hint="give a positive whole number")
    task = m4.load(args.data)
    check_writable(args.json)
    if args.select:
        task = task.held_out()
    header = ("model, loss", "intervals", "scores", "seed", "coverage 80 %", "coverage 90 %", "width 90", "MSIS 90", "minutes")
    widths = (15, 22, 10, 4, 13, 13, 8, 7, 7)
    print(tables.line(header, widths))
    print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    records = []
    for name in MODELS:
        for seed in args.seeds:
            for record in run(name, task, seed, args.max_steps):
                records.append(record)
                low, high = record["intervals"]
                print(tables.line((name, record["method"], record["scores"], seed, f"{low['coverage']:.1f}",
                                   f"{high['coverage']:.1f}", f"{high['width']:.2f}", f"{high['msis']:.2f}",
                                   f"{record['minutes']:.2f}"), widths), flush=True)
    print(f"\n{len(task.ids)} series, {task.test.size} values; calibrated on {_WINDOWS} windows, {_STEP} steps apart, of the "
          f"{SPAN} values before them; " + ("scored on the last 48 training values" if args.select else
                                            f"chosen on earlier values (--select): {CHOICE[0]}, {CHOICE[1].method}, "
                                            f"{CHOICE[1].scores}"))
    if args.json:
        report = {"dataset": "M4 Hourly", "select": bool(args.select), "environment": environment(), "records": records}
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def run(name: str, task: Any, seed: int, max_steps: int | None = None) -> list[dict[str, Any]]:
    """One record for each way that applies to a model of `MODELS`: coverage in per cent, width and MSIS scaled as MASE."""
    import pandas as pd

    from ..forecast import NeuralForecast
    from ..models.base import BaseModel
    from . import m4

    lengths = np.array([len(t) for t in task.train])
    df = pd.DataFrame({"unique_id": np.repeat(np.asarray(task.ids, object), lengths),
                       "ds": np.concatenate([np.arange(n) for n in lengths]), "y": np.concatenate(task.train)})
    config = {**MODELS[name], "random_seed": seed, **({} if max_steps is None else {"max_steps": max_steps})}
    begun = time.process_time()
    model = BaseModel.from_config(config)
    nf = NeuralForecast([model], freq=1).fit(df, val_size=SPAN, verbose=False)
    minutes = (time.process_time() - begun) / 60
    found = []
    for way in WAYS:
        if way.method != "cqr" and (way.method is None) != (MODELS[name]["loss"] is _QUANTILES):
            continue  # a point loss has no intervals of its own, and only cqr changes those that a model has
        nf.calibration = None
        if way.method is not None:
            nf.calibrate(None, way.settings())
        out = nf.predict(level=list(LEVELS))
        order = pd.Index(out["unique_id"].to_numpy()[::48]).get_indexer(pd.Index(task.ids))
        base = config["model"]
        bounds = {float(v): tuple(out[f"{base}-{side}-{v}"].to_numpy().reshape(-1, 48)[order] for side in ("lo", "hi"))
                  for v in LEVELS}
        found.append({"model": name, "seed": seed, "method": way.method or "the model's own",
                      "scores": way.scores if way.method else "-", "minutes": minutes, "weights": digest(model),
                      "intervals": [asdict(i) for i in m4.intervals(task, bounds)]})
    return found
