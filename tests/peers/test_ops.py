"""Values and gradients of every op, and of 200 random programs, against PyTorch in float64: 1e-9.

Each registered op is run on its own samples. `TORCH` says how PyTorch spells it; `OWN` lists the ops that have no
counterpart there because they are gradients of others, and are reached through those.
"""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.autograd import REGISTRY, apply
from ndiv.autograd.backward import pull

torch = pytest.importorskip("torch")  # the folder has its own environment; see README.md
F = torch.nn.functional

TOLERANCE = 1e-9


def _acts(x, act):
    return {"identity": lambda t: t, "relu": F.relu, "leaky_relu": F.leaky_relu, "elu": F.elu, "tanh": torch.tanh,
            "sigmoid": torch.sigmoid, "silu": F.silu, "softplus": F.softplus, "selu": F.selu, "gelu": F.gelu,
            "gelu_tanh": lambda t: F.gelu(t, approximate="tanh")}[act](x)


def _reduce(f):
    def run(x, dim, keepdim):
        dims = tuple(range(x.ndim)) if dim is None else dim
        return f(x, dim=dims, keepdim=keepdim) if x.ndim else x * 1.0

    return run


TORCH = {
    **{n: getattr(torch, n) for n in ("add", "sub", "mul", "div", "pow", "maximum", "minimum", "neg", "exp", "log", "log1p",
                                      "expm1", "sqrt", "rsqrt", "tanh", "sigmoid", "sin", "cos", "abs", "sign", "relu", "where",
                                      "matmul", "gt", "ge", "lt", "le", "eq", "ne")},
    "softplus": F.softplus, "silu": F.silu, "leaky_relu": F.leaky_relu,
    "elu": lambda x, alpha, scale: scale * F.elu(x, alpha),
    "clip": lambda x, min, max: torch.clamp(x, min, max),
    "cast": lambda x, dtype: x.double(),
    "sum": _reduce(torch.sum), "mean": _reduce(torch.mean), "amax": _reduce(torch.amax), "amin": _reduce(torch.amin),
    "softmax": lambda x, dim: torch.softmax(x, dim), "log_softmax": lambda x, dim: torch.log_softmax(x, dim),
    "cumsum": lambda x, dim: torch.cumsum(x, dim), "prod": lambda x, dim: torch.prod(x, dim),
    "argsort": lambda x, dim: torch.argsort(x, dim=dim, stable=True), "argmax": lambda x, dim: torch.argmax(x, dim),
    "reshape": lambda x, shape: torch.reshape(x, shape), "permute": lambda x, dims: torch.permute(x, dims),
    "expand": lambda x, shape: torch.broadcast_to(x, shape), "cat": lambda *xs, dim: torch.cat(xs, dim),
    "getitem": lambda x, key: torch.as_tensor(x)[tuple(torch.as_tensor(k) if isinstance(k, np.ndarray) else k for k in key.key)],
    "gather": lambda x, index, dim: torch.gather(x, dim, index.long()),
    "scatter_add": lambda g, index, dim, size: torch.zeros(
        *[size if i == dim % g.ndim else n for i, n in enumerate(g.shape)], dtype=g.dtype).scatter_add(dim, index.long(), g),
    "einsum": lambda *xs, equation: torch.einsum(equation, *xs),
    "bias_act": lambda x, bias, act: _acts(x + bias, act),
    "layer_norm": lambda x, w, b, eps: F.layer_norm(x, x.shape[-1:], w, b, eps),
    "max_pool1d": lambda x, kernel, stride, ceil_mode: F.max_pool1d(x[:, None], kernel, stride, ceil_mode=ceil_mode)[:, 0],
    "avg_pool1d": lambda x, kernel, stride: F.avg_pool1d(x[:, None], kernel, stride)[:, 0],
    "erf": torch.erf, "erfc": torch.erfc, "lgamma": torch.lgamma, "digamma": torch.digamma,
    "gelu": lambda x, approximate: F.gelu(x, approximate=approximate),
}

# gradients of other ops (reached above), random numbers, and ops whose comparison lives in a file of its own
OWN = {"put", "bias_act_bwd", "layer_norm_bwd", "avg_unpool1d", "dropout"}


def elsewhere(name):
    """Families that are compared in test_conv_recurrent.py, test_attention_spectral.py and test_losses.py."""
    families = ("conv", "max_pool", "avg_pool", "batch_norm", "rnn", "gru", "lstm", "rfft", "irfft", "attention", "polygamma", "flash", "sdpa",
                "fft", "bn_", "complex", "special")
    return any(f in name for f in families)


def test_every_op_is_compared_somewhere():
    missing = [n for n in REGISTRY if n not in TORCH and n not in OWN and not elsewhere(n)]
    assert not missing, missing


@pytest.mark.parametrize("name", [n for n in REGISTRY if n in TORCH])
def test_op(name):
    prim = REGISTRY[name]
    compared = 0
    for k, sample in enumerate(prim.samples()):
        if name == "argmax" and sample.tag == "empty":
            continue  # both refuse it
        arrays = [np.array(x) if isinstance(x, np.ndarray) else x for x in sample.inputs]
        free = [i for i, a in enumerate(arrays) if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
        ours = [ndiv.tensor(a, requires_grad=i in free) if isinstance(a, np.ndarray) else a for i, a in enumerate(arrays)]
        theirs = [torch.tensor(a, requires_grad=i in free) if isinstance(a, np.ndarray) else a for i, a in enumerate(arrays)]
        if name in ("maximum", "minimum", "pow", "add", "sub", "mul", "div", "gt", "ge", "lt", "le", "eq", "ne"):
            theirs = [torch.tensor(t, dtype=torch.float64) if isinstance(t, float) else t for t in theirs]
        y = apply(prim, ours, sample.attrs)
        y = y[0] if isinstance(y, tuple) else y
        z = TORCH[name](*theirs, **sample.attrs)
        np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{name} {k}")
        compared += 1
        if not z.requires_grad:
            continue
        v = np.random.default_rng(k).normal(size=y.shape)
        grads = torch.autograd.grad(z, [theirs[i] for i in free], torch.tensor(v), allow_unused=True)
        pulled = pull((y,), (v,), [ours[i] for i in free])
        for (_, g), t, i in zip(pulled, grads, free, strict=True):
            g = np.zeros_like(arrays[i]) if g is None else g
            t = np.zeros_like(arrays[i]) if t is None else t.numpy()
            np.testing.assert_allclose(g, t, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{name} {k} input {i}")
    assert compared


PAIRS = [
    (ndiv.tanh, torch.tanh), (ndiv.sigmoid, torch.sigmoid), (ndiv.softplus, F.softplus), (ndiv.silu, F.silu), (ndiv.elu, F.elu),
    (lambda t: t * t, lambda t: t * t), (lambda t: t / (1 + t * t), lambda t: t / (1 + t * t)),
    (lambda t: (t.abs() + 0.1).sqrt(), lambda t: (t.abs() + 0.1).sqrt()), (lambda t: (t.abs() + 0.1).log(), lambda t: (t.abs() + 0.1).log()),
    (lambda t: ndiv.softmax(t, dim=1), lambda t: torch.softmax(t, 1)), (lambda t: ndiv.log_softmax(t, dim=0), lambda t: torch.log_softmax(t, 0)),
    (lambda t: ndiv.layer_norm(t), lambda t: F.layer_norm(t, t.shape[-1:])), (lambda t: t.reshape(6, 4).T, lambda t: t.reshape(6, 4).T),
    (lambda t: ndiv.cat([t[:, 2:], t[:, :2]], dim=1), lambda t: torch.cat([t[:, 2:], t[:, :2]], 1)),
    (lambda t: t - t.mean(dim=0, keepdim=True), lambda t: t - t.mean(0, keepdim=True)),
    (lambda t: t.amax(dim=1, keepdim=True) - t, lambda t: t.amax(1, keepdim=True) - t),
    (lambda t: ndiv.cumsum(t, 1), lambda t: torch.cumsum(t, 1)), (lambda t: ndiv.flip(t, 1), lambda t: torch.flip(t, [1])),
    (lambda t: ndiv.sort(t, 1)[0], lambda t: torch.sort(t, 1)[0]), (lambda t: ndiv.roll(t, 2, 1), lambda t: torch.roll(t, 2, 1)),
    (lambda t: ndiv.topk(t, 3, 1)[0].repeat(1, 2), lambda t: torch.topk(t, 3, 1)[0].repeat(1, 2)),
    (lambda t: ndiv.std(t, 1, keepdim=True) * t, lambda t: torch.std(t, 1, keepdim=True) * t),
    (lambda t: ndiv.pad(t, (1, 1), mode="replicate")[:, 1:-1], lambda t: F.pad(t[None], (1, 1), mode="replicate")[0][:, 1:-1]),
    (lambda t: ndiv.max_pool1d(t, 2).repeat(1, 2), lambda t: F.max_pool1d(t[None], 2)[0].repeat(1, 2)),
    (lambda t: ndiv.interpolate(t[:, :3], 6, "linear"), lambda t: F.interpolate(t[None, :, :3], 6, mode="linear")[0]),
    (lambda t: ndiv.interpolate(t[:, :3], 6, "nearest"), lambda t: F.interpolate(t[None, :, :3], 6, mode="nearest")[0]),
    (lambda t: ndiv.unfold(t, 1, 3, 1).sum(dim=-1).repeat(1, 2)[:, :6], lambda t: t.unfold(1, 3, 1).sum(-1).repeat(1, 2)[:, :6]),
    (lambda t: ndiv.einsum("ij,kj->ik", t, t).repeat(1, 2)[:, :6], lambda t: torch.einsum("ij,kj->ik", t, t).repeat(1, 2)[:, :6]),
    (lambda t: ndiv.where(t > 0.1, t, t * 0.3), lambda t: torch.where(t > 0.1, t, t * 0.3)),
    (lambda t: ndiv.masked_fill(t, np.eye(4, 6) > 0, 0.5), lambda t: t.masked_fill(torch.eye(4, 6, dtype=torch.bool), 0.5)),
]


@pytest.mark.parametrize("seed", range(200))
def test_random_program(seed):
    draw = np.random.default_rng(seed)
    x, w = draw.normal(size=(4, 6)), draw.normal(size=(6, 6)) * 0.5
    picks = draw.integers(len(PAIRS), size=6)
    a, b = ndiv.tensor(x, requires_grad=True), ndiv.tensor(w, requires_grad=True)
    p, q = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    y, z = a, p
    for k in picks:
        ours, theirs = PAIRS[k]
        y, z = ours(y) @ b, theirs(z) @ q
    (y * y).mean().backward()
    (z * z).mean().backward()
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-9, atol=1e-12)
    for ours, theirs in ((a.grad, p.grad), (b.grad, q.grad)):
        scale = max(float(theirs.abs().max()), 1e-12)
        np.testing.assert_allclose(ours.numpy() / scale, theirs.numpy() / scale, atol=1e-9)
