"""Prints a training step of each model beside the same model in bare PyTorch.

    python asv_bench/compare/train_step.py [--threads 2] [--length 96] [--rounds 8] [MODEL ...]

Needs torch and neuralforecast (see tests/peers). Both: batch 32, h = 24, forward, MAE, backward, AdamW; the peer is
neuralforecast's own module without its trainer, with subnormals flushed, which is its best. One process, rounds of a
block of steps of each in turn, medians. Quote the ratios: the times are this machine's.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("models", nargs="*", default=["NLinear", "DLinear", "MLP", "NHITS"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--length", type=int, default=96)
parser.add_argument("--rounds", type=int, default=8)
parser.add_argument("--memory", action="store_true", help="peak resident memory of a run of each, in processes of their own")
args = parser.parse_args()
os.environ["NDIV_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)

import numpy as np  # noqa: E402
from cores import settled  # noqa: E402

H, B, BLOCK = 24, 32, 15


def data() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"insample_y": rng.standard_normal((B, args.length, 1)).astype(np.float32),
            "outsample_y": rng.standard_normal((B, H, 1)).astype(np.float32)}


def ours(name: str) -> Callable[[], object]:
    from ndiv.models import get_model

    model = get_model(name)(h=H, input_size=args.length, optimizer="AdamW", learning_rate=1e-3)
    batch = data()
    return lambda: model.train_step(batch)


def peer(name: str) -> Callable[[], object]:
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    import neuralforecast.models as peers
    import torch

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    model = getattr(peers, name)(h=H, input_size=args.length, max_steps=1)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    batch = {k: torch.tensor(v) for k, v in data().items()}
    inputs = {"insample_y": batch["insample_y"], "insample_mask": torch.ones_like(batch["insample_y"]), "hist_exog": None,
              "futr_exog": None, "stat_exog": None}

    def step() -> object:
        optimizer.zero_grad()
        loss = (model(inputs) - batch["outsample_y"]).abs().mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def timed(f: Callable[[], object]) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def compare(name: str) -> None:
    a, b = ours(name), peer(name)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(args.rounds):
        for run, column in zip((a, b), times, strict=True):
            with settled(run, args.threads):
                column += [timed(run) for _ in range(BLOCK)]
    mine, theirs = (statistics.median(column) for column in times)
    print(f"{name:10} ndiv {mine * 1e6:10.1f} us   PyTorch {theirs * 1e6:10.1f} us   {theirs / mine:6.2f} times faster")


def memory(name: str) -> None:
    """Peak resident memory of 20 steps, each side in a fresh process."""
    for label, make in (("ndiv", ours), ("PyTorch", peer)):
        child = os.fork()
        if not child:
            step = make(name)
            for _ in range(20):
                step()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{name:10} {label:8} peak resident {peak:8.1f} MB", flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    print(f"batch {B}, L = {args.length}, h = {H}, {args.threads} threads, Python {sys.version.split()[0]}")
    for model_name in args.models:
        (memory if args.memory else compare)(model_name)
