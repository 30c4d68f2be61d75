"""``ndiv models``: the models and what each can do, as a table or JSON."""

from __future__ import annotations

import argparse
import json

EXAMPLE = "ndiv models --json"

_MARKS = {"futr_exog": "future", "hist_exog": "historic", "stat_exog": "static", "multivariate": "multivariate",
          "recurrent": "recurrent"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    from ndiv.models import capabilities, list_models

    from ._io import table

    facts = [capabilities(name) for name in list_models()]
    if args.json:
        print(json.dumps(facts, indent=1))
        return
    rows = [[f["model"], *("yes" if f[key] else "-" for key in _MARKS)] for f in facts]
    print(table(["model", *_MARKS.values()], rows))
    print("\nfuture, historic, static: the covariates that the model takes")
