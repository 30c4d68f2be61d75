"""A fitted `NeuralForecast` as a folder: one JSON file and safetensors files, no code and no pickle.

    ndiv.json              format, version, frequency, column names, model settings, ids, checksums of the files below
    model_0.safetensors    weights of the first model, and so on
    series.safetensors     the stored series (unless save_dataset=False)
    scaler.safetensors     statistics of local_scaler_type, where one was used
    calibration.safetensors  scores of conformal intervals, where they were calibrated

Contract: `load` gives the same forecasts to the bit, or raises `FileError` (E0006). File names are fixed by the format,
never read from the file; every file must match its checksum, so a half-written folder is refused.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv._version import __version__
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, FileError, FileExists, NdivError

from . import identifiers
from .conformal import Calibration
from .reading import ColumnNames
from .scaling import ColumnScaler, LocalScaler

if TYPE_CHECKING:
    from .core import NeuralForecast

__all__ = ["check_target", "load", "save"]

FORMAT, VERSION, MANIFEST = "ndiv-forecast", 1, "ndiv.json"
_MANIFEST_LIMIT = 1 << 30  # bytes; ten million ids fit, a mistaken path to something huge does not


# -- saving --------------------------------------------------------------------------------------------------------


def check_target(path: Any, overwrite: bool) -> Path:
    """The folder to save to; `FileExists` (E0006) when it is a file, or not empty and ``overwrite`` is False."""
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise FileExists(f"{folder} is a file", value=str(folder), hint="Give the path of a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise FileExists(f"{folder} exists and is not empty", value=str(folder),
                         hint="Choose another path, or pass overwrite=True (--overwrite) to replace what was saved there.")
    return folder


def picked(nf: NeuralForecast, model_index: Sequence[int] | None) -> NeuralForecast:
    """The forecaster with some of its models, by their places; `ConfigError` (E0010) for a place that there is not."""
    if model_index is None:
        return nf
    places = list(model_index)
    if not places or not all(isinstance(k, int) and 0 <= k < len(nf.models) for k in places) or len(set(places)) < len(places):
        raise ConfigError(f"model_index must be different places of the {len(nf.models)} models, got {places}", value=places,
                          hint=f"Give some of 0 to {len(nf.models) - 1}, or None for all.")
    some = copy.copy(nf)
    some.models = [nf.models[k] for k in places]
    return some


def save(nf: NeuralForecast, path: Any, overwrite: bool, save_dataset: bool) -> None:
    """Write the folder ``path``; called by `NeuralForecast.save` once everything is fitted."""
    folder = check_target(path, overwrite)
    store = nf.dataset
    manifest: dict[str, Any] = {
        "format": FORMAT, "version": VERSION, "ndiv": __version__, "freq": nf.fitted_freq, "columns": asdict(nf.columns),
        "local_scaler_type": nf.local_scaler_type, "local_static_scaler_type": nf.local_static_scaler_type,
        "target_transform": None if nf.target_transform is None else nf.target_transform.config(), "rules": asdict(nf.rules),
        "history": [m.history for m in nf.models],
        "models": [m.config() for m in nf.models],
        "model_ids": [None if m.series_ids is None else identifiers.encode(m.series_ids) for m in nf.models],
        "scaler_ids": None, "series": None, "features": None if nf.features is None else nf.features.config(),
        "calibration": None, "held_out": nf.held_out}
    files = {f"model_{k}.safetensors": m.state_dict() for k, m in enumerate(nf.models)}
    if nf.scaler is not None:
        files["scaler.safetensors"], facts = nf.scaler.to_arrays()
        manifest["scaler_columns" if isinstance(nf.scaler, ColumnScaler) else "scaler_facts"] = facts
        manifest["scaler_ids"] = identifiers.encode(nf.scaler.ids)
    if nf.calibration is not None:
        files["calibration.safetensors"], facts = nf.calibration.to_arrays()
        manifest["calibration"] = {**facts, "ids": identifiers.encode(nf.calibration.ids)}
    if save_dataset and store is not None:
        files["series.safetensors"], meta = store.to_arrays()
        manifest["series"] = {**meta, "ids": identifiers.encode(store.ids)}
        if store.events is not None:
            manifest["series"]["events"] = {**meta["events"], "ids": identifiers.encode(store.events.ids)}
    try:
        json.dumps(manifest)  # tried before anything is written
    except (TypeError, ValueError) as error:
        raise FileError(f"the settings of these models cannot be written as JSON: {error}", value=str(folder),
                        hint="Use losses and optimizers by name or class of ndiv.") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        manifest["files"] = {name: _write(folder / name, arrays) for name, arrays in files.items()}
        _replace(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
        for old in [*folder.glob("model_*.safetensors"),
                    *(folder / f"{part}.safetensors" for part in ("scaler", "calibration", "series"))]:
            if old.name not in files and old.exists():
                old.unlink()
    except OSError as error:
        raise FileError(f"{folder} could not be written: {error.strerror or error}", value=str(folder),
                        hint="Check the folder and the free space.") from None


def _write(path: Path, arrays: dict[str, np.ndarray]) -> str:
    from safetensors.numpy import save as to_bytes

    data = to_bytes({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    _replace(path, data)
    return hashlib.sha256(data).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    os.replace(partial, path)  # a crash leaves the old file, never half a new one


# -- loading -------------------------------------------------------------------------------------------------------


def load(path: Any, llm: Any = None, target_transform: Any = None) -> NeuralForecast:
    """The object that `save` wrote; see `NeuralForecast.load`."""
    from ndiv.models.base import BaseModel

    from .core import NeuralForecast

    folder = Path(path)
    manifest = _read_manifest(folder)
    try:
        models = []
        for k, config in enumerate(manifest["models"]):
            if llm is not None and isinstance(config.get("llm"), dict):  # the record of a language model
                config = {**config, "llm": {**config["llm"], "given": llm}}
            model = BaseModel.from_config(config)
            model.load_state_dict(_read(folder, manifest, f"model_{k}.safetensors"))
            model.fitted = True
            model.history = [dict(r) for r in manifest.get("history", [[]] * (k + 1))[k]]
            if model.MULTIVARIATE and manifest["model_ids"][k] is not None:
                model.series_ids = identifiers.decode(manifest["model_ids"][k])
                if len(model.series_ids) != model.n_series:
                    raise ValueError(f"{len(model.series_ids)} ids for {model.n_series} series")
            models.append(model)
        nf = NeuralForecast(models, manifest["freq"], manifest["local_scaler_type"],
                            manifest.get("local_static_scaler_type"), **manifest.get("rules", {}),
                            target_transform=_transform(folder, manifest.get("target_transform"), target_transform))
        nf.columns = ColumnNames(**manifest["columns"])
        nf.fitted_freq = manifest["freq"]
        if manifest.get("features") is not None:
            from ndiv.features.sets import from_config

            nf.features = from_config(manifest["features"], manifest["freq"])
        nf.scaler = _scaler(nf, folder, manifest)
        nf.held_out = int(manifest.get("held_out", 0))
        if manifest.get("calibration") is not None:
            scores = _read(folder, manifest, "calibration.safetensors")
            ids = identifiers.decode(manifest["calibration"]["ids"])
            nf.calibration = Calibration.from_arrays(scores, manifest["calibration"], ids)
        if manifest["series"] is not None:
            meta = dict(manifest["series"])
            ids = identifiers.decode(meta["ids"])
            meta.update(ids=np.zeros(len(ids)), ids_dtype="float64")
            if meta.get("events") is not None:
                meta["events"] = {**meta["events"], "ids": identifiers.decode(meta["events"]["ids"])}
            if np.dtype(meta["times_dtype"]).kind not in "Mi":
                raise ValueError(f"times of type {meta['times_dtype']}")
            nf.dataset = SeriesStore.from_arrays(_read(folder, manifest, "series.safetensors"), meta)
            nf.dataset.ids = ids
        return nf
    except FileError:
        raise
    except NdivError as error:
        raise FileError(f"{folder} holds settings or arrays that are not valid: {error.message}", value=str(folder),
                        hint=error.hint) from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, MemoryError) as error:
        raise FileError(f"{folder / MANIFEST} is damaged: {type(error).__name__} {error}", value=str(folder),
                        hint="Save the models again.") from error


def _transform(folder: Path, config: dict[str, Any] | None, given: Any) -> Any:
    """The target_transform of a folder: a name, or functions that `load` is given, since a file never says what to run."""
    if config is None or config["name"] is not None:
        if given is not None:
            raise FileError(f"{folder} was saved {'without' if config is None else 'with a named'} target_transform",
                            value=str(folder), hint="Leave target_transform out.")
        return None if config is None else config["name"]
    if given is None:
        raise FileError(f"{folder} was saved with target_transform=({config['functions']}), which a file cannot hold",
                        value=str(folder), hint="Pass these two functions: NeuralForecast.load(path, target_transform=(f, g)).")
    return given


def _scaler(nf: NeuralForecast, folder: Path, manifest: dict[str, Any]) -> LocalScaler | None:
    if manifest["scaler_ids"] is None:
        return None
    arrays, ids = _read(folder, manifest, "scaler.safetensors"), identifiers.decode(manifest["scaler_ids"])
    if manifest.get("scaler_columns") is not None:
        return ColumnScaler.from_columns(arrays, manifest["scaler_columns"], ids)
    units = None if nf.features is None else nf.features.units
    scaler = LocalScaler(nf.local_scaler_type, nf.local_static_scaler_type, nf.target_transform, units)
    return scaler.restore(arrays, manifest.get("scaler_facts") or {"static_names": []}, ids)


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    try:
        if file.stat().st_size > _MANIFEST_LIMIT:
            raise FileError(f"{file} is too large", value=str(file))
        manifest = json.loads(file.read_bytes())
    except FileNotFoundError:
        what = "has no ndiv.json, so nothing was saved there" if folder.is_dir() else "does not exist"
        raise FileError(f"{folder} {what}", value=str(folder), hint="Give the folder that save(path) wrote.") from None
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{file} could not be read: {error.strerror or error}", value=str(file)) from None
    except (ValueError, RecursionError):
        raise FileError(f"{file} is not JSON", value=str(file), hint="Give the folder that save(path) wrote.") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FileError(f"{file} was not written by NeuralForecast.save", value=str(file),
                        hint="Give the folder that save(path) wrote.")
    if manifest.get("version") != VERSION:
        raise FileError(f"{file} has format version {manifest.get('version')!r}; this ndiv reads {VERSION}",
                        value=manifest.get("version"), hint=f"It was saved by ndiv {manifest.get('ndiv')}; update ndiv.")
    return manifest


def _read(folder: Path, manifest: dict[str, Any], name: str) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    file = folder / name
    try:
        data = file.read_bytes()
    except OSError as error:
        raise FileError(f"{file} could not be read: {error.strerror or error}", value=str(file),
                        hint="The folder is not complete; save again.") from None
    if hashlib.sha256(data).hexdigest() != manifest["files"][name]:
        raise FileError(f"{file} is damaged or from another save: its checksum is wrong", value=str(file),
                        hint="Copy the whole folder again, or save again.")
    try:
        return from_bytes(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise FileError(f"{file} is not a safetensors file: {error}", value=str(file)) from None
