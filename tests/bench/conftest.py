"""A generated table in the shape of ETTh1, so that these tests need no data; the real one where it is at hand."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ndiv.bench import etth

COLUMNS = etth.DATASETS["ETTh1"].columns


def raw_table(rows: int = 14400) -> np.ndarray:
    """float64 [rows, 7]: daily waves, a slow wander, noise, two digits."""
    rng = np.random.default_rng(5)
    t = np.arange(rows)[:, None]
    wander = np.cumsum(rng.normal(0, 0.05, (rows, 7)), axis=0)
    wave = np.sin(2 * np.pi * t / 24 + np.arange(7)) * (1 + np.arange(7))
    return np.round(10 + wave + wander + rng.normal(0, 0.3, (rows, 7)), 2)


def write(path: Path, values: np.ndarray, columns: tuple[str, ...] = COLUMNS) -> Path:
    """A CSV (gzipped when the name says so) with hourly times in the first column."""
    times = np.datetime64("2016-07-01T00", "h") + np.arange(len(values))
    lines = [",".join(("date", *columns))]
    lines += [f"{str(t).replace('T', ' ')}:00:00," + ",".join(map(str, row))
              for t, row in zip(times, values.tolist(), strict=True)]
    text = "\n".join(lines) + "\n"
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), 1))
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def raw() -> np.ndarray:
    return raw_table()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, raw: np.ndarray) -> Path:
    """A folder that holds the generated table under the name of the real one."""
    path = tmp_path_factory.mktemp("etth")
    write(path / "ETTh1.csv.gz", raw)
    return path


@pytest.fixture(scope="session")
def write_table() -> Callable[..., Path]:
    return write
