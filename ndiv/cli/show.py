"""``ndiv show``: what a model computes, as tape, program, plan, memory, or profile.

Without a choice it prints one line of facts for each. ``--train`` shows the whole training step (forward, loss, gradient,
clipping, update) in the place of the forecast.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from ndiv.errors import ConfigError

_JSON = """for example --set '{"dropout_prob_theta": 0.1}'"""
EXAMPLE = "ndiv show NHITS --plan --memory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of a model, see 'ndiv models'")
    for name, text in (("tape", "every recorded op with shapes, cost and source line"),
                       ("program", "the program as text, before passes"),
                       ("plan", "the instructions that run, with where their operands lie"),
                       ("memory", "the arena: what lies where, and how near it is to its lower bound"),
                       ("profile", "time by source line and by operation, most expensive first")):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument("--train", action="store_true", help="the training step instead of the forecast")
    parser.add_argument("--h", type=int, default=24, help="horizon (default 24)")
    parser.add_argument("--input-size", type=int, default=96, help="length of the window (default 96)")
    parser.add_argument("--batch", type=int, default=None, help="windows (default 1, or 32 with --train)")
    parser.add_argument("--series", type=int, default=7, help="series of a multivariate model (default 7)")
    parser.add_argument("--set", metavar="JSON", default="{}", help="other arguments of the model, as JSON")


def run(args: argparse.Namespace) -> int:
    from ndiv.program import show

    model, batch = build(args)
    view = show.View(model, batch, args.train)
    chosen = [name for name in ("tape", "program", "plan", "memory", "profile") if getattr(args, name)]
    print("\n\n".join(getattr(view, name)() for name in chosen) if chosen else view.summary())
    return 0


def build(args: argparse.Namespace) -> tuple[Any, dict[str, np.ndarray]]:
    """The model and a batch of random numbers of the shapes that it takes."""
    from ndiv.models import get_model

    for name in ("h", "input_size", "series"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be positive, not {getattr(args, name)}",
                              value=getattr(args, name), hint="give a whole number of at least 1")
    try:
        options = json.loads(args.set)
    except ValueError as cause:
        raise ConfigError(f"--set is not JSON: {cause}", value=args.set, hint=_JSON) from None
    if not isinstance(options, dict):
        raise ConfigError("--set must be a JSON object", value=args.set, hint=_JSON)
    cls = get_model(args.model)
    n = args.series if cls.MULTIVARIATE else 1
    if n > 1:
        options.setdefault("n_series", n)
    model = cls(h=args.h, input_size=args.input_size, **options)
    size = args.batch if args.batch is not None else 32 if args.train else 1
    rng = np.random.default_rng(0)
    batch = {"insample_y": rng.standard_normal((size, model.input_size, n)).astype(np.float32)}
    if args.train:
        batch["outsample_y"] = rng.standard_normal((size, model.h, n)).astype(np.float32)
    return model, batch
