"""Prints batch-1 inference, from Python call to result, beside the same model, with the same weights, in bare PyTorch.

    python asv_bench/compare/inference.py [--threads 2] [--length 96] [--rounds 8] [--variant compat] [--runtimes] [MODEL ...]

Needs torch and neuralforecast (see tests/peers); ``--runtimes`` adds columns of ONNX Runtime and OpenVINO, and needs onnx,
onnxruntime and openvino; TimeLLM runs where ``--llm`` names its language model. PyTorch runs neuralforecast's own module in
``inference_mode`` with subnormals flushed, the runtimes that module exported to ONNX, in float32. ndiv runs the file that
``model.export`` writes, or ``model.forecast`` where a forecast has quantiles of a distribution (DeepAR: they are in ndiv's
time and not in the peer's, which ends with the parameters). Before the times it is checked that both compute the same.
``--variant paper`` runs the published architectures beside that peer: other weights, and often more work. One process,
rounds of a block of calls of each in turn, medians, all with the same number of threads. Quote the ratios: the times are
this machine's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("models", nargs="*")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--length", type=int, default=96)
parser.add_argument("--rounds", type=int, default=8)
parser.add_argument("--llm", metavar="FOLDER", help="language model of TimeLLM, in the form of transformers")
parser.add_argument("--variant", choices=["compat", "paper"], default="compat")
parser.add_argument("--runtimes", action="store_true", help="ONNX Runtime and OpenVINO too")
args = parser.parse_args()
os.environ["NDIV_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)

import numpy as np  # noqa: E402
import peers  # noqa: E402
import torch  # noqa: E402
from cores import block  # noqa: E402

peers.LLM = args.llm


def with_ndiv(model: Any, folder: str, y: np.ndarray) -> Callable[[], object]:
    import ndiv

    if model.loss.is_distribution_output or hasattr(model, "texts"):  # TimeLLM's prompts are made by Python: no file
        batch = {"insample_y": y}
        for _ in range(5):  # the plan is made on the way
            model.forecast(batch)
        return lambda: model.forecast(batch)
    path = os.path.join(folder, "model.ndiv")
    model.export(path)
    f = ndiv.load(path)
    window = y[0, :, 0].copy() if y.shape[2] == 1 else y[0]
    return lambda: f(window)


def with_torch(module: Any, y: np.ndarray) -> Callable[[], object]:
    window = torch.tensor(y)
    mask = torch.ones_like(window)

    def run() -> object:
        with torch.inference_mode():
            return peers.forecast(module, window, mask).numpy()

    return run


def onnx_file(module: Any, folder: str, y: np.ndarray) -> str:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, y: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = peers.forecast(self.module, y, torch.ones_like(y))
            return found

    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(Plain().eval(), (torch.tensor(y),), path, input_names=["y"], dynamo=False)
    return path


def onnxruntime(path: str, y: np.ndarray) -> Callable[[], object]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: y}
    return lambda: session.run(None, feed)


def openvino(path: str, y: np.ndarray) -> Callable[[], object]:
    import openvino as ov

    model = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": args.threads,
                                                   "PERFORMANCE_HINT": "LATENCY"})
    request = model.create_infer_request()
    return lambda: request.infer({0: y}, share_inputs=True, share_outputs=True)


def runtimes(name: str, module: Any, folder: str, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """ONNX Runtime and OpenVINO, where they run the exported file."""
    found = {}
    for label, make in (("ONNX Runtime", onnxruntime), ("OpenVINO", openvino)):
        try:
            path = os.path.join(folder, "model.onnx")
            found[label] = make(path if os.path.exists(path) else onnx_file(module, folder, y), y)
            found[label]()
        except Exception as cause:  # DLinear's average pooling of a matrix is not valid ONNX
            print(f"{name:15} {label} cannot run the exported file: {str(cause).splitlines()[0][:60]}")
            found.pop(label, None)
    return found


def compare(name: str) -> tuple[float, float]:
    """The ratios to PyTorch and to the better of the runtimes (NaN without)."""
    module = peers.peer(name, args.length, args.threads)
    batch = peers.data(name, args.length, 1)
    y, note = batch["insample_y"], "weights of its own"
    model = peers.ours(module) if args.variant == "compat" else peers.alone(name, args.length, args.variant)
    if args.variant == "compat":
        apart, _ = peers.apart(module, model, batch)
        note = f"apart {apart:.0e}"
        if apart > 1e-4:
            raise SystemExit(f"{name}: {note}, so there is nothing to compare")
    module.eval()
    with tempfile.TemporaryDirectory() as folder:
        runs = {"ndiv": with_ndiv(model, folder, y), "PyTorch": with_torch(module, y)}
        if args.runtimes:
            runs |= runtimes(name, module, folder, y)
        times: dict[str, list[float]] = {label: [] for label in runs}
        for _ in range(args.rounds):
            for label, f in runs.items():
                times[label] += block(f, args.threads)
    medians = {label: statistics.median(column) * 1e6 for label, column in times.items()}
    ratio = medians["PyTorch"] / medians["ndiv"]
    best = min((t for label, t in medians.items() if label not in ("ndiv", "PyTorch")), default=float("nan")) / medians["ndiv"]
    print(f"{name:15}" + "".join(f" {label} {t:8.1f} us  " for label, t in medians.items()) + f" {ratio:6.2f} times faster   "
          + (f"{best:6.2f} times the better runtime   " if args.runtimes else "") + note, flush=True)
    return ratio, best


def mean(ratios: list[float], what: str) -> None:
    known = [r for r in ratios if r == r]
    if known:
        print(f"geometric mean of {len(known)}: {statistics.geometric_mean(known):.2f} times faster than {what}; "
              f"least {min(known):.2f}")


if __name__ == "__main__":
    print(f"batch 1, L = {args.length}, h = {peers.H}, {args.threads} threads, variant={args.variant}, "
          f"Python {sys.version.split()[0]}")
    to_torch, to_runtime = zip(*map(compare, args.models or peers.MODELS), strict=True)
    mean(list(to_torch), "PyTorch")
    mean(list(to_runtime), "the better runtime")
