"""Attributions on arrays: every model can be explained, and gradients of quantiles are those of the quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import small as sizes

from ndiv import losses
from ndiv.errors import ConfigError
from ndiv.explain import attribute
from ndiv.explain.function import Explained
from ndiv.models import get_model, list_models

H, LENGTH = 3, 8
CHOOSE = {"Autoformer", "Informer", "TimesNet"}  # delays, queries, periods: the forecast jumps where another one is chosen


def made(name: str, **options: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """A model with random weights that reads every kind of covariate that it can, and two windows with missing values."""
    cls = get_model(name)
    if cls.EXOGENOUS_FUTR:
        options |= {"futr_exog_list": ["f", "c"], "cat_exog_list": ["c"], "categorical_cardinalities": {"c": 3}}
    if cls.EXOGENOUS_HIST:
        options["hist_exog_list"] = ["x"]
    if cls.EXOGENOUS_STAT:
        options["stat_exog_list"] = ["s"]
    if cls.MULTIVARIATE:
        options["n_series"] = 2
    model = sizes.shaken(cls(h=H, input_size=LENGTH, **{**sizes.LIGHT.get(name, {}), **sizes.small(name, 8)}, **options))
    draw = np.random.default_rng(0)
    n = model.n_series if model.MULTIVARIATE else 1
    batch = {"insample_y": draw.normal(5, 2, (2, LENGTH, n)), "insample_mask": np.ones((2, LENGTH, n))}
    batch["insample_mask"][0, :2] = 0
    for kind, steps in (("hist", LENGTH), ("futr", LENGTH + H)):
        names = getattr(model, f"{kind}_exog_list")
        if names:
            values = [draw.integers(1, 4, (2, steps, n)) if k == "c" else draw.normal(size=(2, steps, n)) for k in names]
            batch[f"{kind}_exog"] = np.stack(values, axis=1) if model.MULTIVARIATE else np.concatenate(values, axis=2)
    if model.stat_exog_list:
        batch["stat_exog"] = draw.normal(size=(n if model.MULTIVARIATE else 2, 1))
    return model, {k: v.astype(np.float32) for k, v in batch.items()}


CASES = [*((name, "paper") for name in list_models()), ("GRU", "compat"), ("StemGNN", "compat"), ("TimesNet", "compat")]


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_model_can_be_explained(name: str, variant: str) -> None:
    model, batch = made(name, variant=variant)
    found = attribute(model, batch, "shapley", n_samples=1, steps=[1])
    size = np.abs(found.forecast).max()
    assert np.abs(found.gap).max() < 1e-5 * size
    if not getattr(model, "sampled", False):
        each = [{k: v if k == "stat_exog" and model.MULTIVARIATE else v[w:w + 1] for k, v in batch.items()} for w in range(2)]
        forecast = np.concatenate([model._forecast(one, 1)[:, 1:2, :, :1] for one in each])
        np.testing.assert_allclose(found.forecast, forecast, rtol=1e-4, atol=1e-5 * size)
    whole = attribute(model, batch, steps=[1], n_steps=12)
    assert set(whole.values) == {k for k in batch if k != "insample_mask"}
    assert (whole.values["insample_y"][0, ..., :2, :] == 0).all(), "a missing value owes nothing"
    gross = sum(np.abs(v).sum() for v in whole.values.values())
    assert gross > 0
    if name not in CHOOSE:
        # what 12 points miss at the kinks of ReLU and where forecasts turn sharply
        assert np.abs(whole.gap).max() < 0.25 * gross


QUANTILES = {"Normal": losses.DistributionLoss("Normal", level=[80], return_params=True), "GMM": losses.GMM(2, level=[80]),
             "Gamma": losses.DistributionLoss("Gamma", level=[80]), "quantiles": losses.MQLoss(level=[80])}


@pytest.mark.parametrize("loss", QUANTILES)
def test_gradients_of_every_output(loss: str) -> None:
    model, batch = made("TiDE", loss=QUANTILES[loss], scaler_type="standard")
    outputs = range(len(model.output_names))
    y = batch["insample_y"][1, -1, 0]
    slopes = []
    step = 1e-2
    loc, scale = (v[1, 0, 0] for v in model.scale(batch)[1:])
    base = attribute(model, batch, "input_x_gradient", outputs=outputs, baseline="zero")
    explained = Explained(model, {k: v[1:] for k, v in batch.items()}, list(range(H)), list(outputs), None, "zero")
    for sign in (1, -1):
        moved = {k: v.copy() for k, v in explained.x.items()}
        moved["insample_y"][0, -1, 0] += sign * step
        slopes.append(explained.values(moved, np.zeros(1, np.int64)))
    slope = (slopes[0] - slopes[1])[0, :, 0] / (2 * step)  # by the scaled value, [h, outputs]
    z, zero = (y - loc) / scale, -loc / scale
    np.testing.assert_allclose(base.values["insample_y"][1, :, 0, :, -1, 0], slope * (z - zero), rtol=0.02,
                               atol=2e-3 * np.abs(slope).max() * abs(z - zero))


def test_bad_requests_are_refused() -> None:
    model, batch = made("MLP")
    with pytest.raises(ConfigError, match="unknown method"):
        attribute(model, batch, "gradients")
    with pytest.raises(ConfigError, match="n_steps"):
        attribute(model, batch, n_steps=0)
