"""Models on arrays of windows: the same steps as on series, several targets, weights, validation, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from small import small

from ndiv.data import SeriesStore, WindowIndex
from ndiv.errors import ConfigError, DataError, EmptyDataError, FeatureError, NotFittedError, ShapeError
from ndiv.models import get_model

H, L = 3, 8


def make(name="MLP", **options):
    return get_model(name)(**{"h": H, "input_size": L, **small(name), "max_steps": 4, "val_check_steps": 2, **options})


def windows(n=20, channels=1, seed=0):
    draw = np.random.default_rng(seed)
    t = draw.uniform(0, 20, (n, 1, channels)) + np.arange(L + H)[:, None] / 3
    z = np.sin(t) + 0.1 * draw.normal(size=t.shape)
    return z[:, :L], z[:, L:]


def test_windows_of_a_series_train_the_model_as_the_series_does():
    store = SeriesStore.from_arrays_list([np.sin(np.arange(40.0) / 3)])
    index = WindowIndex(store, L, H, partial_horizon=True)
    cut = index.gather(np.arange(len(index)))
    y = np.where(cut["outsample_mask"] > 0, cut["outsample_y"], np.nan)
    a, b = make().fit_store(store, verbose=False), make().fit_arrays(cut["insample_y"], y, verbose=False)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())
    np.testing.assert_array_equal(b.predict_arrays(store.y[None, -L:]), a.predict_store(store)[:, :, 0].astype(np.float32))


def test_several_targets_and_missing_values():
    X, y = windows(channels=2)
    X[0, 2, 1] = y[3, 1, 0] = np.nan
    m = make("TSMixer", windows_batch_size=7).fit_arrays(X, y, verbose=False)
    assert m.n_series == 2 and m.predict_arrays(X).shape == (20, H, 2) and np.isfinite(m.predict_arrays(X)).all()
    assert len({float(v) for v in m.train_trajectories}) == 4  # seven windows a step, others each time
    again = make("TSMixer", windows_batch_size=7).fit_arrays(X, y, verbose=False)
    assert again.train_trajectories == m.train_trajectories


def test_weights_validation_and_covariates():
    X, y = windows()
    some = np.r_[np.ones(12), np.zeros(8)]
    a = make().fit_arrays(X, y, sample_weight=some, validation=windows(5, seed=1), verbose=False)
    b = make().fit_arrays(X[:12], y[:12], verbose=False)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-4, atol=1e-6)
    assert all(r["valid_loss"] > 0 for r in a.history)
    m, futr = make(futr_exog_list=["f"]), np.random.default_rng(2).normal(size=(20, L + H, 1))
    m.fit_arrays(X, y, futr_exog=futr, verbose=False)
    assert not np.allclose(m.predict_arrays(X, futr_exog=futr), m.predict_arrays(X, futr_exog=futr + 1))
    before = m.state_dict()
    m.fit_arrays(X, y, futr_exog=futr, freeze="mlp*", max_steps=1, verbose=False)
    assert (m.state_dict()["mlp.0.weight"] == before["mlp.0.weight"]).all() and len(m.train_trajectories) == 1


@pytest.mark.parametrize(("change", "kind", "text"), [
    ({"X": np.zeros((4, 5))}, ShapeError, r"X has shape \[4, 5\]"), ({"y": np.zeros((20, 2))}, ShapeError, "y has shape"),
    ({"y": np.zeros((4, H))}, ShapeError, "X has shape"), ({"X": np.zeros((0, L)), "y": np.zeros((0, H))}, EmptyDataError, "no windows"),
    ({"y": np.full((20, H), np.inf)}, DataError, "infinite"), ({"sample_weight": -np.ones(20)}, DataError, "at least 0"),
    ({"sample_weight": np.zeros(20)}, DataError, "nothing would be learned"), ({"hist": np.zeros(3)}, ConfigError, "unknown array"),
    ({"model": make(futr_exog_list=["f"])}, FeatureError, "futr_exog"),
    ({"model": make(early_stop_patience_steps=1)}, ConfigError, "validation")])
def test_what_does_not_fit_is_refused(change, kind, text):
    X, y = windows()
    options = {"X": X, "y": y, **change}
    with pytest.raises(kind, match=text):
        options.pop("model", make()).fit_arrays(**options, verbose=False)
    with pytest.raises(NotFittedError):
        make().predict_arrays(X)
