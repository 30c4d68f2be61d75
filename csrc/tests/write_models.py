"""Writes the plans of every model, a forecast and a training step, as files that model.c runs: write_models.py FOLDER."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np

from ndiv.models import get_model, list_models
from ndiv.program.show import View

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from small import small

RUNS = 3
WHOLE = ("DLinear", "MLP", "NHITS", "NLinear")  # as they come; the others narrower, since emulators are slow


def write(path: Path, view: View) -> None:
    """Plan, number of runs, and the first contents of every slot."""
    executable = view.executable
    slots, _ = executable.fill(view.arrays)
    for i, array in executable.plan.constants.items():
        slots[i] = array
    for (i, _, _), held in zip(executable.states, executable.held, strict=True):
        slots[i] = held
    for i, shape, dtype in executable.outputs:
        slots[i] = np.zeros(shape, dtype)
    raw = executable.plan.raw
    parts = [struct.pack("<q", len(raw)), raw, struct.pack("<qq", RUNS, len(slots))]
    for a in slots:
        data = np.ascontiguousarray(a).tobytes()
        parts += [struct.pack("<q", len(data)), data]
    path.write_bytes(b"".join(parts))


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in list_models():
        for train in (False, True):
            size = {} if name in WHOLE else small(name, 64)
            model = get_model(name)(h=12, input_size=36, scaler_type="robust", gradient_clip_val=0.5, learning_rate=1e-2,
                                    **size)
            y = rng.standard_normal((32, 48, 1)).astype(np.float32)
            batch = {"insample_y": y[:, :36].copy()}
            if train:
                batch["outsample_y"] = y[:, 36:].copy()
            view = View(model, batch, train)
            if train:  # the numbers of a first step, which is repeated
                view.arrays[-1][:] = model.optimizer.numbers(model.optimizer.param_groups[0], 1)
            write(folder / f"{name}-{'train' if train else 'forecast'}", view)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
