"""Reconciliation: coherent whatever the method, equal to the formulas where there are short ones, and clear about bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import ndiv
from ndiv.errors import ConfigError, DataError, FeatureError, MissingExtraError
from ndiv.hierarchy import coherence, reconcile, summing
from ndiv.hierarchy.reconciliation import METHODS

SPEC = [["country"], ["country", "state"], ["country", "state", "city"]]


@pytest.fixture(params=["pandas", "polars"])
def like(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    return (lambda frame: frame) if request.param == "pandas" else pl.from_pandas


def sales(n: int = 20) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    return pd.concat([pd.DataFrame({"country": "X", "state": s, "city": c, "ds": pd.date_range("2020-01-01", periods=n),
                                    "y": draw.uniform(5, 10, n)}) for s, c in (("a", "p"), ("a", "q"), ("b", "r"))])


@pytest.fixture(scope="module")
def world() -> dict[str, Any]:
    """History with fitted values, and forecasts of three more days that do not add up."""
    history, S, tags = ndiv.aggregate(sales(), SPEC)
    draw = np.random.default_rng(1)
    insample = history.assign(NHITS=history["y"] + draw.normal(size=len(history)), cutoff=history["ds"].min())
    rows = [(i, t) for i in S["unique_id"] for t in pd.date_range("2020-01-21", periods=3)]
    forecasts = pd.DataFrame(rows, columns=["unique_id", "ds"])
    forecasts["NHITS"] = draw.uniform(5, 30, len(rows))
    forecasts["MLP"] = draw.uniform(5, 30, len(rows))
    insample["MLP"] = insample["y"] + draw.normal(size=len(history))
    return {"df": forecasts, "S": S, "tags": tags, "insample": insample, "history": history}


def test_aggregate_sums(like: Any) -> None:
    found, S, tags = ndiv.aggregate(like(sales()), SPEC)
    assert type(found) is type(like(sales()))
    assert list(tags) == ["country", "country/state", "country/state/city"]
    assert [list(v) for v in tags.values()] == [["X"], ["X/a", "X/b"], ["X/a/p", "X/a/q", "X/b/r"]]
    assert coherence(found.rename({"y": "M"}) if isinstance(found, pl.DataFrame) else found.rename(columns={"y": "M"}), S)["M"] < 1e-12


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_is_coherent(method: str, world: dict[str, Any], like: Any) -> None:
    df = world["df"].sample(frac=1.0, random_state=3)  # whatever the order of the rows
    got = reconcile(like(df), like(world["S"]), world["tags"], method, insample=like(world["insample"]))
    assert type(got) is type(like(df))
    assert list(got.columns) == ["unique_id", "ds", "NHITS", "MLP", f"NHITS/{method}", f"MLP/{method}"]
    assert max(coherence(got, like(world["S"]), models=[f"NHITS/{method}", f"MLP/{method}"]).values()) < 1e-6
    np.testing.assert_array_equal(np.asarray(got["NHITS"]), df["NHITS"])
    assert np.asarray(got["unique_id"]).tolist() == df["unique_id"].tolist()
    assert coherence(like(df), like(world["S"]))["NHITS"] > 0.1


def test_equal_to_the_formulas(world: dict[str, Any]) -> None:
    """Bottom-up keeps the bottom, OLS projects: S (S'S)^-1 S' y; WLS by structure weighs with the rows' sums."""
    got = reconcile(world["df"], world["S"], None, ["bottom_up", "ols", "wls_struct"])
    sums = world["S"].drop(columns="unique_id").to_numpy()
    base, bottom_up, ols, wls = (got.pivot(index="unique_id", columns="ds", values=c).loc[world["S"]["unique_id"]].to_numpy()
                                 for c in ("NHITS", "NHITS/bottom_up", "NHITS/ols", "NHITS/wls_struct"))
    np.testing.assert_allclose(bottom_up, sums @ base[-3:])
    np.testing.assert_allclose(ols, sums @ np.linalg.solve(sums.T @ sums, sums.T @ base), rtol=1e-6)
    w = np.diag(1 / sums.sum(axis=1))
    np.testing.assert_allclose(wls, sums @ np.linalg.solve(sums.T @ w @ sums, sums.T @ w @ base), rtol=1e-6)
    fine = reconcile(got.drop(columns=[c for c in got if "/" in c]).assign(NHITS=got["NHITS/ols"]), world["S"], None, "mint_shrink",
                     insample=world["insample"], models=["NHITS"])
    np.testing.assert_allclose(fine["NHITS/mint_shrink"], fine["NHITS"], rtol=1e-6)  # what adds up already stays


def test_ids_that_are_paths_need_no_matrix(world: dict[str, Any], like: Any) -> None:
    ours = reconcile(like(world["df"]), method="top_down")
    theirs = reconcile(like(world["df"]), like(world["S"]), world["tags"], "top_down")
    np.testing.assert_allclose(np.asarray(ours["NHITS/top_down"]), np.asarray(theirs["NHITS/top_down"]))
    S, tags = summing(world["S"]["unique_id"], like=like(world["df"]))
    assert type(S) is type(like(world["df"]))
    assert [list(v) for v in tags.values()] == [list(v) for v in world["tags"].values()]


@pytest.mark.filterwarnings("ignore:Replacing negative", "ignore:Converted matrix")  # of the libraries below
def test_nonnegative(world: dict[str, Any]) -> None:
    df = world["df"].copy()
    df.loc[df["unique_id"] == "X/b/r", "NHITS"] = -20.0
    got = reconcile(df, world["S"], None, "ols", nonnegative=True)
    assert got["NHITS/ols"].min() >= -1e-9
    assert coherence(got, world["S"], models=["NHITS/ols"])["NHITS/ols"] < 1e-6


def test_whole_way_from_models(like: Any) -> None:
    from ndiv.models import NLinear

    history, S, tags = ndiv.aggregate(like(sales()), SPEC)
    nf = ndiv.NeuralForecast([NLinear(h=3, input_size=6, max_steps=2, windows_batch_size=16)], "D").fit(history)
    got = ndiv.reconcile(nf.predict(), S, tags, insample=nf.predict_insample())
    assert coherence(got, S, models=["NLinear/mint_shrink"])["NLinear/mint_shrink"] < 1e-6


def test_refused(world: dict[str, Any], like: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    df, S, tags, insample = world["df"], world["S"], world["tags"], world["insample"]
    lost = df[~((df["unique_id"] == "X/a") & (df["ds"] == "2020-01-22"))]
    for frame, options, error, words in (
            (df, {"method": "magic"}, ConfigError, "unknown method 'magic'"),
            (df, {}, ConfigError, "'mint_shrink' needs the models' fitted values"),
            (df, {"method": "top_down"}, ConfigError, "needs tags"),
            (df, {"method": "bottom_up", "nonnegative": True}, ConfigError, "knows no nonnegative"),
            (df.drop(columns="ds"), {"method": "ols"}, FeatureError, "no time column"),
            (df, {"method": "ols", "models": ["NBEATS"]}, FeatureError, "no forecasts 'NBEATS'"),
            (df[df["unique_id"] != "X/a"], {"method": "ols"}, DataError, "lacks 1 series: X/a"),
            (df.assign(unique_id=df["unique_id"].replace("X/a", "Y")), {"method": "ols"}, DataError, "lacks 1 series"),
            (lost, {"method": "ols"}, DataError, "X/a has no forecast at 2020-01-22"),
            (pd.concat([df, df]), {"method": "ols"}, DataError, "twice"),
            (df.assign(MLP=np.nan), {"method": "ols"}, DataError, "MLP is missing"),
            (df, {"insample": like(insample.drop(columns="MLP"))}, FeatureError, "insample has no column 'MLP'"),
            (df, {"insample": like(insample[insample["unique_id"] != "X"])}, DataError, "insample lacks 1 series: X"),
            (df, {"insample": like(insample.assign(y=np.nan))}, DataError, "fewer than two times")):
        with pytest.raises(error, match=words):
            reconcile(like(frame), like(S), **options)
    with pytest.raises(DataError, match="last rows of S"):
        reconcile(df, S.iloc[::-1], method="ols")
    with pytest.raises(ConfigError, match="no id is the beginning"):
        reconcile(df.assign(unique_id=df["unique_id"].str.replace("/", "-")), method="ols")
    for spec, error in (([], ConfigError), (["country"], ConfigError), ([["country"], ["city", "nation"]], FeatureError),
                        ([["country", "city"], ["country"]], ConfigError)):
        with pytest.raises(error):
            ndiv.aggregate(like(sales()), spec)
    monkeypatch.setitem(sys.modules, "hierarchicalforecast.methods", None)
    with pytest.raises((MissingExtraError, ImportError)):
        reconcile(df, S, tags, "ols")


def test_command(world: dict[str, Any], tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from ndiv.cli import main

    files = [str(tmp_path / f"{name}.csv") for name in ("df", "S", "insample", "out")]
    for name, file in zip(("df", "S", "insample"), files, strict=False):
        world[name].to_csv(file, index=False)
    assert main(["reconcile", files[0], "--summing", files[1], "--insample", files[2], "--method", "wls_var", "--out", files[3]]) == 0
    assert "NHITS/wls_var:" in capsys.readouterr().err
    want = reconcile(world["df"], world["S"], None, "wls_var", insample=world["insample"])
    np.testing.assert_allclose(pd.read_csv(files[3])["NHITS/wls_var"], want["NHITS/wls_var"], rtol=1e-9)
    assert main(["reconcile", files[0], "--method", "mint_shrink"]) == 2
    assert "needs the models' fitted values" in capsys.readouterr().err
