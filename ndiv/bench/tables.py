"""Records of the accuracy benchmark as Markdown tables, fit for a terminal and for a page.

Contract: a table is a header and rows of text; columns are padded so that it reads well as plain text. `run_row`,
`summary_rows` and `baseline_row` turn records into rows and round nothing before averaging.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .published import published

__all__ = ["BASELINE_HEADER", "RUN_HEADER", "SUMMARY_HEADER", "baseline_row", "line", "run_row", "summary_records",
           "summary_row", "table"]

BASELINE_HEADER = ("baseline", "columns", "h", "MSE", "MAE", "windows", "known")
RUN_HEADER = ("model", "L", "h", "seed", "MSE", "MAE", "valid MSE", "windows", "epochs (best)", "minutes")
SUMMARY_HEADER = ("model", "L", "h", "MSE", "MAE", "valid MSE", "windows", "epochs", "seeds", "minutes", "settings",
                  "published")


def line(cells: Iterable[Any], widths: Sequence[int] = ()) -> str:
    """One row.

    >>> line(["a", 1], [3, 2])
    '| a   | 1  |'
    """
    text = [str(c) for c in cells]
    padded = [t.ljust(widths[k]) if k < len(widths) else t for k, t in enumerate(text)]
    return "| " + " | ".join(padded) + " |"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A whole table, columns aligned."""
    text = [[str(c) for c in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in text) for k in range(len(header))]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([line(text[0], widths), rule, *(line(row, widths) for row in text[1:])])


def baseline_row(r: dict[str, Any]) -> tuple[Any, ...]:
    """A record of `baselines.baseline_scores` as a row of `BASELINE_HEADER`."""
    known = "-" if r["known"] is None else f"{r['known'][0]:.4f} / {r['known'][1]:.4f}"
    if r["agrees"] is False:
        known += " DIFFERS"
    return r["baseline"], r["columns"], r["h"], f"{r['mse']:.4f}", f"{r['mae']:.4f}", r["windows"], known


def name(r: dict[str, Any]) -> str:
    """The model's name, with the variant where it is not the published one."""
    return r["model"] if r["variant"] == "paper" else f"{r['model']} ({r['variant']})"


def run_row(r: dict[str, Any]) -> tuple[Any, ...]:
    """A record of `accuracy.run` as a row of `RUN_HEADER`."""
    return (name(r), r["input_size"], r["h"], r["seed"], f"{r['mse']:.4f}", f"{r['mae']:.4f}", f"{r['valid_mse']:.4f}",
            r["windows"], f"{r['epochs']} ({r['best_epoch']})", f"{r['seconds'] / 60:.2f}")


def summary_records(runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds of runs that differ in nothing else, in order of appearance; minutes are added up."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for r in runs:
        groups.setdefault((r["model"], r["variant"], r["input_size"], r["h"]), []).append(r)
    out = []
    for (model, variant, length, h), rs in groups.items():
        mean = {k: float(np.mean([r[k] for r in rs])) for k in ("mse", "mae", "valid_mse")}
        out.append({"model": model, "variant": variant, "input_size": length, "h": h, **mean,
                    "mse_min": min(r["mse"] for r in rs), "mse_max": max(r["mse"] for r in rs),
                    "windows": rs[0]["windows"], "epochs": [r["epochs"] for r in rs], "seeds": [r["seed"] for r in rs],
                    "minutes": sum(r["seconds"] for r in rs) / 60, "settings": rs[0]["settings"],
                    "source": rs[0]["setting"]["source"]})
    return out


def summary_row(r: dict[str, Any], figures: bool = True) -> tuple[Any, ...]:
    """A record of `summary_records` as a row of `SUMMARY_HEADER`; ``figures``: whether papers' figures apply."""
    spread = f" ({r['mse_min']:.4f} to {r['mse_max']:.4f})" if len(r["seeds"]) > 1 else ""
    return (name(r), r["input_size"], r["h"], f"{r['mse']:.4f}{spread}", f"{r['mae']:.4f}", f"{r['valid_mse']:.4f}",
            r["windows"], " ".join(map(str, r["epochs"])), " ".join(map(str, r["seeds"])), f"{r['minutes']:.1f}",
            f"{r['settings']}; {r['source']}", published(r["model"], r["h"]) if figures else "-")
