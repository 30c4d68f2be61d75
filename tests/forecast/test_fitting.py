"""Options of fit: weights of rows, frozen parameters, fine-tuning, a validation frame, going back from NaN; history; limits."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from small import small

import ndiv
from ndiv import NeuralForecast
from ndiv.data.weights import decaying
from ndiv.errors import ConfigError, DataError, FeatureError, HorizonError, NonFiniteError
from ndiv.models import get_model

H, L = 3, 8


def model(name="MLP", **options):
    return get_model(name)(**{"h": H, "input_size": L, **small(name), "max_steps": 4, "val_check_steps": 2, **options})


def table(rows=40, ids="ab", **columns):
    draw = np.random.default_rng(0)
    n = rows * len(ids)
    return pd.DataFrame({"unique_id": np.repeat(list(ids), rows), "ds": np.tile(np.arange(rows), len(ids)),
                         "y": np.sin(np.arange(n) / 3) + 0.1 * draw.normal(size=n), **columns})


def weights(m):
    return {name: p.numpy().copy() for name, p in m.named_parameters()}


def fitted(df, *models, local=None, **options):
    return NeuralForecast(list(models) or [model()], 1, local).fit(df, verbose=False, **options)


# -- weights of rows -------------------------------------------------------------------------------------------------


def test_equal_weights_are_no_weights_and_a_weight_of_zero_leaves_out(like):
    plain, equal, one, alone = (fitted(like(df)).predict(like(table(ids="a")))["MLP"].to_numpy() for df in (
        table(), table(sample_weight=np.full(80, 2.5)), table(sample_weight=np.repeat([1.0, 0.0], 40)), table(ids="a")))
    np.testing.assert_allclose(equal, plain, rtol=1e-4)
    np.testing.assert_allclose(one, alone, rtol=1e-4)
    assert not np.allclose(one, plain, rtol=1e-3)


def test_a_window_weighs_the_mean_of_its_horizon():
    from ndiv.data import gather
    from ndiv.forecast.reading import ColumnNames, read_store

    none = {"hist": [], "futr": [], "stat": [], "cat": []}
    shuffled = np.random.default_rng(1).permutation(12)
    rows = {"ds": shuffled, "y": shuffled * 1.0, "w": shuffled * 10.0}
    store = read_store(rows, 1, ColumnNames(), none, weight="w")
    assert store.weight.tolist() == [10.0 * k for k in range(12)]
    found = gather(store, [0, 0, 0], [0, 5, 7], 4, 3, hi=[12, 11, 12])["sample_weight"]
    assert found[:, 0, 0].tolist() == [50.0, 95.0, 110.0]  # rows 4-6; 9 and 10 before hi; 11, the last one there is
    assert store.select([0]).tail(2).weight.tolist() == [100.0, 110.0]
    arrays, meta = store.to_arrays()
    assert type(store).from_arrays(arrays, meta).weight.tolist() == store.weight.tolist()


@pytest.mark.parametrize("name", ["NHITS", "LSTM", "DeepAR", "TSMixer", "Transformer"])
def test_what_weighs_nothing_does_not_count(name):
    """The loss of windows of which some weigh 0 is that of the others: one of each way in which models see their targets."""
    options = {"decoding": "autoregressive"} if name == "Transformer" else {"recurrent": True} if name == "LSTM" else {}
    m = model(name, scaler_type="standard", **options)
    m.eval()
    y = np.random.default_rng(2).normal(5, 2, (6, L + H, 1)).astype(np.float32)
    mask = np.ones_like(y)
    mask[:, [3, L + 1]] = 0
    data = {"insample_y": y[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:]}
    some = np.array([1, 0, 1, 0, 0, 1], np.float32)
    with ndiv.random.fork(1):
        found = float(m.compute_loss({**data, "sample_weight": 2 * some[:, None, None]}).data)
    with ndiv.random.fork(1):
        wanted = float(m.compute_loss({k: v[some > 0] for k, v in data.items()}).data)
    assert found == pytest.approx(wanted, rel=1e-5)
    assert m.validation_loss([{**data, "sample_weight": some[:, None, None]}]) == pytest.approx(
        m.validation_loss([{k: v[some > 0] for k, v in data.items()}]), rel=1e-5)


def test_weights_that_fall_with_age(like):
    np.testing.assert_allclose(decaying("exponential:0.5", np.array([3, 1])), [0.25, 0.5, 1, 1])
    found = fitted(like(table()), sample_weight="exponential:0.9")
    assert found.dataset.weight[39] == found.dataset.weight[79] == 1.0 and found.dataset.weight[0] == pytest.approx(0.9**39)
    ruled = weights(found.models[0])
    column = fitted(like(table(w=np.tile(0.9 ** np.arange(39.0, -1, -1), 2))), sample_weight="w")
    np.testing.assert_allclose(weights(column.models[0])["out.weight"], ruled["out.weight"], rtol=1e-4, atol=1e-6)
    found.fit(sample_weight="linear", verbose=False)  # of the series of before
    assert found.dataset.weight.min() == pytest.approx(1 / 40)


@pytest.mark.parametrize(("changes", "options", "kind", "text"), [
    ({"sample_weight": np.r_[-1.0, np.ones(79)]}, {}, DataError, r"1 negative values .*a at 0"),
    ({"sample_weight": np.r_[np.nan, np.ones(79)]}, {}, DataError, "missing or infinite"),
    ({"sample_weight": np.zeros(80)}, {}, DataError, "nothing would be learned"),
    ({"w": np.tile(np.arange(40.0) > 30, 2)}, {"sample_weight": "w", "val_size": 9}, DataError, "weight of the training rows is 0"),
    ({}, {"sample_weight": "w"}, FeatureError, "no weight column 'w'"),
    ({}, {"sample_weight": "exponential:1.5"}, ConfigError, "is no rule"), ({}, {"sample_weight": 2}, ConfigError, "sample_weight must"),
    ({}, {"freeze": "encoder*"}, ConfigError, "names no parameter"), ({}, {"freeze": "*"}, ConfigError, "nothing to train"),
    ({}, {"freeze": [1]}, ConfigError, "name pattern"), ({}, {"max_steps": 2.5}, ConfigError, "max_steps"),
    ({}, {"learning_rate": -1.0}, ConfigError, "learning_rate"), ({}, {"on_nan": "skip"}, ConfigError, "on_nan"),
    ({}, {"val_df": table(), "val_size": 9}, ConfigError, "exclude one another"),
    ({}, {"val_df": table(5)}, HorizonError, "no windows"), ({}, {"val_df": table().drop(columns="y")}, FeatureError, "'y'")])
def test_what_cannot_be_is_refused(changes, options, kind, text, like):
    options = {k: like(v) if k == "val_df" else v for k, v in options.items()}
    with pytest.raises(kind, match=text):
        fitted(like(table(**changes)), **options)


# -- going on ---------------------------------------------------------------------------------------------------------


def test_a_warm_start_goes_on_and_a_fresh_one_begins_anew():
    df = table()
    nf = fitted(df)
    first = weights(nf.models[0])
    nf.fit(df, verbose=False)
    assert nf.models[0].optimizer.counts[0] == 8
    nf.fit(df, warm_start=False, verbose=False)
    again = weights(nf.models[0])
    nf.fit(df, use_init_models=True, verbose=False)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        np.testing.assert_array_equal(values, weights(nf.models[0])[name])
    nf.fit(df, reset_optimizer=True, max_steps=2, verbose=False)
    assert nf.models[0].optimizer.counts[0] == 2


@pytest.mark.parametrize("batches", [1, 2])
def test_frozen_parameters_keep_their_bits(batches):
    """In compiled steps, of one batch or several, and op by op; the others move as if the frozen ones were constants."""
    df, runs = table(), []
    for compiled in (True, False):
        nf = fitted(df, model(accumulate_grad_batches=batches, gradient_clip_val=0.1))
        m, before = nf.models[0], weights(nf.models[0])
        if not compiled:
            m.__dict__["_compiled"] = lambda batch: None
        nf.fit(df, freeze=["mlp.0*", "*.bias"], learning_rate=0.01, max_steps=3, verbose=False)
        after = weights(m)
        assert [n for n in after if (after[n] == before[n]).all()] == ["mlp.0.weight", "mlp.0.bias", "mlp.1.bias", "out.bias"]
        assert not compiled or ndiv.backends.current() != "native" or (m._step.cache and not m._step.reason)
        assert m.base_lr == m.optimizer.lr == 1e-3 and m.arguments["max_steps"] == 4 and len(m.train_trajectories) == 3
        assert all(p.grad is None for n, p in m.named_parameters() if n in m.frozen)
        runs.append(after)
        nf.fit(df, max_steps=1, verbose=False)
        assert not m.frozen and all((weights(m)[n] != after[n]).any() for n in after)
    for name, values in runs[0].items():
        np.testing.assert_allclose(values, runs[1][name], rtol=1e-5, atol=1e-6)


def test_fine_tuning_on_new_series_of_another_size():
    """Each series in its own units: what is learned of small ones serves large ones, and tuning on those goes on from there."""
    nf = fitted(table(80), model(max_steps=60), local="standard")
    new = table(80, "c")
    new["y"] = 1000 + 50 * np.sin(np.arange(80) / 3)
    found = nf.predict(new)["MLP"].to_numpy()
    assert np.abs(found - (1000 + 50 * np.sin(np.arange(80, 83) / 3))).max() < 40
    before = weights(nf.models[0])
    nf.fit(new, max_steps=1, learning_rate=1e-4, reset_optimizer=True, verbose=False)
    moved = max(np.abs(before[n] - v).max() for n, v in weights(nf.models[0]).items())
    assert 0 < moved <= 1.01e-4  # one step of Adam from the weights of before
    assert nf.scaler.ids.tolist() == ["c"] and nf.predict()["unique_id"].to_list() == ["c"] * 3


def test_models_take_the_same_options():
    m = model().fit(table(), 1, verbose=False)
    before = weights(m)
    m.partial_fit(table(sample_weight=np.arange(80.0)), max_steps=2, freeze="mlp*", verbose=False)
    assert len(m.train_trajectories) == 6 and (weights(m)["mlp.0.weight"] == before["mlp.0.weight"]).all()
    assert m.history_["step"].tolist() == [2, 4, 6]


# -- validation, history -------------------------------------------------------------------------------------------


def test_a_frame_to_validate_on(like):
    later = table(20)
    later["ds"] = later["ds"] + 100
    m = model(early_stop_patience_steps=1, max_steps=40)
    nf = fitted(like(table()), m, local="standard", val_df=like(later))
    assert m.validation_loss(_windows(nf, like(later))) == pytest.approx(min(r["valid_loss"] for r in m.history), rel=1e-5)
    panel = model("TSMixer")
    fitted(like(table()), panel, val_df=like(later.iloc[::-1]))
    assert np.isfinite(panel.history_["valid_loss"]).all()
    with pytest.raises(DataError, match="different series: c"):
        fitted(like(table()), model("TSMixer"), val_df=like(table(20, "abc")))


def _windows(nf, df):
    from ndiv.data import SequentialLoader, from_frame

    return SequentialLoader(nf.scaler.transform(from_frame(df, 1)), L, H).batches()


def test_history_is_a_frame_and_is_saved(like, tmp_path):
    nf = fitted(like(table()), model(alias="mine"), model("NLinear"), val_size=6)
    assert list(nf.history_.columns) == ["model", "step", "train_loss", "valid_loss", "lr", "seconds"]
    assert type(nf.history_).__module__.split(".")[0] == type(like(table())).__module__.split(".")[0]
    assert nf.history_["model"].to_list() == ["mine"] * 2 + ["NLinear"] * 2 and nf.history_["step"].to_list() == [2, 4] * 2
    assert (nf.history_["valid_loss"] > 0).all()
    nf.save(tmp_path / "m")
    assert NeuralForecast.load(tmp_path / "m").history_["train_loss"].to_list() == nf.history_["train_loss"].to_list()
    without = fitted(like(table())).history_["valid_loss"]
    assert (without.is_null() if hasattr(without, "is_null") else without.isna()).all()


# -- going back -----------------------------------------------------------------------------------------------------


def test_a_rate_that_is_too_high_is_halved_until_training_holds():
    df = table()
    df["y"] = df["y"] * 1e18  # squared it is near the end of float32, and a step of 1e15 leads past it
    options = dict(loss="MSE", optimizer="SGD", learning_rate=1e-37, max_steps=20, scaler_type="identity")
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(NonFiniteError, match="not finite at step"):
        fitted(df, model("NLinear", **{**options, "learning_rate": 1.0}))  # op by op NumPy would say that it overflows
    m = model("NLinear", **{**options, "learning_rate": 1.0})
    with warnings.catch_warnings(record=True) as said, pytest.raises(NonFiniteError):
        warnings.simplefilter("always")
        fitted(df, m, on_nan="rollback")
    text = [str(w.message) for w in said if "half the rate" in str(w.message)]
    assert len(text) == 8 and "goes on from step 0" in text[0]  # and the ninth raises
    assert all(np.isfinite(v).all() for v in weights(m).values()) and m.optimizer.lr == 1.0


def test_after_a_rollback_training_ends_well():
    m, bad = model(max_steps=6), []
    step = m.train_step

    def broken_once(batch):
        loss = step(batch)
        if len(m.optimizer.counts) and m.optimizer.counts[0] == 4 and not bad:
            bad.append(m.optimizer.lr)
            return float("nan")
        return loss

    m.__dict__["train_step"] = broken_once
    with pytest.warns(UserWarning, match="not finite at step 3 .*from step 2 with half the rate"):
        fitted(table(), m, on_nan="rollback")
    assert len(m.train_trajectories) == 6 and np.isfinite(m.train_trajectories).all()
    assert [r["lr"] for r in m.history] == [1e-3, 5e-4, 5e-4] and m.optimizer.lr == 1e-3 and m.optimizer.counts[0] == 6


# -- limits -----------------------------------------------------------------------------------------


def test_forecasts_within_limits(like):
    df = like(table())
    nf = fitted(df)
    free, kept = nf.predict()["MLP"].to_numpy(), nf.predict(clip=(None, 0.0))["MLP"].to_numpy()
    np.testing.assert_array_equal(kept, np.minimum(free, 0.0))
    found = nf.cross_validation(df, n_windows=2, clip=(0.1, 0.2), verbose=False)["MLP"].to_numpy()
    assert found.min() >= 0.1 and found.max() <= 0.2
    assert (nf.cross_validation(df, clip=(5, None), use_fitted=True)["MLP"].to_numpy() == 5).all()
    for clip in ((1, 0), 3, (1,), ("a", None), (float("nan"), None)):
        with pytest.raises(ConfigError, match="clip"):
            nf.predict(clip=clip)
