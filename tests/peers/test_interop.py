"""Trained neuralforecast models and forecasters become ndiv's, from memory and from what they save, with the same forecasts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md
import neuralforecast
import torch
from neuralforecast import models as peers
from neuralforecast.losses import pytorch as losses
from neuralforecast.utils import AirPassengersPanel, AirPassengersStatic

from ndiv import NeuralForecast
from ndiv.errors import ConfigError
from ndiv.interop import from_neuralforecast

H, L = 4, 8
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_checkpointing": False,
         "enable_model_summary": False, "max_steps": 2, "learning_rate": 0.05}
EXOG = {"futr_exog_list": ["trend"], "hist_exog_list": ["y_[lag12]"], "stat_exog_list": ["airline1"]}
SMALL_NHITS = {"mlp_units": [[4, 4]], "stack_types": ["identity"] * 2, "n_blocks": [1, 2], "n_pool_kernel_size": [2, 1],
               "n_freq_downsample": [2, 1]}
PANEL = AirPassengersPanel
STEP = PANEL.groupby("unique_id").cumcount()


def fitted(models, frame=PANEL, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nf = neuralforecast.NeuralForecast(models, freq="ME", **options)
        nf.fit(frame, static_df=AirPassengersStatic)
    return nf


def ahead(nf, df=None):
    futr = nf.make_future_dataframe(df)
    return futr.assign(trend=np.tile(np.arange(H), 2) + (len(PANEL if df is None else df) // 2))


def same(found, expected, skip=()):
    assert sorted(found.columns) == sorted(expected.columns)  # saved models come back in order of their names
    for column in expected.columns[2:]:
        if column not in skip:
            a, b = found[column].to_numpy(), expected[column].to_numpy()
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(b).max(), err_msg=column)


def agree(nf, tmp_path, save=True, skip=()):
    """Forecasts of the stored series and of a shorter frame, by the object, its saved folder and ndiv's saved folder."""
    part = PANEL[STEP < 100]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stored = nf.predict(futr_df=ahead(nf))
        framed = nf.predict(part, static_df=AirPassengersStatic, futr_df=ahead(nf, part))
        if save:
            nf.save(str(tmp_path / "theirs"), overwrite=True)
    found = [from_neuralforecast(nf)]
    if save:
        found.append(from_neuralforecast(tmp_path / "theirs"))
        found[1].save(tmp_path / "ours")
        found.append(NeuralForecast.load(tmp_path / "ours"))
    for ours in found:
        same(ours.predict(futr_df=ahead(nf)), stored, skip)
        same(ours.predict(part, static_df=AirPassengersStatic, futr_df=ahead(nf, part)), framed, skip)


@pytest.mark.parametrize("local", [None, "standard", "robust", "robust-iqr", "minmax", "boxcox"])
@pytest.mark.parametrize("window", ["identity", "robust", "revin"])
def test_forecasters(local, window, tmp_path):
    common = {"scaler_type": window, **QUIET}
    models = [peers.MLP(H, L, hidden_size=4, loss=losses.MQLoss(level=[80]), **EXOG, **common),
              peers.DLinear(H, L, moving_avg_window=3, loss=losses.MSE(), **common),
              peers.NLinear(H, L, alias="steady", **common), peers.NLinear(H, L, random_seed=2, **common),
              peers.NLinear(H, L, random_seed=3, **common),
              peers.NHITS(H, L, loss=losses.IQLoss(), **SMALL_NHITS, **common)]
    frame = PANEL.assign(trend=PANEL["trend"] + 1) if local == "boxcox" else PANEL  # it needs positive values
    static = "minmax" if local not in (None, "boxcox") else None
    agree(fitted(models, frame, local_scaler_type=local, local_static_scaler_type=static), tmp_path)


@pytest.mark.parametrize("window", ["standard", "minmax", "minmax1", "invariant"])
def test_window_scalers(window, tmp_path):
    common = {"scaler_type": window, **QUIET}
    models = [peers.MLP(H, L, hidden_size=4, **EXOG, **common), peers.NHITS(H, L, **SMALL_NHITS, **EXOG, **common)]
    agree(fitted(models, local_static_scaler_type="robust"), tmp_path)


def test_models_of_other_names_and_samples(tmp_path):
    """VanillaTransformer is ndiv's Transformer and keeps its column; Informer where all queries attend, since which do
    otherwise depends on PyTorch's generator."""
    common = {"hidden_size": 4, "n_head": 2, "conv_hidden_size": 4, "futr_exog_list": ["trend"], "scaler_type": "robust", **QUIET}
    nf = fitted([peers.VanillaTransformer(H, L, **common), peers.VanillaTransformer(H, L, alias="plain", **common),
                 peers.Informer(H, L, factor=9, **common)])
    agree(nf, tmp_path)
    assert [type(m).__name__ for m in from_neuralforecast(nf).models] == ["Transformer", "Transformer", "Informer"]


def test_decomposition_models(tmp_path):
    """FEDformer's modes come from the model, and from the seed where it was saved."""
    common = {"conv_hidden_size": 4, "futr_exog_list": ["trend"], "MovingAvg_window": 3, "scaler_type": "robust", **QUIET}
    nf = fitted([peers.Autoformer(H, L, hidden_size=4, n_head=2, **common),
                 peers.FEDformer(H, L, hidden_size=8, modes=2, random_seed=5, encoder_layers=2, **common)])
    agree(nf, tmp_path)


def test_models_whose_forecasts_depend_on_their_company(tmp_path):
    """TimesNet folds by the mean spectrum of a batch; of StemGNN, the graph is the mean over the windows."""
    nf = fitted([peers.TimesNet(H, L, hidden_size=4, conv_hidden_size=3, top_k=2, num_kernels=2, futr_exog_list=["trend"], **QUIET),
                 peers.StemGNN(H, L, 2, multi_layer=1, **QUIET)])
    agree(nf, tmp_path)


POINT = {
    "RMSE": {}, "MAPE": {}, "SMAPE": {}, "HuberLoss": {"delta": 2.0}, "TukeyLoss": {"c": 3.0, "normalize": False},
    "QuantileLoss": {"q": 0.3}, "HuberQLoss": {"q": 0.3, "delta": 0.5}, "MQLoss": {"quantiles": [0.1, 0.5, 0.7]},
    "HuberMQLoss": {"level": [90]}, "MAE": {"horizon_weight": torch.tensor([1.0, 2.0, 0.0, 1.0])},
}


@pytest.mark.parametrize("name", POINT)
def test_losses(name, tmp_path):
    loss = getattr(losses, name)(**POINT[name])
    valid = None if name.endswith("MQLoss") else losses.MAE()
    agree(fitted([peers.NLinear(H, L, loss=loss, valid_loss=valid, **QUIET)]), tmp_path)


DISTRIBUTIONS = [("Normal", {}), ("StudentT", {"level": [80]}), ("Poisson", {}), ("NegativeBinomial", {"quantiles": [0.2, 0.5]})]


@pytest.mark.parametrize(("name", "options"), DISTRIBUTIONS, ids=[name for name, _ in DISTRIBUTIONS])
@pytest.mark.parametrize("window", ["standard", "revin"])
def test_parameters_of_distributions(name, options, window, tmp_path):
    """Only these are the same: quantiles and mean are samples there. Such a model cannot be saved there after training."""
    loss = losses.DistributionLoss(name, return_params=True, **options)
    nf = fitted([peers.MLP(H, L, hidden_size=4, loss=loss, scaler_type=window, **EXOG, **QUIET)])
    sampled = [f"MLP{suffix}" for suffix in loss.output_names[:1 + len(loss.quantiles)]]
    agree(nf, tmp_path, save=False, skip=sampled)


def test_mixtures(tmp_path):
    for loss in (losses.GMM(2, return_params=True, weighted=True), losses.PMM(3, return_params=True), losses.NBMM(2, return_params=True)):
        nf = fitted([peers.NLinear(H, L, loss=loss, scaler_type="standard", **QUIET)])
        agree(nf, tmp_path, save=False, skip=[f"NLinear{suffix}" for suffix in loss.output_names[:1 + len(loss.quantiles)]])


def test_one_model(tmp_path):
    nf = fitted([peers.MLP(H, L, num_layers=3, hidden_size=4, optimizer=torch.optim.SGD, optimizer_kwargs={"momentum": 0.5},
                           lr_scheduler=torch.optim.lr_scheduler.StepLR, lr_scheduler_kwargs={"step_size": 5}, **EXOG, **QUIET)])
    model = nf.models[0]
    model.save(str(tmp_path / "one.safetensors"))
    draw = np.random.default_rng(0)
    batch = {"insample_y": draw.normal(size=(3, L, 1)), "insample_mask": np.ones((3, L, 1)), "hist_exog": draw.normal(size=(3, L, 1)),
             "futr_exog": draw.normal(size=(3, L + H, 1)), "stat_exog": draw.normal(size=(3, 1))}
    batch = {k: v.astype(np.float32) for k, v in batch.items()}
    with torch.no_grad():
        expected = model({k: torch.tensor(v) for k, v in batch.items()}).numpy().reshape(3, H, 1)
    for ours in (from_neuralforecast(model), from_neuralforecast(tmp_path / "one.safetensors")):
        np.testing.assert_allclose(ours.forward(batch).numpy(), expected, atol=2e-5 * np.abs(expected).max())
        assert (ours.arguments["optimizer"], ours.arguments["optimizer_kwargs"]) == ("SGD", {"momentum": 0.5})
        assert (ours.arguments["lr_scheduler"], ours.arguments["lr_scheduler_kwargs"]) == ("StepLR", {"step_size": 5})


def test_missing_values_of_the_stored_series(tmp_path):
    frame = PANEL.assign(available_mask=1.0)
    frame.loc[[30, 31, 140, 200], "available_mask"] = 0.0
    frame.loc[[30, 31, 140, 200], "y"] = 0.0
    nf = fitted([peers.NLinear(H, L, scaler_type="standard", **QUIET), peers.NHITS(H, L, **SMALL_NHITS, **QUIET)], frame)
    same(from_neuralforecast(nf).predict(), nf.predict())


def test_a_series_shorter_than_the_window(tmp_path):
    nf = fitted([peers.NLinear(H, L, scaler_type="standard", **QUIET), peers.NHITS(H, L, scaler_type="robust", **SMALL_NHITS, **QUIET),
                 peers.DLinear(H, L, moving_avg_window=3, **QUIET), peers.MLP(H, L, hidden_size=4, scaler_type="minmax", **QUIET)])
    short = PANEL[np.where(PANEL["unique_id"] == "Airline1", 5, 30) > STEP][["unique_id", "ds", "y"]]
    same(from_neuralforecast(nf).predict(short), nf.predict(short))


@pytest.mark.parametrize("library", ["polars", "whole numbers"])
def test_other_frames(library, tmp_path):
    frame, freq = PANEL[["unique_id", "ds", "y"]], "1mo"
    if library == "polars":
        frame = pytest.importorskip("polars").from_pandas(frame)
    else:
        frame, freq = frame.assign(ds=STEP), 1
    nf = neuralforecast.NeuralForecast([peers.NLinear(H, L, **QUIET)], freq=freq, local_scaler_type="standard")
    nf.fit(frame)
    nf.save(str(tmp_path / "saved"))
    expected = nf.predict(frame)["NLinear"].to_numpy()
    for ours in (from_neuralforecast(nf), from_neuralforecast(tmp_path / "saved")):
        for found in (ours.predict(), ours.predict(frame)):
            np.testing.assert_allclose(found["NLinear"].to_numpy(), expected, atol=2e-5 * np.abs(expected).max())
        assert type(ours.predict(frame)) is type(frame)


def test_a_window_of_three_horizons():
    nf = fitted([peers.NLinear(H, -1, **QUIET)])
    assert from_neuralforecast(nf).models[0].input_size == 3 * H
    same(from_neuralforecast(nf).predict(), nf.predict())


def test_refusals():
    with pytest.raises(ConfigError, match="no loss 'FreDF'"):
        from_neuralforecast(peers.NLinear(H, L, loss=losses.FreDF(), **QUIET))
    assert from_neuralforecast(peers.NLinear(H, L, loss=losses.FreDF(), **QUIET), loss="MSE").fitted
    untrained = neuralforecast.NeuralForecast([peers.NLinear(H, L, **QUIET)], freq="ME")
    with pytest.raises(ValueError, match="not trained"):
        from_neuralforecast(untrained).predict(PANEL)


def test_training_settings_without_counterpart_are_named():
    with pytest.warns(UserWarning, match=r"val_monitor='train_loss', optimizer=Adagrad"):
        from_neuralforecast(peers.NLinear(H, L, val_monitor="train_loss", optimizer=torch.optim.Adagrad, **QUIET))
