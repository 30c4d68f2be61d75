"""Prints how long one recurrent layer takes beside PyTorch's: forward and backward, loss on the last 24 of 500 steps.

LSTM, GRU and RNN with 128 hidden units, batch 32, from 128 inputs and from 1, with 1 and 2 threads. PyTorch runs twice: in
this process with subnormal numbers flushed to zero, as ndiv's plans run, and as it comes in a process of its own. Runs of
the three take turns; medians and their ratios are printed, and first how far the gradients are apart. Needs torch.

    python asv_bench/compare/lstm_layer.py [rounds]
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from cores import settled

import ndiv
from ndiv.backends import threadpool
from ndiv.program.executable import Executable
from ndiv.program.grad import gradient
from ndiv.program.trace import trace

STEPS, BATCH, HIDDEN, LAST = 500, 32, 128, 24
CASES = [(cell, inputs) for cell in ("lstm", "gru", "rnn") for inputs in (128, 1)]


def layer(cell: str, inputs: int) -> tuple[Any, Any]:
    """PyTorch's layer and its input [T, B, I], the same every time."""
    torch.manual_seed(0)
    module = getattr(torch.nn, cell.upper())(inputs, HIDDEN)
    return module, torch.randn(STEPS, BATCH, inputs, requires_grad=True)


def with_torch(cell: str, inputs: int) -> Callable[[], list[Any]]:
    module, x = layer(cell, inputs)
    wanted = [x, *module.parameters()]

    def run() -> list[Any]:
        for p in wanted:
            p.grad = None
        (module(x)[0][-LAST:] ** 2).mean().backward()
        return [p.grad.numpy() for p in wanted]

    return run


def with_ndiv(cell: str, inputs: int) -> Callable[[], list[Any]]:
    """The plan of the loss and its gradients."""
    module, x = layer(cell, inputs)
    arrays = [x.detach().numpy(), *[p.detach().numpy() for p in module.parameters()]]
    states = [None] * (1 + (cell == "lstm"))

    def loss(x: Any, *weights: Any) -> Any:
        return (getattr(ndiv, cell)(x, *states, *weights)[0][-LAST:] ** 2).mean()

    traced = trace(loss, tuple(arrays), cell)
    program, _ = gradient(traced.program, traced.program.outputs[0], traced.program.inputs)
    plan = Executable(program, traced.tensors)
    if plan.engine != "native":
        raise SystemExit("the native backend is not in force: there is nothing to compare")
    return lambda: plan(arrays)[1:]


def seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def answer() -> None:
    """The other process: for each line "cell inputs threads" the time of one run of PyTorch as it comes."""
    runs: dict[tuple[str, int], Callable[[], Any]] = {}
    for line in sys.stdin:
        cell, inputs, threads = line.split()
        torch.set_num_threads(int(threads))
        key = (cell, int(inputs))
        if key not in runs:
            runs[key] = with_torch(*key)
        with settled(runs[key], int(threads)):
            print(seconds(runs[key]), flush=True)


def main(rounds: int) -> None:
    if not torch.set_flush_denormal(True):
        print("this processor cannot flush subnormals: both columns are of PyTorch as it comes")
    other = subprocess.Popen([sys.executable, __file__, "answer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdin and other.stdout
    print(f"T {STEPS}, batch {BATCH}, hidden {HIDDEN}, loss on the last {LAST} steps; ms, and times of ndiv's")
    print("cell inputs threads    ndiv   PyTorch flushed   PyTorch as it comes   gradients apart")
    for cell, inputs in CASES:
        ours, theirs = with_ndiv(cell, inputs), with_torch(cell, inputs)
        apart = max(abs(a - b).max() / abs(b).max() for a, b in zip(ours(), theirs(), strict=True))
        for threads in (1, 2):
            threadpool.set_threads(threads)
            torch.set_num_threads(threads)
            times: list[tuple[float, float, float]] = []
            for _ in range(rounds + 1):
                other.stdin.write(f"{cell} {inputs} {threads}\n")
                other.stdin.flush()
                default = float(other.stdout.readline())
                with settled(ours, threads):
                    mine = seconds(ours)
                with settled(theirs, threads):
                    times.append((mine, seconds(theirs), default))
            mine, flushed, default = (1e3 * statistics.median(column) for column in zip(*times[1:], strict=True))
            print(f"{cell:4} {inputs:6} {threads:7} {mine:7.1f} {flushed:9.1f} {flushed / mine:6.2f} x {default:11.1f} "
                  f"{default / mine:7.2f} x {apart:16.1e}", flush=True)
    other.stdin.close()
    other.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["answer"]:
        answer()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
