"""Prints the speed of ndiv's vector functions beside NumPy's and (where it is installed) PyTorch's, on one thread.

Float32 in the second-level cache (131,072 elements) and in memory (4 million). One process, interleaved rounds; the ratios
are medians over the rounds, the speed is that of the best one. Quote the ratios.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("NDIV_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable

import numpy as np

from ndiv.backends import native
from ndiv.backends.call import call_op
from ndiv.program.ops.record import encode
from ndiv.program.ops.vm import OPS
from ndiv.program.ops.vm_code import OPERANDS, Step, assemble

try:
    import torch
except ImportError:
    torch = None

FUNCTIONS = ("exp expm1 log log1p sin cos tanh sigmoid softplus silu erf erfc gelu gelu_tanh lgamma digamma rsqrt sqrt pow add "
             "mul maximum").split()
POSITIVE = {"log", "log1p", "lgamma", "digamma", "rsqrt", "sqrt", "pow"}


def ours(name: str, inputs: list[np.ndarray], out: np.ndarray) -> Callable[[], object]:
    words = encode(OPS[0], assemble([Step(name, tuple(("in", i) for i in range(len(inputs))))], [("step", 0)]))
    return lambda: call_op("vm", inputs, [out], words)


def numpys(name: str, inputs: list[np.ndarray], out: np.ndarray) -> Callable[[], object] | None:
    function = getattr(np, {"pow": "power", "mul": "multiply"}.get(name, name), None)
    return None if function is None else lambda: function(*inputs, out=out)


def torchs(name: str, inputs: list[np.ndarray]) -> Callable[[], object]:
    arrays = [torch.from_numpy(a) for a in inputs]
    out, aten = torch.empty_like(arrays[0]), torch.ops.aten
    if name in ("gelu", "gelu_tanh"):
        return lambda: aten.gelu.out(arrays[0], approximate="tanh" if name == "gelu_tanh" else "none", out=out)
    if name in ("silu", "softplus"):
        return lambda: getattr(aten, name).out(arrays[0], out=out)
    return lambda: getattr(torch, name)(*arrays, out=out)


def timed(runs: dict[str, Callable[[], object]], size: int) -> dict[str, list[float]]:
    """Seconds a call in each round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    count = max(1, 1_000_000 // size)
    for _ in range(25):
        for name, run in runs.items():
            start = time.perf_counter()
            for _ in range(count):
                run()
            times[name].append((time.perf_counter() - start) / count)
    return times


def ratio(times: dict[str, list[float]], other: str) -> str:
    if other not in times:
        return "-"
    return f"{statistics.median(b / a for a, b in zip(times['ndiv'], times[other], strict=True)):.2f}"


def main() -> None:
    if torch is not None:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    else:
        print("torch is not installed")
    print(f"instruction set {native.isa()}; times as fast as the other library (above 1: ndiv is faster)")
    for size in (1 << 17, 1 << 22):
        print(f"\n{size} elements   Gelem/s   / NumPy   / PyTorch")
        for name in FUNCTIONS:
            rng = np.random.default_rng(0)
            inputs = [rng.uniform(-4, 4, size).astype(np.float32) for _ in range(OPERANDS[name])]
            if name in POSITIVE:
                inputs[0] = np.abs(inputs[0]) + np.float32(0.01)
            out = np.empty(size, np.float32)
            runs: dict[str, Callable[[], object]] = {"ndiv": ours(name, inputs, out)}
            other = numpys(name, inputs, out)
            if other is not None:
                runs["numpy"] = other
            if torch is not None:
                runs["torch"] = torchs(name, inputs)
            times = timed(runs, size)
            speed = size / min(times["ndiv"]) * 1e-9
            print(f"{name:14} {speed:10.2f} {ratio(times, 'numpy'):>9} {ratio(times, 'torch'):>11}")


if __name__ == "__main__":
    main()
