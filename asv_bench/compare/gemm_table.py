"""Prints GFLOP/s of matrix products by ndiv, NumPy and, where it is installed, PyTorch: one process, interleaved, medians.

    python asv_bench/compare/gemm_table.py [--threads 1] [--isa avx2] [--only TEXT]

Layouts: NN both row-major, NT the second factor stored transposed (a layer's weight), TN the first one (the gradient of a
weight). ``--isa avx2`` holds all three to AVX2. PyTorch's MKL chooses AVX2 by itself on processors that are not Intel's.
Takes less than a minute. Quote the ratios, not the rates.
"""

from __future__ import annotations

import argparse
import os
import statistics
import struct
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

PARSER = argparse.ArgumentParser()
PARSER.add_argument("--threads", type=int, default=1)
PARSER.add_argument("--isa", default="", help="avx2, avx512, neon or scalar; the best one when it is not given")
PARSER.add_argument("--only", default="", help="shapes whose line has this text")
OPTIONS = PARSER.parse_args()
os.environ["OPENBLAS_NUM_THREADS"] = str(OPTIONS.threads)
os.environ.pop("OPENBLAS_CORETYPE", None)  # an inherited choice may hold NumPy to less than this machine offers
if OPTIONS.isa == "avx2":  # before NumPy and PyTorch are loaded
    os.environ.update(OPENBLAS_CORETYPE="Haswell", MKL_ENABLE_INSTRUCTIONS="AVX2", ONEDNN_MAX_CPU_ISA="AVX2",
                      ATEN_CPU_CAPABILITY="avx2")

import numpy as np  # noqa: E402
from cores import settled  # noqa: E402

from ndiv.backends import native  # noqa: E402

ROUNDS, SAMPLE = 15, 2e-3  # of each, and seconds that one sample takes at least
# with one thread its own time, which other programs on the machine do not lengthen
clock = time.thread_time if OPTIONS.threads == 1 else time.perf_counter

Shape = tuple[str, int, int, int, int, str]  # group, batch, m, n, k, layout
LAYERS = [(96, 24), (96, 1024), (1024, 1024), (1024, 24), (96, 512), (512, 512), (512, 120)]  # (in, out)


def shapes() -> list[Shape]:
    def square(n: int, layout: str) -> Shape:  # small ones in batches, so that the calls themselves weigh little
        return "square", max(1, 2 ** 21 // n ** 3), n, n, n, layout

    out = [square(n, "NN") for n in (16, 32, 48, 64, 96, 128, 256, 512, 1024, 2048)]
    out += [square(n, layout) for n in (32, 64, 128, 512, 1024) for layout in ("NT", "TN")]
    for batch in (32, 1):
        out += [(f"layer b={batch}", 1, batch, o, i, "NT") for i, o in LAYERS]
        out += [(f"layer dx b={batch}", 1, batch, i, o, "NN") for i, o in LAYERS]
        out += [(f"layer dW b={batch}", 1, o, i, batch, "TN") for i, o in LAYERS]
    out += [("lstm step", 1, 32, 512, 128, "NT"), ("lstm input", 1, 16000, 512, 128, "NT"),
            ("lstm dx", 1, 16000, 128, 512, "NN"), ("lstm dW", 1, 512, 128, 16000, "TN"), ("tall dW", 1, 24, 96, 16000, "TN")]
    out += [("attention", 128, 96, 96, 64, "NT"), ("attention", 128, 96, 64, 96, "NN"), ("attention", 128, 96, 64, 96, "TN"),
            ("attention", 512, 12, 12, 16, "NT")]
    return out


def numbers(*shape: int) -> np.ndarray:
    """Random numbers in memory aligned to 64 bytes, as PyTorch's is and that of ndiv's plans, but not NumPy's own."""
    n = int(np.prod(shape))
    block = np.empty(n + 16, np.float32)
    start = -block.ctypes.data // 4 % 16
    block[start:start + n] = np.random.default_rng(0).standard_normal(n, dtype=np.float32)
    return block[start:start + n].reshape(shape)


def operands(shape: Shape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, batch, m, n, k, layout = shape
    lead = (batch,) if batch > 1 else ()
    a = numbers(*lead, k, m).swapaxes(-1, -2) if layout[0] == "T" else numbers(*lead, m, k)
    b = numbers(*lead, n, k).swapaxes(-1, -2) if layout[1] == "T" else numbers(*lead, k, n)
    return a, b, numbers(*lead, m, n)


def with_ndiv(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
    """One gemm, called without the checks and conversions of `call_op`."""
    lib, ffi = native._need(), native._ffi
    operands = [a, b, None, None, out, None]
    words = np.zeros((6, 20), np.int64)
    data = ffi.new("void *[]", 6)
    for i, x in enumerate(operands):
        if x is not None:
            words[i, 0], words[i, 2] = 1, x.ndim
            words[i, 4:4 + x.ndim] = x.shape
            words[i, 12:12 + x.ndim] = [s // 4 for s in x.strides]
            data[i] = ffi.cast("void *", x.ctypes.data)
    attrs = ffi.new("int64_t[]", [0, struct.unpack("<q", struct.pack("<d", 1.0))[0]])
    views, name, call = ffi.from_buffer("int64_t[]", words), ffi.new("char[]", b"gemm"), lib.nd_call_op
    keep = (a, b, out, words)

    def run() -> Any:
        return call(name, 4, 2, views, data, 2, attrs), keep

    return run


def with_numpy(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
    return lambda: np.matmul(a, b, out=out)


def with_torch(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(OPTIONS.threads)
    ta, tb, tout = (torch.from_numpy(x) for x in (a, b, out))
    product = torch.bmm if a.ndim == 3 else torch.mm

    def run() -> Any:
        with torch.no_grad():
            return product(ta, tb, out=tout)

    return run


def measure(runs: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of one call of each; the rounds go round all of them."""
    counts = {}
    for name, run in runs.items():
        run()
        start = clock()
        run()
        counts[name] = max(1, int(SAMPLE / max(clock() - start, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    slow = all(n == 1 for n in counts.values())
    for _ in range(5 if slow or OPTIONS.threads > 1 else ROUNDS):
        for name, run in runs.items():
            with settled(run, OPTIONS.threads) if OPTIONS.threads > 1 else nullcontext():
                start = clock()
                for _ in range(counts[name]):
                    run()
                times[name].append((clock() - start) / counts[name])
    return {name: statistics.median(t) for name, t in times.items()}


def main() -> None:
    native.select(OPTIONS.isa or None)
    native._need().nd_set_threads(OPTIONS.threads)
    makers: dict[str, Callable[..., Callable[[], Any]]] = {"ndiv": with_ndiv, "NumPy": with_numpy}
    try:
        import torch  # noqa: F401
    except ImportError:
        print("PyTorch is not installed")
    else:
        makers["PyTorch"] = with_torch
    print(f"{native.isa()}, {OPTIONS.threads} thread(s); GFLOP/s, and ndiv's rate over the other's")
    print(f"{'':12} {'batch':>5} {'m x n x k':>17}    " + " ".join(f"{name:>9}" for name in makers)
          + "".join(f" {'/' + name:>9}" for name in list(makers)[1:]))
    logs: dict[str, list[float]] = {name: [] for name in list(makers)[1:]}
    for shape in shapes():
        group, batch, m, n, k, layout = shape
        line = f"{group:12} {batch:5} {f'{m} x {n} x {k}':>17} {layout}"
        if OPTIONS.only not in line:
            continue
        a, b, out = operands(shape)
        seconds = measure({name: make(a, b, out) for name, make in makers.items()})
        flops = 2.0 * batch * m * n * k
        print(line + " ".join(f"{flops / s / 1e9:9.1f}" for s in seconds.values())
              + "".join(f" {seconds[name] / seconds['ndiv']:9.2f}" for name in logs), flush=True)
        for name, values in logs.items():
            values.append(float(np.log(seconds[name] / seconds["ndiv"])))
    for name, values in logs.items():
        print(f"geometric mean of the ratios to {name}: {np.exp(np.mean(values)):.2f}; smallest {np.exp(min(values)):.2f}")


if __name__ == "__main__":
    main()
