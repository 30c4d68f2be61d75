"""PatchTST's pretraining: what is hidden and counted, what it learns, and refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small import shaken

import ndiv
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError
from ndiv.models import get_model
from ndiv.models.transformers.pretraining import PatchFilling

H, L, B, SIZE = 3, 14, 64, 4


def make(**options):
    return get_model("PatchTST")(**{"h": H, "input_size": L, "encoder_layers": 2, "n_heads": 2, "hidden_size": 8,
                                    "linear_hidden_size": 12, "patch_len": SIZE, "stride": SIZE, "dropout": 0.0, "fc_dropout": 0.0,
                                    **options})


def batch(seed=0, gaps=True):
    draw = np.random.default_rng(seed)
    mask = (draw.random((B, L, 1)) < (0.8 if gaps else 2.0)).astype(np.float32)
    return {"insample_y": (draw.normal(size=(B, L, 1)) * 2 + 5).astype(np.float32) * mask, "insample_mask": mask,
            "outsample_y": np.zeros((B, H, 1), np.float32)}


def store(n, rows, seed=0):
    draw = np.random.default_rng(seed)
    waves = [np.sin(np.arange(rows) / draw.uniform(2, 6) + draw.uniform(0, 6)) + 0.05 * draw.normal(size=rows) for _ in range(n)]
    return SeriesStore.from_arrays_list(waves)


@pytest.mark.parametrize("ratio", [0.2, 0.4, 0.7])
@pytest.mark.parametrize("gaps", [True, False])
def test_what_is_hidden_and_what_is_counted(ratio, gaps, monkeypatch):
    # the trained bias of RevIN tells a missing value from a hidden one
    m, data = PatchFilling.beside(shaken(make(revin_affine=True)), ratio, None), batch(gaps=gaps)
    if not gaps:
        del data["insample_mask"]
    given = {}
    encode = PatchFilling.encode

    def watched(self, patches):
        given["patches"] = patches.numpy()
        given["features"] = encode(self, patches)
        return given["features"]

    monkeypatch.setattr(PatchFilling, "encode", watched)
    with ndiv.random.fork(0):
        loss = float(m.compute_loss(data).numpy())
    patches = m.patches(m.scale(data)[0]).numpy()  # 3 patches and a half of one, and copies of the last value behind it
    assert patches.shape == (B, 4, SIZE)
    hidden = (given["patches"] == 0).all(axis=2)
    np.testing.assert_array_equal(given["patches"][~hidden], patches[~hidden])
    assert abs(hidden.mean() - ratio) < 3 * (ratio * (1 - ratio) / hidden.size) ** 0.5  # three standard deviations
    counted = np.repeat(hidden, SIZE, axis=1)[:, :L] * (data["insample_mask"][..., 0] if gaps else 1)
    found = m.head(given["features"]).numpy().reshape(B, -1)[:, :L]
    wrong = (found - patches.reshape(B, -1)[:, :L]) ** 2
    assert loss == pytest.approx((wrong * counted).sum() / counted.sum(), rel=1e-4)


def test_what_is_to_be_filled_in_is_no_way_to_a_lower_loss():
    """Else the trained weight of RevIN would go to 0, and the loss with it."""
    m = PatchFilling.beside(make(revin_affine=True), 0.4, None)
    for p in m.head.parameters():
        p.data = np.zeros_like(p.data)
    loss = m.compute_loss(batch())
    loss.backward()
    assert loss.numpy() > 0.5 and all(p.grad is None or not p.grad.numpy().any() for p in m.norm.parameters())


def test_what_is_missing_does_not_matter():
    m, data = PatchFilling.beside(make(), 0.4, None), batch()
    other = {**data, "insample_y": np.where(data["insample_mask"] > 0, data["insample_y"], np.float32(np.nan))}
    values = []
    for found in (data, other):
        with ndiv.random.fork(3):
            values.append(float(m.compute_loss(found).numpy()))
    assert values[0] == values[1]
    nothing = {**data, "insample_mask": np.zeros_like(data["insample_mask"])}
    assert float(m.compute_loss(nothing).numpy()) == 0


@pytest.mark.parametrize("fc_dropout", [0.0, 0.3])
def test_a_plan_hides_the_same_patches(fc_dropout):
    losses = []
    for fast in (True, False):
        m = PatchFilling.beside(make(fc_dropout=fc_dropout, dropout=fc_dropout), 0.4, None)
        if not fast:
            m.__dict__["_compiled"] = lambda batch: None
        ndiv.manual_seed(0)
        losses.append([m.train_step(batch()) for _ in range(4)])
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_encoder_learns_and_the_head_of_the_forecast_stays():
    m = make(learning_rate=3e-3, max_steps=250, windows_batch_size=64)
    before = m.state_dict()
    assert m.pretrain(store(20, 60), verbose=False) is m
    after, losses = m.state_dict(), m.pretrain_trajectories
    assert len(losses) == 250 and np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])
    assert [k for k in before if np.array_equal(before[k], after[k])] == ["head.weight", "head.bias"]
    assert not m.fitted and m.train_trajectories == [] and m.arguments["max_steps"] == 250
    again = make(learning_rate=3e-3, max_steps=250, windows_batch_size=64).pretrain(store(20, 60), verbose=False)
    assert all(np.array_equal(v, after[k]) for k, v in again.state_dict().items())
    first = np.mean(m.pretrain(store(20, 60), max_steps=5, verbose=False).pretrain_trajectories)
    assert first < 0.6 * losses[0]  # it goes on from there
    m.reset()
    assert m.pretrain_trajectories == [] and all(np.array_equal(v, before[k]) for k, v in m.state_dict().items())


def test_hidden_patches_of_other_series_are_filled_in():
    """With less than a third of the error of the level, 0, which is what stands in their place."""
    reader = PatchFilling.beside(make(learning_rate=3e-3, windows_batch_size=64, max_steps=400), 0.4, None)
    reader.fit_store(store(30, 60), verbose=False)
    windows = np.lib.stride_tricks.sliding_window_view(store(6, 60, seed=2).y.reshape(-1, 60), L, axis=1).reshape(-1, L, 1)
    data, reader = {"insample_y": windows}, reader.eval()
    with ndiv.random.fork(1):
        filled = float(reader.compute_loss(data).numpy())
    for p in reader.head.parameters():
        p.data = np.zeros_like(p.data)
    with ndiv.random.fork(1):  # hides the same patches
        level = float(reader.compute_loss(data).numpy())
    assert filled < level / 3, (filled, level)


def test_frames():
    df = pd.DataFrame({"unique_id": "a", "ds": pd.date_range("2020-01-01", periods=50), "y": np.sin(np.arange(50.0))})
    m = make(max_steps=3).pretrain(df, "D", verbose=False)
    assert len(m.pretrain_trajectories) == 3 and m.fit(df, "D", verbose=False).predict().shape == (H, 3)


@pytest.mark.parametrize(("options", "ratio", "text"), [
    ({"stride": 2}, 0.4, "overlap"), ({"input_size": 4}, 0.4, "is one patch"), ({}, 0.0, "mask_ratio"), ({}, 1.0, "mask_ratio"),
    ({}, True, "mask_ratio"), ({}, "half", "mask_ratio")])
def test_refusals(options, ratio, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options).pretrain(store(2, 40), mask_ratio=ratio)
    assert error.value.code == "E0010"
