"""What neuralforecast 3.3 saves, read as data: ``model.save`` (one safetensors file) and ``NeuralForecast.save`` (a folder).

    configuration.json            frequency, columns, scalers, ids and times; "nf_format" is "2"
    configuration.safetensors     its arrays
    NAME_0.safetensors, ...       one a model: weights, and in the header the class name and the constructor's arguments
    dataset.json, .safetensors    the series, scaled as they were trained on

Contract: nothing that a file holds is executed or imported, and names in it are only compared with those that ndiv knows. All
that is not as above is `FileError` (E0006); pickles of older versions are refused with the command that converts them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError
from .description import Forecaster, Model, Named, Opaque

__all__ = ["read"]

_TAG, _POINTER = "__nf__", "__hparams__."
_JSON_LIMIT = 1 << 30  # bytes; ten million ids fit
_PICKLE = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_OTHER = ("configuration.safetensors", "dataset.safetensors")  # not models


def read(path: Any) -> Model | Forecaster:
    """The description of a saved model (a file) or forecaster (a folder)."""
    place = Path(path)
    try:
        if place.is_dir():
            return _folder(place)
        if not place.exists():
            raise FileError(f"{place} does not exist", value=str(place), hint="give the folder that NeuralForecast.save wrote")
        return _model(place)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{place} could not be read: {error.strerror or error}", value=str(place)) from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise FileError(f"{place} is damaged: {type(error).__name__} {error}", value=str(place),
                        hint="copy it again, or save it again with neuralforecast 3.3") from error


def _refuse_pickle(place: Path, what: Path) -> FileError:
    return FileError(f"{what} holds pickles, which can run code and are not read", value=str(what),
                     hint=f"where you trust it, convert it once: python -m neuralforecast.migrate {place}")


# -- files ---------------------------------------------------------------------------------------------------------


def _folder(folder: Path) -> Forecaster:
    names = sorted(f.name for f in folder.iterdir() if f.is_file())
    if "configuration.json" not in names:
        if "ndiv.json" in names:
            raise FileError(f"{folder} was saved by ndiv", value=str(folder), hint="read it with NeuralForecast.load")
        if any(name.endswith((".pkl", ".ckpt")) for name in names):
            raise _refuse_pickle(folder, folder)
        raise FileError(f"{folder} has no configuration.json", value=str(folder),
                        hint="give the folder that NeuralForecast.save wrote")
    whole = _json(folder / "configuration.json")
    if not isinstance(whole, dict) or str(whole.get("nf_format")) != "2":
        raise FileError(f"{folder / 'configuration.json'} is not of neuralforecast's format 2", value=str(folder),
                        hint="save it again with neuralforecast 3.3")
    arrays, _ = _tensors(folder / "configuration.safetensors") if "configuration.safetensors" in names else ({}, {})
    facts = _decode(whole["configuration"], arrays)
    found = [(m[1], int(m[2])) for m in (re.fullmatch(r"(.+)_(\d+)\.safetensors", n) for n in names if n not in _OTHER) if m]
    if not found:
        raise FileError(f"{folder} holds no models", value=str(folder), hint="give the folder that NeuralForecast.save wrote")
    models = []
    for stem, place in sorted(found):
        model = _model(folder / f"{stem}_{place}.safetensors")
        if stem != (model.arguments.get("alias") or model.name):
            model.alias = stem
        models.append(model)
    data = None
    if "dataset.json" in names and facts.get("ds") is not None:
        meta, tensors = _json(folder / "dataset.json"), _tensors(folder / "dataset.safetensors")[0]
        fields = _decode(meta["fields"], tensors)
        if meta.get("dataset_class") == "TimeSeriesDataset":
            data = {**fields, "uids": facts["uids"], "ds": facts["ds"]}
    return Forecaster(
        models=models, freq=facts["freq"], columns=(facts["id_col"], facts["time_col"], facts["target_col"]),
        local_scaler_type=facts["local_scaler_type"], local_static_scaler_type=facts["local_static_scaler_type"],
        scalers=facts["scalers_"] or {}, static_scalers=facts["static_scalers_"] or {}, fitted=bool(facts["_fitted"]),
        intervals=facts.get("prediction_intervals") is not None, vocabulary=facts.get("categorical_vocab_") or {}, data=data)


def _model(file: Path) -> Model:
    tensors, header = _tensors(file)
    if "hyper_parameters" not in header or "model_class" not in header:
        raise FileError(f"{file} holds no model of neuralforecast", value=str(file),
                        hint="give what model.save or NeuralForecast.save of neuralforecast 3.3 wrote")
    arguments = _decode(json.loads(header["hyper_parameters"]), tensors)
    state = {name: value for name, value in tensors.items() if not name.startswith(_POINTER)}
    for kept, others in json.loads(header.get("shared", "{}")).items():  # arrays that two names share are stored once
        state.update((other, state[kept]) for other in others if kept in state)
    if not isinstance(arguments, dict):
        raise TypeError("the arguments are not a mapping")
    return Model(header["model_class"], arguments, state)


def _json(file: Path) -> Any:
    if file.stat().st_size > _JSON_LIMIT:
        raise FileError(f"{file} is too large", value=str(file))
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise FileError(f"{file} is not JSON", value=str(file), hint="copy it again, or save it again") from None


def _tensors(file: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays, header) of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    with file.open("rb") as raw:
        start = raw.read(4)
    if start.startswith(_PICKLE):
        raise _refuse_pickle(file, file)
    try:
        with safe_open(os.fspath(file), framework="np") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise FileError(f"{file} is not a safetensors file that can be read: {error}", value=str(file),
                        hint="copy it again, or save it again with neuralforecast 3.3") from None


# -- tagged JSON ---------------------------------------------------------------------------------------------------


def _decode(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    """neuralforecast's tagged JSON as plain data (see `description`); an unknown tag is an error."""
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if _TAG not in value:
        return {key: _decode(item, tensors) for key, item in value.items()}
    if value[_TAG] not in _READERS:
        raise ValueError(f"unknown kind of value {value[_TAG]!r}")
    return _READERS[value[_TAG]](value, tensors)


def _array(value: dict[str, Any], tensors: dict[str, np.ndarray]) -> np.ndarray:
    found = tensors[value["key"]] if "key" in value else np.asarray(value["values"]).reshape(value["shape"])
    dtype = np.dtype(value.get("dtype", str(found.dtype)).removeprefix("torch."))
    if dtype.kind not in "fiub":
        raise ValueError(f"an array of type {dtype}")
    return found.astype(dtype)


def _times(value: dict[str, Any], tensors: dict[str, np.ndarray]) -> Any:
    if value["unit"] not in ("D", "h", "m", "s", "ms", "us", "ns"):
        raise ValueError(f"times in units of {value['unit']!r}")
    raw = np.asarray(value["values"] if "values" in value else _decode(value["data"], tensors), np.int64)
    found = raw.astype(f"datetime64[{value['unit']}]")
    return Named("times", str(value["tz"]), {"utc": found}) if value.get("tz") else found


def _index(value: dict[str, Any], tensors: dict[str, np.ndarray]) -> np.ndarray:
    found = np.empty(len(value["values"]), object)
    found[:] = value["values"]
    kind = str(value["dtype"]).lower()
    return found.astype(kind) if re.fullmatch(r"u?int\d+|float\d+|bool", kind) else found


_READERS: dict[str, Callable[[dict[str, Any], dict[str, np.ndarray]], Any]] = {
    "loss": lambda v, t: Named("loss", v["cls"], _decode(v["args"], t)),
    "torch_cls": lambda v, t: Named("class", v["name"]),
    "scaler": lambda v, t: Named("scaler", v["type"], {"stats_": _decode(v.get("stats_"), t)}),
    "tensor": _array,
    "array": _array,
    "datetime64": _times,
    "index": _index,
    "series": lambda v, t: _decode(v["data"], t),
    "mapping": lambda v, t: {_decode(k, t): _decode(item, t) for k, item in v["items"]},
    "prediction_intervals": lambda v, t: Opaque("prediction_intervals"),
    "dataframe": lambda v, t: Opaque("a frame"),
}
