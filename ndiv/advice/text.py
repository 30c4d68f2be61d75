"""What to run next, as a line for a shell and as Python.

Contract: both run as they are where the data came from a file (``static_df`` and ``futr_df`` in Python are the reader's), and
train the models that were advised with the settings that were advised.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ndiv.forecast.reading import ColumnNames

    from .facts import Profile

__all__ = ["command", "snippet"]

_LOSSES = {"MQLoss": "MQLoss(level=[80, 90])", "StudentT": "DistributionLoss('StudentT', level=[80, 90])"}
_COLUMNS = {"id_col": "unique_id", "time_col": "ds", "target_col": "y"}


def command(source: str, chosen: Sequence[Any], facts: Profile, names: ColumnNames) -> str:
    """``ndiv fit`` for the first of the models whose loss has a name for a shell; the file of static covariates is left to be
    named."""
    first = next((c for c in chosen if c.settings.get("loss") != "StudentT"), None)
    if first is None:
        return ""
    settings = {k: v for k, v in first.settings.items() if k not in ("h", "input_size")}
    parts = ["ndiv", "fit", source, "--model", first.model, "--h", str(first.settings["h"]), "--input-size",
             str(first.settings["input_size"]), "--freq", str(facts.freq), "--out", f"{first.model.lower()}_model"]
    for key, value in settings.items():
        parts += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    for key, value in asdict(names).items():
        if value != _COLUMNS[key]:
            parts += [f"--{key.replace('_', '-')}", value]
    return shlex.join(parts) + (" --static STATIC.csv" if facts.stat else "")


def snippet(source: str, chosen: Sequence[Any], facts: Profile, names: ColumnNames) -> str:
    """Python that compares the models by cross-validation, and forecasts with all of them."""
    made = [f"{c.model}({', '.join(f'{k}={_value(k, v)}' for k, v in c.settings.items())})" for c in chosen]
    models = ",\n          ".join(made)
    own = {k: v for k, v in asdict(names).items() if v != _COLUMNS[k]}
    columns = "".join(f", {k}={v!r}" for k, v in own.items())
    used = sorted({_LOSSES[c.settings["loss"]].partition("(")[0] for c in chosen if "loss" in c.settings})
    losses = f"from ndiv.losses import {', '.join(used)}\n" if used else ""
    static = ", static_df" if facts.stat else ""
    futr = "futr_df=futr_df" if facts.futr else ""
    return (f"import ndiv\nfrom ndiv import NeuralForecast\n{losses}from ndiv.models import "
            f"{', '.join(sorted(c.model for c in chosen))}\n\n"
            f"models = [{models}]\n"
            f"nf = NeuralForecast(models, freq={facts.freq!r})\n"
            f"cv = nf.cross_validation({source!r}{static}, n_windows=2, step_size=None{columns})\n"
            f"print(ndiv.evaluate(cv, metrics=['mae'], agg_fn='mean'{columns}))\n"
            f"forecasts = nf.fit({source!r}{static}{columns}).predict({futr})\n")


def _value(key: str, value: Any) -> str:
    return _LOSSES[value] if key == "loss" else repr(value)
