"""Prints a training step of each model beside the same model, with the same weights, in bare PyTorch.

    python asv_bench/compare/train_step.py [--threads 2] [--length 96] [--rounds 8] [--as-it-comes] [--variant compat] [MODEL]

Needs torch and neuralforecast (see tests/peers), TimeLLM also ``--llm``, a folder with its language model. Both: batch 32, h
= 24, forward, MAE (DeepAR: the likelihood), backward, AdamW; the peer is neuralforecast's own module without its trainer,
with subnormals flushed, which is its best (``--as-it-comes``: not flushed, which is slow where gradients vanish over many
steps). Before the times it is checked that both compute the same forecast and loss. ``--variant paper`` runs the published
architectures beside that peer: other weights, and often more work. One process, rounds of a block of steps of each in turn,
medians. Quote the ratios: the times are this machine's.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
from collections.abc import Callable
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("models", nargs="*")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--length", type=int, default=96)
parser.add_argument("--rounds", type=int, default=8)
parser.add_argument("--llm", metavar="FOLDER", help="language model of TimeLLM, in the form of transformers")
parser.add_argument("--variant", choices=["compat", "paper"], default="compat")
parser.add_argument("--as-it-comes", action="store_true", help="PyTorch keeps subnormals, as it does by default")
parser.add_argument("--memory", action="store_true", help="peak resident memory of a run of each, in processes of their own")
args = parser.parse_args()
os.environ["NDIV_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)

import peers  # noqa: E402
from cores import block  # noqa: E402

peers.LLM = args.llm
B = 32


def with_ndiv(name: str, model: Any = None) -> Callable[[], object]:
    model = peers.alone(name, args.length, args.variant) if model is None else model
    batch = peers.data(name, args.length, B)
    return lambda: model.train_step(batch)


def with_torch(name: str, module: Any = None) -> Callable[[], object]:
    import torch

    module = peers.peer(name, args.length, args.threads, not args.as_it_comes) if module is None else module
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    y, target = (torch.tensor(v) for v in peers.data(name, args.length, B).values())
    mask = torch.ones_like(y)

    def step() -> object:
        optimizer.zero_grad()
        loss = peers.loss(module, y, mask, target)
        loss.backward()
        optimizer.step()
        return loss

    return step


def compare(name: str) -> float:
    """The ratio."""
    module = peers.peer(name, args.length, args.threads, not args.as_it_comes)
    model, note = None, "weights of its own"
    if args.variant == "compat":
        model = peers.ours(module)
        forecast, loss = peers.apart(module, model, peers.data(name, args.length, B))
        note = f"apart: forecasts {forecast:.0e}, losses {loss:.0e}"
        if max(forecast, loss) > 1e-4:
            raise SystemExit(f"{name}: {note}, so there is nothing to compare")
    a, b = with_ndiv(name, model), with_torch(name, module)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(args.rounds):
        for run, column in zip((a, b), times, strict=True):
            column += block(run, args.threads)
    mine, theirs = (statistics.median(column) for column in times)
    print(f"{name:15} ndiv {mine * 1e6:10.1f} us  PyTorch {theirs * 1e6:10.1f} us  {theirs / mine:6.2f} times faster  {note}",
          flush=True)
    return theirs / mine


def memory(name: str) -> None:
    """Peak resident memory of 20 steps, each side in a fresh process."""
    for label, make in (("ndiv", with_ndiv), ("PyTorch", with_torch)):
        child = os.fork()
        if not child:
            step = make(name)
            for _ in range(20):
                step()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{name:15} {label:8} peak resident {peak:8.1f} MB", flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    print(f"batch {B}, L = {args.length}, h = {peers.H}, {args.threads} threads, variant={args.variant}, "
          f"PyTorch {'as it comes' if args.as_it_comes else 'with subnormals flushed'}, Python {sys.version.split()[0]}")
    chosen = args.models or peers.MODELS
    if args.memory:
        for model_name in chosen:
            memory(model_name)
    else:
        ratios = [compare(model_name) for model_name in chosen]
        print(f"geometric mean of {len(ratios)}: {statistics.geometric_mean(ratios):.2f} times faster; least {min(ratios):.2f}")
