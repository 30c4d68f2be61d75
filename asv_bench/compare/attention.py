"""Prints attention beside PyTorch's scaled_dot_product_attention: time, memory against length, and error.

Needs torch. The plan operations are called by name with memory at hand, as a plan would; PyTorch runs eagerly, its backward
pass through autograd. Same number of threads, subnormals flushed, interleaved rounds, medians; quote the ratios (PyTorch's
time over ours), not the times. The backward pass here includes ``delta``, the sum of g * out over features.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from cores import settled

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.program.ops.attention import ATTENTION, ATTENTION_BWD
from ndiv.program.ops.record import encode

# batch, heads, length, features of a head: long sequences; then PatchTST, iTransformer and wide batches of windows
SHAPES = [(1, 4, 96, 64), (1, 4, 336, 64), (1, 4, 512, 64), (1, 4, 2048, 64), (1, 4, 4096, 64),
          (1, 8, 96, 16), (1, 8, 336, 16), (1, 8, 512, 16), (1, 8, 2048, 16), (1, 8, 4096, 16),
          (1, 16, 96, 8), (1, 16, 336, 8), (1, 16, 512, 8), (1, 16, 2048, 8), (1, 16, 4096, 8),
          (32, 16, 12, 16), (32, 8, 7, 64), (32, 4, 42, 32), (32, 8, 96, 16), (16, 4, 720, 64)]
CAUSAL = [(1, 4, 2048, 64), (8, 8, 336, 16)]


def operands(shape: tuple[int, ...]) -> list[np.ndarray]:
    """query, key, value and the gradient of the output: [batch, length, heads, features] seen as [batch, heads, length, *]."""
    b, h, n, d = shape
    rng = np.random.default_rng(0)
    return [rng.standard_normal((b, n, h, d), dtype=np.float32).swapaxes(1, 2) for _ in range(4)]


def ours(shape: tuple[int, ...], causal: bool, backward: bool) -> Callable[[], Any]:
    q, k, v, g = operands(shape)
    words = encode(ATTENTION, {"is_causal": causal, "scale": shape[-1]**-0.5, "dropout_p": 0.0, "stream": 0})
    out, lse = np.empty(shape, np.float32), np.empty((*shape[:-1], 1), np.float32)
    grads = [np.empty(shape, np.float32) for _ in range(3)]

    def run() -> None:
        call_op("attention", [q, k, v, None, None], [out, lse], words)
        if backward:
            delta = np.einsum("bhnd,bhnd->bhn", g, out)[..., None]
            call_op("attention_bwd", [g, q, k, v, None, lse, delta, None], grads, words)

    return run


def theirs(shape: tuple[int, ...], causal: bool, backward: bool) -> Callable[[], Any]:
    import torch

    q, k, v, g = (torch.from_numpy(x) for x in operands(shape))
    for x in (q, k, v):
        x.requires_grad_(backward)

    def run() -> None:
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        if backward:
            torch.autograd.grad(out, (q, k, v), g)

    return run


def medians(runs: list[Callable[[], Any]], threads: int, seconds: float = 0.6) -> list[float]:
    """Median times of runs, interleaved; at least seven rounds."""
    for run in runs:
        run()
    start = time.perf_counter()
    for run in runs:
        run()
    once = time.perf_counter() - start
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(7 if threads > 1 else max(7, min(300, int(seconds / once)))):
        for run, mine in zip(runs, times, strict=True):
            with settled(run, threads) if threads > 1 else nullcontext():
                start = time.perf_counter()
                run()
                mine.append(time.perf_counter() - start)
    return [statistics.median(t) for t in times]


def compare_times() -> None:
    import torch

    torch.set_flush_denormal(True)
    print("threads  batch heads length width causal   forward us  GFLOP/s  ratio   with backward us  GFLOP/s  ratio")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        native._need().nd_set_threads(threads)
        for shape, causal in [*((s, False) for s in SHAPES), *((s, True) for s in CAUSAL)]:
            b, h, n, d = shape
            flops = 4.0 * b * h * n * n * d
            f, pf = medians([ours(shape, causal, False), theirs(shape, causal, False)], threads)
            t, pt = medians([ours(shape, causal, True), theirs(shape, causal, True)], threads)
            print(f"{threads:7}  {b:5} {h:5} {n:6} {d:5} {causal!s:6} {f * 1e6:12.1f} {flops / f / 1e9:8.1f} {pf / f:6.2f}"
                  f" {t * 1e6:18.1f} {3.5 * flops / t / 1e9:8.1f} {pt / t:6.2f}", flush=True)


def growth(length: int) -> None:
    """Prints the peak memory that forward and backward add at one length, in MB (a process of its own, on Linux)."""
    run = ours((1, 4, length, 64), False, True)
    before = peak()
    run()
    print(peak() - before)


def peak() -> float:
    """Peak memory of this process in MB; getrusage would give that of its parent if larger."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return float(text.split("VmHWM:")[1].split()[0]) / 1024


def compare_memory() -> None:
    print("\nlength   MB that forward and backward add at their peak, outputs included (4 heads of 64)")
    for length in (1024, 2048, 4096, 8192, 16384):
        done = subprocess.run([sys.executable, __file__, "--growth", str(length)], capture_output=True, text=True, check=True)
        print(f"{length:6}   {float(done.stdout):7.1f}   a [4, L, L] array takes {16 * length**2 / 2**20:6.0f}", flush=True)


def compare_errors() -> None:
    import torch

    print("\nlargest error against float64, over that of the naive float32 form: out, gradients of query, key, value")
    for shape in [(1, 4, 96, 64), (1, 4, 2048, 64), (1, 8, 336, 16), (1, 16, 12, 16)]:
        q, k, v, g = operands(shape)
        attrs = {"is_causal": False, "scale": shape[-1]**-0.5, "dropout_p": 0.0, "stream": 0}

        def run(dtype: Any, q: Any = q, k: Any = k, v: Any = v, g: Any = g, attrs: Any = attrs) -> list[np.ndarray]:
            a, b, c, e = (x.astype(dtype) for x in (q, k, v, g))
            out, lse = ATTENTION.reference(a, b, c, None, None, **attrs)
            delta = np.sum(e * out, -1, keepdims=True)
            return [out, *ATTENTION_BWD.reference(e, a, b, c, None, lse, delta, None, **attrs)]

        exact, naive = run(np.float64), run(np.float32)
        out, lse = np.empty(shape, np.float32), np.empty((*shape[:-1], 1), np.float32)
        grads = [np.empty(shape, np.float32) for _ in range(3)]
        call_op("attention", [q, k, v, None, None], [out, lse], encode(ATTENTION, attrs))
        call_op("attention_bwd", [g, q, k, v, None, lse, np.sum(g * out, -1, keepdims=True), None], grads,
                encode(ATTENTION, attrs))
        x, y, z = (torch.from_numpy(a.copy()).requires_grad_() for a in (q, k, v))
        there = torch.nn.functional.scaled_dot_product_attention(x, y, z)
        peer = [there.detach(), *torch.autograd.grad(there, (x, y, z), torch.from_numpy(g.copy()))]
        mine = [np.abs(a - e).max() / np.abs(n - e).max() for a, n, e in zip([out, *grads], naive, exact, strict=True)]
        theirs_ = [np.abs(a.numpy() - e).max() / np.abs(n - e).max() for a, n, e in zip(peer, naive, exact, strict=True)]
        print(f"{shape!s:18} ours {' '.join(f'{m:5.2f}' for m in mine)}   PyTorch {' '.join(f'{m:5.2f}' for m in theirs_)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--growth"]:
        growth(int(sys.argv[2]))
    else:
        compare_errors()
        compare_memory()
        compare_times()
