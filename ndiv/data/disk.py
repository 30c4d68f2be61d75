"""Series larger than memory: a folder of raw arrays that a `SeriesStore` maps instead of reading.

Contract: `StoreWriter` takes series one at a time, so that no more than one is ever in memory; `open_store` gives a
store whose arrays are views of the files. Loaders gather windows by index, so training touches only the pages of
its batches. The folder holds ``meta.json``, ``offsets.npy`` and one raw file for each array.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ndiv.errors import DataError, FileError, FileExists, ShapeError

from .store import SeriesStore

__all__ = ["StoreWriter", "open_store"]

_FORMAT = "ndiv-series-1"
_TYPES = {"times": np.int64, "y": np.float32, "mask": np.bool_, "hist": np.float32, "futr": np.float32, "stat": np.float32}


class StoreWriter:
    """Writes series to a folder, one after another; a context manager, whose exit makes the folder complete.

    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> with StoreWriter(folder, overwrite=True) as writer:
    ...     writer.append("a", np.arange(3), [1.0, float("nan"), 3.0])
    >>> open_store(folder).mask.tolist()
    [True, False, True]
    """

    def __init__(self, folder: Any, *, hist_names: list[str] | None = None, futr_names: list[str] | None = None,
                 stat_names: list[str] | None = None, freq: str | int = 1, overwrite: bool = False,
                 origin: dict[str, Any] | None = None, categories: dict[str, list[Any]] | None = None) -> None:
        self.facts = {"origin": origin or {}, "categories": categories or {}}  # as of `SeriesStore`; JSON
        self.folder = Path(folder)
        self.names = {"hist": list(hist_names or []), "futr": list(futr_names or []), "stat": list(stat_names or [])}
        self.freq = freq
        self.ids: list[Any] = []
        self.lengths: list[int] = []
        self.times_dtype = "int64"
        if self.folder.exists() and any(self.folder.iterdir()) and not overwrite:
            raise FileExists(f"{self.folder} is not empty", value=str(self.folder),
                             hint="give overwrite=True or another folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "meta.json").unlink(missing_ok=True)  # until close, the folder is not a store
            self._files: dict[str, Any] = {name: (self.folder / f"{name}.raw").open("wb") for name in _TYPES}
        except OSError as cause:
            raise FileError(f"cannot write to {self.folder}: {cause}", value=str(self.folder),
                            hint="check the folder") from None

    def append(self, series_id: Any, times: Any, y: Any, *, hist: Any = None, futr: Any = None, stat: Any = None) -> None:
        """One series: times [n] rising (datetime64 or whole numbers), y [n] with NaN where missing, hist [n, X],
        futr [n, F], stat [K]."""
        clock, values = np.asarray(times), np.asarray(y, dtype=np.float64)
        n = len(values)
        plain = series_id.item() if isinstance(series_id, np.generic) else series_id
        if not isinstance(plain, (str, bool, int, float)):
            raise DataError(f"ids of type {type(plain).__name__} cannot be stored, such as {plain!r}", value=plain,
                            hint="convert the id column to text")
        if clock.shape != (n,) or values.ndim != 1 or not n:
            raise ShapeError(f"series {series_id}: times {clock.shape} and y {values.shape} must be one shape [n], not empty",
                             value=values.shape, hint="give one time for each value")
        mask = ~np.isnan(values)
        if np.isinf(values).any():
            raise DataError(f"series {series_id}: y is infinite at step {int(np.flatnonzero(np.isinf(values))[0])}",
                            value=series_id, hint="replace it by NaN, which means missing")
        if n > 1 and not (np.diff(clock) > np.zeros(1, np.diff(clock[:2]).dtype)).all():
            raise DataError(f"series {series_id}: times do not rise", value=series_id, hint="sort it and drop duplicates")
        kind = str(clock.dtype) if clock.dtype.kind == "M" else "int64"
        if self.lengths and kind != self.times_dtype:
            raise ShapeError(f"series {series_id}: times are {kind} and those before {self.times_dtype}", value=kind,
                             hint="use one type of time")
        extra = {}
        for name, given, shape in (("hist", hist, (n, len(self.names["hist"]))), ("futr", futr, (n, len(self.names["futr"]))),
                                   ("stat", stat, (len(self.names["stat"]),))):
            block = np.zeros(shape, np.float32) if given is None and 0 in shape else np.asarray(given, dtype=np.float32)
            if block.shape != shape:
                raise ShapeError(f"series {series_id}: {name} has shape {block.shape}, not {shape}", value=block.shape,
                                 hint=f"one column for each of {self.names[name]}")
            if not np.isfinite(block).all():
                raise DataError(f"series {series_id}: {name} holds NaN or infinity", value=series_id, hint="fill it first")
            extra[name] = block
        self.times_dtype = kind
        rows = {"times": clock.view(np.int64) if kind != "int64" else clock.astype(np.int64), "mask": mask,
                "y": np.where(mask, values, 0.0).astype(np.float32), **extra}
        for name, array in rows.items():
            self._files[name].write(np.ascontiguousarray(array).tobytes())
        self.ids.append(plain)
        self.lengths.append(n)

    def close(self) -> None:
        """Finish: only now does the folder count as a store."""
        for file in self._files.values():
            file.close()
        np.save(self.folder / "offsets.npy", np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)]).astype(np.int64))
        text = any(isinstance(i, str) for i in self.ids)
        meta = {"format": _FORMAT, "ids": self.ids, "ids_dtype": "object" if text else "", "times_dtype": self.times_dtype,
                "freq": self.freq, **{f"{k}_names": v for k, v in self.names.items()}, **self.facts}
        (self.folder / "meta.json").write_text(json.dumps(meta))

    def discard(self) -> None:
        """Give up: what was written is removed, and the folder holds what it held besides."""
        for file in self._files.values():
            file.close()
        for name in (*(f"{name}.raw" for name in _TYPES), "offsets.npy", "meta.json"):
            (self.folder / name).unlink(missing_ok=True)

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            self.close()
        else:
            for file in self._files.values():
                file.close()


def open_store(folder: Any) -> SeriesStore:
    """The store in a folder, its arrays mapped from the files. Raises `FileError` (E0006) for anything else."""
    folder = Path(folder)
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta.get("format") != _FORMAT:
            raise ValueError("meta.json is not of this format")
        offsets = np.load(folder / "offsets.npy", allow_pickle=False)
        rows, series = int(offsets[-1]), len(meta["ids"])
        arrays = {}
        for name, kind in _TYPES.items():
            width = len(meta[f"{name}_names"]) if f"{name}_names" in meta else None
            shape = (series if name == "stat" else rows,) if width is None else (series if name == "stat" else rows, width)
            size = int(np.prod(shape)) * np.dtype(kind).itemsize
            if (folder / f"{name}.raw").stat().st_size != size:
                raise ValueError(f"{name}.raw does not hold {size} bytes")
            arrays[name] = np.memmap(folder / f"{name}.raw", kind, "r", shape=shape) if size else np.zeros(shape, kind)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as cause:
        raise FileError(f"{folder} is not a series folder: {cause}", value=str(folder),
                        hint="write it with ndiv.data.StoreWriter") from None
    ids = np.array(meta["ids"], dtype=meta["ids_dtype"] or None)
    times = arrays["times"] if meta["times_dtype"] == "int64" else arrays["times"].view(meta["times_dtype"])
    return SeriesStore(ids, offsets, times, arrays["y"], arrays["mask"], arrays["hist"], arrays["futr"], arrays["stat"],
                       meta["hist_names"], meta["futr_names"], meta["stat_names"], meta["freq"], meta.get("origin", {}),
                       meta.get("categories", {}))
