"""Rows, windows, standardization and errors; the anchors on the real data where it lies beside the repository."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ndiv.bench import baselines, etth
from ndiv.data.windows import EpochLoader, WindowIndex
from ndiv.errors import ConfigError, FileError, HorizonError

ETTH1 = etth.DATASETS["ETTh1"]
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "ETTh1.csv.gz"
WINDOWS = {96: 2785, 192: 2689, 336: 2545, 720: 2161}


@pytest.mark.parametrize(("h", "columns"), [(h, c) for h in WINDOWS for c in ("all", "OT")] if REAL.is_file() else [])
def test_baselines_on_the_real_data_agree_to_the_last_digit(h: int, columns: str) -> None:
    data = etth.load("ETTh1", REAL)
    found = baselines.baseline_scores(data.only("OT") if columns == "OT" else data, h)
    assert [r["baseline"] for r in found] == ["repeat last", "seasonal naive 24"]
    for r in found:
        assert (round(r["mse"], 4), round(r["mae"], 4)) == baselines.ANCHORS[columns, r["baseline"], h]
        assert r["windows"] == WINDOWS[h]
        assert r["agrees"] is True


def test_anchors_are_sixteen_rows() -> None:
    assert len(baselines.ANCHORS) == 16
    assert {(c, b) for c, b, _ in baselines.ANCHORS} == {(c, b) for c in ("all", "OT") for b in baselines.BASELINES}


def test_parts_are_months_of_thirty_days() -> None:
    month = 30 * 24
    assert [ETTH1.rows(p) for p in ("train", "valid", "test")] == [(0, 12 * month), (12 * month, 16 * month),
                                                                  (16 * month, 20 * month)]
    with pytest.raises(ConfigError, match="unknown part"):
        ETTH1.rows("later")


@pytest.mark.parametrize(("h", "count"), WINDOWS.items())
@pytest.mark.parametrize("input_size", [1, 96, 336, 720])
def test_window_counts_do_not_depend_on_the_lookback(h: int, count: int, input_size: int) -> None:
    assert ETTH1.count("test", h, input_size) == count
    assert ETTH1.count("valid", h, input_size) == count
    assert ETTH1.count("train", h, input_size) == 8640 - input_size - h + 1


def test_windows_are_cut_where_the_protocol_says(raw: np.ndarray) -> None:
    data = etth.panel(np.concatenate([raw, np.full((50, 7), np.nan)]), ETTH1)
    assert data.values.shape == (14400, 7)
    rows = etth.Panel(ETTH1, data.names, np.repeat(np.arange(14400.0)[:, None], 7, axis=1))
    for part, (lo, hi) in (("valid", (8640, 11520)), ("test", (11520, 14400))):
        blocks = list(rows.windows(part, 336, 96, size=500))
        inputs, targets = (np.concatenate(b) for b in zip(*blocks, strict=True))
        assert max(len(b[0]) for b in blocks) == 500
        assert inputs.shape == (2785, 336, 7)
        assert targets.shape == (2785, 96, 7)
        assert inputs[0, 0, 0] == lo - 336
        assert targets.min() == lo
        assert targets.max() == hi - 1
        assert (np.diff(targets[:, 0, 0]) == 1).all()
    first, _ = next(iter(rows.windows("train", 336, 96)))
    assert first[0, 0, 0] == 0


def test_training_loaders_cut_the_same_windows(raw: np.ndarray) -> None:
    """The loader's validation windows are those that `Panel.windows` names, and no training target passes its end."""
    data = etth.panel(raw, ETTH1)
    store = data.past()
    assert store.lengths.tolist() == [11520] * 7
    valid = EpochLoader(WindowIndex(store, 30, 10, lo=8640, hi=11520), 512, shuffle=False, aligned=True)
    for batch, (inputs, targets) in zip(valid.batches(), data.windows("valid", 30, 10, size=512), strict=True):
        mine = batch["insample_y"].reshape(len(inputs), 7, 30).transpose(0, 2, 1)
        assert np.array_equal(mine, inputs.astype(np.float32))
        assert np.array_equal(batch["outsample_y"].reshape(len(inputs), 7, 10).transpose(0, 2, 1), targets.astype(np.float32))
    train = WindowIndex(store, 30, 10, hi=8640)
    assert len(train) == 7 * ETTH1.count("train", 10, 30)
    assert train.locate(np.arange(len(train)))[1].max() + 40 == 8640


def test_standardization_uses_training_rows_and_the_divisor_n(raw: np.ndarray) -> None:
    values = etth.panel(raw, ETTH1).values
    assert np.allclose(values[:8640].mean(axis=0), 0, atol=1e-12)
    assert np.allclose(np.sqrt((values[:8640] ** 2).mean(axis=0)), 1, atol=1e-12)
    changed = raw.copy()
    changed[8640:] = 1e6
    assert np.array_equal(etth.panel(changed, ETTH1).values[:8640], values[:8640])


def test_errors_are_sums_over_all_elements(raw: np.ndarray) -> None:
    data = etth.panel(raw, ETTH1)
    found = etth.score(lambda x: baselines.repeat_last(x, 720), data, "test", 1, 720)
    squared, absolute = [], []
    for t in range(11520, 14400 - 720 + 1):  # the definition, window by window
        error = data.values[t:t + 720] - data.values[t - 1]
        squared.append((error * error).mean())
        absolute.append(np.abs(error).mean())
    assert found.windows == len(squared) == 2161
    assert found.mse == pytest.approx(np.mean(squared), rel=1e-12)
    assert found.mae == pytest.approx(np.mean(absolute), rel=1e-12)


def test_a_forecast_of_another_shape_is_refused(raw: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="shape"):
        etth.score(lambda x: baselines.repeat_last(x, 3), etth.panel(raw, ETTH1), "test", 1, 2)


def test_seasonal_naive_repeats_the_last_day() -> None:
    day = np.arange(48.0).reshape(1, 48, 1)
    assert baselines.seasonal_naive(day, 50)[0, :, 0].tolist() == [*range(24, 48), *range(24, 48), 24, 25]


def test_a_window_longer_than_a_part_is_refused() -> None:
    with pytest.raises(HorizonError):
        ETTH1.count("test", 2881)
    with pytest.raises(HorizonError):
        ETTH1.count("train", 720, 8000)


def test_load_takes_the_file_or_its_folder(folder: Path, raw: np.ndarray) -> None:
    a, b = etth.load("ETTh1", folder), etth.load("etth1", folder / "ETTh1.csv.gz")
    assert np.array_equal(a.values, b.values)
    assert a.names == ETTH1.columns
    assert np.array_equal(a.values, etth.panel(raw, ETTH1).values)
    assert np.array_equal(a.only("OT").values, a.values[:, 6:])


def test_load_refuses_what_is_not_the_data_set(tmp_path: Path, raw: np.ndarray, write_table: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="unknown dataset") as unknown:
        etth.load("ETTh9", tmp_path)
    assert unknown.value.code == "E0010"
    holes = raw.copy()
    holes[100, 3] = np.nan
    cases = {"does not exist": tmp_path / "absent.csv", "holds neither": tmp_path,
             "columns": write_table(tmp_path / "a.csv", raw[:50], tuple("abcdefg")),
             "50 rows": write_table(tmp_path / "b.csv", raw[:50]),
             "missing values": write_table(tmp_path / "c.csv", holes)}
    (tmp_path / "d.csv.gz").write_bytes(b"not gzip")
    cases["not a table"] = tmp_path / "d.csv.gz"
    for message, path in cases.items():
        with pytest.raises(FileError, match=message) as error:
            etth.load("ETTh1", path)
        assert error.value.code == "E0006"
