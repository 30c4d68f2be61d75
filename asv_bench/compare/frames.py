"""Prints what frames cost: fit and predict of a series beside neuralforecast, one more forecast of a model, many series.

    python asv_bench/compare/frames.py [--peer PYTHON] [--data FOLDER] [--rows 1000] [--rounds 3] [--part fit predict many]
                                       [--models NHITS] [--steps 100] [--threads 1] [--pyarrow]

fit      `NeuralForecast.fit` and `predict` of the last ``--rows`` rows of ETTh1's OT (0: all; a sine with noise without
         ``--data``), each of ``--models`` with h=24, input_size=96, max_steps=--steps (1000 is the default of both) and the
         defaults of each library. neuralforecast, which ``--peer`` (a Python that has it) runs, draws its default of windows a
         step whatever there are, and once more as many as the series has, if that is fewer. Seconds of the import, of fit and
         of predict, the process's peak memory, and what the flops of ndiv's plan take at the best rate of products here, which
         no exact library can undercut
predict  milliseconds of one more forecast of a trained model: `predict()` of the series of fit, `predict(df)` of 96 rows
many     fit (100 steps) and predict of 10,000 series of 100 points

Each figure is from a process of its own with ``--threads`` (0: as many as each library takes by itself), rounds are
interleaved, medians are shown with the machine's load: quote ratios, and times only of a machine that does nothing else. One
process of each comes before those that count, so that all find their byte code compiled, as an installation leaves it. pandas
loads pyarrow (about 45 MiB) where it is there: `ndiv[forecast]` does not bring it, and it is hidden from ndiv but with
``--pyarrow``; neuralforecast, through ray, does not import without it.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

H, L, STEPS = 24, 96, 100  # steps of the part many
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NDIV_NUM_THREADS")


def series(data: str | None, rows: int) -> Any:
    """One hourly series as a long pandas frame."""
    import numpy as np
    import pandas as pd

    if data is None:
        n = rows or 17420
        y = np.sin(np.arange(n) * np.pi / 12) + 0.2 * np.random.default_rng(0).standard_normal(n)
        return pd.DataFrame({"unique_id": "OT", "ds": pd.date_range("2016-07-01", periods=n, freq="h"), "y": y})
    df = pd.read_csv(Path(data) / "ETTh1.csv.gz", parse_dates=["date"])
    return pd.DataFrame({"unique_id": "OT", "ds": df["date"], "y": df["OT"]}).tail(rows or len(df)).reset_index(drop=True)


def fit(library: str, df: Any, model: str, steps: int) -> dict[str, float]:
    """Seconds of import, fit and predict."""
    options: dict[str, Any] = {"h": H, "input_size": L, "max_steps": steps}
    begun = time.perf_counter()
    if library == "ndiv":
        from ndiv import NeuralForecast, models
    else:
        from neuralforecast import NeuralForecast, models

        options.update(enable_progress_bar=False, logger=False, enable_checkpointing=False, enable_model_summary=False)
        if library == "peer, true count":
            usual = inspect.signature(getattr(models, model)).parameters["windows_batch_size"].default
            options["windows_batch_size"] = min(usual, len(df) - L)  # its windows: horizons may run past the end
    start = time.perf_counter()
    nf = NeuralForecast([getattr(models, model)(**options)], freq="h")
    nf.fit(df)
    fitted = time.perf_counter()
    out = nf.predict()
    found = {"import": start - begun, "fit": fitted - start, "predict": time.perf_counter() - fitted,
             "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    assert len(out) == H and out[model].notna().all()
    return {**found, "floor": floor(nf.models[0], steps)} if library == "ndiv" else found


def floor(model: Any, steps: int, size: int = 1024) -> float:
    """Seconds that the flops of a trained model's steps take at the best rate of square products."""
    import numpy as np

    import ndiv
    from ndiv.program.show import _flops

    flops = sum(_flops(next(iter(model._step.cache.values())).executable.program).values())
    square = ndiv.tensor(np.ones((size, size), np.float32))
    product, seconds = ndiv.compile(lambda a, b: a @ b), []
    for _ in range(12):
        begun = time.perf_counter()
        product(square, square)
        seconds.append(time.perf_counter() - begun)
    return float(steps * flops / (2 * size**3 / min(seconds)))


def predict(df: Any, calls: int = 500) -> dict[str, float]:
    """Milliseconds of warm forecasts: p50 and p99, and the median of the processor's time."""
    import numpy as np

    from ndiv import NeuralForecast
    from ndiv.models import NHITS, DLinear

    found = {}
    for model in (NHITS(h=H, input_size=L, max_steps=3), DLinear(h=H, input_size=L, max_steps=3)):
        nf = NeuralForecast([model], freq="h").fit(df, verbose=False)
        last = df.tail(L)
        for name, args in (("predict()", ()), ("predict(df)", (last,))):
            for _ in range(20):
                nf.predict(*args)
            wall, busy = [], []
            for _ in range(calls):
                begin, used = time.perf_counter(), time.thread_time()
                nf.predict(*args)
                wall.append(time.perf_counter() - begin), busy.append(time.thread_time() - used)
            label = f"{type(model).__name__} {name}"
            found[f"{label} p50"], found[f"{label} p99"] = (float(v) * 1e3 for v in np.percentile(wall, [50, 99]))
            found[f"{label} processor"], found[f"{label} least"] = statistics.median(busy) * 1e3, min(wall) * 1e3
    return found


def many(count: int = 10_000, rows: int = 100) -> dict[str, float]:
    """Seconds of fit and predict of many short series."""
    import numpy as np
    import pandas as pd

    from ndiv import NeuralForecast
    from ndiv.models import NHITS

    y = np.sin(np.arange(rows) / 3) + 0.1 * np.random.default_rng(0).standard_normal((count, rows))
    df = pd.DataFrame({"unique_id": np.repeat([f"id{k:05d}" for k in range(count)], rows),
                       "ds": np.tile(pd.date_range("2020-01-01", periods=rows), count), "y": y.reshape(-1)})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    nf = NeuralForecast([NHITS(h=12, input_size=24, max_steps=STEPS)], freq="D").fit(df, verbose=False)
    fitted = time.perf_counter()
    assert len(nf.predict()) == 12 * count
    return {"fit": fitted - start, "predict": time.perf_counter() - fitted, "MiB of the frame's process": before}


def child(part: str, library: str, args: argparse.Namespace) -> None:
    df = None if part == "many" else series(args.data, args.rows)
    found = fit(library, df, args.models[0], args.steps) if part == "fit" else predict(df) if part == "predict" else many()
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **found}))


def run(python: str, part: str, library: str, model: str, args: argparse.Namespace) -> dict[str, float]:
    """One process's figures."""
    command = [python, __file__, "--child", part, library, "--rows", str(args.rows), "--steps", str(args.steps)]
    command += ["--models", model, *(["--data", args.data] if args.data else []), *(["--pyarrow"] if args.pyarrow else [])]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", *THREADS)}
    environment.update(dict.fromkeys(THREADS, str(args.threads)) if args.threads else {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{library} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="a Python with neuralforecast")
    parser.add_argument("--data", help="the folder with ETTh1.csv.gz")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", nargs="+", choices=["fit", "predict", "many"], default=["fit", "predict", "many"])
    parser.add_argument("--models", nargs="+", default=["NHITS"], metavar="NAME", help="of the part fit; default: NHITS")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pyarrow", action="store_true", help="let pandas load pyarrow in ndiv's processes as well")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        if args.child[1] == "ndiv" and not args.pyarrow:
            sys.modules["pyarrow"] = None  # type: ignore[assignment]  # an import that fails
        return child(*args.child, args)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; medians of {args.rounds} rounds")
    for python, library in [(sys.executable, "ndiv"), *([(args.peer, "peer")] if args.peer else [])]:
        run(python, "fit", library, "DLinear", args)
    for part, model in [(p, m) for p in args.part for m in (args.models if p == "fit" else ["NHITS"])]:
        libraries = ["ndiv", *(["peer", "peer, true count"] if args.peer and part == "fit" else [])]
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in libraries}
        for _ in range(args.rounds):
            for name in libraries:
                rounds[name].append(run(args.peer if name != "ndiv" else sys.executable, part, name, model, args))
        medians = {name: {key: statistics.median(r[key] for r in found) for key in found[0]} for name, found in rounds.items()}
        label = f"{part} {model}" if part == "fit" else part
        for name, figures in medians.items():
            shown = ", ".join(f"{key} {value:.3f}" for key, value in figures.items() if key not in ("peak", "floor"))
            print(f"{label:14s} {name:17s} {shown}, peak {figures['peak']:.0f} MiB", flush=True)
        for name in libraries[1:]:
            own, other = medians["ndiv"], medians[name]
            spent = [{key: figures[key] for key in ("import", "fit", "predict")} for figures in (other, own)]
            whole = sum(spent[0].values()) / sum(spent[1].values())
            faster = (other["fit"] + other["predict"]) / (own["fit"] + own["predict"])
            print(f"{label:14s} ndiv beside {name}: {faster:.1f} times as fast, {whole:.1f} with the import, "
                  f"{own['peak'] / other['peak']:.2f} of its peak memory; flops at the best rate would be "
                  f"{(other['fit'] + other['predict']) / own['floor']:.1f} times as fast", flush=True)


if __name__ == "__main__":
    main()
