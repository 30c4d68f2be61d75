"""Losses and distributions against neuralforecast's and SciPy's, computed side by side in float64."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv import losses
from ndiv.losses import distributions as D

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md
import torch
from neuralforecast.losses import pytorch as peer
from scipy import special as sp
from scipy import stats

draw = np.random.default_rng(0)
B, H, N = 6, 4, 3
y, y_hat = draw.normal(size=(B, H, N)), draw.normal(size=(B, H, N))
y[0, 0, 0] = 0.0
mask = (draw.uniform(size=y.shape) > 0.3).astype(float)
weight = np.array([1.0, 0.5, 2.0, 0.0])
Q = [0.1, 0.5, 0.8]
EACH = {
    "MAE": {}, "MSE": {}, "RMSE": {}, "MAPE": {}, "SMAPE": {}, "HuberLoss": {"delta": 0.7}, "QuantileLoss": {"q": 0.3},
    "HuberQLoss": {"q": 0.3, "delta": 0.5}, "MQLoss": {"quantiles": Q}, "HuberMQLoss": {"level": [80], "delta": 0.4},
}


def t(x):
    return torch.tensor(x)


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_point_losses_and_their_gradients(name, masked, weighted):
    several = name in ("MQLoss", "HuberMQLoss")
    guess = draw.normal(size=(B, H, N, 3)) if several else y_hat
    m = mask if masked else None
    ours = losses.LOSSES[name](**EACH[name], horizon_weight=weight if weighted else None)
    theirs = getattr(peer, name)(**EACH[name], horizon_weight=torch.tensor(weight) if weighted else None)
    assert list(ours.output_names) == list(theirs.output_names)
    assert ours.outputsize == theirs.outputsize_multiplier
    leaf, other = ndiv.tensor(guess, requires_grad=True), t(guess).requires_grad_()
    a, b = ours(y, leaf, m), theirs(y=t(y), y_hat=other, mask=None if m is None else t(m))
    a.backward()
    b.backward()
    # neuralforecast keeps quantiles in float32
    rtol = 1e-6 if several else 1e-12
    np.testing.assert_allclose(float(a), b.item(), rtol=rtol)
    np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=rtol, atol=1e-15)


def test_mase_of_one_series():
    window = draw.normal(size=(B, 12, 1))
    expected = peer.MASE(seasonality=3)(t(y[..., :1]), t(y_hat[..., :1]), t(window[..., 0]), t(mask[..., :1]))
    found = losses.MASE(seasonality=3)(y[..., :1], y_hat[..., :1], mask[..., :1], window)
    np.testing.assert_allclose(float(found), expected.item(), rtol=1e-12)


def test_relmse():
    guess = draw.normal(size=y.shape)
    expected = peer.relMSE()(t(y), t(y_hat), t(guess), t(mask))
    np.testing.assert_allclose(float(losses.relMSE()(y, y_hat, mask, y_benchmark=guess)), expected.item(), rtol=1e-12)


@pytest.mark.parametrize("options", [{}, {"level": [80, 90.5]}, {"level": [95, 50]}, {"quantiles": [0.9, 0.025, 0.5]}], ids=str)
def test_columns(options):
    ours, theirs = losses.MQLoss(**options), peer.MQLoss(**options)
    assert list(ours.output_names) == list(theirs.output_names)
    np.testing.assert_allclose(ours.quantiles, theirs.quantiles.numpy(), rtol=1e-6)
    for make in (lambda m: m.DistributionLoss("StudentT", return_params=True, **options),
                 lambda m: m.GMM(2, return_params=True, weighted=True, **options)):
        assert list(make(losses).output_names) == list(make(peer).output_names)
        np.testing.assert_allclose(make(losses).quantiles, make(peer).quantiles.numpy(), rtol=1e-6)


def test_implicit_quantiles():
    theirs = peer.IQLoss(cos_embedding_dim=16).double().eval()
    ours = losses.IQLoss(cos_embedding_dim=16).astype(np.float64).eval()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items() if not k.endswith("integers")})
    for q in (0.1, 0.5, 0.95):
        theirs.update_quantile([q])
        ours.update_quantile([q])
        assert list(ours.output_names) == list(theirs.output_names)
        a, b = ours.domain_map(ndiv.tensor(y_hat)), theirs.domain_map(t(y_hat))
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(float(ours(y, a, mask)), theirs(y=t(y), y_hat=b, mask=t(mask)).item(), rtol=1e-12)


# distribution losses ------------------------------------------------------------------------------------------------

counts = draw.poisson(4, (B, H, N)).astype(float)
LIKELIHOODS = {
    **{name: (lambda m, name=name: m.DistributionLoss(name)) for name in ("Normal", "StudentT", "Poisson", "NegativeBinomial",
                                                                         "Bernoulli")},
    "Tweedie": lambda m: m.DistributionLoss("Tweedie", rho=1.6),
    **{f"{name}{'w' * w}": (lambda m, name=name, w=w: getattr(m, name)(n_components=3, weighted=w))
       for name in ("GMM", "PMM", "NBMM") for w in (False, True)},
    "GMM joint": lambda m: m.GMM(n_components=3, horizon_correlation=True),
    "PMM joint": lambda m: m.PMM(n_components=3, batch_correlation=True, weighted=True),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("scaled", [False, True])
def test_likelihoods_their_parameters_and_gradients(name, scaled):
    ours, theirs = LIKELIHOODS[name](losses), LIKELIHOODS[name](peer).double()
    assert ours.outputsize == theirs.outputsize_multiplier
    target = (counts > 3).astype(float) if name == "Bernoulli" else counts
    raw = draw.normal(size=(B, H, N * ours.outputsize))
    loc, scale = (draw.uniform(2, 9, size=(B, 1, N)) for _ in range(2))
    between = {"loc": loc, "scale": scale} if scaled else {}
    leaf, other = ndiv.tensor(raw, requires_grad=True), t(raw).requires_grad_()
    a = ours.scale_decouple(ours.domain_map(leaf), **between)
    b = theirs.scale_decouple(theirs.domain_map(other), **{k: t(v) for k, v in between.items()})
    for i, (p, q) in enumerate(zip(a, b, strict=False)):
        if name == "Bernoulli":
            p = ndiv.sigmoid(p)  # ours is the logit
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-9, err_msg=str(i))
    joint = "joint" in name  # there neuralforecast counts elements without weight as well
    m = None if joint else mask
    value = ours(target, a, m)
    expected = theirs(y=t(target), distr_args=b, mask=torch.ones(y.shape, dtype=torch.float64) if m is None else t(m))
    value.backward()
    expected.backward()
    np.testing.assert_allclose(float(value), expected.item(), rtol=1e-9)
    np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-6, atol=1e-9)
    mean = theirs.get_distribution(b, **getattr(theirs, "distribution_kwargs", {})).mean.detach().numpy()
    found = ours.distribution(a)
    np.testing.assert_allclose(found.mean.numpy(), mean, rtol=1e-9)
    if not joint:
        # quantiles of 20,000 of neuralforecast's samples lie beside ours; the distribution function says how near
        torch.manual_seed(0)
        _, _, quants = theirs.sample(tuple(v.detach() if hasattr(v, "detach") else v for v in b), num_samples=20_000)
        for k, p in enumerate(ours.quantiles):
            v = quants[..., k].numpy()
            # neuralforecast draws Tweedie's mass at 0 as tiny amounts
            below = found.cdf(np.ceil(v) - 1) if found.discrete else found.cdf(v) - (name == "Tweedie") * (v < 1e-4)
            assert (below < p + 0.02).all()
            assert (found.cdf(np.ceil(v) if found.discrete else v) > p - 0.02).all()


# SciPy --------------------------------------------------------------------------------------------------------------

def log_uniform(low, high, n=300):
    return np.exp(draw.uniform(np.log(low), np.log(high), n))


FAMILIES = {
    "Normal": (D.Normal(draw.normal(size=300) * 3, log_uniform(0.01, 100)), lambda a, b: stats.norm(a, b)),
    "Laplace": (D.Laplace(draw.normal(size=300) * 3, log_uniform(0.01, 100)), lambda a, b: stats.laplace(a, b)),
    "LogNormal": (D.LogNormal(draw.normal(size=300), log_uniform(0.02, 3)), lambda a, b: stats.lognorm(b, scale=np.exp(a))),
    "StudentT": (D.StudentT(log_uniform(1.1, 1e4), draw.normal(size=300), log_uniform(0.01, 100)), lambda a, b, c: stats.t(a, b, c)),
    "Gamma": (D.Gamma(log_uniform(0.05, 1e5), log_uniform(1e-3, 1e3)), lambda a, b: stats.gamma(a, scale=1 / b)),
    "Beta": (D.Beta(log_uniform(0.05, 1e4), log_uniform(0.05, 1e4)), lambda a, b: stats.beta(a, b)),
    "Weibull": (D.Weibull(log_uniform(0.01, 1e3), log_uniform(0.2, 50)), lambda a, b: stats.weibull_min(b, scale=a)),
    "Poisson": (D.Poisson(log_uniform(1e-3, 1e6)), lambda a: stats.poisson(a)),
    "NegativeBinomial": (D.NegativeBinomial(log_uniform(0.05, 1e4), draw.uniform(1e-4, 0.99, 300)), lambda a, b: stats.nbinom(a, 1 - b)),
    "Bernoulli": (D.Bernoulli(draw.normal(size=300) * 3), lambda a: stats.bernoulli(sp.expit(a))),
}
PROBABILITIES = np.array([1e-4, 0.005, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.995, 1 - 1e-4])


@pytest.mark.parametrize("name", FAMILIES)
def test_distributions_against_scipy(name):
    ours, make = FAMILIES[name]
    theirs = make(*(p[:, None] for p in ours.params))
    wide = type(ours)(*(p[:, None] for p in ours.params))
    at = theirs.rvs(size=(300, 7), random_state=1).astype(float)
    at = np.clip(at, 1e-290, 1 - 1e-16) if name == "Beta" else np.maximum(at, 1e-290) if name in ("Gamma", "Weibull") else at
    expected = theirs.logpmf(at) if ours.discrete else theirs.logpdf(at)
    np.testing.assert_allclose(wide.log_prob(at), expected, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(ours.mean, theirs.mean()[:, 0], rtol=1e-12)
    variance = theirs.var()[:, 0]
    finite = np.isfinite(variance)
    np.testing.assert_allclose(ours.variance[finite], variance[finite], rtol=1e-10)
    np.testing.assert_allclose(wide.cdf(at), theirs.cdf(at), rtol=1e-9)
    quantiles = theirs.ppf(PROBABILITIES)
    np.testing.assert_allclose(ours.quantile(PROBABILITIES), quantiles, rtol=1e-8, atol=1e-280)


def test_special_functions_against_scipy():
    from ndiv.autograd.ops import special

    x = np.concatenate([log_uniform(1e-8, 1e8, 3000), draw.uniform(0.01, 12, 3000)])
    for ours, theirs in ((special.lgamma, sp.gammaln), (special.digamma, sp.digamma)):
        np.testing.assert_allclose(ours(x), theirs(x), rtol=2e-14, atol=2e-15)
    for n in (1, 2, 4):
        np.testing.assert_allclose(special.polygamma(n, x), sp.polygamma(n, x), rtol=1e-14 * (n + 1))
    z = draw.uniform(-6, 26, 4000)
    np.testing.assert_allclose(special.erf(z), sp.erf(z), rtol=2e-15)
    np.testing.assert_allclose(special.erfc(z), sp.erfc(z), rtol=1e-13)
    for form in ("none", "tanh"):
        leaf, other = ndiv.tensor(z, requires_grad=True), t(z).requires_grad_()
        a, b = special.gelu(leaf, form), torch.nn.functional.gelu(other, approximate=form)
        a.sum().backward()
        b.sum().backward()
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol=1e-9, atol=1e-14)
