"""Folders that neuralforecast saved, read without it: the same forecasts, further use, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from saved_frames import ROWS, H, L, future, future_categories, history, static, static_categories, with_categories

import ndiv
from ndiv import NeuralForecast
from ndiv.errors import ConfigError, FileError, NdivError
from ndiv.interop import from_neuralforecast

HERE = Path(__file__).resolve().parent
EXPECTED = json.loads((HERE / "forecasts.json").read_text(encoding="utf-8"))


@pytest.fixture
def folder(tmp_path):
    """A copy of the saved folder that a test may break."""
    return Path(shutil.copytree(HERE / "saved", tmp_path / "saved"))


def same(frame, expected):
    assert sorted(frame.columns[2:]) == sorted(expected)
    for column, values in expected.items():
        np.testing.assert_allclose(frame[column].to_numpy(), values, rtol=2e-5, atol=2e-5 * np.abs(values).max())


def header_of(file):
    from safetensors import safe_open

    with safe_open(str(file), framework="np") as opened:
        return opened.metadata()


def change(file, **arguments):
    """Other constructor arguments in the header of a saved model."""
    header = header_of(file)
    told = {**json.loads(header["hyper_parameters"]), **arguments}
    save_file(load_file(file), str(file), metadata={**header, "hyper_parameters": json.dumps(told)})


# -- the same numbers ----------------------------------------------------------------------------------------------


def test_forecasts_are_those_of_neuralforecast():
    nf = from_neuralforecast(HERE / "saved")
    same(nf.predict(futr_df=future()), EXPECTED["stored"])
    same(nf.predict(history(11), static_df=static(), futr_df=future(11)), EXPECTED["frame"])


def test_categories(tmp_path):
    nf = from_neuralforecast(HERE / "saved_categories")
    words = {"day": [0, 1, 2, 3], "region": ["x", "y"], "kind": ["fair", "none", "sale"], "open": [False, True]}
    assert all(m.categories == words and m.categorical_cardinalities == {"day": 5, "region": 2, "kind": 3, "open": 2} for m in nf.models)
    nf.save(tmp_path / "ours")
    for forecaster in (nf, NeuralForecast.load(tmp_path / "ours")):
        with pytest.warns(UserWarning, match=r"2 of 18 values of 'kind' were not in the training data, and the mean .*: 'new'"):
            same(forecaster.predict(futr_df=future_categories()), EXPECTED["categories"])
        with pytest.warns(UserWarning, match="'new'"):
            framed = forecaster.predict(with_categories(), static_categories(), future_categories())
        same(framed, EXPECTED["categories"])  # the frame of fit has the statistics of fit
    nf.fit(with_categories(ROWS), static_categories(), use_init_models=True, verbose=False)
    assert nf.models[0].categories == words


@pytest.mark.parametrize("words", [[["fair", 1], ["none", 3]], [["fair", 1], [0.5, 2]], [[k, k + 1] for k in range(9)]], ids=str)
def test_a_vocabulary_that_cannot_be_is_refused(tmp_path, words):
    folder = Path(shutil.copytree(HERE / "saved_categories", tmp_path / "saved"))
    config = json.loads((folder / "configuration.json").read_text())
    config["configuration"]["categorical_vocab_"]["kind"] = {"__nf__": "mapping", "items": words}
    (folder / "configuration.json").write_text(json.dumps(config))
    with pytest.raises(FileError, match=r"E0006.*'kind'"):
        from_neuralforecast(folder)


def test_neither_pytorch_nor_pickle_is_used():
    code = ("import sys, pickle\npickle.Unpickler = pickle.loads = pickle.load = None\n"
            "from ndiv.interop import from_neuralforecast\n"
            f"from_neuralforecast({str(HERE / 'saved')!r})\n"
            "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'neuralforecast', 'lightning', 'pytorch_lightning'}))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(Path(ndiv.__file__).parent.parent)})
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_what_was_carried_over():
    nf = from_neuralforecast(str(HERE / "saved"))
    linear, steady, mlp, nhits = sorted(nf.models, key=lambda m: ["NLinear", "DLinear", "MLP", "NHITS"].index(type(m).__name__))
    assert (nf.h, nf.freq, nf.local_scaler_type, steady.alias, linear.alias) == (H, "ME", "robust", "steady", None)
    assert all(m.variant == "compat" and m.fitted and m.input_size == L for m in nf.models)
    assert all(m.arguments["max_steps"] == 2 and m.base_lr == 0.1 for m in nf.models)
    assert (repr(linear.loss), repr(steady.loss), repr(mlp.loss), repr(nhits.loss)) == (
        "MQLoss(level=[80], non_crossing=False)", "HuberLoss(delta=2.0)", "IQLoss(cos_embedding_dim=4)", "MAE()")
    assert [m.scaler.name for m in (linear, steady, mlp, nhits)] == ["revin", "robust", "standard", "minmax"]
    assert (mlp.arguments["optimizer"], mlp.arguments["optimizer_kwargs"]) == ("AdamW", {"weight_decay": 0.1})
    assert (mlp.futr_exog_list, mlp.hist_exog_list, mlp.stat_exog_list) == (["ahead"], ["past"], ["size"])
    assert nhits.futr_exog_list == ["ahead"]
    np.testing.assert_allclose(nf.dataset.y, history()["y"], rtol=1e-6)


def test_saved_by_ndiv_and_loaded_again(tmp_path):
    nf = from_neuralforecast(HERE / "saved")
    nf.save(tmp_path / "ours")
    again = NeuralForecast.load(tmp_path / "ours")
    same(again.predict(futr_df=future()), EXPECTED["stored"])
    same(again.predict(history(11), static_df=static(), futr_df=future(11)), EXPECTED["frame"])
    manifest = json.loads((tmp_path / "ours" / "ndiv.json").read_text())
    manifest["scaler_ids"]["values"].append("c")
    (tmp_path / "ours" / "ndiv.json").write_text(json.dumps(manifest))
    with pytest.raises(FileError, match="one row of statistics"):
        NeuralForecast.load(tmp_path / "ours")


def test_without_the_series_a_frame_is_needed(folder):
    (folder / "dataset.json").unlink()
    (folder / "dataset.safetensors").unlink()
    nf = from_neuralforecast(folder)
    with pytest.raises(ConfigError, match="not saved"):
        nf.predict(futr_df=future())
    same(nf.predict(history(11), static_df=static(), futr_df=future(11)), EXPECTED["frame"])


def test_training_goes_on():
    nf = from_neuralforecast(HERE / "saved")
    nf.fit(history(), static_df=static())
    assert all(len(m.history) or m.train_trajectories for m in nf.models)
    assert np.isfinite(nf.predict(futr_df=future()).iloc[:, 2:].to_numpy()).all()


def test_one_model_from_its_file():
    model = from_neuralforecast(HERE / "saved" / "steady_0.safetensors")
    assert (type(model).__name__, model.alias, model.fitted) == ("DLinear", "steady", True)
    batch = {"insample_y": np.arange(L, dtype=np.float32).reshape(1, L, 1)}
    assert model.forecast(batch).shape == (1, H, 1)


def test_a_loss_without_counterpart_can_be_replaced(folder):
    file = folder / "steady_0.safetensors"
    change(file, loss={"__nf__": "loss", "cls": "FreDF", "args": {"alpha": 0.5, "horizon_weight": None}})
    with pytest.raises(ConfigError, match=r"E0010.*no loss 'FreDF'.*loss=\.\.\."):
        from_neuralforecast(file)
    model = from_neuralforecast(file, loss=ndiv.losses.MSE(), alias="mine")
    assert (repr(model.loss), model.alias) == ("MSE()", "mine")


# -- arguments without a counterpart -------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "words"), [
    ({"optimizer": {"__nf__": "torch_cls", "kind": "optimizer", "name": "Adagrad"}}, "optimizer=Adagrad"),
    ({"valid_loss": {"__nf__": "loss", "cls": "Coverage", "args": {}}, "gradient_clip_algorithm": "value"},
     "gradient_clip_algorithm='value', valid_loss=Coverage"),
    ({"optimizer_kwargs": {"fused": True}}, "optimizer_kwargs="),
    ({"training_data_availability_threshold": [0.1, 0.2]}, "training_data_availability_threshold=[0.1, 0.2]"),
], ids=str)
def test_what_only_training_depends_on_is_left_out_and_named(folder, arguments, words):
    change(folder / "steady_0.safetensors", **arguments)
    with pytest.warns(UserWarning, match="DLinear: ndiv has no counterpart") as caught:
        model = from_neuralforecast(folder / "steady_0.safetensors")
    assert words in str(caught[0].message)
    assert model.fitted


@pytest.mark.parametrize(("arguments", "words"), [
    ({"inference_input_size": 12}, "inference_input_size=12"),
    ({"twist": 3}, "twist=3"), ({"loss": {"__nf__": "loss", "cls": "DistributionLoss", "args": {"distribution": "ISQF"}}}, "ISQF"),
    ({"loss": {"__nf__": "loss", "cls": "MAE", "args": {"softness": 2}}}, "softness"), ({"loss": "MAE"}, "the loss 'MAE'"),
], ids=str)
def test_what_forecasts_depend_on_is_refused(folder, arguments, words):
    change(folder / "steady_0.safetensors", **arguments)
    with pytest.raises(ConfigError) as caught:
        from_neuralforecast(folder / "steady_0.safetensors")
    assert words in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("arguments", [
    {"windows_batch_size": None, "inference_windows_batch_size": -1}, {"input_size": L, "random_seed": None},
    {"accelerator": "gpu", "devices": 4, "callbacks": None, "n_samples": 7, "lr_scheduler_kwargs": {"gamma": 1}},
    {"lr_scheduler": {"__nf__": "torch_cls", "kind": "lr_scheduler", "name": "StepLR"}, "lr_scheduler_kwargs": {"step_size": 3}},
    {"loss": {"__nf__": "loss", "cls": "MAE", "args": {"horizon_weight": {
        "__nf__": "array", "kind": "torch", "dtype": "torch.float32", "shape": [3], "values": [1, 2, 3]}}}},
], ids=str)
def test_what_changes_nothing_is_taken_in_silence(folder, arguments, recwarn):
    change(folder / "steady_0.safetensors", **arguments)
    model = from_neuralforecast(folder / "steady_0.safetensors")
    assert [str(w.message) for w in recwarn] == []
    frame = history()[["unique_id", "ds", "y"]]
    model.fit(frame, freq="ME", verbose=False)
    assert len(model.predict()) == 2 * H


# -- damaged and strange files -------------------------------------------------------------------------------------


def test_pickles_are_refused(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    (old / "dataset.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(FileError, match=r"E0006.*pickles.*neuralforecast\.migrate") as caught:
        from_neuralforecast(old)
    assert str(old) in caught.value.hint
    for start in (pickle.dumps({}), b"PK\x03\x04rest"):
        (old / "NHITS_0.ckpt").write_bytes(start)
        with pytest.raises(FileError, match="pickles"):
            from_neuralforecast(old / "NHITS_0.ckpt")


def test_other_places_are_refused(tmp_path, folder):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileError, match="does not exist"):
        from_neuralforecast(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"no configuration\.json"):
        from_neuralforecast(empty)
    (empty / "ndiv.json").write_text("{}")
    with pytest.raises(FileError, match=r"NeuralForecast\.load"):
        from_neuralforecast(empty)
    with pytest.raises(FileError, match="no model"):
        from_neuralforecast(folder / "dataset.safetensors")
    for file in folder.glob("*_0.safetensors"):
        file.unlink()
    with pytest.raises(FileError, match="holds no models"):
        from_neuralforecast(folder)


@pytest.mark.parametrize("name", sorted(f.name for f in (HERE / "saved").iterdir()))
@pytest.mark.parametrize("kind", ["half", "empty", "noise", "list"])
def test_damaged_files_are_refused(folder, name, kind):
    file = folder / name
    data = file.read_bytes()
    noise = np.random.default_rng(len(data)).integers(0, 256, 99, np.uint8).tobytes()
    file.write_bytes({"half": data[:len(data) // 2], "empty": b"", "noise": noise, "list": b"[1]"}[kind])
    with pytest.raises(FileError, match="E0006"):
        from_neuralforecast(folder)


@pytest.mark.parametrize("name", ["configuration.safetensors", "dataset.safetensors", "dataset.json"])
def test_missing_files_are_refused_or_not_needed(folder, name):
    (folder / name).unlink()
    if name == "dataset.json":
        assert from_neuralforecast(folder).dataset is None
    else:
        with pytest.raises(FileError, match="E0006"):
            from_neuralforecast(folder)


def test_every_byte_of_a_header_may_be_wrong(folder):
    """Bytes changed at random: the model, or `NdivError`, and nothing else."""
    draw = np.random.default_rng(0)
    for name in ("configuration.json", "dataset.json", "MLP_0.safetensors"):
        data = (folder / name).read_bytes()
        for _ in range(60):
            broken = bytearray(data)
            broken[draw.integers(len(data))] = draw.integers(32, 127)
            (folder / name).write_bytes(bytes(broken))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                try:
                    from_neuralforecast(folder)
                except NdivError as error:
                    assert error.code in ("E0006", "E0010")
        (folder / name).write_bytes(data)


def test_weights_that_do_not_fit_are_refused(folder):
    file = folder / "steady_0.safetensors"
    arrays, header = load_file(file), header_of(file)
    for changed in ({k: v for k, v in arrays.items() if "trend.weight" not in k}, {k: v[:2] for k, v in arrays.items()}):
        save_file(changed, str(file), metadata=header)
        with pytest.raises(FileError, match=r"E0006.*weights are not those"):
            from_neuralforecast(file)
    save_file(arrays, str(file), metadata=header)
    change(file, input_size="long")
    with pytest.raises(NdivError):
        from_neuralforecast(file)


def test_tags_are_a_closed_list(folder):
    for tag in ({"__nf__": "code", "text": "print()"}, {"__nf__": "array", "values": ["x"], "shape": [1], "dtype": "O"},
                {"__nf__": "datetime64", "unit": "generic", "values": [1]}, {"__nf__": "tensor", "key": "none"}):
        shutil.copy(HERE / "saved" / "steady_0.safetensors", folder)
        change(folder / "steady_0.safetensors", optimizer_kwargs={"x": tag})
        with pytest.raises(FileError, match="damaged"):
            from_neuralforecast(folder)


@pytest.mark.parametrize(("file", "key", "values"), [
    ("configuration", "scalers_.y.stats_", np.ones((1, 2), np.float32)),
    ("configuration", "static_scalers_.size.stats_", np.ones(2, np.float32)),
    ("dataset", "indptr", np.int32([0, 99, 32])), ("dataset", "indptr", np.int32([4, 16, 32])),
    ("dataset", "temporal", np.ones((31, 4), np.float32)),
])
def test_statistics_and_series_of_another_shape_are_refused(folder, file, key, values):
    arrays = load_file(folder / f"{file}.safetensors")
    assert arrays[f"__hparams__.{key}"].shape != values.shape or key == "indptr"
    save_file({**arrays, f"__hparams__.{key}": values}, str(folder / f"{file}.safetensors"), metadata={"nf_format": "2"})
    with pytest.raises(FileError, match="save the models again"):
        from_neuralforecast(folder)


def test_times_with_a_zone(folder):
    config = json.loads((folder / "configuration.json").read_text())
    config["configuration"]["ds"] |= {"kind": "pandas", "tz": "UTC"}
    (folder / "configuration.json").write_text(json.dumps(config))
    nf = from_neuralforecast(folder)
    assert nf.dataset.origin["time_zone"] == "UTC"


def test_series_that_ndiv_does_not_take_are_left_out(folder):
    config = json.loads((folder / "configuration.json").read_text())
    config["configuration"]["freq"] = "h"
    (folder / "configuration.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="left out, so predict needs df"):
        assert from_neuralforecast(folder).dataset is None


def test_intervals(folder):
    config = json.loads((folder / "configuration.json").read_text())
    config["configuration"]["prediction_intervals"] = {"__nf__": "prediction_intervals", "n_windows": 2, "method": "m", "step_size": 1}
    (folder / "configuration.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="prediction_intervals"):
        from_neuralforecast(folder)
