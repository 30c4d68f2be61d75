"""Distributions against their definitions: densities, moments, distribution functions, quantiles, samples, parameter maps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError, DataError, ShapeError
from ndiv.losses import distributions as D
from ndiv.losses.distributions import numeric

# a few parameters of each family, spread over shapes
FAMILIES = {
    "Normal": (D.Normal, [[0.0, 1.0], [-3.0, 0.2], [100.0, 40.0]]),
    "Laplace": (D.Laplace, [[0.0, 1.0], [-3.0, 0.2], [100.0, 40.0]]),
    "StudentT": (D.StudentT, [[3.5, 0.0, 1.0], [30.0, -3.0, 0.2], [500.0, 100.0, 40.0]]),
    "LogNormal": (D.LogNormal, [[0.0, 1.0], [3.0, 0.2], [-2.0, 0.5]]),
    "Gamma": (D.Gamma, [[0.4, 1.0], [3.0, 0.2], [200.0, 5.0]]),
    "Weibull": (D.Weibull, [[1.0, 0.8], [30.0, 2.0], [5.0, 10.0]]),
    "Beta": (D.Beta, [[0.5, 0.7], [2.0, 5.0], [80.0, 30.0]]),
    "Poisson": (D.Poisson, [[0.3], [7.0], [900.0]]),
    "NegativeBinomial": (D.NegativeBinomial, [[0.5, 0.3], [4.0, 0.7], [60.0, 0.9]]),
    "Bernoulli": (D.Bernoulli, [[0.0], [-2.0], [3.0]]),
    "Tweedie": (D.Tweedie, [[0.1], [2.0], [6.0]]),
    "NormalMixture": (D.NormalMixture, [[[0.0, 4.0], [1.0, 0.5]], [[0.0, 4.0], [1.0, 0.5], [0.2, 0.8]]]),
    "PoissonMixture": (D.PoissonMixture, [[[0.5, 30.0]], [[2.0, 9.0], [0.7, 0.3]]]),
    "NegativeBinomialMixture": (D.NegativeBinomialMixture, [[[3.0, 30.0], [0.3, 0.6]], [[3.0, 9.0], [0.6, 0.2], [0.7, 0.3]]]),
}
CASES = [(name, i) for name, (_, params) in FAMILIES.items() for i in range(len(params))]
CONTINUOUS = [c for c in CASES if c[0] in (
    "Normal", "Laplace", "StudentT", "LogNormal", "Gamma", "Weibull", "Beta", "NormalMixture")]
COUNTS = [c for c in CASES if c[0] in ("Poisson", "NegativeBinomial", "Bernoulli", "PoissonMixture", "NegativeBinomialMixture")]
PROBABILITIES = np.array([0.001, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.999])


def build(name, i):
    """The distribution, its parameters of shape [1] (or [1, K])."""
    kind, params = FAMILIES[name]
    return kind(*(np.array([p]) for p in params[i]))


def density(d, y):
    """exp(log_prob) on a vector of y."""
    return np.exp(type(d)(*d.params).log_prob(y[:, None])[:, 0])


# a variable in which each family's density is smooth up to both ends: y(t), dy/dt, t(y)
SMOOTH = {
    **dict.fromkeys(("Gamma", "Weibull", "LogNormal"), (np.exp, np.exp, np.log)),
    "Beta": (lambda t: 1 / (1 + np.exp(-t)), lambda t: 0.25 / np.cosh(t / 2) ** 2, lambda y: np.log(y) - np.log1p(-y)),
    "StudentT": (np.sinh, np.cosh, np.arcsinh),
}


@pytest.mark.parametrize(("name", "i"), CONTINUOUS)
def test_density_moments_and_distribution_function_agree(name, i):
    """Gauss-Legendre integrals of exp(log_prob), 20 points in each of 400 panels."""
    d = build(name, i)
    y_of, slope, t_of = SMOOTH.get(name, (lambda t: t, np.ones_like, lambda y: y))
    eps = 1e-9 if name in ("Beta", "StudentT") else 1e-13
    low, middle, high = t_of(d.quantile(np.array([eps, 0.5, 1 - eps]))[0])
    edges = np.concatenate([np.linspace(low, middle, 201), np.linspace(middle, high, 201)[1:]])  # Laplace has a kink there
    x, w = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    t = edges[:-1, None] + half * (1 + x)
    y = y_of(t)
    f = density(d, y.ravel()).reshape(y.shape) * slope(t) * half * w
    assert f.sum() == pytest.approx(1, abs=3 * eps)
    tail = {"rel": 1e-6} if eps < 1e-9 else {"rel": 1e-3}  # the tails that are cut off weigh more in the moments
    mean = float(d.mean[0])
    assert (f * y).sum() == pytest.approx(mean, abs=1e-6, **tail)
    if name != "StudentT":
        assert (f * (y - mean) ** 2).sum() == pytest.approx(float(d.variance[0]), **tail)
    below = type(d)(*d.params).cdf(y_of(edges[1:])[:, None])[:, 0]
    np.testing.assert_allclose(eps + np.cumsum(f.sum(axis=1)), below, atol=3 * eps)


@pytest.mark.parametrize(("name", "i"), COUNTS)
def test_probabilities_of_counts(name, i):
    d = build(name, i)
    top = 1 if name == "Bernoulli" else int(d.quantile(1 - 1e-14).item()) + 50
    k = np.arange(top + 1.0)
    f = density(d, k)
    assert f.sum() == pytest.approx(1, abs=1e-11)
    mean = (f * k).sum()
    assert mean == pytest.approx(float(d.mean[0]), rel=1e-10)
    assert (f * (k - mean) ** 2).sum() == pytest.approx(float(d.variance[0]), rel=1e-9)
    np.testing.assert_allclose(type(d)(*d.params).cdf(k[:, None])[:, 0], np.minimum(np.cumsum(f), 1), rtol=1e-11, atol=1e-14)
    assert d.cdf(np.array([-0.5])).item() == 0
    assert d.cdf(np.array([0.5])).item() == d.cdf(np.array([0.0])).item()
    expected = [np.searchsorted(np.cumsum(f), q * (1 - 1e-12)) for q in PROBABILITIES]
    np.testing.assert_array_equal(d.quantile(PROBABILITIES)[0], expected)


@pytest.mark.parametrize(("name", "i"), CASES)
def test_quantiles_invert_the_distribution_function(name, i):
    d = build(name, i)
    q = d.quantile(PROBABILITIES)
    assert q.shape == (1, len(PROBABILITIES))
    assert (np.diff(q[0]) >= 0).all()
    assert d.quantile(0.3).shape == (1,)
    assert d.quantile(0.3).item() == d.quantile([0.3]).item()
    back = np.array([d.cdf(np.array([v])).item() for v in q[0]])
    if d.discrete:
        before = np.array([d.cdf(np.array([v - 1])).item() for v in q[0]])
        assert (back >= PROBABILITIES - 1e-12).all()
        assert (before < PROBABILITIES + 1e-12).all()
    else:
        live = q[0] > 0 if name == "Tweedie" else np.ones(len(back), bool)
        np.testing.assert_allclose(back[live], PROBABILITIES[live], rtol=1e-10)
        assert (back[~live] >= PROBABILITIES[~live]).all()


@pytest.mark.parametrize(("name", "i"), CASES)
def test_samples_have_the_moments_and_the_quantiles(name, i):
    d = build(name, i)
    ndiv.manual_seed(7)
    n = 40_000
    sample = d.sample(n)
    assert sample.shape == (1, n)
    ndiv.manual_seed(7)
    np.testing.assert_array_equal(d.sample(n), sample)
    assert not np.array_equal(d.sample(n), sample)
    sd = math.sqrt(float(d.variance[0]))
    assert sample.mean() == pytest.approx(float(d.mean[0]), abs=5 * sd / math.sqrt(n))
    if name != "LogNormal" and not (name == "StudentT" and i == 0):  # whose variance samples badly
        assert sample.std() == pytest.approx(sd, rel=0.06)
    for p in (0.1, 0.5, 0.9):
        v = d.quantile(p).item()
        at_most, below = (sample <= v).mean(), (sample < v).mean()
        assert below - 0.012 < p < at_most + 0.012


@pytest.mark.parametrize(("name", "i"), CASES)
def test_gradients_of_log_prob_mean_and_variance(name, i):
    d = build(name, i)
    y = np.array([1.0 if name in ("Bernoulli",) else 0.4 if name == "Beta" else 3.0])
    assert ndiv.gradcheck(lambda *p: type(d)(*p).log_prob(y), [np.array(p) for p in d.params])
    assert ndiv.gradcheck(lambda *p: type(d)(*p).mean + 1e-3 * type(d)(*p).variance, [np.array(p) for p in d.params])


def test_variance_of_student_t():
    df, scale = np.array([3.5, 30.0]), np.array([1.0, 0.2])
    np.testing.assert_allclose(D.StudentT(df, np.zeros(2), scale).variance, scale ** 2 * df / (df - 2))


def test_normal_limit_of_student_t():
    x = np.linspace(-3, 3, 13)
    t = D.StudentT(np.full(13, 1e8), np.zeros(13), np.ones(13))
    normal = D.Normal(np.zeros(13), np.ones(13))
    np.testing.assert_allclose(t.log_prob(x), normal.log_prob(x), atol=1e-6)
    np.testing.assert_allclose(t.cdf(x), normal.cdf(x), atol=1e-7)


@pytest.mark.parametrize("p", [1e-40, 1e-12, 0.05, 0.3, 0.5 - 1e-9])
def test_quantiles_of_student_t_for_any_degrees_of_freedom(p):
    """Where the expansion is a good first guess and where it is none."""
    df = np.array([0.4, 1.0, 3.0, 7.0, 1e6])
    t = D.StudentT(df, np.zeros(5), np.ones(5))
    q = t.quantile(p)
    np.testing.assert_allclose(t.cdf(q), np.full(5, p), rtol=1e-9)
    alone = [D.StudentT(df[k:k + 1], np.zeros(1), np.ones(1)).quantile(p).item() for k in range(5)]
    np.testing.assert_allclose(alone, q, rtol=1e-13)


def test_families_inside_others():
    """Gamma(1), Weibull(1) are exponential; Beta(1, 1) is uniform; large counts make the negative binomial a Poisson."""
    y, rate = np.linspace(0.1, 4, 9), np.full(9, 0.7)
    for d in (D.Gamma(np.ones(9), rate), D.Weibull(1 / rate, np.ones(9))):
        np.testing.assert_allclose(d.log_prob(y), np.log(rate) - rate * y)
        np.testing.assert_allclose(d.cdf(y), -np.expm1(-rate * y))
    uniform = D.Beta(np.ones(3), np.ones(3))
    np.testing.assert_allclose(uniform.quantile([0.2, 0.9])[0], [0.2, 0.9])
    np.testing.assert_allclose(uniform.log_prob(np.array([0.1, 0.5, 0.9])), 0, atol=1e-15)
    k = np.arange(9.0)
    near = D.NegativeBinomial(np.full(9, 1e7), np.full(9, 3e-7))
    np.testing.assert_allclose(near.log_prob(k), D.Poisson(np.full(9, 3.0)).log_prob(k), atol=1e-5)


def test_a_mixture_of_one_is_its_component():
    y = np.array([0.0, 2.0, 5.0])
    loc, scale = np.zeros((3, 1)), np.full((3, 1), 2.0)
    one = D.NormalMixture(loc, scale)
    alone = D.Normal(loc[:, 0], scale[:, 0])
    np.testing.assert_allclose(one.log_prob(y), alone.log_prob(y))
    np.testing.assert_allclose(one.quantile([0.1, 0.8]), alone.quantile([0.1, 0.8]))
    np.testing.assert_allclose(one.cdf(y), alone.cdf(y))


# Tweedie ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("rho", [1.1, 1.5, 1.9])
def test_tweedie_mass_at_zero_and_score(rho):
    log_mu = np.array([0.3, 2.0])
    d = D.Tweedie(log_mu, rho=rho)
    mu = np.exp(log_mu)
    np.testing.assert_allclose(d.cdf(np.zeros(2)), np.exp(-mu ** (2 - rho) / (2 - rho)))
    np.testing.assert_allclose(d.log_prob(np.zeros(2)), -mu ** (2 - rho) / (2 - rho))
    # the score is (y - mu) / variance, as for every exponential dispersion model
    t = ndiv.tensor(log_mu, requires_grad=True)
    D.Tweedie(t, rho=rho).log_prob(np.array([5.0, 1.0])).sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), (np.array([5.0, 1.0]) - mu) / mu ** rho * mu)


@pytest.mark.parametrize("rho", [1.1, 1.5, 1.9])
def test_tweedie_saddle_point_meets_the_sum_over_events(rho):
    from ndiv.losses.distributions import tweedie

    log_mu = np.log((2 - rho) * tweedie.MANY_EVENTS) / (2 - rho)
    d = D.Tweedie(np.array([log_mu]), rho=rho)
    events, shape, rate = d._events(np.array([log_mu]))
    y = float(d.mean[0]) + math.sqrt(float(d.variance[0])) * np.linspace(-2.5, 4, 60)
    y = np.append(y[y > 0], float(d.mean[0]))
    exact = tweedie._sum_over_events(np.full(y.shape, events[0]), shape, rate[0] * y)
    np.testing.assert_allclose(tweedie._saddle_point(np.full(y.shape, events[0]), shape, rate[0] * y), exact, atol=2e-4)


def test_tweedie_power_is_checked():
    for rho in (1.0, 2.0):
        with pytest.raises(ConfigError, match="between 1 and 2"):
            losses.DistributionLoss("Tweedie", rho=rho)
    with pytest.raises(ConfigError, match="no rho"):
        losses.DistributionLoss("Normal", rho=1.5)


# numeric ------------------------------------------------------------------------------------------------------------

@given(st.floats(1e-12, 1 - 1e-12))
def test_normal_quantile_and_cdf(p):
    x = numeric.normal_quantile(p)
    assert numeric.normal_cdf(x) == pytest.approx(p, rel=1e-14, abs=2e-16)
    assert numeric.normal_quantile(1 - p) == pytest.approx(-x, rel=1e-5, abs=1e-15)


@given(st.floats(0.05, 1e5), st.floats(0.0, 4.0))
def test_gamma_cdf_recurrence(a, r):
    """P(a + 1, x) = P(a, x) - x^a e^-x / Gamma(a + 1), and P + Q = 1."""
    x = a * r
    low, high = numeric.gamma_cdf(a, x)
    more, _ = numeric.gamma_cdf(a + 1, x)
    assert low.item() + high.item() == pytest.approx(1, abs=1e-15)
    jump = math.exp(a * math.log(x) - x - math.lgamma(a + 1)) if x else 0.0
    # the jump itself is only known to the rounding of its exponent
    assert low.item() - more.item() == pytest.approx(jump, rel=1e-15 * (a * abs(math.log(a)) + 10), abs=1e-14)


@given(st.floats(0.05, 1e4), st.floats(0.05, 1e4), st.floats(0.0, 1.0))
def test_beta_cdf_symmetry_and_recurrence(a, b, x):
    y = 1 - x
    one, other = numeric.beta_cdf(a, b, x, y)
    mirrored, _ = numeric.beta_cdf(b, a, y, x)
    assert mirrored.item() == pytest.approx(other.item(), abs=1e-12)
    # I_x(a, b) = x I_x(a - 1 + 1, b) + y I_x(a + 1, b - 1 + 1): DLMF 8.17.12 with (a + 1, b + 1)
    up = numeric.beta_cdf(a + 1, b, x, y)[0].item()
    over = numeric.beta_cdf(a, b + 1, x, y)[0].item()
    whole = numeric.beta_cdf(a, b, x, y)[0].item()
    assert (a + b) * whole == pytest.approx(a * up + b * over, rel=1e-10, abs=1e-12 * (a + b))
    assert one.item() == whole


def test_bracketing_finds_roots_of_steps_and_flats():
    target = np.array([0.1, 0.5, 0.9])
    root = numeric.bracketed(lambda x: np.clip(x, 0, 1) ** 9 - target, np.zeros(3), np.full(3, 50.0))
    np.testing.assert_allclose(root, target ** (1 / 9), rtol=1e-14)
    np.testing.assert_allclose(numeric.invert(np.tanh, np.array([-0.999999, 0.5]), np.array([100.0, -40.0]), 0.1),
                               np.arctanh([-0.999999, 0.5]), rtol=1e-9)


# losses -------------------------------------------------------------------------------------------------------------

B, H, N = 4, 3, 2
draw = np.random.default_rng(3)
LOSSES = {**{name: losses.DistributionLoss(name, return_params=True) for name in D.DISTRIBUTIONS},
          "Tweedie 1.8": losses.DistributionLoss("Tweedie", rho=1.8),
          "GMM": losses.GMM(3), "GMM weighted": losses.GMM(3, weighted=True, return_params=True), "PMM": losses.PMM(3),
          "PMM weighted": losses.PMM(3, weighted=True), "NBMM": losses.NBMM(2), "NBMM weighted": losses.NBMM(2, weighted=True)}


def targets(loss, shape=(B, H, N)):
    name = loss.family.__name__
    if name == "Beta":
        return draw.uniform(0.05, 0.95, shape)
    if name == "Bernoulli":
        return (draw.uniform(size=shape) > 0.4).astype(float)
    if name.startswith(("Poisson", "NegativeBinomial")):
        return draw.poisson(5, shape).astype(float)
    return draw.gamma(2.0, 3.0, shape) + 0.01


def window(loss):
    loc = np.full((B, 1, N), 0.5 if loss.family.__name__ == "Beta" else 5.0)
    return loc, 0.4 * loc * np.arange(1, N + 1)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_the_losses(name):
    loss = LOSSES[name]
    y, raw = targets(loss), draw.normal(size=(B, H, N * loss.outputsize))
    mask = (draw.uniform(size=y.shape) > 0.3).astype(float)
    loc, scale = window(loss)
    assert ndiv.gradcheck(lambda t: loss.objective(y, t, mask, None, loc, scale), raw)
    assert ndiv.gradcheck(lambda t: loss(y, t), raw)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_is_the_weighted_mean_of_the_log_likelihood(name):
    loss = LOSSES[name]
    y, raw = targets(loss), draw.normal(size=(B, H, N * loss.outputsize))
    mask = (draw.uniform(size=y.shape) > 0.3).astype(float)
    params = loss.scale_decouple(loss.domain_map(raw), *window(loss))
    each = -loss.distribution(params).log_prob(y)
    assert float(loss(y, params)) == pytest.approx(each.mean())
    assert float(loss(np.where(mask > 0, y, np.nan), params, mask)) == pytest.approx((each * mask).sum() / mask.sum())
    config = {**loss.config(), "horizon_weight": [1.0, 0.0, 3.0]}
    w = mask * np.array([1.0, 0.0, 3.0])[:, None]
    assert float(losses.from_config(config)(y, params, mask)) == pytest.approx((each * w).sum() / w.sum())


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1, 30, 200])
def test_no_nan_at_extremes(name, size):
    """Numbers of a model gone wild, in float32: loss, gradient and forecast stay finite."""
    loss = LOSSES[name]
    y = targets(loss).astype(np.float32)
    raw = (draw.choice([-1, 1], size=(B, H, N * loss.outputsize)) * size).astype(np.float32)
    for loc, scale in ((None, None), (0.0, 1.0), (5.0, 2.0)):
        shift = None if loc is None else np.full((B, 1, N), loc, np.float32)
        width = None if scale is None else np.full((B, 1, N), scale, np.float32)
        t = ndiv.tensor(raw, requires_grad=True)
        value = loss.objective(y, t, None, None, shift, width)
        value.backward()
        forecast = loss.forecast(raw, shift, width)
        assert value.dtype == forecast.dtype == np.float32
        assert np.isfinite(float(value))
        assert np.isfinite(t.grad.numpy()).all()
        assert np.isfinite(forecast).all()


@pytest.mark.parametrize("name", LOSSES)
def test_forecast_columns(name):
    loss = LOSSES[name]
    raw = draw.normal(size=(B, H, N * loss.outputsize))
    loc, scale = window(loss)
    params = loss.scale_decouple(loss.domain_map(raw), loc, scale)
    d = loss.distribution(params)
    out = loss.forecast(raw, loc, scale)
    assert out.shape == (B, H, N, len(loss.output_names))
    assert loss.output_names[:6] == ("", "-median", "-lo-90", "-lo-80", "-hi-80", "-hi-90")
    np.testing.assert_allclose(out[..., 0], d.mean)
    np.testing.assert_allclose(out[..., 1:6], d.quantile(loss.quantiles))
    lo90, lo80, hi80, hi90 = np.moveaxis(out[..., 2:6], -1, 0)
    assert (lo90 <= lo80).all() and (lo80 <= out[..., 1]).all() and (out[..., 1] <= hi80).all() and (hi80 <= hi90).all()
    if loss.return_params:
        assert loss.output_names[6:] == loss.param_names
        np.testing.assert_allclose(out[..., 6:], np.stack(params, -1).reshape(B, H, N, -1))
    assert loss.sample(params, 7).shape == (B, H, N, 7)
    assert loss.sample(params).shape == (B, H, N, 1000)


def test_names_of_parameters():
    assert losses.GMM(2, weighted=True, return_params=True).output_names[6:] == (
        "-mu-1", "-std-1", "-weight-1", "-mu-2", "-std-2", "-weight-2")
    assert losses.PMM(2, return_params=True).output_names[6:] == ("-lambda-1", "-lambda-2")
    assert losses.DistributionLoss("StudentT", return_params=True).output_names[6:] == ("-df", "-loc", "-scale")
    assert losses.DistributionLoss("Normal", quantiles=[0.9, 0.1]).output_names == ("", "-lo-80.0", "-hi-80.0")


def test_level_masks_follow_the_layout():
    np.testing.assert_array_equal(losses.DistributionLoss("StudentT").level_mask(2), [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(losses.GMM(2, weighted=True).level_mask(2), [1, 1, 0, 0, 0, 0] * 2)
    np.testing.assert_array_equal(losses.MQLoss().level_mask(1), np.ones(5))
    np.testing.assert_array_equal(losses.DistributionLoss("Bernoulli").level_mask(3), np.zeros(3))
    # adding a level there moves the forecast by it, in units of scale
    for loss in (losses.DistributionLoss("Normal"), losses.GMM(2), losses.DistributionLoss("StudentT")):
        raw = draw.normal(size=(B, H, N * loss.outputsize))
        loc, scale = window(loss)
        moved = loss.forecast(raw + 1.5 * loss.level_mask(N), loc, scale)
        np.testing.assert_allclose(moved, loss.forecast(raw, loc, scale) + 1.5 * scale[..., None])


@pytest.mark.parametrize("name", ["Normal", "Laplace", "StudentT", "LogNormal", "Gamma", "Weibull", "GMM weighted"])
def test_forecasts_follow_the_unit_of_measure(name):
    """Data in another unit, with loc and scale to match: the forecast is the same in that unit, the loss shifts by log k."""
    loss = LOSSES[name]
    raw, y = draw.normal(size=(B, H, N * loss.outputsize)), targets(loss)
    loc, scale = window(loss)
    k = 37.0
    np.testing.assert_allclose(loss.forecast(raw, k * loc, k * scale)[..., :6], k * loss.forecast(raw, loc, scale)[..., :6])
    shifted = float(loss.objective(k * y, raw, loc=k * loc, scale=k * scale))
    assert shifted == pytest.approx(float(loss.objective(y, raw, loc=loc, scale=scale)) + math.log(k))


def test_correlated_mixtures():
    loss = losses.GMM(3, batch_correlation=True, horizon_correlation=True)
    y = targets(loss)
    params = loss.domain_map(np.abs(draw.normal(size=(B, H, N * loss.outputsize))) + 0.1)
    each = D.Normal(*params).log_prob(y[..., None])
    for m in (None, (draw.uniform(size=y.shape) > 0.3).astype(float)):
        w = np.ones_like(y) if m is None else m
        sums = (each * w[..., None]).sum((0, 1))  # one component for all windows and steps
        joint = np.logaddexp.reduce(sums, -1) - np.log(sums.shape[-1])
        assert float(loss(y, params, m)) == pytest.approx((-joint * w).sum() / w.sum())
        assert ndiv.gradcheck(lambda *p, m=m: loss(y, p, m), list(params))


def test_targets_outside_the_support_are_named():
    one = np.ones((1, 1, 1))
    for name, bad in (("Poisson", -1.0), ("NegativeBinomial", -1.0), ("Bernoulli", 2.0), ("Gamma", 0.0), ("LogNormal", -3.0),
                      ("Weibull", 0.0), ("Beta", 1.0), ("Tweedie", -0.1)):
        loss = losses.DistributionLoss(name)
        raw = np.ones((1, 2, loss.outputsize))
        with pytest.raises(DataError, match=f"{name}.*a target is"):
            loss.objective(np.full((1, 2, 1), bad), raw)
        mask = np.array([[[1.0], [0.0]]])  # without weight it does not matter
        assert np.isfinite(float(loss.objective(np.array([[[loss.family.FILL], [bad]]]), raw, mask)))
    with pytest.raises(ShapeError, match="parameters"):
        losses.DistributionLoss("Normal")(np.ones((1, 2, 1)), (one, one))
    with pytest.raises(ShapeError, match="3 numbers for 2 parameters"):
        losses.DistributionLoss("Normal").domain_map(np.ones((1, 2, 3)))


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="Did you mean 'Normal'"):
        losses.DistributionLoss("Nomal")
    with pytest.raises(ConfigError, match="num_samples"):
        losses.DistributionLoss("Normal", num_samples=0)
    with pytest.raises(ConfigError, match="n_components"):
        losses.GMM(0)
    with pytest.raises(ConfigError, match="between 0 and 100"):
        losses.GMM(level=[0])


def test_training_on_a_likelihood_finds_the_parameters():
    """Gradient descent on the loss itself: the fitted distribution has the sample's mean and spread."""
    sample = np.random.default_rng(0).gamma(9.0, 2.0, (400, 1, 1))
    for name in ("Normal", "Gamma", "LogNormal", "Weibull"):
        loss = losses.DistributionLoss(name)
        raw = ndiv.nn.Parameter(np.zeros((1, 1, loss.outputsize)))
        optimizer = ndiv.optim.Adam([raw], lr=0.05)
        loc, scale = np.full((1, 1, 1), sample.mean()), np.full((1, 1, 1), sample.std())
        for _ in range(300):
            optimizer.zero_grad()
            loss.objective(sample, raw * np.ones((400, 1, 1)), loc=loc, scale=scale).backward()
            optimizer.step()
        d = loss.distribution(loss.scale_decouple(loss.domain_map(raw), loc, scale))
        assert float(d.mean.numpy().item()) == pytest.approx(sample.mean(), rel=0.02)
        assert math.sqrt(float(d.variance.numpy().item())) == pytest.approx(sample.std(), rel=0.15)
