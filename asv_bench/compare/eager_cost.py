"""Prints what eager recording costs: a 32x64 linear layer with tanh, forward and backward, beside raw NumPy.

``autograd`` and ``mygrad`` are timed in the same run where they are installed (pip install autograd mygrad). One process,
one BLAS thread, interleaved rounds, medians; quote the ratios, not the times.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable

import numpy as np

import ndiv

X = np.random.default_rng(0).normal(size=(32, 64)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
B = np.zeros(64, np.float32)


def raw() -> None:
    y = np.tanh(X @ W + B)
    y.sum()
    g = 1 - y * y
    g.sum(0), X.T @ g


def ours() -> Callable[[], None]:
    x, w, b = ndiv.tensor(X), ndiv.tensor(W, requires_grad=True), ndiv.tensor(B, requires_grad=True)

    def run() -> None:
        w.grad = b.grad = None
        (x @ w + b).tanh().sum().backward()

    return run


def with_autograd() -> Callable[[], None]:
    import autograd
    import autograd.numpy as anp

    gradient = autograd.grad(lambda w, b: anp.sum(anp.tanh(X @ w + b)), argnum=(0, 1))
    return lambda: gradient(W, B)


def with_mygrad() -> Callable[[], None]:
    import mygrad

    w, b = mygrad.tensor(W), mygrad.tensor(B)

    def run() -> None:
        mygrad.tanh(mygrad.matmul(X, w) + b).sum().backward()

    return run


def main() -> None:
    runs: dict[str, Callable[[], None]] = {"NumPy": raw, "ndiv": ours()}
    for name, make in (("autograd", with_autograd), ("mygrad", with_mygrad)):
        try:
            runs[name] = make()
        except ImportError:
            print(f"{name} is not installed")
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(40):
        for name, run in runs.items():
            start = time.perf_counter()
            for _ in range(200):
                run()
            times[name].append((time.perf_counter() - start) / 200)
    base = statistics.median(times["NumPy"])
    print("library      us   / NumPy")
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"{name:9} {middle * 1e6:6.1f}   {middle / base:5.2f}")


if __name__ == "__main__":
    main()
