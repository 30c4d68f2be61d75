"""``ndiv bench language``: TimeLLM on ETTh1 with a language model, without one, and repeat-last, on the same test windows.

Contract: rows, standardization, windows and errors are those of `etth`. Both models train the same number of steps on windows
of all columns that end before the test part, without early stopping and without a choice; the test rows are looked at once.
``--every k`` scores each k-th window of a block alone, and says how many.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from ..errors import ConfigError

__all__ = ["add_arguments", "language", "train"]

ABOUT = ("Electricity transformer: hourly loads and oil temperature, which follow the time of day and the day of the week.")

_EXAMPLE = """example:
  ndiv bench language --data ETTh1.csv.gz --llm MiniLM-folder --steps 400"""


def add_arguments(kinds: Any) -> None:
    """Add the command to the subcommands ``kinds``."""
    parser = kinds.add_parser(
        "language", help="TimeLLM on ETTh1, with and without its language model", epilog=_EXAMPLE,
        description="Train TimeLLM with a language model and without one, and print their test errors beside repeat-last.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="PATH", help="ETTh1.csv or .csv.gz, or the folder that holds it")
    parser.add_argument("--llm", required=True, metavar="FOLDER", help="language model: a safetensors folder or a GGUF file")
    for name, default, text in (("h", 96, "horizon"), ("input-size", 336, "lookback"), ("steps", 400, "training steps"),
                                ("batch", 32, "windows in a step"), ("every", 1, "score each k-th test window"),
                                ("seed", 1, "of weights and windows")):
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{text}; default: {default}")
    parser.add_argument("--learning-rate", type=float, default=1e-3, metavar="R", help="of the first step; default: 0.001")


def train(args: argparse.Namespace, store: Any, **options: Any) -> Any:
    """TimeLLM trained on a store, its learning rate falling along half a cosine wave."""
    from ..models import get_model
    from ..optim import CosineAnnealingLR

    falling = CosineAnnealingLR(args.steps)
    model = get_model("TimeLLM")(h=args.h, input_size=args.input_size, loss="MSE", learning_rate=args.learning_rate,
                                 max_steps=args.steps, batch_size=store.n_series, windows_batch_size=args.batch,
                                 random_seed=args.seed, lr_scheduler=falling, **options)
    return model.fit_store(store, verbose=False)


def language(args: argparse.Namespace) -> None:
    """Print the three rows as they come. Raises `ConfigError` (E0010) for sizes below 1, and what loading the data and the
    language model, and training, raise."""
    import ndiv.language

    from . import etth
    from .accuracy import forecaster

    for name in ("h", "input_size", "steps", "batch", "every"):
        if getattr(args, name) < 1:
            raise ConfigError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(args, name)}",
                              value=getattr(args, name), hint="give a positive whole number")
    data = etth.load("ETTh1", args.data)
    backbone = ndiv.language.load(args.llm)
    width = backbone.width
    print("| forecast | MSE | MAE | windows | steps | minutes of training |\n|" + "---|" * 6, flush=True)

    def row(name: str, forecast: Any, seconds: float) -> None:
        found = etth.score(forecast, data, "test", args.input_size, args.h, args.every)
        steps = args.steps if seconds else 0
        print(f"| {name} | {found.mse:.4f} | {found.mae:.4f} | {found.windows} | {steps} | {seconds / 60:.1f} |", flush=True)

    row("repeat last", lambda x: np.repeat(x[:, -1:], args.h, axis=1), 0.0)
    for name, options in (("TimeLLM without a language model", {"llm": None, "d_llm": width}),
                          ("TimeLLM", {"llm": backbone, "prompt_prefix": ABOUT})):
        begun = time.perf_counter()
        model = train(args, data.past(), d_ff=min(128, width), **options)
        seconds = time.perf_counter() - begun
        row(name, forecaster(model), seconds)
