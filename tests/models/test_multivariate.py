"""What every multivariate model must do with several series: see all, keep their order and units, refuse other ones."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from small import sampled

import ndiv
from ndiv import NeuralForecast, losses
from ndiv.autograd import no_grad
from ndiv.data.store import SeriesStore
from ndiv.data.windows import SequentialLoader, gather, stack_series
from ndiv.errors import ConfigError, DataError, FeatureError, FileError, HorizonError, ShapeError
from ndiv.models import get_model, list_models
from ndiv.program.forward import arrays_of
from ndiv.verify.model import verify

H, L, N, B = 3, 10, 3, 8
SMALL = {"MLPMultivariate": {"hidden_size": 12}, "TSMixer": {"ff_dim": 6, "dropout": 0.0},
         "iTransformer": {"hidden_size": 12, "n_heads": 2, "e_layers": 1, "d_ff": 12, "dropout": 0.0},
         "StemGNN": {"multi_layer": 1, "dropout_rate": 0.0}}
EXOG = {"futr_exog_list": ["f"], "hist_exog_list": ["p", "q"], "stat_exog_list": ["s"]}
MODELS = [n for n in list_models() if get_model(n).MULTIVARIATE]
WITH_EXOG = [n for n in MODELS if get_model(n).EXOGENOUS_FUTR]
LOSSES = {"MAE": losses.MAE, "MQLoss": lambda: losses.MQLoss(level=[80]), "Normal": lambda: losses.DistributionLoss("Normal", level=[80]),
          "GMM": lambda: losses.GMM(n_components=2, level=[80])}


def exog_of(name):
    """The covariates of `EXOG` that the model takes."""
    return {key: names for key, names in EXOG.items() if getattr(get_model(name), f"EXOGENOUS_{key[:4].upper()}")}


def make(name, **options):
    return get_model(name)(**{"h": H, "input_size": L, **SMALL.get(name, {}), **options})


def batch(b=B, seed=0, exog=False, missing=True, n=N):
    draw = np.random.default_rng(seed)
    y = 5 + 2 * np.arange(n) + np.sin(draw.uniform(0, 20, (b, 1, n)) + np.arange(L + H)[:, None]) + 0.1 * draw.normal(size=(b, L + H, n))
    mask = (draw.random(y.shape) < (0.8 if missing else 2.0)).astype(np.float32)
    y = (y * mask).astype(np.float32)
    out = {"insample_y": y[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:]}
    if exog:
        shapes = {"futr_exog": (b, 1, L + H, n), "hist_exog": (b, 2, L, n), "stat_exog": (n, 1)}
        out |= {k: draw.normal(size=s).astype(np.float32) for k, s in shapes.items()}
    return out


def frame(lengths=(40, 36, 20), ids="abc", rows=40, seed=0):
    draw, parts = np.random.default_rng(seed), []
    for k, (name, n) in enumerate(zip(ids, lengths, strict=True)):
        y = 10.0 * (k + 1) + np.sin(np.arange(rows) / 3 + k) + 0.1 * draw.normal(size=rows)
        times = pd.date_range("2020-01-01", periods=rows)
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "y": y}).iloc[rows - n:])
    return pd.concat(parts, ignore_index=True)


def store(lengths=(40, 36, 20), ids="abc"):
    draw = np.random.default_rng(1)
    ends = [np.sin(np.arange(40) / 3 + k)[40 - n:] + 0.1 * draw.normal(size=n) + 5 * k for k, n in enumerate(lengths)]
    found = SeriesStore.from_arrays_list(ends, ids=np.array(list(ids), object))
    found.times = np.concatenate([np.arange(40 - n, 40) for n in lengths])  # all end together
    return found


# -- how many series -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_number_of_series_is_found_at_fit(name):
    m = make(name, max_steps=4)
    assert m.n_series == 1 and m.arguments["n_series"] is None
    m.fit_store(store(), verbose=False)
    told = make(name, max_steps=4, n_series=N).fit_store(store(), verbose=False)
    assert m.n_series == N and m.series_ids.tolist() == ["a", "b", "c"] and m.config() == told.config()
    for a, b in zip(m.parameters(), told.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(m.predict_store(store()), told.predict_store(store()))
    m.reset()
    assert m.n_series == 1 and m.series_ids is None and not m.fitted
    assert m.fit_store(store((30, 30), "xy"), verbose=False).predict_store(store((30, 30), "xy")).shape == (2, H, 1)
    told.reset()
    assert told.n_series == N


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "7"])
def test_bad_numbers_of_series(name, value):
    with pytest.raises(ConfigError, match="n_series must be") as error:
        make(name, n_series=value)
    assert error.value.code == "E0010"


@pytest.mark.parametrize("name", MODELS)
def test_another_number_of_series_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=r"n_series=2, and there are 3: a, b, c") as error:
        make(name, n_series=2).fit_store(store(), verbose=False)
    assert error.value.code == "E0010" and "n_series=3" in error.value.hint
    with pytest.raises(ConfigError, match=r"there are 9: a, b, c, d, e and 4 more"):
        make(name, n_series=2).fit_store(store((40,) * 9, "abcdefghi"), verbose=False)
    with pytest.raises(ShapeError, match="made for 2 series and insample_y has 3"):
        make(name, n_series=2).forward(batch())


@pytest.mark.parametrize("name", MODELS)
def test_unknown_and_missing_series_are_refused_by_name(name):
    nf = NeuralForecast([make(name, max_steps=2)], "D").fit(frame(), verbose=False)
    with pytest.raises(DataError, match=r"not trained on 1 of these series: z") as error:
        nf.predict(frame(ids="abz"))
    assert error.value.code == "E0011"
    with pytest.raises(DataError, match=r"trained on 3 series, and 1 of them are missing: b"):
        nf.predict(frame((40, 40), "ac"))
    with pytest.raises(DataError, match=r"not trained on 2 of these series: y, z"):
        nf.fit(frame(ids="ayz"), verbose=False)
    assert nf.fit(frame(ids="xyz"), use_init_models=True, verbose=False).predict()["unique_id"].unique().tolist() == ["x", "y", "z"]


def test_series_that_end_at_other_times_are_told():
    late = frame().query("unique_id != 'b' or ds < '2020-02-05'")
    with pytest.warns(UserWarning, match=r"1 series end before the others \(b\); they are aligned on their last rows"):
        NeuralForecast([make("MLPMultivariate", max_steps=1)], "D").fit(late, verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make("MLPMultivariate", max_steps=1).fit_store(store(), verbose=False)


def test_only_the_longest_series_must_be_long_enough():
    m = make("MLPMultivariate", max_steps=3).fit_store(store((40, 2, 1)), verbose=False)
    assert np.isfinite(m.predict_store(store((40, 2, 1)))).all()
    with pytest.raises(HorizonError, match=r"shorter than input_size=10"):
        make("MLPMultivariate").fit_store(store((10, 2, 1)), verbose=False)


# -- frames --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, loss", sampled(MODELS, LOSSES))
def test_frames_come_back_as_from_univariate_models(name, loss, tmp_path):
    df = frame()
    models = [make(name, max_steps=5, scaler_type="standard", loss=LOSSES[loss]()),
              get_model("NLinear")(h=H, input_size=L, max_steps=5, scaler_type="standard", loss=LOSSES[loss]())]
    nf = NeuralForecast(models, "D", "standard").fit(df, val_size=6, verbose=False)
    out = nf.predict()
    suffixes = models[0].output_names
    assert list(out.columns) == ["unique_id", "ds", *(f"{m}{s}" for m in (name, "NLinear") for s in suffixes)]
    assert out.groupby("unique_id").size().tolist() == [H] * N and np.isfinite(out.iloc[:, 2:].to_numpy()).all()
    nf.save(tmp_path / "with")
    assert NeuralForecast.load(tmp_path / "with").predict().equals(out)
    nf.save(tmp_path / "without", save_dataset=False)
    loaded = NeuralForecast.load(tmp_path / "without")
    assert loaded.predict(df.sample(frac=1, random_state=0)).equals(out)  # rows in any order
    with pytest.raises(DataError, match="missing: c"):
        loaded.predict(df[df.unique_id != "c"])
    got = NeuralForecast([make(name, max_steps=5, scaler_type="standard", loss=LOSSES[loss]())], "1d", "standard").fit(
        pl.from_pandas(df), val_size=6, verbose=False).predict()
    np.testing.assert_allclose(got[f"{name}{suffixes[-1]}"].to_numpy(), out[f"{name}{suffixes[-1]}"].to_numpy(), rtol=1e-6)


def test_a_damaged_list_of_series_is_refused(tmp_path):
    NeuralForecast([make("TSMixer", max_steps=1)], "D").fit(frame(), verbose=False).save(tmp_path / "m")
    file = tmp_path / "m" / "ndiv.json"
    text = file.read_text()
    file.write_text(text.replace('"n_series": 3', '"n_series": 2'))
    with pytest.raises(FileError):
        NeuralForecast.load(tmp_path / "m")
    file.write_text(text.replace('"model_ids"', '"other"'))
    with pytest.raises(FileError):
        NeuralForecast.load(tmp_path / "m")


@pytest.mark.parametrize("name, refit", sampled(MODELS, [False, True, 2], every=2))
def test_a_backtest_is_prediction_from_what_came_before(name, refit):
    df = frame()
    nf = NeuralForecast([make(name, max_steps=3)], "D", "standard")
    out = nf.cross_validation(df, n_windows=4, step_size=2, refit=refit, verbose=False)
    assert len(out) == N * 4 * H
    assert (out.groupby("unique_id")["y"].mean() / 10).round().tolist() == [1, 2, 3]
    if not refit:
        cutoffs = sorted(out.cutoff.unique())
        for cutoff in cutoffs:
            before = nf.predict(df[df.ds <= cutoff])
            got = out[out.cutoff == cutoff].sort_values(["unique_id", "ds"])
            np.testing.assert_allclose(got[name].to_numpy(), before[name].to_numpy(), rtol=1e-5)


@pytest.mark.parametrize("name", WITH_EXOG)
def test_covariates_of_frames_reach_their_series(name):
    df = frame()
    df["x"] = np.sin(np.arange(len(df)) / 5)
    if "hist_exog_list" in exog_of(name):
        df["p"], df["q"] = df.x * 2, df.y * 0.1
    static = pd.DataFrame({"unique_id": list("abc"), "s": [1.0, 2.0, 3.0]})
    m = make(name, max_steps=3, **{**exog_of(name), "futr_exog_list": ["x"]})
    nf = NeuralForecast([m], "D").fit(df, static, verbose=False)
    ahead = nf.make_future_dataframe().assign(x=0.5)
    base = nf.predict(futr_df=ahead)
    other = nf.predict(futr_df=ahead.assign(x=np.where(ahead.unique_id == "b", 3.0, 0.5)))
    assert not np.allclose(base[name], other[name])
    with pytest.raises(FeatureError):
        nf.predict()
    found = nf.dataset
    series = np.arange(N)
    parts = gather(found, series, found.lengths - L, L, H)
    parts["futr_exog"][:, L:] = 0.5
    np.testing.assert_allclose(base[name].to_numpy().reshape(N, H), m.forecast(stack_series(parts, N))[0].T, rtol=1e-5)


# -- windows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_shorter_series_are_aligned_on_their_last_row_and_masked(name):
    s = store((40, 36, 4))
    m = make(name, max_steps=3).fit_store(s, verbose=False)
    data = {"insample_y": np.zeros((1, L, N), np.float32), "insample_mask": np.zeros((1, L, N), np.float32)}
    for k in range(N):
        rows = s.y[s.offsets[k]:s.offsets[k + 1]][-L:]
        data["insample_y"][0, L - len(rows):, k], data["insample_mask"][0, L - len(rows):, k] = rows, 1
    np.testing.assert_allclose(m.predict_store(s)[:, :, 0].T, m.forecast(data)[0], rtol=1e-6)
    order = np.array([2, 0, 1])
    np.testing.assert_array_equal(m.predict_store(s.select(order)), m.predict_store(s)[order])
    twice = s.select(np.array([0, 0, 1, 2, 1, 2]))  # ids may repeat: two windows
    np.testing.assert_allclose(m.predict_store(twice), m.predict_store(s)[[0, 0, 1, 2, 1, 2]], rtol=1e-5)
    with pytest.raises(DataError, match="missing: b, c"):
        m.predict_store(s.select(np.array([0, 0, 1, 2])))


@pytest.mark.parametrize("name", MODELS)
def test_each_series_is_seen_by_the_others(name):
    m, data = make(name, n_series=N), batch(missing=False)
    other = {**data, "insample_y": data["insample_y"] + np.array([0, 0, 3], np.float32) * np.sin(np.arange(L, dtype=np.float32))[:, None]}
    assert (np.abs(m.forecast(data) - m.forecast(other)).max(axis=(0, 1)) > 1e-6).all()


@pytest.mark.parametrize("name", MODELS)
def test_early_stopping_restores_the_best(name):
    s = store()
    m = make(name, max_steps=40, val_check_steps=5, early_stop_patience_steps=2, learning_rate=0.05).fit_store(s, val_size=8, verbose=False)
    lo, hi = s.split(8)["val"]
    again = m.validation_loss(SequentialLoader(s, L, H, batch_size=m.arguments["inference_windows_batch_size"], lo=lo, hi=hi,
                                               panel=True).batches())
    assert again == pytest.approx(min(r["valid_loss"] for r in m.history), rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_windows_alone_and_in_company(name):
    m, data = make(name, n_series=N), batch(6)
    whole = m.forecast(data)
    for i in range(6):
        np.testing.assert_allclose(m.forecast({k: v[i:i + 1] for k, v in data.items()})[0], whole[i], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("scaler", ["standard", "robust", "minmax", "minmax1", "invariant", "revin"])
def test_missing_values_and_units(name, scaler):
    m, data = make(name, n_series=N, scaler_type=scaler), batch()
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 1e3}
    np.testing.assert_allclose(m.forecast(data), m.forecast(other), rtol=1e-4, atol=1e-4)
    if scaler != "invariant":
        factor, shift = np.array([50, 1, 7], np.float32), np.array([1000, 0, -3], np.float32)
        changed = {**data, "insample_y": (data["insample_y"] * factor + shift) * data["insample_mask"]}
        np.testing.assert_allclose(m.forecast(changed), m.forecast(data) * factor + shift, rtol=2e-3)


@pytest.mark.parametrize("name", WITH_EXOG)
def test_covariates_are_scaled_by_series_and_required(name):
    m, data = make(name, n_series=N, scaler_type="standard", **exog_of(name)), batch(exog=True)
    scaled, loc, _ = m.scale(data)
    assert loc.shape == (B, 1, N)
    for key in ("hist_exog", "futr_exog"):
        on = data["insample_mask"][:, None] > 0
        past = np.where(on, data[key][:, :, :L], np.nan)
        mean, deviation = np.nanmean(past, axis=2, keepdims=True), np.nanstd(past, axis=2, keepdims=True)
        np.testing.assert_allclose(scaled[key], (data[key] - mean) / (deviation + 1e-6), rtol=2e-3, atol=2e-4)
    base = m.forecast(data)
    for key in (names.removesuffix("_list") for names in exog_of(name)):
        assert not np.allclose(m.forecast({**data, key: data[key] ** 2}), base)
        with pytest.raises(FeatureError, match=key):
            m.forecast({k: v for k, v in data.items() if k != key})
    if m.stat_exog_list:
        with pytest.raises(FeatureError, match="stat_exog"):
            m.forecast({**data, "stat_exog": data["stat_exog"][:2]})


# -- engines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, loss, scaler", sampled(MODELS, LOSSES, ["identity", "robust"]))
def test_plans_are_op_by_op(name, loss, scaler):
    exog = exog_of(name)
    fast, slow = (make(name, n_series=N, loss=LOSSES[loss](), scaler_type=scaler, optimizer="SGD", **exog) for _ in range(2))
    slow.__dict__["_compiled"] = lambda batch: None
    slow.__dict__["_planned"] = no_grad()(lambda method, batch, after: arrays_of(getattr(slow, method)(batch)))
    data = batch(exog=bool(exog))
    data["insample_mask"][0] = data["outsample_mask"][1] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            assert fast.train_step(data) == pytest.approx(slow.train_step(data), rel=2e-6)
        got = [fast.forecast(data) for _ in range(6)][-1]  # the last ones by a plan
        valid = fast.validation_loss([data])
    wanted = slow.forecast(data)
    assert valid == pytest.approx(slow.validation_loss([data]), rel=1e-5)
    assert got.shape == (B, H, N * len(fast.output_names))
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_certified(name, variant):
    exog = exog_of(name)
    certificate = verify(make(name, n_series=N, variant=variant, **exog), batch(exog=bool(exog)))
    assert certificate, str(certificate)
    assert certificate.unreached == []


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("name", MODELS)
def test_one_batch_is_learned(name, variant):
    # StemGNN's sigmoids saturate at larger steps
    other = {"TSMixer": {"ff_dim": 16}, "StemGNN": {"multi_layer": 2, "learning_rate": 1e-3}}
    m = make(name, **{"n_series": N, "variant": variant, "scaler_type": "standard", "learning_rate": 1e-2, "loss": "MSE",
                      **other.get(name, {})})
    data = batch(missing=False)
    start = m.train_step(data)
    found = [m.train_step(data) for _ in range(1500)]  # now and then a step leaps, and the next ones come back
    assert min(found) < 0.01 * start


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_forecasts_what_the_model_does(name, tmp_path):
    exog = exog_of(name)
    m, data = make(name, n_series=N, scaler_type="standard", **exog), batch(5, exog=bool(exog), missing=False)
    covariates = {k: v for k, v in data.items() if f"{k}_list" in exog}
    expected = m.forecast({"insample_y": data["insample_y"], **covariates})
    m.export(tmp_path / "m.ndiv", batch_size=2)
    f = ndiv.load(tmp_path / "m.ndiv")
    np.testing.assert_allclose(f(data["insample_y"], **covariates), expected, rtol=1e-5, atol=1e-5)
    one = {k: v if k == "stat_exog" else v[0] for k, v in covariates.items()}
    np.testing.assert_allclose(f(data["insample_y"][0], **one), expected[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(ShapeError, match="has 2 series and the model 3"):
        f(data["insample_y"][..., :2], **covariates)
    if "stat_exog_list" in exog:
        with pytest.raises(ShapeError, match="stat_exog"):
            f(data["insample_y"], **{**covariates, "stat_exog": covariates["stat_exog"][:2]})
