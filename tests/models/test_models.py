"""What every model must do: learn, repeat itself, agree with differences, survive missing values, refuse nonsense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small import EACH_MODEL, IN_VARIANTS, WHOLE, sampled, small

import ndiv
from ndiv.autograd.check import gradcheck
from ndiv.data.store import SeriesStore
from ndiv.data.windows import stack_series
from ndiv.errors import ArgumentError, ConfigError, FeatureError, HorizonError, NdivError, NotFittedError, ShapeError
from ndiv.models import capabilities, get_model, list_models

# no kinks, and no statistics of the input that are constants for the gradient, as RevIN's are, and those in prompts
SMOOTH = {"NHITS": {"activation": "Tanh", "pooling_mode": "AvgPool1d"}, "TSMixer": {"revin": False},
          "PatchTST": {"revin": False}, "iTransformer": {"use_norm": False},
          "TimeLLM": {"use_norm": False, "prompt_tokens": 0},
          "Informer": {"encoder_layers": 1}}  # its pool between layers is in test_informer.py
H, L = 4, 12
EXOG = {"futr_exog_list": ["f"], "hist_exog_list": ["p", "q"], "stat_exog_list": ["s"]}


def make(name, **options):
    return get_model(name)(**{"h": H, "input_size": L, **small(name), **options})


def batch(b=8, seed=0, exog=False, missing=False):
    draw = np.random.default_rng(seed)
    t = draw.uniform(0, 20, (b, 1)) + np.arange(L + H)
    y = (np.sin(t) * 3 + 5 + 0.1 * draw.normal(size=t.shape)).astype(np.float32)[..., None]
    mask = np.ones_like(y)
    if missing:
        mask[:, 2:5] = 0
    out = {"insample_y": y[:, :L] * mask[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:]}
    if exog:
        out |= {"futr_exog": draw.normal(size=(b, L + H, 1)).astype(np.float32),
                "hist_exog": draw.normal(size=(b, L, 2)).astype(np.float32), "stat_exog": draw.normal(size=(b, 1)).astype(np.float32)}
    return out


def fitting(name, data):
    """A batch as the model takes it: a multivariate one has covariates by series."""
    return stack_series(data, 1) if get_model(name).MULTIVARIATE else data


def supports_exog(name):
    return capabilities(name)["futr_exog"]


def exog_of(name):
    """The covariates of `EXOG` that the model takes."""
    return {key: names for key, names in EXOG.items() if capabilities(name)[key.removesuffix("_list")]}


MODELS = list_models()
# of a single series, nothing reaches the forecast of neuralforecast's StemGNN: see test_stemgnn.py
LEARNERS = [case for case in IN_VARIANTS if case != ("StemGNN", "compat")]


@pytest.mark.parametrize(("name", "variant"), LEARNERS)
def test_shapes_and_overfitting_one_batch(name, variant):
    """Eight windows are learned to less than 1 % of the loss at the start."""
    # DeepAR also learns the steps of the window, and one value does not tell which way the sine goes; three do
    options = {"lags": [2, 3]} if (name, variant) == ("DeepAR", "paper") else {}
    m, data = make(name, variant=variant, scaler_type="standard", learning_rate=1e-2, loss=ndiv.losses.MSE(), **options), batch()
    assert m.forward(data).shape == (8, H, 1)
    start = m.train_step(data)
    # eight windows of twelve values, and a linear map: the noise of the data is within reach of all models
    assert any(m.train_step(data) < 0.01 * start for _ in range(600))


@pytest.mark.parametrize(("name", "variant"), EACH_MODEL)
def test_gradients_of_the_whole_model(name, variant):
    """By input and by every parameter, against differences in float64."""
    exog = exog_of(name)
    m = make(name, variant=variant, **exog, **SMOOTH.get(name, {}))
    m.astype(np.float64).eval()
    data = {k: v.astype(np.float64) for k, v in fitting(name, batch(2, exog=bool(exog), missing=True)).items()}
    # a smooth activation takes the place of ReLU where a model has one, so that no kink is met
    for module in m.modules():
        if getattr(module, "activation", None) == "relu":
            module.activation = "tanh"
    owner = {id(q): (mod, key) for mod in m.modules() for key, q in mod._parameters.items()}
    params = list(m.parameters())
    # numbers of each, and of how many: 360 or 24 of the whole model, and all of the input or half of it, for the sake of time
    most = min(6, 360 // len(params)) if WHOLE else max(min(6, 24 // len(params)), 1)
    params = params if WHOLE else params[::-(-len(params) // 24)]
    starts = [data["insample_y"], *(p.data.copy() for p in params)]
    which = [np.random.default_rng(0).choice(x.size, min(x.size, n), replace=False)
             for x, n in zip(starts, [L * 2 if WHOLE else L, *[most] * len(params)], strict=True)]

    def f(*values):
        y, *moved = (ndiv.autograd.apply(ndiv.autograd.get("put"), (v,), {
            "key": ndiv.autograd.ops.shape.Key(np.unravel_index(flat, x.shape) if x.ndim > 1 else flat), "shape": x.shape}) + x
            for v, x, flat in zip(values, starts, which, strict=True))
        for p, q in zip(params, moved, strict=True):
            holder, name_of = owner[id(p)]
            holder._parameters.pop(name_of, None)
            object.__setattr__(holder, name_of, q)
        try:
            return m.forward({**data, "insample_y": y}).sum()
        finally:
            for p in params:
                setattr(*owner[id(p)], p)

    assert gradcheck(f, [np.zeros(len(flat)) for flat in which])


@pytest.mark.parametrize("name", MODELS)
def test_two_runs_give_the_same_bits_and_leave_numpy_alone(name):
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002  (the global generator is what is watched)

    def run(seed, steps=3):
        m = make(name, random_seed=seed, max_steps=steps, windows_batch_size=16)
        m.fit_store(SeriesStore.from_arrays_list([np.sin(np.arange(60.0)), np.cos(np.arange(50.0))]), verbose=False)
        return b"".join(v.tobytes() for v in m.state_dict().values())

    assert run(1) == run(1)
    assert run(1, 0) != run(2, 0)
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


@pytest.mark.parametrize("name", MODELS)
def test_a_series_alone_and_in_company(name):
    m, data = make(name), batch(6)
    whole = m.forecast(data)
    for i in range(6):
        alone = m.forecast({k: v[i:i + 1] for k, v in data.items()})
        np.testing.assert_allclose(alone[0], whole[i], rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name, scaler", sampled(MODELS, ["identity", "standard", "robust", "minmax", "minmax1", "invariant", "revin"], every=6))
def test_missing_values_do_not_matter(name, scaler):
    """Whatever stands where a mask is zero, NaN too: forecast, training loss, validation loss are the same."""
    m, data = make(name, scaler_type=scaler).eval(), batch(missing=True)
    data["outsample_mask"] = (np.random.default_rng(1).random(data["outsample_mask"].shape) < 0.6).astype(np.float32)

    def results(value):
        other = dict(data)
        for key in ("insample", "outsample"):
            other[f"{key}_y"] = np.where(data[f"{key}_mask"] != 0, data[f"{key}_y"], np.float32(value))
        with ndiv.random.fork(1):
            return m.forecast(other), m.compute_loss(other).numpy(), m.validation_loss([other])

    plain = results(0.0)
    assert all(np.isfinite(v).all() for v in plain)
    for value in (1e3, np.nan):
        for found, wanted in zip(results(value), plain, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert np.isfinite(m.train_step(data))


@pytest.mark.parametrize("name, scaler", sampled(MODELS, ["standard", "robust", "minmax", "minmax1", "revin"]))
def test_scaling_carries_units(name, scaler):
    """Forecasts of data in other units are the forecasts in other units."""
    m, data = make(name, scaler_type=scaler), batch()
    scaled = {**data, "insample_y": data["insample_y"] * 50 + 1000}
    np.testing.assert_allclose(m.forecast(scaled), m.forecast(data) * 50 + 1000, rtol=1e-3)


@pytest.mark.parametrize("name", [n for n in MODELS if supports_exog(n)])
def test_covariates_are_used_and_required(name):
    # identity: a scaler would take away what is added to a covariate
    m, data = make(name, scaler_type="identity", **exog_of(name)), fitting(name, batch(exog=True))
    base = m.forecast(data)
    for key in (names.removesuffix("_list") for names in exog_of(name)):
        assert not np.allclose(m.forecast({**data, key: data[key] * 2 + 1}), base)  # a decomposition takes constants away
        with pytest.raises(FeatureError, match=key):
            m.forecast({k: v for k, v in data.items() if k != key})
    assert np.isfinite(m.train_step(data))


@pytest.mark.parametrize("name", MODELS)
def test_config_makes_the_same_model(name):
    m = make(name, scaler_type="robust", loss=ndiv.losses.MSE(horizon_weight=[1, 2, 3, 4]), alias="x")
    again = type(m).from_config(m.config())
    assert again.config() == m.config()
    for a, b in zip(m.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", MODELS)
def test_early_stopping_restores_the_best(name):
    store = SeriesStore.from_arrays_list([np.sin(np.arange(100.0) / 3)])
    m = make(name, max_steps=60, val_check_steps=5, early_stop_patience_steps=2, learning_rate=0.05)
    m.fit_store(store, val_size=20, verbose=False)
    best = min(r["valid_loss"] for r in m.history)
    from ndiv.data.windows import SequentialLoader

    lo, hi = store.split(20)["val"]
    again = m.validation_loss(SequentialLoader(store, L, H, lo=lo, hi=hi).batches())
    assert again == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("options", "kind", "text"), [
    ({"h": 0}, ConfigError, "h must be"), ({"h": 2.5}, ConfigError, "h must be"), ({"input_size": 0}, ConfigError, "input_size"),
    ({"scaler_type": "standrad"}, ConfigError, "Did you mean 'standard'"), ({"learning_rat": 1}, ArgumentError, "learning_rate"),
    ({"variant": "papr"}, ConfigError, "paper"), ({"loss": "MAEE"}, ConfigError, "MAE"), ({"max_steps": -1}, ConfigError, "max_steps"),
    ({"learning_rate": 0.0}, ConfigError, "learning_rate"), ({"gradient_clip_val": -1}, ConfigError, "gradient_clip_val"),
    ({"futr_exog_list": "text"}, ConfigError, "list of column names"), ({"memory_budget": 0}, ConfigError, "memory_budget must be"),
    ({"memory_budget": "1 GB"}, ConfigError, "memory_budget must be"), ({"memory_budget": True}, ConfigError, "memory_budget must be"),
])
def test_bad_arguments(name, options, kind, text):
    with pytest.raises(kind, match=text) as error:
        make(name, **options)
    assert error.value.code == "E0010"


@pytest.mark.parametrize(("name", "options", "text"), [
    ("DLinear", {"moving_avg_window": 4}, "odd"), ("MLP", {"num_layers": 0}, "num_layers"), ("MLP", {"hidden_size": 0}, "hidden_size"),
    ("NHITS", {"n_blocks": [1, 1]}, "n_blocks has 2"), ("NHITS", {"stack_types": ["trend"] * 3}, "identity"),
    ("NHITS", {"mlp_units": [[8, 8], [9, 8]]}, "chain"), ("NHITS", {"pooling_mode": "MaxPool"}, "MaxPool1d"),
    ("NHITS", {"interpolation_mode": "liner"}, "linear"), ("NHITS", {"activation": "ReLu6"}, "ReLU"),
    ("NHITS", {"n_pool_kernel_size": [0, 1, 1]}, "positive"), ("NLinear", {"hist_exog_list": ["a"]}, "MLP, .*NHITS"),
])
def test_bad_configurations_of_one_model(name, options, text):
    with pytest.raises(ConfigError, match=text):
        make(name, **options)


def test_misuse():
    m = make("NLinear")
    with pytest.raises(NotFittedError) as error:
        m.predict_store(SeriesStore.from_arrays_list([np.arange(30.0)]))
    assert error.value.code == "E0001"
    with pytest.raises(NotFittedError):
        m.predict()
    with pytest.raises(ShapeError, match="insample_y"):
        m.forward({"insample_y": np.zeros((2, 5, 1), np.float32)})
    with pytest.raises(ShapeError, match="outsample_y"):
        m.train_step({"insample_y": np.zeros((2, L, 1), np.float32)})
    store = SeriesStore.from_arrays_list([np.arange(30.0), np.arange(8.0)], ids=["long", "short"])
    with pytest.raises(HorizonError, match=r"short \(8 rows\)") as horizon:
        m.fit_store(store, verbose=False)
    assert horizon.value.code == "E0005"
    with pytest.raises(ConfigError, match="val_size"):
        m.fit_store(store, val_size=2, verbose=False)
    with pytest.raises(ConfigError, match="early stopping"):
        make("NLinear", early_stop_patience_steps=3).fit_store(store, verbose=False)
    with pytest.raises(ConfigError, match="NHITS"):
        get_model("NHIST")
    with pytest.raises(NdivError):
        make("NLinear", optimizer="Adamm").optimizer  # noqa: B018


def test_positional_arguments_and_input_size_by_horizon():
    assert get_model("NLinear")(4, 9).input_size == 9
    assert get_model("nlinear")(h=4).input_size == 12
    with pytest.raises(ArgumentError, match="h is missing"):
        get_model("NLinear")(input_size=3)


FIGURES = Path(__file__).parent / "figures"


@pytest.mark.parametrize("case", sorted(p.stem for p in FIGURES.glob("*.safetensors")))
def test_compat_gives_neuralforecasts_numbers(case):
    """Weights and forecasts of neuralforecast 3.3.0, written by tests/peers/make_figures.py."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("peer_models", Path(__file__).parents[1] / "peers" / "peer_models.py")
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    name, options = peers.CASES[case]
    arrays = load_file(str(FIGURES / f"{case}.safetensors"))
    m = get_model(name)(h=peers.H, input_size=peers.L, variant="compat", **options)
    peers.load_in_order(m, [arrays[k] for k in sorted(arrays) if k.startswith("weight.")])
    np.testing.assert_allclose(m.eval().forward(peers.batch()).numpy(), arrays["forecast"], rtol=2e-5, atol=2e-6)


def test_there_is_a_figure_for_every_case():
    assert len(list(FIGURES.glob("*.safetensors"))) == 16


def test_nhits_blocks_add_up():
    for variant in ("paper", "compat"):
        m, data = make("NHITS", variant=variant), batch()
        np.testing.assert_allclose(sum(p.numpy() if hasattr(p, "numpy") else p for p in m.blockwise(data)),
                                   m.forward(data).numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_partial_fit_goes_on(name):
    store = SeriesStore.from_arrays_list([np.sin(np.arange(80.0) / 3)])
    m = make(name, max_steps=10, val_check_steps=5).fit_store(store, verbose=False)
    after = m.train_trajectories[-1]
    m.partial_fit(store, max_steps=20, verbose=False)
    assert len(m.train_trajectories) == 30 and [r["step"] for r in m.history] == [5, 10, 15, 20, 25, 30]
    assert m.train_trajectories[10] <= after * 1.5  # it did not begin anew
    assert m.arguments["max_steps"] == 10


# DeepAR feeds the target back, and the forecasts of DeepNPTS are the target's values
@pytest.mark.parametrize("name", [n for n in MODELS if supports_exog(n) and n not in ("DeepAR", "DeepNPTS")])
def test_the_target_can_be_left_out_of_the_input(name):
    m, data = make(name, exclude_insample_y=True, scaler_type="identity", **exog_of(name)), fitting(name, batch(exog=True))
    other = {**data, "insample_y": data["insample_y"] * 3 + 1}
    np.testing.assert_array_equal(m.forecast(data), m.forecast(other))
    with pytest.raises(ConfigError, match="leaves no input"):
        make(name, exclude_insample_y=True)
    with pytest.raises(ConfigError, match="no covariates"):
        make("NLinear", exclude_insample_y=True)


def test_a_memory_budget_is_kept_by_plans_or_said_to_be_without():
    store = SeriesStore.from_arrays_list([np.sin(np.arange(60.0)) for _ in range(4)])
    m = make("NHITS", max_steps=2, memory_budget=1)
    assert m.config()["memory_budget"] == 1
    if ndiv.backends.current() == "native":
        with pytest.raises(ConfigError, match="cannot be within 1 bytes") as error:
            m.fit_store(store, verbose=False)
        assert "memory_budget=" in error.value.hint
    else:
        with pytest.warns(UserWarning, match="memory_budget"):
            m.fit_store(store, verbose=False)
