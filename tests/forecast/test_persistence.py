"""Saving and loading: the same bits back, ids of any type, and damaged or foreign folders refused."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
import struct
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from ndiv import NeuralForecast
from ndiv.errors import ConfigError, FileError, FileExists
from ndiv.forecast import identifiers

NAMES = ["NLinear", "DLinear", "MLP", "NHITS"]


@pytest.fixture
def saved(small: Any, df: pd.DataFrame, tmp_path: Path) -> Path:
    nf = NeuralForecast([small("NHITS"), small()], "D", "robust").fit(df)
    nf.save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("scaler", [None, "standard", "boxcox"])
def test_round_trip_is_bit_identical(scaler: str | None, small: Any, wide_df: pd.DataFrame, like: Any, tmp_path: Path) -> None:
    models = [small(n) for n in NAMES] + [small("NHITS", futr_exog_list=["x"], scaler_type="revin", alias="with x / é")]
    frame = like(wide_df.assign(ds=wide_df.ds + pd.Timedelta("5h")))
    nf = NeuralForecast(models, "D", scaler).fit(frame)
    ahead = like(pd.DataFrame(nf.make_future_dataframe().to_dict(as_series=False)
                              if isinstance(frame, pl.DataFrame) else nf.make_future_dataframe()).assign(x=0.5))
    want = nf.predict(futr_df=ahead)
    nf.save(tmp_path / "m")
    loaded = NeuralForecast.load(tmp_path / "m")
    assert loaded.predict(futr_df=ahead).equals(want)
    assert loaded.predict(frame, futr_df=ahead).equals(want)
    assert [m.config() for m in loaded.models] == [m.config() for m in models]
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / "ndiv.json").read_bytes() == (tmp_path / "m" / "ndiv.json").read_bytes()
    assert not list((tmp_path / "m").glob("*.pkl")) + list((tmp_path / "m").glob("*.part"))


def test_loaded_models_can_be_trained_on(saved: Path, df: pd.DataFrame) -> None:
    nf = NeuralForecast.load(saved)
    before = nf.predict()
    assert not nf.fit(df).predict().equals(before)


def test_without_the_dataset(small: Any, df: pd.DataFrame, tmp_path: Path) -> None:
    nf = NeuralForecast([small()], "D", "standard").fit(df)
    nf.save(tmp_path / "m", save_dataset=False)
    assert not (tmp_path / "m" / "series.safetensors").exists()
    loaded = NeuralForecast.load(tmp_path / "m")
    with pytest.raises(ConfigError, match="Pass df"):
        loaded.predict()
    assert loaded.predict(df).equals(nf.predict())  # with the scales of fit, found by id


def test_some_of_the_models(small: Any, df: pd.DataFrame, tmp_path: Path) -> None:
    nf = NeuralForecast([small(), small("DLinear"), small("NLinear", alias="third")], "D").fit(df)
    nf.save(tmp_path / "m", model_index=[2, 0])
    want = nf.predict()
    assert NeuralForecast.load(tmp_path / "m", verbose=True).predict().equals(want[["unique_id", "ds", "third", "NLinear"]])
    assert len(nf.models) == 3
    for wrong in ([3], [-1], [], [0, 0], [0.5]):
        with pytest.raises(ConfigError, match="model_index"):
            nf.save(tmp_path / "n", model_index=wrong)
    assert not (tmp_path / "n").exists()


IDS: dict[str, tuple[Any, Any]] = {
    "text": ("é", "日本"), "integers": (3, -2**60), "floats": (0.1, -1e300), "booleans": (False, True),
    "dates": (datetime.date(2020, 1, 2), datetime.date(2021, 1, 2)),
    "timestamps": (pd.Timestamp("2020-01-01 01:02:03.000004"), pd.Timestamp("2021-01-01")),
    "decimals": (decimal.Decimal("1.10"), decimal.Decimal("2")),
    "uuids": (uuid.UUID(int=1), uuid.UUID(int=2)),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_any_type(kind: str, small: Any, df: pd.DataFrame, tmp_path: Path) -> None:
    first, second = IDS[kind]
    frame = df.assign(unique_id=[first if i == "a" else second for i in df.unique_id])
    nf = NeuralForecast([small()], "D", "standard").fit(frame)
    nf.save(tmp_path / "m")
    loaded = NeuralForecast.load(tmp_path / "m")
    assert loaded.predict().equals(nf.predict())
    assert loaded.dataset is not None and nf.dataset is not None
    assert loaded.dataset.ids.dtype == nf.dataset.ids.dtype
    assert [type(i) for i in loaded.dataset.ids.tolist()] == [type(i) for i in nf.dataset.ids.tolist()]


def test_ids_that_have_no_text_form_are_refused() -> None:
    ids = np.empty(1, object)
    ids[0] = (1, 2)
    with pytest.raises(ConfigError, match="tuple"):
        identifiers.encode(ids)


def test_existing_folders(saved: Path, small: Any, df: pd.DataFrame, tmp_path: Path) -> None:
    one = NeuralForecast([small()], "D").fit(df)
    with pytest.raises(FileExists, match=r"E0006.*not empty.*overwrite"):
        one.save(saved)
    (saved / "notes.txt").write_text("mine")
    one.save(saved, overwrite=True)
    assert sorted(p.name for p in saved.iterdir()) == ["model_0.safetensors", "ndiv.json", "notes.txt", "series.safetensors"]
    assert NeuralForecast.load(saved).predict().equals(one.predict())
    (tmp_path / "empty").mkdir()
    one.save(tmp_path / "empty")
    with pytest.raises(FileExists, match="is a file"):
        one.save(saved / "notes.txt", overwrite=True)


def test_foreign_paths(tmp_path: Path) -> None:
    (tmp_path / "ndiv.json").write_text('{"format": "other"}')
    with pytest.raises(FileError, match="not written by"):
        NeuralForecast.load(tmp_path)
    (tmp_path / "ndiv.json").write_text('{"format": "ndiv-forecast", "version": 99, "ndiv": "9.9"}')
    with pytest.raises(FileError, match=r"version 99.*9\.9"):
        NeuralForecast.load(tmp_path)
    for text in ("[]", "null", "", "\x00", "[" * 100000):
        (tmp_path / "ndiv.json").write_text(text)
        with pytest.raises(FileError):
            NeuralForecast.load(tmp_path)
    for path in (tmp_path / "nowhere", tmp_path / "ndiv.json"):
        with pytest.raises(FileError):
            NeuralForecast.load(path)


@pytest.mark.parametrize("name", ["model_0.safetensors", "series.safetensors", "scaler.safetensors", "ndiv.json"])
@pytest.mark.parametrize("attack", ["missing", "empty", "cut", "flipped bit", "text", "pickle"])
def test_damaged_files(name: str, attack: str, saved: Path) -> None:
    file = saved / name
    data = bytearray(file.read_bytes())
    if attack == "missing":
        file.unlink()
    elif attack == "flipped bit" and name != "ndiv.json":
        data[-3] ^= 1
        file.write_bytes(data)
    else:
        file.write_bytes({"empty": b"", "cut": data[:len(data) // 2], "text": b"hello", "pickle": b"cos\nsystem\n(S'x'\ntR.",
                          "flipped bit": b"\xff" + data[1:]}[attack])
    with pytest.raises(FileError) as caught:
        NeuralForecast.load(saved)
    assert caught.value.code == "E0006"
    assert "\n" not in str(caught.value)
    assert str(saved) in str(caught.value)


def tampered(saved: Path, change: Any) -> None:
    """Rewrite the manifest by hand, checksums and all, as an attacker could."""
    manifest = json.loads((saved / "ndiv.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((saved / name).read_bytes()).hexdigest()
    change(manifest)
    (saved / "ndiv.json").write_text(json.dumps(manifest))


MANIFESTS: dict[str, Any] = {
    "no models": lambda m: m.pop("models"),
    "empty models": lambda m: m.update(models=[]),
    "number of models": lambda m: m.update(models=5),
    "one model more than weights": lambda m: m["models"].append(m["models"][0]),
    "no files": lambda m: m.update(files=None),
    "module as model": lambda m: m["models"][0].update(model="os.system"),
    "path as model": lambda m: m["models"][0].update(model="../NHITS"),
    "other input size": lambda m: m["models"][0].update(input_size=9),
    "unknown argument": lambda m: m["models"][0].update(unheard_of=1),
    "function as loss": lambda m: m["models"][0].update(loss={"loss": "builtins.eval"}),
    "other horizon": lambda m: m["models"][0].update(h=3),
    "unknown column name": lambda m: m.update(columns={"id_col": "unique_id", "other": 1}),
    "unknown scaler": lambda m: m.update(local_scaler_type="pickle"),
    "list as freq": lambda m: m.update(freq=["D"]),
    "too few scaler ids": lambda m: m["scaler_ids"].update(values=["a"]),
    "odd id type": lambda m: m["scaler_ids"].update(dtype="O8,O8"),
    "too few ids": lambda m: m["series"].update(ids={"dtype": "object", "values": ["a"]}),
    "unknown id tag": lambda m: m["series"].update(ids={"dtype": "object", "values": [["os", "system"], "b"]}),
    "objects as times": lambda m: m["series"].update(times_dtype="object"),
    "column without data": lambda m: m["series"].update(hist_names=["x"]),
    "series without freq": lambda m: m["series"].pop("freq"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_tampered_manifests(case: str, saved: Path) -> None:
    tampered(saved, MANIFESTS[case])
    with pytest.raises(FileError) as caught:
        NeuralForecast.load(saved)
    assert "\n" not in str(caught.value)


def file_of(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


@pytest.mark.parametrize("data", [
    struct.pack("<Q", 1 << 60) + b"{}",
    file_of(b"{}"),
    file_of(b'{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'),
    file_of(b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,400]}}', b"0123"),
], ids=["huge header", "no arrays", "huge shape", "outside the file"])
def test_hostile_weights(data: bytes, saved: Path) -> None:
    (saved / "model_0.safetensors").write_bytes(data)
    tampered(saved, lambda m: None)
    with pytest.raises(FileError):
        NeuralForecast.load(saved)


def test_settings_that_cannot_be_written_leave_no_file(small: Any, df: pd.DataFrame, tmp_path: Path) -> None:
    nf = NeuralForecast([small(lr_scheduler=lambda base, step: base)], "D").fit(df)
    with pytest.raises(ConfigError, match="lr_scheduler"):
        nf.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()
