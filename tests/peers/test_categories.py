"""Categorical covariates: neuralforecast's tables, codes and vocabularies in ndiv's models, with its forecasts and gradients."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md
import neuralforecast
import torch
from neuralforecast import models as peers

from ndiv import NeuralForecast
from ndiv.interop import from_neuralforecast
from ndiv.models import get_model

H, L, B, N = 4, 9, 5, 3
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "logger": False, "enable_checkpointing": False,
         "enable_model_summary": False, "max_steps": 2, "learning_rate": 0.05}
DIRECT = {
    "MLP": {"hidden_size": 5}, "NHITS": {"mlp_units": [[4, 4]], "stack_types": ["identity"] * 2, "n_blocks": [1, 2],
                                         "n_pool_kernel_size": [2, 1], "n_freq_downsample": [2, 1]},
    "NBEATSx": {"mlp_units": [[4, 4]] * 2, "stack_types": ["identity", "trend"], "n_blocks": [1, 1]},
    "TiDE": {"hidden_size": 5, "decoder_output_dim": 3, "temporal_decoder_dim": 4, "layernorm": False},  # of one number: rounding alone
    "BiTCN": {"hidden_size": 4},
    "TCN": {"encoder_hidden_size": 4, "decoder_hidden_size": 5, "dilations": [1, 2]}, "DeepNPTS": {"hidden_size": 5},
    "LSTM": {"encoder_hidden_size": 4, "decoder_hidden_size": 5, "recurrent": False}, "MLPMultivariate": {"hidden_size": 5}}
STEP_BY_STEP = {"GRU": {"encoder_hidden_size": 4, "recurrent": True},
                "RNN": {"encoder_hidden_size": 4, "recurrent": True, "encoder_n_layers": 1},
                "DeepAR": {"lstm_hidden_size": 4, "loss": neuralforecast.losses.pytorch.MAE(), "valid_loss": neuralforecast.losses.pytorch.MAE()}}


def drawn(draw):
    """Lists of columns, in any order, with categories among them: every kind, one of them or none."""
    lists, categories, sizes = {}, [], {}
    for kind in ("hist", "futr", "stat"):
        names = [f"{kind}{k}" for k in range(draw.integers(0, 4))]
        lists[f"{kind}_exog_list"] = list(draw.permutation(names)) if names else None
        categories += [name for name in names if draw.random() < 0.6]
    if not categories:
        lists["futr_exog_list"], categories = ["futr0"], ["futr0"]
    sizes = {str(name): int(draw.integers(1, 6)) for name in draw.permutation(categories)}
    rule = [*("fastai", "sqrt", "half"), int(draw.integers(1, 4))][draw.integers(4)]
    return {k: v and [str(n) for n in v] for k, v in lists.items()}, {
        "cat_exog_list": list(sizes), "categorical_cardinalities": sizes, "cat_emb_dim": rule}


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("seed", range(6))
def test_tables_of_any_columns(name, seed):
    """Random lists and rules, codes of unseen values among them: forecasts within 2e-5, gradients of a projection within 1e-4."""
    draw = np.random.default_rng([seed, len(name)])
    lists, categories = drawn(draw)
    many = name == "MLPMultivariate"
    options = {**DIRECT[name], **lists, **categories, **({"n_series": N} if many else {})}
    n = N if many else 1
    data = {"insample_y": draw.normal(size=(B, L, n)), "insample_mask": np.ones((B, L, n))}
    for kind, steps in (("hist", L), ("futr", L + H), ("stat", 0)):
        names = lists[f"{kind}_exog_list"]
        if not names:
            continue
        rows = N if many and kind == "stat" else B
        x = draw.normal(size=(rows, *([steps] if steps else []), *([N] if many and steps else []), len(names)))
        for k, column in enumerate(names):
            if column in categories["cat_exog_list"]:
                x[..., k] = draw.integers(0, categories["categorical_cardinalities"][column] + 1, x.shape[:-1])
        data[f"{kind}_exog"] = x  # [*, columns], as their pipeline embeds it
    data = {k: v.astype(np.float32) for k, v in data.items()}
    torch.manual_seed(seed)
    theirs = getattr(peers, name)(h=H, input_size=L, max_steps=1, **options).eval()
    tensors = {k: torch.tensor(v) for k, v in data.items()} | {k: None for k in ("hist_exog", "futr_exog", "stat_exog") if k not in data}
    for kind in ("hist", "futr", "stat"):
        if f"{kind}_exog" in data:
            x = theirs._embed_stream(tensors[f"{kind}_exog"], *(getattr(theirs, f"{kind}{part}") for part in
                                                                ("_exog_list", "_cat_exog_list", "_cat_embeddings")))
            tensors[f"{kind}_exog"] = x.permute(0, 3, 1, 2) if many and kind != "stat" else x
    expected = theirs(tensors).reshape(B, H, -1)
    projection = draw.normal(size=tuple(expected.shape)).astype(np.float32)
    (expected * torch.tensor(projection)).sum().backward()
    model = from_neuralforecast(theirs).eval()
    if many:
        data = {k: v.transpose(0, 3, 1, 2) if v.ndim == 4 else v for k, v in data.items()}
    out = model.forward(data)
    expected = expected.detach().numpy()
    assert np.abs(out.numpy() - expected).max() <= 2e-5 * np.abs(expected).max()
    (out * projection).sum().backward()
    wanted = {k: p.grad.numpy() for k, p in theirs.named_parameters() if p.grad is not None}
    largest = max(np.abs(g).max() for g in wanted.values())
    found = dict(model.named_parameters())
    tables = [key for key in wanted if "cat_embeddings" in key]
    assert len(tables) == len(categories["cat_exog_list"])
    convert = importlib.import_module(f"ndiv.interop.peers.{name.lower()}").convert
    same = {key.replace("_cat_embeddings.", "_categories.tables."): wanted.pop(key) for key in tables}
    zeros = {k: v.numpy() * 0 for k, v in theirs.state_dict().items() if "cat_embeddings" not in k}
    same |= convert({**zeros, **wanted}, model)
    for key, p in found.items():
        got = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        assert np.abs(got - same[key]).max() <= 1e-4 * max(np.abs(got).max(), 1e-2 * largest), key


def frame(rows=40, seed=0):
    draw = np.random.default_rng(seed)
    parts = [pd.DataFrame({"unique_id": name, "ds": pd.date_range("2024-01-31", periods=rows, freq="ME"),
                           "y": 10.0 * k + np.cos(np.arange(rows) * k) + draw.normal(size=rows), "price": draw.normal(size=rows),
                           "event": draw.choice(["sale", "none", "fair"], rows), "day": np.arange(rows) % 4,
                           "open": draw.random(rows) < 0.7}) for k, name in enumerate(("a", "b", "c"))]
    return pd.concat(parts, ignore_index=True)


STATIC = pd.DataFrame({"unique_id": ["a", "b", "c"], "region": ["x", "y", "x"], "size": [1.0, 4.0, 2.0]})
LISTS = {"futr_exog_list": ["event", "price"], "hist_exog_list": ["day", "open"], "stat_exog_list": ["region", "size"],
         "cat_exog_list": ["day", "event", "region", "open"],
         "categorical_cardinalities": {"day": 4, "event": 5, "region": 2, "open": 2, "other": 9}}


@pytest.mark.parametrize("local", [None, "standard"])
def test_forecasters(local, tmp_path):
    """The whole way of a frame, with unseen and missing values, from the object, its folder and ndiv's folder."""
    models = [getattr(peers, name)(h=H, input_size=L, scaler_type=scaler, **({"n_series": 3} if "variate" in name else {}),
                                   **options, **LISTS, **QUIET)
              for (name, options), scaler in zip((DIRECT | STEP_BY_STEP).items(), ["identity", "standard", "robust", "minmax"] * 3,
                                                 strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nf = neuralforecast.NeuralForecast(models, freq="ME", local_scaler_type=local,
                                           local_static_scaler_type="minmax" if local else None)
        nf.fit(frame(), static_df=STATIC)
        nf.save(str(tmp_path / "theirs"))
        future = frame(40 + H, 1).groupby("unique_id").tail(H)[["unique_id", "ds", "event", "price"]].reset_index(drop=True)
        future.loc[[1, 6], "event"] = "new"
        shorter, static = frame(20, 2), STATIC.assign(region=["x", "z", "y"])
        shorter.loc[[15, 38], "day"] = 77
        soon = frame(20 + H, 3).groupby("unique_id").tail(H)[["unique_id", "ds", "event", "price"]].reset_index(drop=True)
        stored, framed = nf.predict(futr_df=future), nf.predict(shorter, static_df=static, futr_df=soon)
        ours = [from_neuralforecast(nf), from_neuralforecast(tmp_path / "theirs")]
        ours[1].save(tmp_path / "ours")
        ours.append(NeuralForecast.load(tmp_path / "ours"))
        for forecaster in ours:
            for found, expected in ((forecaster.predict(futr_df=future), stored),
                                    (forecaster.predict(shorter, static_df=static, futr_df=soon), framed)):
                for column in expected.columns[2:]:
                    a, b = found[column].to_numpy(), expected[column].to_numpy()
                    np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(b).max(), err_msg=column)


def test_a_model_without_its_forecaster_takes_codes():
    theirs = peers.MLP(H, L, futr_exog_list=["kind"], cat_exog_list=["kind"], categorical_cardinalities={"kind": 3}, hidden_size=4, **QUIET)
    model = from_neuralforecast(theirs)
    assert model.categories == {}
    assert model.categorical_cardinalities == {"kind": 3}
    df = pd.DataFrame({"unique_id": 1, "ds": np.arange(2 * L), "y": np.arange(2.0 * L), "kind": np.arange(2 * L) % 3 + 1})
    ours = NeuralForecast([model], freq=1)
    ours.fitted_freq = 1
    futr = pd.DataFrame({"unique_id": 1, "ds": 2 * L + np.arange(H), "kind": [1, 2, 3, 3]})
    found = ours.predict(df, futr_df=futr)
    kind = np.append(df["kind"].to_numpy()[-L:], futr["kind"]).astype(np.float32)
    batch = {"insample_y": df["y"].to_numpy(np.float32)[-L:].reshape(1, L, 1), "futr_exog": kind.reshape(1, -1, 1)}
    np.testing.assert_allclose(found["MLP"], get_model("MLP").forecast(model, batch)[0, :, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="without a vocabulary"):
        ours.predict(df.assign(kind="x"), futr_df=futr)
