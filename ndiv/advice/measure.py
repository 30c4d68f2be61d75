"""The figures that the adviser goes by, and the command that makes them: ``python -m ndiv.advice.measure [DOCS/accuracy.md]``.

Contract: `measured.json` beside this file holds what was measured and nothing else: errors as docs/accuracy.md states them,
and for every model that needs no language model its parameters and the least time of a training step and of a forecast, at
the settings in `SETTING`, on one thread. Times are for comparing models with each
other: they are those of the machine that ran the command.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["SETTING", "accuracy", "cost", "measured"]

SETTING = {"input_size": 96, "h": 24, "n_series": 7, "batch_size": 32}
_FILE = Path(__file__).with_name("measured.json")


@lru_cache(maxsize=1)
def measured() -> dict[str, Any]:
    """What `measured.json` holds: "etth1", model -> horizon -> {input_size, mse, mae}; "m4", model -> {owa, coverage};
    "cost", model -> {parameters, step_ms, forecast_ms}.

    >>> sorted(measured())
    ['cost', 'etth1', 'm4', 'setting']
    """
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def accuracy(page: str) -> dict[str, Any]:
    """The errors in the tables of docs/accuracy.md, of the models as published: "etth1" and "m4", as in `measured`."""
    etth1: dict[str, Any] = {}
    for row in _rows(page, "accuracy"):
        name, size, h, mse, mae = row[:5]
        if re.fullmatch(r"\w+", name) and h.isdigit():
            entry = {"input_size": int(size), "mse": float(mse.split()[0]), "mae": float(mae)}
            best = etth1.setdefault(name, {}).get(h)
            if best is None or entry["mse"] < best["mse"]:
                etth1[name][h] = entry
    m4: dict[str, Any] = {}
    for row in _rows(page, "m4"):
        if re.fullmatch(r"[\d ]+", row[1]):  # the seeds: the table of results, not that of what was tried
            coverage = [float(x) for x in row[5].split(" / ")] if "/" in row[5] else None
            m4[row[0]] = {"owa": float(row[4].split()[0]), "coverage": coverage}
    return {"etth1": etth1, "m4": m4}


def _rows(page: str, table: str) -> list[list[str]]:
    part = page.partition(f"<!-- {table}:begin -->")[2].partition(f"<!-- {table}:end -->")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")]


def cost(name: str, repeats: int = 5) -> dict[str, float]:
    """What a model of default settings costs at `SETTING`: parameters, least milliseconds of a training step of the batch and
    of a forecast of one window. Raises `ConfigError` (E0010) for an unknown name."""
    model = _model(name)
    one, many = _batch(model, 1), _batch(model, SETTING["batch_size"])
    return {"parameters": weights(model), "step_ms": _least(lambda: model.train_step(many), repeats),
            "forecast_ms": _least(lambda: model.forecast(one), repeats)}


def weights(model: Any) -> int:
    """How many numbers a model learns."""
    return int(sum(np.prod(p.shape) for p in model.parameters()))


def _model(name: str) -> Any:
    from ndiv.models import get_model

    cls = get_model(name)
    more = {"n_series": SETTING["n_series"]} if cls.MULTIVARIATE else {}
    return cls(h=SETTING["h"], input_size=SETTING["input_size"], **more)


def _batch(model: Any, size: int) -> dict[str, np.ndarray]:
    n = model.n_series if model.MULTIVARIATE else 1
    t = np.arange(SETTING["input_size"] + SETTING["h"]) + np.arange(size)[:, None]
    y = np.repeat(np.sin(t / 4.0).astype(np.float32)[..., None], n, axis=2)
    cut = SETTING["input_size"]
    return {"insample_y": y[:, :cut], "outsample_y": y[:, cut:]}


def _least(run: Callable[[], Any], repeats: int) -> float:
    """Milliseconds of the fastest of some runs, after those in which plans are made."""
    for _ in range(4):
        run()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return round(min(times) * 1e3, 4)


def main(page: str) -> None:
    """Measure, and write `measured.json`."""
    from ndiv.models import list_models

    found: dict[str, Any] = {**accuracy(Path(page).read_text(encoding="utf-8")), "setting": SETTING, "cost": {}}
    for name in list_models():
        if name != "TimeLLM":
            found["cost"][name] = cost(name)
            print(name, found["cost"][name], flush=True)
    _FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/accuracy.md")
