"""Prints how time and memory of each kind of attention grow with the length of the sequence, forward and backward.

    python asv_bench/compare/complexity.py [--lengths 256 512 1024 2048 4096] [--rounds 9] [--threads 1] [KIND ...]

One sequence, 4 heads of 32 features (hidden size 128), float32, each kind as a plan of its output and its gradients. Of
full, flash and ProbSparse attention it is what stands between the projections, with gradients of queries, keys and values; of
AutoCorrelation and FEDformer the whole attention layer, as their projections are part of it; of PatchTST the encoder over all
patches, three layers with residual attention. L is always the steps of the window: PatchTST makes a patch of every eighth.

time     milliseconds: the median of interleaved rounds; with one thread its processor time, else the wall clock
arena    kilobytes of the plan's arena, which holds all its temporaries; arguments and results, which are linear, are not in it.
         It follows from the plan alone, so that it is the same everywhere
memory   arena and the kernels' scratch memory, kilobytes. Scratch memory is linear too, in steps: below 1,024 keys the backward
         kernel of flash attention copies less
slope    of the least-squares line through (log L, log of what is measured); ``last`` is the slope between the two longest.
         L log L is there too: over these lengths its slope is not 1 but that of the line through it
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("kinds", nargs="*", metavar="KIND")
parser.add_argument("--lengths", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
parser.add_argument("--rounds", type=int, default=9)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
os.environ["NDIV_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)

import numpy as np  # noqa: E402

import ndiv  # noqa: E402
from ndiv.models import get_model  # noqa: E402
from ndiv.models.transformers.informer import ProbSparseAttention  # noqa: E402

HEADS, WIDTH = 4, 32
Made = tuple[Callable[..., Any], list[tuple[int, ...]]]  # a function, and the shapes of its arguments


def explicit(q: Any, k: Any, v: Any) -> Any:
    """Full attention with the scores of all pairs in memory."""
    return ndiv.softmax((q * WIDTH**-0.5) @ k.swapaxes(-1, -2), -1) @ v


def heads(attend: Callable[..., Any]) -> Callable[[int], Made]:
    return lambda length: (attend, [(1, HEADS, length, WIDTH)] * 3)


def sparse(causal: bool) -> Callable[[int], Made]:
    return heads(ProbSparseAttention(HEADS * WIDTH, HEADS, 3, False, causal=causal).attend)


def layer(model: str, cross: bool = False, **options: Any) -> Callable[[int], Made]:
    """Self-attention of the encoder's first layer of a model, or attention of the decoder's to the encoder's output."""
    def make(length: int) -> Made:
        built: Any = get_model(model)(h=1, input_size=length, decoder_input_size_multiplier=1.0, hidden_size=HEADS * WIDTH,
                                      n_head=HEADS, **options).eval()
        if cross:
            return built.decoder[0].cross, [(1, length + 1, HEADS * WIDTH), (1, length, HEADS * WIDTH)]
        return lambda x: built.encoder[0].attention(x, x), [(1, length, HEADS * WIDTH)]

    return make


def patches(length: int) -> Made:
    model: Any = get_model("PatchTST")(h=96, input_size=length).eval()
    return model.encode, [(1, model.positions.shape[0], 16)]


KINDS: dict[str, Callable[[int], Made]] = {
    "full": heads(explicit), "flash": heads(ndiv.scaled_dot_product_attention), "ProbSparse": sparse(False),
    "ProbSparse-causal": sparse(True), "PatchTST": patches, "AutoCorrelation": layer("Autoformer"),
    **{f"FEDformer-{version}{'-cross' * cross}": layer("FEDformer", cross, version=version)
       for version in ("Fourier", "Wavelets") for cross in (False, True)}}


class Attention:
    """One kind at one length, forward and backward as a plan."""

    def __init__(self, make: Callable[[int], Made], length: int) -> None:
        f, shapes = make(length)
        draw = np.random.default_rng(0)
        inputs = [draw.standard_normal(shape, dtype=np.float32) for shape in shapes]
        toward = draw.standard_normal(ndiv.no_grad()(f)(*inputs).shape, dtype=np.float32)
        both = ndiv.value_and_grad(lambda g, *xs: (f(*xs) * g).sum(), tuple(range(1, len(shapes) + 1)))
        compiled = ndiv.compile(both)
        compiled(toward, *inputs)
        self.executable, self.inputs = compiled.plans[0], [toward, *inputs]

    def bytes(self) -> tuple[int, int]:
        """Of the arena, and of arena and scratch memory."""
        held = self.executable.runner.memory()
        return held["arena"], held["arena"] + held["scratch"]

    def seconds(self) -> float:
        clock = time.thread_time if args.threads == 1 else time.perf_counter
        start = clock()
        self.executable(self.inputs)
        return clock() - start


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


def line(name: str, what: str, values: Sequence[float], shown: list[str]) -> str:
    last = math.log(values[-1] / values[-2]) / math.log(args.lengths[-1] / args.lengths[-2])
    return f"{name:24} {what:9}" + "".join(f"{v:>10}" for v in shown) + f" {slope(args.lengths, values):7.2f} {last:6.2f}"


def main() -> None:
    kinds = {name: KINDS[name] for name in args.kinds} if args.kinds else KINDS
    measured: dict[str, list[tuple[float, int, int]]] = {name: [] for name in kinds}
    for length in args.lengths:
        runs = {name: Attention(make, length) for name, make in kinds.items()}
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for k in range(args.rounds + 1):
            for name, run in runs.items():
                taken = run.seconds()
                if k:  # the first warms caches
                    found[name].append(taken)
        for name, run in runs.items():
            measured[name].append((statistics.median(found[name]), *run.bytes()))
    print(f"{'':24} {'L':9}" + "".join(f"{n:10}" for n in args.lengths) + "   slope   last")
    for name, rows in measured.items():
        times, arena, memory = zip(*rows, strict=True)
        print(line(name, "time ms", times, [f"{1e3 * t:.3f}" for t in times]))
        for what, values in (("arena KB", arena), ("memory KB", memory)):
            print(line(name, what, values, [f"{v / 1024:.0f}" for v in values]))
    law = [n * math.log(n) for n in args.lengths]
    print(line("L log L", "", law, [f"{v / law[0]:.2f}" for v in law]))
    print(line("L", "", [float(n) for n in args.lengths], [f"{n / args.lengths[0]:.2f}" for n in args.lengths]))


if __name__ == "__main__":
    main()
