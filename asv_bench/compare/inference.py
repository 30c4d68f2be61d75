"""Prints batch-1 inference, from Python call to result, beside ONNX Runtime and OpenVINO.

    python asv_bench/compare/inference.py [--threads 2] [--length 96] [--rounds 12] [MODEL ...]

Needs torch and neuralforecast (see tests/peers), and onnx, onnxruntime, openvino. The peers run neuralforecast's own module,
exported to ONNX, in float32; ndiv runs the file that ``model.export`` writes. One process, rounds of a block of calls of
each in turn, medians, all with the same number of threads. Quote the ratios: the times are this machine's.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("models", nargs="*", default=["NLinear", "DLinear", "MLP", "NHITS"])
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--length", type=int, default=96)
parser.add_argument("--rounds", type=int, default=12)
args = parser.parse_args()
os.environ["NDIV_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)

import numpy as np  # noqa: E402
from cores import settled  # noqa: E402

H, BLOCK = 24, 100


def ours(name: str, folder: str, y: np.ndarray) -> Callable[[], object]:
    import ndiv

    path = os.path.join(folder, "model.ndiv")
    ndiv.models.get_model(name)(h=H, input_size=args.length).export(path)
    f = ndiv.load(path)
    return lambda: f(y)


def onnx_file(name: str, folder: str, y: np.ndarray) -> str:
    import neuralforecast.models as peers
    import torch

    class Plain(torch.nn.Module):
        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, y: torch.Tensor) -> torch.Tensor:
            return self.model({"insample_y": y, "insample_mask": torch.ones_like(y), "hist_exog": None, "futr_exog": None,
                               "stat_exog": None})

    model = getattr(peers, name)(h=H, input_size=args.length, max_steps=1).eval()
    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(Plain(model), (torch.tensor(y),), path, input_names=["y"], dynamo=False)
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


def timed(f: Callable[[], object]) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def compare(name: str) -> None:
    y = np.random.default_rng(0).standard_normal((1, args.length, 1)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = onnx_file(name, folder, y)
        runs = {"ndiv": ours(name, folder, y[0, :, 0].copy())}
        for label, make in (("ONNX Runtime", onnxruntime), ("OpenVINO", openvino)):
            try:
                runs[label] = make(path, y)
            except Exception as cause:  # DLinear's average pooling of a matrix is not valid ONNX
                print(f"{name:10}  {label} cannot run the exported file: {str(cause).splitlines()[0][:60]}")
        times: dict[str, list[float]] = {label: [] for label in runs}
        for _ in range(args.rounds):
            for label, f in runs.items():
                with settled(f, args.threads):
                    times[label] += [timed(f) for _ in range(BLOCK)]
    medians = {label: statistics.median(column) * 1e6 for label, column in times.items()}
    best = min((t for label, t in medians.items() if label != "ndiv"), default=float("nan"))
    print(f"{name:10}" + "".join(f"  {label} {t:8.1f} us" for label, t in medians.items())
          + f"   {best / medians['ndiv']:6.2f} times faster than the best")


if __name__ == "__main__":
    print(f"batch 1, L = {args.length}, h = {H}, {args.threads} threads")
    for model_name in args.models:
        compare(model_name)
