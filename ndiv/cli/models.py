"""``ndiv models``: the models and what each can do, as a table or JSON."""

from __future__ import annotations

import argparse
import json
import re

EXAMPLE = "ndiv models --json"

MARKS = {"futr_exog": "future", "hist_exog": "historic", "stat_exog": "static", "cat_exog": "categorical",
         "multivariate": "multivariate", "recurrent": "recurrent", "probabilistic": "probabilistic",
         "long_horizon": "long horizon"}  # fact of `ndiv.models.capabilities` -> heading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    from ndiv.models import capabilities, list_models

    from ._io import table

    facts = [capabilities(name) for name in list_models()]
    if args.json:
        print(json.dumps(facts, indent=1))
        return
    rows = [[f["model"], *("yes" if f[key] else "-" for key in MARKS), re.split(r"(?<=\d{4}),", f["paper"])[0]] for f in facts]
    print(table(["model", *MARKS.values(), "paper"], rows))
    print("\nfuture, historic, static, categorical: the covariates that the model takes\n"
          "multivariate: forecasts all series at once    recurrent: goes through the window step after step\n"
          "probabilistic: takes quantile and distribution losses    long horizon: published on hundreds of steps")
