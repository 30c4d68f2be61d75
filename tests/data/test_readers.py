"""Files in all layouts, what is refused, the packaged samples, and the lazy imports."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ndiv.data import air_passengers, from_frame, read_matrix, read_table
from ndiv.errors import ConfigError, EmptyDataError, FeatureError, FileError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

LONG = "unique_id,ds,y\na,2020-01-01,1\na,2020-01-02,\n"
WIDE = "date,HUFL,OT\n2020-01-01 00:00:00,1,10\n2020-01-01 01:00:00,2,20\n"
ROWS = '"V1","V2","V3","V4"\n"H1",1,2,3\n"H2",4,,\n"H3",5,,7\n'


@pytest.fixture
def write(tmp_path):
    def make(text, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path
    return make


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_layouts(write, library, suffix, tmp_path):
    import pandas as pd

    def put(text):
        if suffix != "parquet":
            return write(text, f"data.{suffix}")
        pd.read_csv(write(text)).to_parquet(tmp_path / "data.parquet")
        return tmp_path / "data.parquet"

    store = from_frame(read_table(put(LONG), library=library), "D")
    assert store.y.tolist() == [1.0, 0.0] and store.mask.tolist() == [True, False]
    store = from_frame(read_table(put(WIDE), library=library), "h")
    assert store.ids.tolist() == ["HUFL", "OT"] and store.y.tolist() == [1.0, 2.0, 10.0, 20.0]
    store = from_frame(read_table(put(WIDE), target="OT", library=library), "h")
    assert store.ids.tolist() == ["OT"] and store.y.tolist() == [10.0, 20.0]
    frame = read_table(put(ROWS), library=library)
    assert frame["unique_id"].to_list() == ["H1"] * 3 + ["H2"] + ["H3"] * 3
    assert frame["ds"].to_list() == [1, 2, 3, 1, 1, 2, 3]
    assert from_frame(frame, 1).mask.tolist() == [True] * 5 + [False, True]


def test_long_target_slashes_and_single_series(write):
    frame = read_table(write("unique_id,ds,y,sales\na,2020/1/1,9,1\na,2020/1/2,9,2\n"), target="sales")
    assert from_frame(frame, "D").y.tolist() == [1.0, 2.0] and list(frame.columns) == ["unique_id", "ds", "y"]
    assert from_frame(read_table(write("ds,y\n1,5\n2,6\n")), 1).y.tolist() == [5.0, 6.0]


@pytest.mark.parametrize(("text", "name", "options", "error", "fragment"), [
    (None, "none.csv", {}, FileError, "none.csv does not exist"),
    ("", "data.csv", {}, EmptyDataError, "data.csv"),
    ("unique_id,ds,y\n", "data.csv", {}, EmptyDataError, "data.csv"),
    ("a,b\n1,2\n1,2,3\n", "data.csv", {}, FileError, "data.csv"),
    ("colour,shape\nred,round\n", "data.csv", {}, FileError, "no column of times"),
    ("PAR1 no", "data.parquet", {}, FileError, "data.parquet"),
    (LONG, "data.xlsx", {}, FileError, "unknown suffix"),
    ("date,a,b\n2020-01-01,1,x\n", "data.csv", {"target": "b"}, FeatureError, "['b'] hold no numbers"),
    (WIDE, "data.csv", {"target": "OTT"}, FeatureError, "Did you mean 'OT'"),
    (WIDE, "data.csv", {"layout": "wid"}, ConfigError, "Did you mean 'wide'"),
    (WIDE, "data.csv", {"library": "spark"}, ConfigError, "polars"),
])
def test_table_refusals(write, tmp_path, text, name, options, error, fragment):
    path = tmp_path / name if text is None else write(text, name)
    with pytest.raises(error) as caught:
        read_table(path, **options)
    assert type(caught.value) is error and fragment in str(caught.value), str(caught.value)


def test_garbled_files(tmp_path):
    for name, content in (("a.csv.gz", b"not gzip"), ("b.csv.gz", gzip.compress(WIDE.encode() * 99)[:40]),
                          ("c.csv", b"\xff\xfe\x00\x81,\n\x00")):
        path = tmp_path / name
        path.write_bytes(content)
        for read in (read_table, read_matrix):
            with pytest.raises(FileError, match=name):
                read(path)
    with pytest.raises(FileError, match="is a folder"):
        read_matrix(tmp_path)


def test_matrix(write):
    times, values, names = read_matrix(write("date,a,b\n2020-01-01,1,\n2020-01-02,NA,4\n\n"))
    assert times.tolist() == np.array(["2020-01-01", "2020-01-02"], "datetime64[s]").tolist() and names == ["a", "b"]
    np.testing.assert_array_equal(values, [[1, np.nan], [np.nan, 4]])
    assert read_matrix(write("t,a\n1,5\n2,6\n"))[0].tolist() == [1, 2]
    assert str(read_matrix(write("date,a\n1990/1/1 0:00,5\n1990/1/2 0:00,6\n"))[0][1]) == "1990-01-02T00:00:00"
    for text in ("date,a\n2020-01-01,x\n", "date,a,b\n2020-01-01,1\n", "date,a\nsoon,1\n", "date,a\n2020-01-01\n"):
        with pytest.raises(FileError, match=r"data\.csv"):
            read_matrix(write(text))
    with pytest.raises(EmptyDataError):
        read_matrix(write("date,a\n"))


def test_a_long_matrix(write):
    """Real hourly data where it is at hand, as many rows of made-up ones otherwise."""
    path = SHARED / "ETTh1.csv.gz"
    if not path.exists():
        stamps = np.datetime64("2016-07-01T00:00:00") + np.arange(17420) * np.timedelta64(1, "h")
        lines = [f"{str(s).replace('T', ' ')},{k * .1},{k * .2},{k * .3},{k * .4},{k * .5},{k * .6},{k * .7}"
                 for k, s in enumerate(stamps)]
        path = write("\n".join(["date,HUFL,HULL,MUFL,MULL,LUFL,LULL,OT", *lines]), "e.csv.gz")
    times, values, names = read_matrix(path)
    assert values.shape == (17420, 7) and names[-1] == "OT" and (np.diff(times) == np.timedelta64(1, "h")).all()


@pytest.mark.parametrize("path", [p for p in [SHARED / "M4-Hourly-train.csv.gz"] if p.exists()])
def test_m4(path):
    """Collected where the published files lie beside the repository."""
    frame = read_table(path)
    store = from_frame(frame, 1)
    assert store.n_series == 414 and sorted(set(store.lengths.tolist())) == [700, 960]


def test_samples():
    times, values = air_passengers()
    assert len(times) == len(values) == 144 and values[-1] == 432.0
    from ndiv.utils import AirPassengersDF, AirPassengersPanel, AirPassengersStatic, generate_series
    assert from_frame(AirPassengersDF, "ME").ids.tolist() == [1.0]
    assert list(AirPassengersPanel.columns) == ["unique_id", "ds", "y", "trend", "y_[lag12]"]
    last = AirPassengersPanel.iloc[-1]
    assert (last["unique_id"], last["y"], last["trend"], last["y_[lag12]"]) == ("Airline2", 732.0, 287, 705.0)
    store = from_frame(AirPassengersPanel, "ME", futr_exog=["trend", "y_[lag12]"], stat_exog=["airline1", "airline2"],
                       static_df=AirPassengersStatic)
    assert store.stat.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    for engine in ("pandas", "polars"):
        assert from_frame(generate_series(3, engine=engine), "D").n_series == 3
    with pytest.raises(ConfigError):
        generate_series(1, engine="spark")


def test_prediction_intervals():
    from ndiv.utils import PredictionIntervals
    assert PredictionIntervals().method == "conformal_distribution"
    for bad in ({"n_windows": 1}, {"step_size": 0}, {"n_windows": 2.5}, {"method": "conformal"}):
        with pytest.raises(ConfigError) as caught:
            PredictionIntervals(**bad)
        assert caught.value.code == "E0010"


def test_importing_needs_numpy_only():
    heavy = ("pandas", "polars", "narwhals", "pyarrow", "utilsforecast", "coreforecast", "scipy")
    code = ("import sys, ndiv.data, ndiv.utils; from ndiv.data import SeriesStore, WindowLoader, window_scaler; "
            "from ndiv.data import from_frame, read_matrix, SeriesScaler; ndiv.data.air_passengers(); "
            f"print([m for m in {heavy} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).resolve().parents[2])
    assert done.stdout.strip() == "[]"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(ConfigError, match="narwhals") as caught:
        from_frame({"ds": [1], "y": [1]}, 1)
    assert caught.value.code == "E0010" and 'pip install "ndiv[forecast]"' in str(caught.value)
