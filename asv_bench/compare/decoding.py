"""Prints how much faster a Transformer decodes step after step where it keeps keys and values, and that it computes the same.

    python asv_bench/compare/decoding.py [--h 96] [--lengths 96 288 512] [--windows 1] [--rounds 9] [--threads 1] [--layers 1]

``uncached`` runs the decoder over all tokens so far at every step, ``cached`` over one token; the encoder runs once in either,
and its time is in both. Widths are the model's defaults. Three ways to run them, each a pair whose ratio is printed:

op by op      `decode(cached=False)` and `decode()`, every op a call from Python
whole plans   the same two functions, each one plan of all steps without Python between them
forecast      whole plan of the uncached function beside ``model.forecast``, which is cached and runs a plan of one step h times
              from Python. What it saves is the making of whole plans, whose seconds are printed too

``error`` is the largest difference between the results of a pair, over the largest number. One process, interleaved rounds,
medians, with one thread of its processor time; quote the ratios, not the times.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--h", type=int, default=96)
parser.add_argument("--lengths", type=int, nargs="+", default=[96, 288, 512])
parser.add_argument("--windows", type=int, default=1)
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--layers", type=int, default=1, help="of the decoder")
args = parser.parse_args()
os.environ["NDIV_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)

import numpy as np  # noqa: E402

import ndiv  # noqa: E402


def seconds(run: Callable[[], Any]) -> float:
    clock = time.thread_time if args.threads == 1 else time.perf_counter
    start = clock()
    run()
    return clock() - start


def compare(length: int) -> None:
    model: Any = ndiv.models.Transformer(h=args.h, input_size=length, decoder_layers=args.layers, decoding="autoregressive")
    model.eval()
    batch = {"insample_y": np.random.default_rng(0).standard_normal((args.windows, length, 1), dtype=np.float32)}
    plans = {cached: ndiv.compile(lambda b, cached=cached: model.decode(b, cached)) for cached in (False, True)}
    with ndiv.no_grad():
        made = {cached: seconds(lambda f=f: f(batch)) for cached, f in plans.items()}
        runs: dict[str, Callable[[], Any]] = {
            "eager uncached": lambda: model.decode(batch, False).numpy(), "eager cached": lambda: model.decode(batch).numpy(),
            "plan uncached": lambda: plans[False](batch).numpy(), "plan cached": lambda: plans[True](batch).numpy(),
            "forecast": lambda: model.forecast(batch)}
        found = {name: run() for name, run in runs.items()}
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(args.rounds):
            for name, run in runs.items():
                times[name].append(seconds(run))
    ms = {name: 1e3 * statistics.median(t) for name, t in times.items()}
    for pair, (slow, fast) in {"op by op": ("eager uncached", "eager cached"), "whole plans": ("plan uncached", "plan cached"),
                               "forecast": ("plan uncached", "forecast")}.items():
        error = float(np.abs(found[fast] - found[slow]).max() / np.abs(found[slow]).max())
        making = f"{made[False]:9.2f} {made[True]:9.2f}" if pair == "whole plans" else ""
        print(f"{length:6} {args.windows:7}  {pair:11} {ms[slow]:11.2f} {ms[fast]:9.2f} {ms[slow] / ms[fast]:6.1f} "
              f"{error:10.1e} {making}", flush=True)


if __name__ == "__main__":
    print(f"Transformer, h={args.h}, {args.layers} decoder layer(s), {args.threads} thread(s)")
    print("length windows  how         uncached ms cached ms  ratio      error  made in s: uncached, cached")
    for each in args.lengths:
        compare(each)
