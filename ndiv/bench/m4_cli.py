"""``ndiv bench m4``: arguments and printing.

Contract: `add_arguments` adds the command, `m4` runs it and raises `NdivError` when the input is bad. Rows are printed as soon
as they are known. With --select no test value is looked at.

    ndiv bench m4 --data FOLDER --models NBEATS,NHITS,DeepAR --seeds 1 2 3 --json results.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .shared import check_writable, environment, model_names

__all__ = ["add_arguments", "m4"]

_EXAMPLE = """example:
  ndiv bench m4 --data FOLDER --baselines
  ndiv bench m4 --data FOLDER --models NBEATS,NHITS --seeds 1 2 3 --json out.json
  ndiv bench m4 --data FOLDER --models NBEATS --select"""

_RUN = ("model", "seed", "sMAPE", "MASE", "OWA", "coverage 80 / 90 %", "width 80 / 90", "minutes")
_SELECT = ("model", "sMAPE", "MASE", "OWA", "OWA by seed", "coverage 80 / 90 %", "MSIS 80 / 90", "minutes", "settings")
_WIDTHS = (8, 4, 7, 6, 6, 18, 14, 7)


def add_arguments(kinds: Any) -> None:
    """Add the command to the subcommands ``kinds``."""
    parser = kinds.add_parser(
        "m4", help="train on M4's hourly series and print the competition's errors", epilog=_EXAMPLE,
        description="Train one model on all of M4's 414 hourly series, forecast each once, print sMAPE, MASE and OWA.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", required=True, metavar="FOLDER", help="the folder with M4-Hourly-train.csv.gz and M4-Hourly-test.csv.gz")
    add("--models", default="NBEATS,NHITS,DeepAR", metavar="A,B", help="names, separated by commas; default: %(default)s")
    add("--seeds", type=int, nargs="+", default=[1], metavar="S", help="one training each; default: 1")
    add("--max-steps", type=int, metavar="N", help="training steps; default: the setting")
    add("--baselines", action="store_true", help="only the baselines, which take no training")
    add("--select", action="store_true", help="compare settings on the last 48 training values; test values are not looked at")
    add("--json", metavar="FILE", help="write all records there as well")
    add("--quiet", action="store_true", help="no progress on standard error")


def m4(args: argparse.Namespace) -> None:
    """Run what was asked for. Raises `ConfigError` (E0010), `FileError` (E0006) and what training raises."""
    from .m4 import H, load

    models = [] if args.baselines else model_names(args.models)
    if args.max_steps is not None and args.max_steps < 1:
        raise ConfigError(f"--max-steps must be at least 1, not {args.max_steps}", value=args.max_steps,
                          hint="give a positive whole number")
    task = load(args.data)
    check_writable(args.json)
    protocol = {"series": len(task.ids), "h": H, "origin": "end of the training values", "forecasts": len(task.ids)}
    report: dict[str, Any] = {"dataset": "M4 Hourly", "protocol": protocol, "environment": environment(), "baselines": [],
                              "selection": [], "runs": [], "summary": []}
    if args.select:
        report["selection"] = _select(args, models, task)
    else:
        report["baselines"] = _baselines(task)
        report["runs"], report["summary"] = _runs(args, models, task)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _baselines(task: Any) -> list[dict[str, Any]]:
    from . import m4, tables

    records = m4.baseline_scores(task)
    rows = [(r["baseline"], f"{r['smape']:.3f}", f"{r['mase']:.3f}", f"{r['owa']:.4f}",
             "{:.3f} / {:.3f} / {:.3f}".format(*r["known"]) + ("" if r["agrees"] else " DIFFERS")) for r in records]
    print(tables.table(("baseline", "sMAPE", "MASE", "OWA", "known"), rows))
    print(f"{sum(m4.is_seasonal(t) for t in task.train)} of {len(task.ids)} series are seasonal\n", flush=True)
    if not all(r["agrees"] for r in records):
        print("ndiv bench: the baselines differ from the known figures, so these are not M4's hourly series as published",
              file=sys.stderr)
    return records


def _verbose(args: argparse.Namespace) -> bool | None:
    return False if args.quiet else None


def _runs(args: argparse.Namespace, models: Sequence[str], task: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from . import m4_settings, m4_train, tables
    from .published import published_owa

    runs: list[dict[str, Any]] = []
    for model in models:
        for seed in args.seeds:
            r = m4_train.run(model, m4_settings.setting(model), task, seed, max_steps=args.max_steps, verbose=_verbose(args))
            if not runs:
                print(tables.line(_RUN, _WIDTHS))
                print("|" + "|".join("-" * (w + 2) for w in _WIDTHS) + "|")
            runs.append(r)
            print(tables.line((model, seed, *_errors([r]), _each([r], "coverage", 1), _each([r], "width", 2),
                               f"{r['minutes']:.2f}"), _WIDTHS), flush=True)
    summary = [_summary([r for r in runs if r["model"] == model]) for model in dict.fromkeys(models)]
    if summary:
        header = ("model", "seeds", "sMAPE", "MASE", "OWA", "coverage 80 / 90 %", "width 80 / 90", "minutes", "settings",
                  "published OWA")
        rows = [(s["model"], " ".join(map(str, s["seeds"])), *_errors([s])[:2], _errors([s])[2] + _spread(s), s["coverage"],
                 s["width"], f"{s['minutes']:.1f}", f"{s['settings']}; {s['source']}", published_owa(s["model"]))
                for s in summary]
        print("\n" + tables.table(header, rows), flush=True)
    return runs, summary


def _mean(runs: Sequence[dict[str, Any]], key: str) -> float:
    return float(sum(r[key] for r in runs) / len(runs))


def _errors(runs: Sequence[dict[str, Any]]) -> tuple[str, str, str]:
    """sMAPE, MASE and OWA as cells, means over runs."""
    return f"{_mean(runs, 'smape'):.3f}", f"{_mean(runs, 'mase'):.3f}", f"{_mean(runs, 'owa'):.4f}"


def _spread(summary: dict[str, Any]) -> str:
    return f" ({summary['owa_min']:.4f} to {summary['owa_max']:.4f})" if len(summary["seeds"]) > 1 else ""


def _each(runs: Sequence[dict[str, Any]], key: str, digits: int) -> str:
    """A fact of the 80 and the 90 % interval as one cell, means over runs; "-" for a model without them."""
    by_level = [{i["level"]: i[key] for i in r["intervals"]} for r in runs]
    if not all(80.0 in found and 90.0 in found for found in by_level):
        return "-"
    return " / ".join(f"{sum(found[level] for found in by_level) / len(runs):.{digits}f}" for level in (80.0, 90.0))


def _summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds of one model; minutes are added up."""
    owa = [r["owa"] for r in runs]
    return {"model": runs[0]["model"], "seeds": [r["seed"] for r in runs], "smape": _mean(runs, "smape"),
            "mase": _mean(runs, "mase"), "owa": _mean(runs, "owa"), "owa_min": min(owa), "owa_max": max(owa),
            "coverage": _each(runs, "coverage", 1), "width": _each(runs, "width", 2),
            "minutes": sum(r["minutes"] for r in runs), "settings": runs[0]["settings"],
            "source": runs[0]["setting"]["source"]}


def _select(args: argparse.Namespace, models: Sequence[str], task: Any) -> list[dict[str, Any]]:
    """Errors of the candidate settings on the last 48 training values, which are not trained on."""
    from . import m4_settings, m4_train, tables

    known = task.held_out()
    records: list[dict[str, Any]] = []
    print(tables.line(_SELECT))
    print("|" + "---|" * len(_SELECT))
    for model in models:
        for how in m4_settings.candidates(model):
            runs = [m4_train.run(model, how, known, seed, max_steps=args.max_steps, verbose=_verbose(args))
                    for seed in args.seeds]
            records.append({**_summary(runs), "runs": runs})
            print(tables.line((model, *_errors(runs), " ".join(f"{r['owa']:.4f}" for r in runs), _each(runs, "coverage", 1),
                               _each(runs, "msis", 2), f"{sum(r['minutes'] for r in runs):.2f}", how.text())), flush=True)
    return records
