"""Series on disk: the same batches as in memory, in memory that does not grow with the data."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import numpy as np
import pytest

from ndiv.data import SeriesStore, StoreWriter, WindowLoader, open_store
from ndiv.errors import DataError, FileError, FileExists, ShapeError


def write(folder, n=3, **options):
    draw = np.random.default_rng(0)
    with StoreWriter(folder, hist_names=["p"], stat_names=["s"], freq="D", **options) as writer:
        for i in range(n):
            y = draw.normal(size=50 + i)
            y[4] = np.nan
            writer.append(f"id{i}", np.datetime64("2020-01-01", "ns") + np.arange(50 + i) * np.timedelta64(1, "D"), y,
                          hist=draw.normal(size=(50 + i, 1)), stat=[float(i)])


def test_batches_are_those_of_a_store_in_memory(tmp_path):
    write(tmp_path)
    disk = open_store(tmp_path)
    memory = SeriesStore(np.array(disk.ids), disk.offsets, np.array(disk.times), np.array(disk.y), np.array(disk.mask),
                         np.array(disk.hist), None, np.array(disk.stat), ["p"], [], ["s"], "D")
    a, b = (WindowLoader(s, input_size=8, h=3, windows_batch_size=20) for s in (disk, memory))
    for step in range(4):
        for key, value in a.batch(step).items():
            np.testing.assert_array_equal(value, b.batch(step)[key])
    assert disk.times.dtype.kind == "M" and disk.ids.tolist() == ["id0", "id1", "id2"]


def test_memory_does_not_grow_with_the_data(tmp_path):
    """200 MB on disk are trained on in a process whose own memory grows by less than 20 MB."""
    rows = 4_000_000
    with StoreWriter(tmp_path) as writer:
        for i in range(4):
            writer.append(i, np.arange(rows), np.sin(np.arange(rows) / 50))
    code = f"""
import numpy as np
from ndiv.data import open_store, WindowLoader
from ndiv.models import NLinear
def own():  # anonymous memory: what is not the mapped files themselves
    return int(next(l for l in open('/proc/self/status') if l.startswith('RssAnon')).split()[1])
m = NLinear(h=4, input_size=16, max_steps=5, learning_rate=1e-3)
m.fit_store(__import__('ndiv').data.SeriesStore.from_arrays_list([np.arange(200.0)]), verbose=False)
before = own()
m.fit_store(open_store({str(tmp_path)!r}), verbose=False)
print(own() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert grown < 20_000, f"{grown} kB"


def test_a_folder_is_not_overwritten_by_accident(tmp_path):
    write(tmp_path)
    with pytest.raises(FileExists):
        StoreWriter(tmp_path)
    write(tmp_path, overwrite=True)


def test_an_interrupted_write_is_no_store(tmp_path):
    with pytest.raises(RuntimeError), StoreWriter(tmp_path) as writer:
        writer.append(0, np.arange(3), np.ones(3))
        raise RuntimeError
    with pytest.raises(FileError):
        open_store(tmp_path)


@pytest.mark.parametrize("attack", ["missing", "short", "json", "format"])
def test_damaged_folders_are_refused(tmp_path, attack):
    write(tmp_path)
    if attack == "missing":
        (tmp_path / "y.raw").unlink()
    elif attack == "short":
        (tmp_path / "y.raw").write_bytes((tmp_path / "y.raw").read_bytes()[:-4])
    elif attack == "json":
        (tmp_path / "meta.json").write_text("{")
    else:
        (tmp_path / "meta.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(FileError) as error:
        open_store(tmp_path)
    assert error.value.code == "E0006"


@pytest.mark.parametrize(("args", "kind", "text"), [
    (("a", [0, 1], [1.0]), ShapeError, "one shape"), (("a", [0, 0], [1.0, 2.0]), DataError, "do not rise"),
    (("a", [0, 1], [1.0, np.inf]), DataError, "infinite"), (("a", [], []), ShapeError, "not empty"),
    ((datetime.date(2020, 1, 1), [0], [1.0]), DataError, "ids of type date"),
])
def test_bad_series_are_refused(tmp_path, args, kind, text):
    with StoreWriter(tmp_path) as writer:
        with pytest.raises(kind, match=text):
            writer.append(*args)
        writer.append("b", [0], [1.0])
    assert open_store(tmp_path).n_series == 1
