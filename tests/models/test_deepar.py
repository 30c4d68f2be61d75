"""DeepAR: the paper's equations in NumPy, the law of its paths, coverage, missing values, and neuralforecast's numbers."""

from __future__ import annotations

import importlib.util
from math import lgamma
from pathlib import Path

import numpy as np
import pytest

import ndiv
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError
from ndiv.interop.peers.deepar import convert
from ndiv.losses import GMM, MSE, DistributionLoss, MQLoss
from ndiv.models import get_model
from ndiv.program.forward import arrays_of

DeepAR = get_model("DeepAR")
H, L, B = 5, 16, 6
EXOG = {"futr_exog_list": ["f"], "hist_exog_list": ["p", "q"], "stat_exog_list": ["s"]}
HERE = Path(__file__).parent


def make(**options):
    return DeepAR(**{"h": H, "input_size": L, "lstm_hidden_size": 6, "lstm_dropout": 0.0, "trajectory_samples": 20, **options})


def batch(b=B, seed=0, exog=False, missing=False):
    draw = np.random.default_rng(seed)
    y = draw.poisson(draw.uniform(3, 40, (b, 1, 1)), (b, L + H, 1)).astype(np.float32)
    mask = (draw.uniform(size=y.shape) > (0.2 if missing else -1)).astype(np.float32)
    y *= mask
    out = {"insample_y": y[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:]}
    if exog:
        out |= {"futr_exog": draw.normal(size=(b, L + H, 1)).astype(np.float32),
                "hist_exog": draw.normal(size=(b, L, 2)).astype(np.float32),
                "stat_exog": draw.normal(size=(b, 1)).astype(np.float32)}
    return out


def excited(m, factor=2.5, bias=0.0):
    """Weights of a size at which what is fed back matters."""
    for p in m.parameters():
        p.copy_(p.data * factor)
    m.decoder[-1].bias.copy_(m.decoder[-1].bias.data + bias)
    return m.eval()


# -- the equations -------------------------------------------------------------------------------------------------

def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def log_likelihood(family, o, y, nu):
    gamma = np.vectorize(lgamma)
    if family == "Normal":
        mu, sigma = o[:, 0] * nu, (softplus(o[:, 1]) + 1e-3) * nu
        return -0.5 * ((y - mu) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    if family == "StudentT":
        df, mu, sigma = 3 + softplus(o[:, 0]), o[:, 1] * nu, (softplus(o[:, 2]) + 1e-3) * nu
        return (gamma((df + 1) / 2) - gamma(df / 2) - 0.5 * np.log(df * np.pi) - np.log(sigma)
                - (df + 1) / 2 * np.log1p(((y - mu) / sigma) ** 2 / df))
    mu, alpha = softplus(o[:, 0]) * nu, softplus(o[:, 1]) / np.sqrt(nu)  # the paper's parametrization of the negative binomial
    r = 1 / alpha
    return gamma(y + r) - gamma(y + 1) - gamma(r) - r * np.log1p(alpha * mu) + y * np.log(alpha * mu / (1 + alpha * mu))


def equations(m, family, data):
    """(negative log-likelihood, mask) of steps start ... L + H - 1, [B, steps], by the equations, in float64."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    d = {k: v.astype(np.float64) for k, v in data.items()}
    y = np.concatenate([d["insample_y"], d["outsample_y"]], axis=1)[..., 0]
    on = np.concatenate([d["insample_mask"], d["outsample_mask"]], axis=1)[..., 0]
    past = on[:, :L]
    nu = 1 + (y[:, :L] * past).sum(1) / past.sum(1)
    mean = (y[:, :L] * past).sum(1) / past.sum(1)
    z = np.where(on > 0, y, mean[:, None]) / nu[:, None]
    layers = m.lstm.num_layers
    state = [(np.zeros((len(y), m.lstm.hidden_size)), np.zeros((len(y), m.lstm.hidden_size))) for _ in range(layers)]
    lost = []
    for t in range(max(m.lags), L + H):
        x = [z[:, t - k, None] for k in m.lags]
        if "hist_exog" in d:
            x += [d["hist_exog"][:, min(t - 1, L - 1)], d["futr_exog"][:, t], d["stat_exog"]]
        x = np.concatenate(x, axis=1)
        for k in range(layers):
            h, c = state[k]
            gates = (x @ w[f"lstm.weight_ih_l{k}"].T + w[f"lstm.bias_ih_l{k}"]
                     + h @ w[f"lstm.weight_hh_l{k}"].T + w[f"lstm.bias_hh_l{k}"])
            i, f, g, o = np.split(gates, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            x = sigmoid(o) * np.tanh(c)
            state[k] = x, c
        o = x @ w["decoder.0.weight"].T + w["decoder.0.bias"]
        lost.append(-log_likelihood(family, o, y[:, t], nu))
    return np.stack(lost, axis=1), on[:, max(m.lags):]


@pytest.mark.parametrize("family", ["Normal", "StudentT", "NegativeBinomial"])
@pytest.mark.parametrize("options", [{}, {"lags": [3, 7]}, {"lstm_n_layers": 1, **EXOG},
                                     {"lags": [1, 4], "lstm_n_layers": 3, **EXOG}], ids=str)
@pytest.mark.parametrize("missing", [False, True])
def test_the_likelihood_is_that_of_the_paper(family, options, missing):
    m, data = make(loss=DistributionLoss(family), **options), batch(exog="futr_exog_list" in options, missing=missing)
    excited(m)
    each, on = equations(m, family, data)
    assert float(m.compute_loss(data).data) == pytest.approx((each * on).sum() / on.sum(), rel=1e-5)
    ahead, there = each[:, -H:], on[:, -H:]  # validation is the likelihood of the horizon
    assert m.validation_loss([data]) == pytest.approx((ahead * there).sum() / there.sum(), rel=1e-5)


def test_the_weights_of_the_horizon_leave_the_window_alone():
    weight = np.array([1.0, 2.0, 0.0, 4.0, 3.0])
    m, data = make(loss=DistributionLoss("Normal", horizon_weight=weight)), batch(missing=True)
    each, on = equations(m, "Normal", data)
    on[:, -H:] *= weight / weight.mean()
    assert float(m.compute_loss(data).data) == pytest.approx((each * on).sum() / on.sum(), rel=1e-5)
    assert make(variant="compat", loss=MSE(horizon_weight=weight)).h_train == H  # as there


# -- paths ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{}, {"loss": DistributionLoss("Normal"), "lags": [2, 6]},
                                     {"scaler_type": "robust", **EXOG}, {"scaler_type": "revin"}, {"variant": "compat"},
                                     {"variant": "compat", "scaler_type": "standard"},
                                     {"loss": GMM(n_components=2), **EXOG}], ids=str)
def test_each_step_of_a_path_is_drawn_given_the_steps_before_it(options):
    """Through the distribution functions that teacher forcing gives for the path itself, paths are uniform and independent.

    With n = 6000 values each: the largest distance of their distribution from the uniform is over sqrt(log(2 / p) / 2 n) =
    0.035 with probability p = 1e-6 (Massart), and their correlation is normal with deviation 1 / sqrt(n) = 0.013. Feeding
    back means in place of draws gives correlations of 0.28 to 0.7 with the weights of here.
    """
    m, data, n = excited(make(h=4, lstm_n_layers=1, **options), 8.0, -2.0), batch(3, exog="futr_exog_list" in options), 2000
    data = {k: v[:, :L + 4] if k == "futr_exog" else v for k, v in data.items()}
    paths = m.simulate(data, n_paths=n, seed=5)
    assert paths.shape == (3, n, 4)
    rows = {k: np.repeat(v, n, axis=0) for k, v in data.items() if not k.startswith("outsample")}
    rows["outsample_y"] = paths.reshape(-1, 4, 1)
    scaled, loc, scale = m.scale(rows)
    numbers = m._unaffine(m._forced(scaled, 4)[:, -4:])
    u = m.loss.distribution(m._theta(m.loss, numbers, loc, scale)).cdf(rows["outsample_y"])[..., 0]  # [3 n, 4]
    grid = (np.arange(3 * n) + 0.5) / (3 * n)
    for s in range(4):
        assert np.abs(np.sort(u[:, s]) - grid).max() < 0.036, f"step {s}"
        for r in range(s):
            assert abs(np.corrcoef(u[:, r], u[:, s])[0, 1]) < 5 * 0.013, f"steps {r} and {s}"


def test_seeds_and_the_company_of_a_series():
    m, data = excited(make()), batch()
    data = {k: np.concatenate([v[:1], v]) for k, v in data.items()}  # the first series twice
    before = ndiv.random.get_state()
    paths = m.simulate(data, 400)
    np.testing.assert_array_equal(paths, m.simulate(data, 400, seed=m.random_seed))
    assert not np.array_equal(paths, m.simulate(data, 400, seed=2))
    assert ndiv.random.get_state() == before
    # the same window twice gives independent paths (five deviations of a correlation of 400 pairs)
    assert max(abs(np.corrcoef(paths[0, :, s], paths[1, :, s])[0, 1]) for s in range(H)) < 0.25
    forecast = m.forecast(data)
    np.testing.assert_array_equal(forecast, m.forecast(data))
    np.testing.assert_array_equal(forecast[0], forecast[1])  # but the same forecast
    assert (np.diff(forecast[..., [2, 3, 1, 4, 5]], axis=-1) >= 0).all()


def test_many_series_run_in_parts(monkeypatch):
    m, data = make(**EXOG), batch(exog=True)
    whole, paths = m.forecast(data), m.simulate(data)
    monkeypatch.setattr("ndiv.models.probabilistic.paths._ROWS", 41)  # two series of 20 paths at once
    np.testing.assert_allclose(m.forecast(data), whole, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(m.simulate(data), paths, rtol=2e-5, atol=1e-5)


def test_counts_stay_counts():
    m = excited(make(loss=DistributionLoss("NegativeBinomial", level=[80], return_params=True)))
    paths = m.simulate(batch(), 50)
    assert (paths >= 0).all() and (paths == np.round(paths)).all() and paths.max() > 1
    assert m.forecast(batch()).shape == (B, H, 6)


def test_intervals_cover():
    """Intervals of 80 and 90 % of a trained model hold what they say, within 2 points and chance.

    The data are series of levels from 5 to 100, a period of 6 and an autoregressive error of a tenth of the level: what DeepAR
    is made for. The share of a window's steps that is covered lies in [0, 1], so that with mean p its deviation is at most
    sqrt(p (1 - p)), and the windows of 1500 fresh series are independent: their mean has one of at most 0.0104 (80 %) and
    0.0078 (90 %), of which four are allowed. The 2 points are for what 500 steps leave to learn (0.794 and 0.892 were found).
    Means fed back, and quantiles given these (compat, scaler_type="standard"), cover 0.59 and 0.71 on these data.
    """
    draw, t = np.random.default_rng(3), np.arange(60)

    def series(n):
        error = draw.normal(size=(n, len(t))) * 0.06
        error[:, 0] /= 0.6  # as large as it stays
        for k in range(1, len(t)):
            error[:, k] += 0.8 * error[:, k - 1]
        phase = draw.integers(0, 6, (n, 1))
        return np.exp(draw.uniform(np.log(5), np.log(100), (n, 1))) * (1 + 0.4 * np.sin((t + phase) * np.pi / 3) + error)

    m = DeepAR(h=6, input_size=18, lstm_hidden_size=16, lstm_n_layers=1, lstm_dropout=0.0, lags=[6],
               loss=DistributionLoss("Normal"), max_steps=500, learning_rate=1e-2, num_lr_decays=-1, windows_batch_size=128)
    m.fit_store(SeriesStore.from_arrays_list(list(series(300))), verbose=False)
    fresh = series(1500).astype(np.float32)[:, 20:44, None]
    found, y = m.forecast({"insample_y": fresh[:, :18]}), fresh[:, 18:, 0]
    names = m.output_names
    for level in (80, 90):
        low, high = (found[..., names.index(f"-{side}-{level}")] for side in ("lo", "hi"))
        covered, p = float(((low <= y) & (y <= high)).mean()), level / 100
        assert abs(covered - p) < 0.02 + 4 * np.sqrt(p * (1 - p) / 1500), f"{level} %: {covered:.3f}"
    naive = np.abs(y - fresh[:, 12:18, 0]).mean()
    assert np.abs(y - found[..., 0]).mean() < naive  # and the forecast itself is one


# -- special cases -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_what_is_missing_does_not_matter(variant):
    m, data = make(variant=variant, scaler_type="identity"), batch(missing=True)
    value = float(m.compute_loss(data).data)
    assert np.isfinite(value)
    other = {**data, "outsample_y": np.where(data["outsample_mask"] > 0, data["outsample_y"], np.float32(np.nan))}
    if variant == "paper":  # what is missing there reads as the loader's zeros elsewhere
        other["insample_y"] = np.where(data["insample_mask"] > 0, data["insample_y"], np.float32(np.nan))
        assert float(m.compute_loss(other).data) == value
        np.testing.assert_array_equal(m.forecast(data), m.forecast(other))
        assert np.isfinite(m.train_step(other))
    nothing = {**data, "insample_y": data["insample_y"] * 0, "insample_mask": data["insample_mask"] * 0}
    assert np.isfinite(m.forecast(nothing)).all() and np.isfinite(m.train_step(nothing))


def test_one_batch_is_learned():
    """The likelihood of a density has no floor at 0; what it can reach is that of the data's noise given the windows."""
    m, data = make(loss=DistributionLoss("Normal"), lstm_hidden_size=32, learning_rate=1e-2, lags=[2, 3]), batch()
    start = m.train_step(data)
    for _ in range(1000):
        end = m.train_step(data)
    assert end < start - 2  # on average the widths fell to less than an eighth


@pytest.mark.parametrize("loss", ["MAE", MQLoss(quantiles=[0.1, 0.4, 0.9])], ids=str)
def test_losses_without_a_distribution_feed_their_forecast_back(loss):
    """The forecast of h steps is that of one step, repeated with the forecast (of the middle quantile) as the next value."""
    m, data = excited(make(loss=loss)), batch()
    found = m.forecast(data)
    scaled, _, nu = m.scale({k: v for k, v in data.items() if k != "insample_mask"})
    middle = 0 if m.n_out == 1 else 1
    scaled["outsample_y"] = found[..., middle:middle + 1] / nu
    del scaled["outsample_mask"]
    again = arrays_of(m.loss.forecast(m._forced(scaled, H)[:, -H:])).reshape(found.shape) * nu
    np.testing.assert_allclose(found, again, rtol=1e-4, atol=1e-4)
    with pytest.raises(ConfigError, match="no distribution"):
        m.simulate(data)


def test_small_horizons_and_windows():
    for options in ({"h": 1}, {"h": 1, "input_size": 2}, {"h": 2, "input_size": 8, "lags": [7]}):
        m = make(**options, **EXOG)
        data = {"insample_y": np.ones((2, m.input_size, 1), "f4"), "outsample_y": np.ones((2, m.h, 1), "f4"),
                "futr_exog": np.ones((2, m.input_size + m.h, 1), "f4"), "hist_exog": np.ones((2, m.input_size, 2), "f4"),
                "stat_exog": np.ones((2, 1), "f4")}
        assert m.forecast(data).shape == (2, m.h, 6) and m.forward(data).shape == (2, m.h, 3)
        assert np.isfinite(m.train_step(data))


def test_defaults():
    a, b = make(), make()
    assert a.loss.config() == DistributionLoss("StudentT", level=[80, 90]).config() and a.loss is not b.loss
    assert DeepAR.from_config(a.config()).config() == a.config()


@pytest.mark.parametrize(("options", "text"), [
    ({"h_train": 0}, "h_train must be"), ({"h_train": H + 1}, "more than h"), ({"lstm_n_layers": 0}, "lstm_n_layers"),
    ({"lstm_hidden_size": 0}, "lstm_hidden_size"), ({"lstm_dropout": 1.0}, "dropout"),
    ({"decoder_hidden_layers": -1}, "decoder_hidden_layers"),
    ({"decoder_hidden_layers": 1}, "decoder_hidden_size must be"), ({"decoder_activation": "ReLu6"}, "ReLU"),
    ({"trajectory_samples": 0}, "trajectory_samples"), ({"trajectory_samples": True}, "trajectory_samples"),
    ({"lags": [0]}, "lags must be"), ({"lags": [2, 2]}, "lags must be"), ({"lags": [1.5]}, "lags must be"),
    ({"lags": 3}, "lags must be"), ({"lags": "24"}, "lags must be"), ({"lags": [L]}, f"{L} reaches beyond the window"),
    ({"lags": [2], "variant": "compat"}, "compat"), ({"input_size": 1}, "input_size >= 2"),
    ({"exclude_insample_y": True, "futr_exog_list": ["f"]}, "insample_y"),
])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010"


@pytest.mark.parametrize("n", [0, -1, 2.0, True])
def test_bad_numbers_of_paths(n):
    with pytest.raises(ConfigError, match="n_paths"):
        make().simulate(batch(), n)


# -- neuralforecast ------------------------------------------------------------------------------------------------

spec = importlib.util.spec_from_file_location("peer_deepar", HERE.parent / "peers" / "peer_deepar.py")
peers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peers)


@pytest.mark.parametrize("case", peers.CASES)
def test_compat_gives_neuralforecasts_numbers(case):
    """Weights and results of neuralforecast 3.3.0, written by tests/peers/make_figures.py."""
    options, loss, scaler = peers.CASES[case]
    with np.load(HERE / "figures" / "deepar.npz") as file:
        arrays = {k.removeprefix(f"{case}/"): v for k, v in file.items() if k.startswith(f"{case}/")}
    m, data = peers.ours(options, loss, scaler).eval(), peers.used(options, peers.batch())
    m.load_state_dict(convert({k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}, m))

    def near(got, wanted):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())

    given = {k: v for k, v in data.items() if not k.startswith("outsample")}
    near(peers.exact_columns(loss, m.forecast(given)), arrays["forecast"])
    near(m._forced(m.scale(data)[0], options.get("h_train", 1)).numpy(), arrays["forced"])
    assert float(m.compute_loss(data).data) == pytest.approx(float(arrays["loss"]), rel=2e-5)
