"""StemGNN: its equations in NumPy, graphs and spectra, what paper repairs, neuralforecast's figures."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from small import same_bits, shaken

import ndiv
from ndiv import losses
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError
from ndiv.interop.peers.stemgnn import convert
from ndiv.models import get_model
from ndiv.models.spectral.stemgnn import polynomials, real_inverse, two_sided

FIGURES = Path(__file__).parent / "figures"
H, L, N, B = 4, 7, 3, 5


def make(**options):
    return get_model("StemGNN")(**{"h": H, "input_size": L, "n_series": N, "multi_layer": 2, "dropout_rate": 0.0,
                                   "scaler_type": "identity", **options})


def batch(seed=0, gaps=True, n=N, length=L):
    draw = np.random.default_rng(seed)
    mask = (draw.random((B, length, n)) < (0.8 if gaps else 2.0)).astype(np.float32)
    return {"insample_y": draw.normal(size=(B, length, n)).astype(np.float32) * mask, "insample_mask": mask}


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def by_hand(m, data):
    """The equations of the file in float64, one window at a time: [B, h, N, outputs]."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}

    def linear(z, at):
        return z @ w[f"{at}.weight"].T + w.get(f"{at}.bias", 0.0)

    def states(series):
        """The GRU's last state after one series."""
        at, h = "correlation.gru.", np.zeros(len(w["correlation.gru.bias_hh_l0"]) // 3)
        for value in series:
            gates = np.split(w[f"{at}weight_ih_l0"][:, 0] * value + w[f"{at}bias_ih_l0"], 3)
            own = np.split(w[f"{at}weight_hh_l0"] @ h + w[f"{at}bias_hh_l0"], 3)
            reset, update = sigmoid(gates[0] + own[0]), sigmoid(gates[1] + own[1])
            h = (1 - update) * np.tanh(gates[2] + reset * own[2]) + update * h
        return h

    def graph(x):
        r = np.array([states(series) for series in x])
        q, k = np.split(linear(r, "correlation.query_key"), 2, axis=1)
        s = np.exp(q @ k.T / np.sqrt(r.shape[1]))
        s /= s.sum(1, keepdims=True)
        a = (s + s.T) / 2
        d = np.diag(a.sum(1) ** -0.5)
        return np.eye(len(x)) - d @ a @ d

    def glu(z, at):
        left, right = np.split(linear(z, at), 2, axis=-1)
        return left * sigmoid(right)

    def window(y):
        x, total = y.T, 0
        g = graph(x)
        vals, vecs = np.linalg.eigh(g)  # T_k of the graph by its spectrum: cos(k arccos) continued beyond [-1, 1]
        chebyshev = [(vecs * np.polynomial.chebyshev.chebval(vals, np.eye(4)[k])) @ vecs.T for k in range(4)]
        for i in range(len(m.blocks)):
            at = f"blocks.{i}"
            spectrum = np.concatenate([np.fft.fft(t @ x, axis=1) for t in chebyshev], axis=1)  # [N, 4 L]
            real, imaginary = spectrum.real, spectrum.imag
            for j in range(3):
                real, imaginary = glu(real, f"{at}.real.{j}.both"), glu(imaginary, f"{at}.imaginary.{j}.both")
            s = [np.fft.ifft(z).real for z in np.split(real + 1j * imaginary, 4, axis=1)]
            y = linear(np.concatenate(s, axis=1), f"{at}.theta")
            total = total + linear(sigmoid(linear(y, f"{at}.wide")), f"{at}.forecast")
            if i < len(m.blocks) - 1:
                x = x - linear(y, f"{at}.backcast")
        z = linear(total, "wide")
        return linear(np.where(z > 0, z, 0.01 * z), "out").reshape(len(x), m.h, -1).swapaxes(0, 1)

    return np.array([window(y) for y in (data["insample_y"] * data["insample_mask"]).astype(np.float64)])


@pytest.mark.parametrize("options", [{}, {"n_stacks": 1}, {"n_stacks": 3, "multi_layer": 1}, {"input_size": 6, "h": 1}, {"n_series": 1},
                                     {"input_size": 1, "multi_layer": 3}], ids=str)
def test_the_equations(options):
    m = shaken(make(**options))
    data = batch(n=m.n_series, length=m.input_size)
    np.testing.assert_allclose(m.forward(data).numpy(), by_hand(m, data)[..., 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", [lambda: losses.MQLoss(level=[80]), lambda: losses.DistributionLoss("Normal"),
                                  lambda: losses.GMM(n_components=2)])
def test_several_numbers_stay_with_their_series(loss):
    m, data = shaken(make(loss=loss())), batch()
    each = by_hand(m, data)
    each = each.swapaxes(2, 3) if m.loss.is_by_parameter else each
    np.testing.assert_allclose(m.forward(data).numpy(), each.reshape(B, H, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_spectra_there_and_back(n):
    draw = np.random.default_rng(n)
    x, z = draw.normal(size=(3, n)), draw.normal(size=(2, 3, n))
    real, imaginary = two_sided(ndiv.rfft(x), n)
    np.testing.assert_allclose(real + 1j * imaginary, np.fft.fft(x), atol=1e-12)
    np.testing.assert_allclose(real_inverse(real, imaginary), x, atol=1e-12)
    np.testing.assert_allclose(real_inverse(*z), np.fft.ifft(z[0] + 1j * z[1]).real, atol=1e-12)  # of no real series


def test_polynomials_of_any_graph_are_bounded():
    """Its eigenvalues are from 0 to 2, where |T_3| is at most 26, also of nodes that dropout left without edges."""
    w = np.random.default_rng(0).random((20, 5, 5)) * (np.random.default_rng(1).random((20, 5, 5)) < 0.3)
    w[0] = 0
    w[1, 2:], w[1, :, 2:] = 0, 0
    t = polynomials(w, False)
    assert t.shape == (20, 4, 5, 5) and np.isfinite(t).all()
    assert np.linalg.norm(t, 2, axis=(2, 3)).max() <= 26 + 1e-9
    np.testing.assert_allclose(t[:, 3], 4 * t[:, 1] @ t[:, 1] @ t[:, 1] - 3 * t[:, 1], atol=1e-9)
    np.testing.assert_array_equal(t[:, 0], np.broadcast_to(np.eye(5), (20, 5, 5)))
    np.testing.assert_array_equal(polynomials(w[3:4] + 0.1, True)[:, 0], np.zeros((1, 5, 5)))
    assert gradcheck(lambda v: (polynomials(v, False) ** 2).sum(), w[2:4] + 0.1)


def test_company_matters_in_compat_alone():
    paper, compat, data = shaken(make()), shaken(make(variant="compat")), batch()
    rows = [{k: v[i:i + 1] for k, v in data.items()} for i in range(B)]
    for i, row in enumerate(rows):
        same_bits(paper.forecast(row)[0], paper.forecast(data)[i])
    assert np.abs(np.concatenate([compat.forecast(row) for row in rows]) - compat.forecast(data)).max() > 1e-3


def test_one_series_does_not_reach_the_forecast_of_compat():
    data = batch(n=1)
    other = {**data, "insample_y": data["insample_y"] + 1}
    compat, paper = (shaken(make(variant=v, n_series=1)) for v in ("compat", "paper"))
    np.testing.assert_allclose(compat.forward(data).numpy(), compat.forward(other).numpy(), atol=1e-6)
    assert np.abs(paper.forward(data).numpy() - paper.forward(other).numpy()).max() > 1e-3


def test_series_in_another_order_have_forecasts_in_that_order_and_any_number_of_them_is_served():
    m, data, order = shaken(make()), batch(), [2, 0, 1]
    turned = {k: v[..., order] for k, v in data.items()}
    np.testing.assert_allclose(m.forward(turned).numpy(), m.forward(data).numpy()[..., order], rtol=1e-5, atol=1e-5)
    more = make(n_series=6).eval()
    more.load_state_dict(m.state_dict())
    assert more.forward(batch(n=6)).shape == (B, H, 6)


def test_every_series_reaches_all():
    m, data = shaken(make()), batch(gaps=False)
    other = {**data, "insample_y": data["insample_y"].copy()}
    other["insample_y"][:, -1, 1] += 2
    assert (np.abs(m.forecast(data) - m.forecast(other)).max(axis=(0, 1)) > 1e-4).all()


def test_missing_values_do_not_count_in_paper():
    m, data = shaken(make()), batch()
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 100}
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(other).numpy())


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_dropout_is_for_training(variant):
    m, data = make(dropout_rate=0.5, variant=variant), batch(gaps=False)
    ndiv.manual_seed(0)
    np.testing.assert_array_equal(m.forecast(data), m.forecast(data))
    assert not np.array_equal(m.train().forward(data).numpy(), m.forward(data).numpy())


@pytest.mark.parametrize("case", ["stemgnn", "stemgnn-wide"])
def test_compat_gives_neuralforecasts_numbers(case):
    """States and forecasts of neuralforecast 3.3.0, written by tests/peers/make_figures.py."""
    spec = importlib.util.spec_from_file_location("panel_models", Path(__file__).parents[1] / "peers" / "panel_models.py")
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    arrays = dict(np.load(FIGURES / f"{case}.npz"))
    expected = arrays.pop("forecast")
    m = peers.ours(*peers.FIGURES[case])
    state = {k.removeprefix("state."): v for k, v in arrays.items()}
    m.load_state_dict(convert(state, m))
    got = m.eval().forward(peers.batch(**peers.sizes(peers.FIGURES[case][1]))).numpy()
    assert np.abs(got - expected).max() <= 2e-5 * np.abs(expected).max()
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if k != "fc.2.bias"}, m)


@pytest.mark.parametrize(("options", "text"), [
    ({"n_stacks": 0}, "n_stacks must be a positive"), ({"multi_layer": 0}, "multi_layer must be a positive"),
    ({"dropout_rate": 1.0}, "dropout_rate must be"), ({"leaky_rate": -0.1}, "leaky_rate must be"),
    ({"leaky_rate": "steep"}, "leaky_rate must be"), ({"n_stacks": 3, "variant": "compat"}, "n_stacks must be 2 in variant 'compat'"),
    ({"n_series": 0}, "n_series must be"), ({"futr_exog_list": ["a"]}, "takes no futr_exog"),
    ({"exclude_insample_y": True}, "takes no covariates")])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint
