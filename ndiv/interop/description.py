"""What a neuralforecast model or forecaster is, as plain data: read from objects here, from saved folders in `saved`.

Contract: values are None, numbers, text, lists, dicts, NumPy arrays, `Named` (a loss, optimizer, schedule or scaler by the
name of its class and its arguments), or `Opaque` for what has no such form. Objects are looked at by their attributes alone;
neither PyTorch nor neuralforecast is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConfigError

__all__ = ["Forecaster", "Model", "Named", "Opaque", "plain", "read_forecaster", "read_model"]


@dataclass(frozen=True)
class Named:
    """A thing of neuralforecast or PyTorch by the name of its class, with the arguments that made it."""

    kind: str  # "loss", "class" (an optimizer or a schedule), "scaler"
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Opaque:
    """A value that has no plain form, by what it says of itself."""

    text: str


@dataclass
class Model:
    """One model: class name, constructor arguments, weights by neuralforecast's names."""

    name: str
    arguments: dict[str, Any]
    state: dict[str, np.ndarray]
    alias: str | None = None  # where the name of its column does not follow from the arguments


@dataclass
class Forecaster:
    """Models and what stands around them. ``scalers`` and ``static_scalers`` hold a `Named` for each column."""

    models: list[Model]
    freq: Any
    columns: tuple[str, str, str]  # id, time, target
    local_scaler_type: str | None = None
    local_static_scaler_type: str | None = None
    scalers: dict[str, Named] = field(default_factory=dict)
    static_scalers: dict[str, Named] = field(default_factory=dict)
    fitted: bool = True
    intervals: bool = False  # conformal prediction intervals were asked for
    vocabulary: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] | None = None  # temporal, temporal_cols, indptr, static, static_cols, uids, ds: scaled, as stored


def plain(value: Any) -> Any:
    """A value of neuralforecast as plain data; see the top of this file.

    >>> plain((np.float32(0.5), None, {"a": np.int64(3)}))
    [0.5, None, {'a': 3}]
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, type):
        return Named("class", value.__name__)
    if hasattr(value, "_nf_init_kwargs"):
        return Named("loss", type(value).__name__, {k: plain(v) for k, v in value._nf_init_kwargs.items()})
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return array(value)
    return Opaque(repr(value))


def array(tensor: Any) -> np.ndarray:
    """A tensor's values, float32 where NumPy has no such type (bfloat16)."""
    found = tensor.detach().cpu()
    if str(found.dtype) == "torch.bfloat16":
        found = found.float()
    return np.array(found.numpy())


def read_model(model: Any) -> Model:
    """The description of a model object; `ConfigError` (E0010) where it is none of neuralforecast's."""
    alias = None
    if type(model).__name__.startswith("Auto") and hasattr(model, "model"):  # a search holds the model that it found
        alias, model = str(model.alias or type(model).__name__), model.model
    if not callable(getattr(model, "state_dict", None)) or not hasattr(model, "hparams"):
        raise ConfigError(f"{type(model).__name__} is no model of neuralforecast", value=type(model).__name__,
                          hint="give a model, a NeuralForecast object, or the path of a saved one")
    arguments = {str(key): plain(value) for key, value in dict(model.hparams).items()}
    if not hasattr(getattr(model, "loss", None), "_nf_init_kwargs") and "loss" in arguments:
        arguments["loss"] = Opaque(repr(model.loss))
    state = {name: array(tensor) for name, tensor in model.state_dict().items()}
    if type(model).__name__ == "FEDformer":  # which frequencies it keeps is no part of its state
        from .peers.fedformer import modes_of

        state |= modes_of(model)
    return Model(type(model).__name__, arguments, state, alias)


def read_forecaster(nf: Any) -> Forecaster:
    """The description of a NeuralForecast object."""
    data = None
    dataset: Any = getattr(nf, "dataset", None)
    if getattr(dataset, "temporal", None) is not None and hasattr(nf, "ds"):
        static = getattr(dataset, "static", None)
        data = {"temporal": array(dataset.temporal), "temporal_cols": [str(c) for c in dataset.temporal_cols],
                "indptr": np.array(dataset.indptr), "static": None if static is None else array(static),
                "static_cols": [] if static is None else [str(c) for c in dataset.static_cols],
                "uids": np.array(nf.uids), "ds": np.array(nf.ds)}
    return Forecaster(
        models=[read_model(m) for m in nf.models], freq=nf.freq,
        columns=(str(getattr(nf, "id_col", "unique_id")), str(getattr(nf, "time_col", "ds")),
                 str(getattr(nf, "target_col", "y"))),
        local_scaler_type=nf.local_scaler_type, local_static_scaler_type=getattr(nf, "local_static_scaler_type", None),
        scalers=_scalers(getattr(nf, "scalers_", None), nf.local_scaler_type),
        static_scalers=_scalers(getattr(nf, "static_scalers_", None), getattr(nf, "local_static_scaler_type", None)),
        fitted=bool(getattr(nf, "_fitted", False)), intervals=getattr(nf, "prediction_intervals", None) is not None,
        vocabulary=dict(getattr(nf, "categorical_vocab_", None) or {}), data=data)


def _scalers(found: Any, name: str | None) -> dict[str, Named]:
    return {str(column): Named("scaler", str(name), {"stats_": np.array(scaler.stats_)})
            for column, scaler in (found or {}).items()}
