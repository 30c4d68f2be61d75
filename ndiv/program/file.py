"""The model file: program, plan and weights in one safetensors file.

Contract: any safetensors tool opens it (weights stand under their own names); `read` runs it with NumPy alone or with the
extension, with no training code and no frames. Nothing in it is executed but the plan, and that only after the
verifiers have passed it: a file that is not what it claims is a `FileError` (E0006).

    tensors    "plan" (uint8: the plan's bytes), and every constant of the plan by name
    metadata   "ndiv": JSON with format, inputs, outputs, columns, configuration and source lines; "program": the text
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..errors import ConfigError, FeatureError, FileError, HorizonError, ShapeError, TraceBreak
from .plan import parse

__all__ = ["FORMAT", "LoadedModel", "export", "read", "write"]

FORMAT = "ndiv-model-1"
_LIMIT = 100  # inputs, outputs: more is no model of ours


def write(path: Any, executable: Any, facts: dict[str, Any]) -> None:
    """Write an executable whose states are constants. ``facts``: what `LoadedModel` needs to know of the model."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    plan = executable.plan
    tensors = {plan.slots[i].name: np.ascontiguousarray(a) for i, a in plan.constants.items()}
    tensors["plan"] = np.frombuffer(plan.raw, np.uint8)
    inputs = [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype.str} for s in plan.slots if s.kind == "input"]
    outputs = [{"shape": list(s.shape), "dtype": s.dtype.str} for s in plan.slots if s.kind == "output"]
    names = {str(i): plan.slots[i].name for i in plan.constants}
    meta = {"format": FORMAT, "ndiv": __version__, "inputs": inputs, "outputs": outputs, "constants": names,
            "lines": plan.lines, **facts}
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        save_file(tensors, str(partial), {"ndiv": json.dumps(meta), "program": executable.program.text(lines=True)})
        partial.replace(path)
    except (OSError, SafetensorError) as cause:
        raise FileError(f"could not write {path}: {cause}", value=str(path),
                        hint="check the folder and the free space") from None


def export(model: Any, path: Any, batch_size: int = 1) -> None:
    """What ``model.export`` does: trace the forecast, make the weights constants, lower, write."""
    from .compiled import _names_of, agree
    from .executable import Executable
    from .passes.narrow import narrow
    from .trace import trace

    if not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(f"batch_size must be a positive whole number, not {batch_size!r}", value=batch_size,
                          hint="1 is usual")
    batch = example(model, batch_size)

    def forecast(batch: dict[str, Any]) -> Any:
        return model.forecast(batch)

    traced = trace(forecast, (batch,), f"{type(model).__name__}.forecast", _names_of(model))
    if traced.program.updates:
        names = [v.name for v in traced.program.updates]
        raise TraceBreak(f"the forecast of {type(model).__name__} writes {', '.join(names)}, and a model file keeps no state",
                         value=names, hint="write buffers only while self.training, or run the model itself")
    made: dict[str, np.ndarray] = {}
    for h in traced.hosted:
        if h.before.inputs:
            raise TraceBreak(f"the forecast of {type(model).__name__} calls Python on its input, and a model file holds none",
                             value=getattr(h.function, "__qualname__", ""), hint="save the model itself, and forecast with it")
        made.update(h({}))
    program = narrow(traced.program)
    weights = {v: np.array(traced.tensors[v.name].data, order="C") for v in program.states}
    weights.update((v, made[v.name]) for v in program.inputs if v.name in made)
    program = program.replace(inputs=[v for v in program.inputs if v.name not in made], states=[],
                              consts={**weights, **program.consts})
    executable = Executable(program)
    agree(executable, traced)
    write(path, executable, {"name": model.alias or type(model).__name__, "config": model.config(), "h": model.h,
                             "input_size": model.input_size, "columns": model.output_names})


def example(model: Any, batch_size: int) -> dict[str, np.ndarray]:
    """A batch of the shapes that the model takes."""
    rng = np.random.default_rng(0)
    n = int(model.arguments.get("n_series") or 1)

    def numbers(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    batch = {"insample_y": numbers(batch_size, model.input_size, n)}
    for kind in ("hist", "futr", "stat"):
        names = getattr(model, f"{kind}_exog_list")
        if names:
            batch[f"{kind}_exog"] = x = numbers(*model.exog_shape(kind, batch_size))
            for k, name in enumerate(names):
                if name in model.cat_exog_list:
                    column = x[:, k] if model.MULTIVARIATE and kind != "stat" else x[..., k]
                    column[...] = rng.integers(0, model.categorical_cardinalities[name] + 1, column.shape)
    return batch


def read(path: Any, engine: str | None = None) -> LoadedModel:
    """The model in a file written by ``model.export``, ready to forecast.

    engine: "native" or "numpy"; default: native where the extension is in force. Raises `FileError` (E0006) for a file that is
    missing, broken, or no model file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (not a dict)
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, MemoryError) as cause:
        raise FileError(f"could not read {path}: {cause}", value=str(path),
                        hint="give a file written by model.export") from None
    try:
        meta = json.loads(metadata["ndiv"])
        _check(meta, tensors)
        return LoadedModel(meta, tensors, metadata.get("program", ""), engine)
    except FileError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError, OverflowError) as cause:
        raise FileError(f"{path} is no model file: {type(cause).__name__}: {cause}", value=str(path),
                        hint="give a file written by model.export") from None


def _check(meta: Any, tensors: dict[str, np.ndarray]) -> None:
    """Facts that the rest relies on; ValueError, TypeError or KeyError where one does not hold."""
    if meta["format"] != FORMAT:
        raise ValueError(f"format {meta['format']!r} is not {FORMAT!r}")
    if tensors["plan"].dtype != np.uint8 or tensors["plan"].ndim != 1:
        raise ValueError("the plan is not a row of bytes")
    for kind in ("inputs", "outputs"):
        if not isinstance(meta[kind], list) or not 0 < len(meta[kind]) <= _LIMIT:
            raise ValueError(f"{kind} is no list of at most {_LIMIT}")
    for key in ("h", "input_size"):
        if type(meta[key]) is not int or meta[key] < 1:
            raise ValueError(f"{key} is {meta[key]!r}")
    if not all(isinstance(c, str) for c in meta["columns"]):
        raise ValueError("columns are not text")
    for column, values in meta["config"].get("categories", {}).items():
        if not isinstance(values, list) or not all(isinstance(v, (str, bool, int)) for v in values):
            raise ValueError(f"the categories of {column!r} are no list of text and whole numbers")


def _words(config: dict[str, Any]) -> dict[str, dict[int, dict[Any, int]]]:
    """Of each kind of covariates, by place: the codes of the values of columns that hold categories."""
    categories = config.get("categories", {})
    found = {f"{kind}_exog": {k: {v: i for i, v in enumerate(categories[name], 1)}
                              for k, name in enumerate(config.get(f"{kind}_exog_list") or ()) if name in categories}
             for kind in ("hist", "futr", "stat")}
    return {key: columns for key, columns in found.items() if columns}


class LoadedModel:
    """A forecaster from a file: ``f(y) -> forecast``.

    h, input_size   horizon and length of the window
    columns         suffix of each column of the forecast; [""] for a point forecast
    name, config    of the model that was exported
    engine          what runs it, "native" or "numpy"
    """

    def __init__(self, meta: dict[str, Any], tensors: dict[str, np.ndarray], program: str, engine: str | None) -> None:
        raw = tensors["plan"].tobytes()
        plan = parse(raw)
        plan.lines = [str(line) for line in meta["lines"]]
        self.program = program
        self.h, self.input_size = int(meta["h"]), int(meta["input_size"])
        self.columns, self.name, self.config = list(meta["columns"]), str(meta["name"]), meta["config"]
        inputs, outputs = plan.slots_of("input"), plan.slots_of("output")
        if len(inputs) != len(meta["inputs"]) or len(outputs) != len(meta["outputs"]) or plan.slots_of("state"):
            raise FileError("the plan has other inputs, outputs or states than the file says", value=len(inputs),
                            hint="export the model again")
        self.plan = plan
        self.inputs = [(i, str(s["name"]), tuple(int(n) for n in s["shape"]), np.dtype(s["dtype"]))
                       for i, s in zip(inputs, meta["inputs"], strict=True)]
        self.outputs = [(i, tuple(int(n) for n in s["shape"]), np.dtype(s["dtype"]))
                        for i, s in zip(outputs, meta["outputs"], strict=True)]
        for i, shape, dtype in [(i, s, d) for i, _, s, d in self.inputs] + self.outputs:
            slot = plan.slots[i]
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if dtype != slot.dtype or any(n < 0 for n in shape) or size != slot.nbytes:
                raise FileError("an input or output has another size in the plan than in the file", value=shape,
                                hint="export the model again")
        constants: list[np.ndarray | None] = [None] * len(plan.slots)
        for i in plan.slots_of("constant"):
            a = tensors[meta["constants"][str(i)]]
            if a.dtype != plan.slots[i].dtype or a.nbytes != plan.slots[i].nbytes:
                raise FileError(f"the tensor {meta['constants'][str(i)]!r} does not fit the plan", value=a.shape,
                                hint="export the model again")
            constants[i] = np.ascontiguousarray(a)
        self._start(raw, constants, engine)
        names = {name.split(".")[-1]: k for k, (_, name, _, _) in enumerate(self.inputs)}
        if "insample_y" not in names:
            raise FileError("the file has no input insample_y", value=sorted(names), hint="export the model again")
        self._y, self._names = names["insample_y"], names
        shape = self.inputs[self._y][2]
        if len(shape) != 3 or shape[1] != self.input_size or len(self.outputs) != 1:
            raise FileError(f"insample_y has shape {list(shape)} in the file", value=shape, hint="export the model again")
        self.n_series, self._batch = shape[2], shape[0]
        self._words = _words(self.config)
        self._common = "stat_exog" if "n_series" in self.config else ""  # what belongs to the series, not to windows
        self._plain = (self.input_size,) if (shape[0], shape[2], len(self.inputs)) == (1, 1, 1) else None
        self._out, self._out_shape, self._out_dtype = self.outputs[0]
        if len(self._out_shape) != 3 or self._out_shape[:2] != (self._batch, self.h):
            raise FileError(f"the forecast has shape {list(self._out_shape)} in the file", value=self._out_shape,
                            hint="export the model again")

    def _start(self, raw: bytes, constants: Sequence[np.ndarray | None], engine: str | None) -> None:
        from .executable import engine_of

        self.engine = engine or engine_of(self.plan)
        self._slots: list[np.ndarray | None] = list(constants)
        if self.engine == "native":
            from ..backends.plans import NativePlan

            self._runner: Any = NativePlan(raw, constants)
        else:
            from .interpret import Interpreter

            self._runner = Interpreter(raw)

    def __call__(self, y: Any, **covariates: Any) -> np.ndarray:
        """The forecast after the end of ``y``, in its units; a multivariate model's stat_exog is [n, S] always.

        y: [L] one window, [L, n] for n series of a multivariate model, or [B, L, n] several; longer windows are cut to
        their last ``input_size`` steps. ``covariates``: hist_exog, futr_exog, stat_exog, insample_mask as the model was
        exported with, with a first axis of B for several windows; columns of categories hold their values, text and
        numbers side by side in an array of objects (codes, where the model was not trained on a frame). Returns [h], or
        [h, columns * n]; for several windows with a first axis of B.
        Raises `HorizonError` (E0005) for a window that is too short, `ShapeError` (E0002), `FeatureError` (E0004).
        """
        y = np.asarray(y, np.float32)
        if y.shape == self._plain and not covariates:  # one window of one series, the short way
            out = self._run([y])[0]
            return out[:, 0] if out.shape[1] == 1 else out
        return self._general(y, covariates)

    def _run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        slots = list(self._slots)
        for (i, _, _, _), a in zip(self.inputs, arrays, strict=True):
            slots[i] = a if a.flags.c_contiguous else np.ascontiguousarray(a)
        slots[self._out] = out = np.empty(self._out_shape, self._out_dtype)
        self._runner.run(slots)
        return out

    def _general(self, y: np.ndarray, covariates: dict[str, Any]) -> np.ndarray:
        single = y.ndim < 3
        windows = y.reshape(1, len(y) if y.ndim else 0, -1) if single else y
        if windows.shape[1] < self.input_size:
            raise HorizonError(f"{self.name}: the window has {windows.shape[1]} steps and the model looks at {self.input_size}",
                               value=windows.shape[1], hint=f"give at least {self.input_size} steps")
        if windows.shape[2] != self.n_series:
            raise ShapeError(f"{self.name}: y has {windows.shape[2]} series and the model {self.n_series}", value=y.shape,
                             hint=f"give [{self.input_size}, {self.n_series}], or [B, {self.input_size}, {self.n_series}]")
        given: dict[str, np.ndarray] = {"insample_y": windows[:, -self.input_size:]}
        for key, value in covariates.items():
            a = self._coded(key, value)
            given[key] = a[None] if single and key != self._common else a
        known = {name.split(".")[-1]: shape for _, name, shape, _ in self.inputs}
        if set(given) != set(known):
            raise FeatureError(f"{self.name}: it takes {sorted(known)}, not {sorted(given)}", value=sorted(given),
                               hint="give what the model was exported with, by name")
        total = len(windows)
        for key, a in given.items():
            wanted = known[key] if key == self._common else (total, *known[key][1:])
            if a.shape != wanted:
                raise ShapeError(f"{self.name}: {key} has shape {list(a.shape)}, not {list(wanted)}", value=a.shape,
                                 hint="the first axis is the number of windows")
        parts = [self._chunk(given, at) for at in range(0, total, self._batch)]
        out = np.concatenate(parts) if parts else np.empty((0, *self._out_shape[1:]), self._out_dtype)
        out = out[..., 0] if out.shape[2] == 1 else out
        return out[0] if single else out

    def _coded(self, key: str, value: Any) -> np.ndarray:
        """Covariates as float32, categories as their codes: 0 for what training has not seen."""
        columns = self._words.get(key)
        if not columns:
            return np.asarray(value, np.float32)
        raw = np.asarray(value, object)
        if raw.ndim < 2 and not (key == "stat_exog" and raw.ndim):
            raise ShapeError(f"{self.name}: {key} has shape {list(raw.shape)}", value=raw.shape,
                             hint="one column for each covariate")
        axis = raw.ndim - 3 if "n_series" in self.config and key != "stat_exog" else raw.ndim - 1
        parts = np.moveaxis(raw, axis, 0)
        out = np.empty(parts.shape, np.float32)
        for k in range(len(parts)):
            codes, values = columns.get(k), parts[k:k + 1].ravel()
            try:
                out[k] = np.reshape(values if codes is None else [codes.get(v, 0) for v in values], parts.shape[1:])
            except (TypeError, ValueError) as cause:
                raise FeatureError(f"{self.name}: column {k} of {key} holds what it does not take: {cause}", value=key,
                                   hint="numbers, and in columns of categories text, whole numbers or booleans") from None
        return np.moveaxis(out, 0, axis)

    def _chunk(self, given: dict[str, np.ndarray], at: int) -> np.ndarray:
        """The windows from ``at`` on, as many as one run takes; a last run that is not full is filled with its last window."""
        count = min(self._batch, len(given["insample_y"]) - at)
        arrays = []
        for _, name, _, dtype in self.inputs:
            key = name.split(".")[-1]
            a = given[key] if key == self._common else given[key][at:at + count]
            if count < self._batch and key != self._common:
                a = np.concatenate([a, np.repeat(a[-1:], self._batch - count, axis=0)])
            arrays.append(np.ascontiguousarray(a, dtype))
        return self._run(arrays)[:count]

    def __repr__(self) -> str:
        return f"<{self.name} h={self.h} input_size={self.input_size}, run by {self.engine}>"
