"""Tables larger than memory: CSV and Parquet by chunks into a folder of series that is mapped, not read.

Contract: `stream_table` gives the store that `from_frame` gives for the same file, to the bit, refuses what it refuses, and
holds a chunk of rows at a time beside the ids. Rows may come in any order: they are spilled to the folder as they come, put in
the order of their series there, and then checked and written series by series.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ndiv.errors import DataError, EmptyDataError, FeatureError

from ._extras import need
from .assemble import Rows, Source, assemble
from .categories import codes_of, ordered
from .checks import covariate
from .chunks import chunks
from .disk import StoreWriter, open_store
from .frames import AS_THEY_ARE, ids_of, target
from .frequency import Frequency, infer_freq
from .rules import DataRules
from .statics import static_table, statics
from .store import SeriesStore
from .tables import Table, categories_in, read_times

__all__ = ["stream_table"]


def stream_table(path: Any, folder: Any, freq: Any = None, *, id_col: str = "unique_id", time_col: str = "ds",
                 target_col: str = "y", hist_exog: Sequence[str] = (), futr_exog: Sequence[str] = (),
                 stat_exog: Sequence[str] = (), static_df: Any = None, cat_exog: Sequence[str] = (),
                 rules: DataRules = AS_THEY_ARE, rows_at_once: int = 1_000_000, overwrite: bool = False) -> SeriesStore:
    """A long CSV or Parquet file, or folder of Parquet, as a store whose arrays lie in ``folder``.

    Arguments as of `from_frame`; ``rows_at_once``: rows held in memory; ``overwrite``: the folder may hold something. The store
    can be given to `NeuralForecast.fit` and opened again with `open_store(folder)`. Raises what `from_frame` raises,
    `FileError` (E0006), `FileExists` (E0006) for a folder that is not empty.

    >>> import tempfile, pathlib
    >>> place = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (place / "a.csv").write_text("unique_id,ds,y\\nb,2,4\\na,1,1\\nb,1,3\\na,2,2\\n")
    >>> store = stream_table(place / "a.csv", place / "store", freq=1, rows_at_once=3)
    >>> store.ids.tolist(), store.y.tolist()
    (['a', 'b'], [1.0, 2.0, 3.0, 4.0])
    """
    roles = {name: role for role, names in (("hist_exog", hist_exog), ("futr_exog", futr_exog)) for name in names}
    for name in cat_exog:
        if name not in roles or name in stat_exog:
            raise FeatureError(f"cat_exog names {name!r}, which is not in hist_exog or futr_exog", value=name,
                               hint="a streamed table has categories in those; read static ones with from_frame")
    static = static_table(static_df, stat_exog, id_col)  # refused before the folder is made
    writer = StoreWriter(folder, hist_names=list(hist_exog), futr_names=list(futr_exog), stat_names=list(stat_exog),
                         overwrite=overwrite)
    spill = Path(folder) / "spill"
    spill.mkdir(exist_ok=True)
    try:
        with writer:
            spilled = _spill(chunks(path, id_col, time_col, [target_col, "available_mask", *roles], rows_at_once), spill,
                             Source(id_col, time_col), target_col, roles, cat_exog, freq)
            where = spilled.sorted_by_series(rows_at_once)
            step = Frequency(freq, spilled.source.time_zone) if freq is not None else _infer(spilled, where)
            writer.freq = step.freq
            stat = statics(static, stat_exog, spilled.ids, id_col, {}, {})
            for begin, end in _groups(spilled.counts, rows_at_once):
                rows, _ = assemble(spilled.rows(where, begin, end), step, rules, spilled.source)
                _append(writer, rows, None if stat is None else stat[begin:end])
            writer.facts = {"categories": {n: ordered(v, f"column {n!r}") for n, v in spilled.vocabularies.items()},
                            "origin": {**spilled.origin, "library": "pandas", "id_col": id_col, "time_col": time_col,
                                       "target_col": target_col}}
    except BaseException:
        writer.discard()
        raise
    finally:
        shutil.rmtree(spill, ignore_errors=True)
    return open_store(folder)


@dataclass
class _Spilled:
    """Rows on disk in the order of the file: a raw file of records, and what had to be kept of them in memory."""

    folder: Path
    kind: np.dtype[Any]
    source: Source
    roles: dict[str, str]
    coded: np.ndarray
    origin: dict[str, Any] = field(default_factory=dict)
    seen: list[Any] = field(default_factory=list)  # ids in the order of first mention
    lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    vocabularies: dict[str, list[Any]] = field(default_factory=dict)
    times_kind: str = "int64"

    def finish(self) -> None:
        """Ids in rising order, and where the records of each belong."""
        pd = need("pandas")
        self.rank, self.ids = pd.factorize(_plain_ids(self.seen), sort=True)
        self.counts = np.zeros(len(self.ids), np.int64)
        np.add.at(self.counts, self.rank, self.lengths)

    def sorted_by_series(self, rows_at_once: int) -> Path:
        """The file of records put in the order of series; within each they stay in the order of the table."""
        raw, place = self.folder / "rows.raw", self.folder / "sorted.raw"
        total = int(self.counts.sum())
        begin = np.concatenate([[0], np.cumsum(self.counts)])[:-1]
        with place.open("wb") as file:
            file.truncate(total * self.kind.itemsize)
        for start in range(0, total, rows_at_once):
            part = np.fromfile(raw, self.kind, min(rows_at_once, total - start), offset=start * self.kind.itemsize)
            rank = self.rank[part["code"]]
            order = np.argsort(rank, kind="stable")
            sorted_rank = rank[order]
            heads = np.flatnonzero(np.append(True, sorted_rank[1:] != sorted_rank[:-1]))
            runs = np.diff(np.append(heads, len(part)))
            targets = np.repeat(begin[sorted_rank[heads]] - heads, runs) + np.arange(len(part))
            view = np.memmap(place, self.kind, "r+", shape=(total,))  # mapped anew, so that its pages are given back
            part["code"] = rank
            view[targets] = part[order]
            del view
            begin[sorted_rank[heads]] += runs
        raw.unlink()
        return place

    def rows(self, place: Path, begin: int, end: int) -> Rows:
        """The rows of series ``begin:end``."""
        first = int(self.counts[:begin].sum())
        part = np.fromfile(place, self.kind, int(self.counts[begin:end].sum()), offset=first * self.kind.itemsize)
        exog = np.array(part["exog"])
        for k, name in enumerate(self.roles):
            if name in self.vocabularies:
                new = codes_of(np.arange(len(self.vocabularies[name])), self.vocabularies[name],
                               ordered(self.vocabularies[name], name))
                exog[:, k] = np.append(0, new)[exog[:, k].astype(np.int64)]
        return Rows(self.ids[begin:end], part["code"] - begin, part["time"].view(self.times_kind), np.array(part["y"]), exog,
                    list(self.roles), list(self.roles.values()), self.coded, np.array(part["row"]))


def _plain_ids(seen: list[Any]) -> np.ndarray:
    """Ids as an array of the type that a table of them has."""
    if all(isinstance(i, str) for i in seen):
        return np.array(seen, object)
    return np.asarray(seen)


def _spill(parts: Iterator[tuple[Any, int]], folder: Path, source: Source, target_col: str, roles: dict[str, str],
           cat_exog: Sequence[str], freq: Any) -> _Spilled:
    """Write the records of all chunks to a file, each column checked as `from_frame` checks it."""
    kind = np.dtype([("code", np.int64), ("time", np.int64), ("row", np.int64), ("y", np.float64),
                     ("exog", np.float32, (len(roles),))])
    found = _Spilled(folder, kind, source, roles, np.array([n in cat_exog for n in roles], bool),
                     vocabularies={name: [] for name in roles if name in cat_exog})
    known: dict[Any, int] = {}
    with (folder / "rows.raw").open("wb") as file:
        for frame, first in parts:
            table = Table(frame, first_row=first)
            table.need(source.time_col, "time"), table.need(target_col, "target")
            ids, codes = ids_of(table, source.id_col)
            times, origin = read_times(table, source.time_col)
            if not first:
                found.origin, found.times_kind, source.time_zone = origin, str(times.dtype), origin["time_zone"]
                if freq is not None:
                    Frequency(freq, source.time_zone).check(times)
            if times.dtype.kind != np.dtype(found.times_kind).kind or origin["time_zone"] != source.time_zone:
                raise DataError(f"column {source.time_col!r} changes its type: {times.dtype} from row {first} on, "
                                f"{found.times_kind} before", value=first, hint="Use one type of times in the whole table.")
            own = np.array([known.setdefault(i, len(known)) for i in ids.tolist()], np.int64)
            part = np.empty(len(codes), kind)
            part["code"], part["time"] = own[codes], times.astype(found.times_kind).view(np.int64)
            part["row"], part["y"] = np.arange(first, first + len(codes)), target(table, target_col, ids, codes, times)
            for k, (name, role) in enumerate(roles.items()):
                part["exog"][:, k] = covariate(table, name, role, ids, codes, times, nan=True) if name not in cat_exog else \
                    codes_of(*categories_in(table, name, role), found.vocabularies[name])
            found.lengths = np.append(found.lengths, np.zeros(len(known) - len(found.lengths), np.int64))
            found.lengths += np.bincount(part["code"], minlength=len(known))
            part.tofile(file)
    if not known:
        raise EmptyDataError("the table has no rows", value=0, hint="Check the file.")
    found.seen = list(known)
    found.finish()
    return found


def _infer(spilled: _Spilled, where: Path) -> Frequency:
    """The frequency of the longest series."""
    longest = int(np.argmax(spilled.counts))
    times = np.unique(spilled.rows(where, longest, longest + 1).times)
    guess = infer_freq(times, np.array([0, len(times)]), "pandas", spilled.source.time_zone)
    if guess is None:
        raise DataError("freq cannot be inferred from these times", value=None,
                        hint="Pass freq, for example 'D', '1mo' or 1; too few rows or irregular times say nothing.")
    return Frequency(guess, spilled.source.time_zone)


def _groups(counts: np.ndarray, rows_at_once: int) -> Iterator[tuple[int, int]]:
    """Ranges of series with about that many rows each; one series is never split."""
    begin, total = 0, 0
    for k, count in enumerate(counts.tolist()):
        if total and total + count > rows_at_once:
            yield begin, k
            begin, total = k, 0
        total += count
    yield begin, len(counts)


def _append(writer: StoreWriter, rows: Rows, stat: np.ndarray | None) -> None:
    """Assembled rows to the folder, series by series."""
    offsets = rows.offsets
    role = np.array(rows.roles, object)
    for s in range(len(rows.ids)):
        part = slice(offsets[s], offsets[s + 1])
        writer.append(rows.ids[s], rows.times[part], rows.y[part], hist=rows.exog[part][:, role == "hist_exog"],
                      futr=rows.exog[part][:, role == "futr_exog"], stat=None if stat is None else stat[s])
