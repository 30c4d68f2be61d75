"""Fourier transforms, attention, transformer layers and series layers against PyTorch in float64, to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.autograd.backward import pull
from ndiv.autograd.ops.attention import scaled_dot_product_attention
from ndiv.autograd.ops.spectral import complex_abs, complex_conj, complex_mul, irfft, rfft
from ndiv.nn.attention import MultiheadAttention, TransformerDecoderLayer, TransformerEncoderLayer
from ndiv.nn.embedding import Embedding
from ndiv.nn.series import MixtureDecomposition, RevIN, SeriesDecomposition

torch = pytest.importorskip("torch")  # the folder has its own environment; see README.md
from torch.nn.functional import avg_pool1d, pad  # noqa: E402
from torch.nn.functional import scaled_dot_product_attention as torch_attention  # noqa: E402


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, len(shape)])).normal(size=shape)


def close(ours, theirs) -> None:
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-9, atol=1e-10)


def both(ours, theirs, *arrays: np.ndarray) -> None:
    """Values and gradients of two functions of the same arrays agree."""
    a = [ndiv.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, z = ours(*a), theirs(*b)
    close(y, z)
    g = values(*y.shape, seed=99)
    y.backward(g)
    z.backward(torch.tensor(g))
    for p, q in zip(a, b, strict=True):
        close(p.grad, q.grad)


def twins(ours, theirs) -> None:
    """theirs' weights, moved off their initial values, into ours; both in float64."""
    theirs.double()
    for i, (_, p) in enumerate(theirs.named_parameters()):
        p.data += torch.tensor(0.3 * values(*p.shape, seed=i))
    ours.astype(np.float64)
    ours.load_state_dict({name: p.detach().numpy() for name, p in theirs.named_parameters()})


def same_parameter_gradients(ours, theirs) -> None:
    wanted = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        close(p.grad, wanted[name].grad)


@pytest.mark.parametrize("dim", [-1, 0, 1])
@pytest.mark.parametrize("n", [None, 1, 2, 5, 6, 9, 12])
def test_transforms(n, dim):
    both(lambda x: rfft(x, n, dim), lambda x: torch.view_as_real(torch.fft.rfft(x, n, dim)), values(3, 6, 9))
    both(lambda x: irfft(x, n, dim), lambda x: torch.fft.irfft(torch.view_as_complex(x), n, dim), values(3, 6, 9, 2))


@pytest.mark.parametrize("length", [24, 25])
def test_autocorrelation(length):
    def ours(q, k):
        return irfft(complex_mul(rfft(q, dim=1), complex_conj(rfft(k, dim=1))), length, 1)

    def theirs(q, k):
        return torch.fft.irfft(torch.fft.rfft(q, dim=1) * torch.conj(torch.fft.rfft(k, dim=1)), length, 1)

    both(ours, theirs, values(2, length, 3), values(2, length, 3, seed=1))
    both(lambda x: complex_abs(rfft(x)), lambda x: torch.abs(torch.fft.rfft(x)), values(2, length))


@pytest.mark.parametrize("case", ["plain", "causal", "booleans", "numbers", "scale", "broadcast"])
def test_attention(case):
    q, k, v = values(2, 3, 5, 4), values(2, 3, 7, 4, seed=1), values(2, 3, 7, 6, seed=2)
    allowed = values(5, 7, seed=3) > 0
    allowed[2] = False  # a query without keys
    given = {"causal": {"is_causal": True}, "booleans": {"attn_mask": allowed}, "scale": {"scale": 0.9}}.get(case, {})
    theirs = {n: torch.tensor(a) if isinstance(a, np.ndarray) else a for n, a in given.items()}
    if case == "numbers":
        both(lambda q, k, v, m: scaled_dot_product_attention(q, k, v, m), lambda q, k, v, m: torch_attention(q, k, v, m),
             q, k, v, values(3, 5, 7, seed=3))
        return
    if case == "broadcast":
        k, v = k[:1], v[:, :1]
    both(lambda q, k, v: scaled_dot_product_attention(q, k, v, **given), lambda q, k, v: torch_attention(q, k, v, **theirs),
         q, k, v)


def test_second_derivatives_of_attention():
    arrays = values(3, 4), values(5, 4, seed=1), values(5, 2, seed=2)
    gs = values(3, 2, seed=3), [values(*a.shape, seed=4 + i) for i, a in enumerate(arrays)]

    def twice(grad, attention, make, xs):
        y = attention(*xs, is_causal=True)
        first = grad((y * make(gs[0])).sum(), xs)
        return grad(sum((f * make(g)).sum() for f, g in zip(first, gs[1], strict=True)), xs)

    def our_grad(y, xs):
        return [g for _, g in pull((y,), (None,), xs, True)]

    ours = twice(our_grad, scaled_dot_product_attention, ndiv.tensor, [ndiv.tensor(a, requires_grad=True) for a in arrays])
    theirs = twice(lambda y, xs: torch.autograd.grad(y, xs, create_graph=True), torch_attention, torch.tensor,
                   [torch.tensor(a, requires_grad=True) for a in arrays])
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masks", ["none", "padding", "booleans", "numbers", "heads", "both", "mixed"])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("sizes", [{}, {"kdim": 5, "vdim": 6}])
def test_multihead_attention(batch_first, masks, need_weights, sizes):
    n, length, size, e, h = 2, 5, 6, 8, 4
    theirs = torch.nn.MultiheadAttention(e, h, batch_first=batch_first, **sizes)
    ours = MultiheadAttention(e, h, batch_first=batch_first, **sizes)
    twins(ours, theirs)
    padding = np.zeros((n, size), bool)
    padding[1, 4:] = True
    blocked = values(length, size, seed=5) > 0.8
    blocked[:, 0] = False
    by_head = values(n * h, length, size, seed=6)
    given = {"none": {}, "padding": {"key_padding_mask": padding}, "booleans": {"attn_mask": blocked},
             "numbers": {"attn_mask": by_head[0]}, "heads": {"attn_mask": by_head},
             "both": {"key_padding_mask": padding, "attn_mask": blocked},
             "mixed": {"key_padding_mask": np.where(padding, -np.inf, 0.0), "attn_mask": by_head}}[masks]
    order = (0, 1, 2) if batch_first else (1, 0, 2)
    q = values(n, length, e, seed=1).transpose(order)
    k = values(n, size, sizes.get("kdim", e), seed=2).transpose(order)
    v = values(n, size, sizes.get("vdim", e), seed=3).transpose(order)
    torch_masks = {name: torch.tensor(m) for name, m in given.items()}
    both(lambda q, k, v: ours(q, k, v, need_weights=need_weights, **given)[0],
         lambda q, k, v: theirs(q, k, v, need_weights=need_weights, **torch_masks)[0], q, k, v)
    same_parameter_gradients(ours, theirs)
    if need_weights:
        for average in (True, False):
            a = ours(q, k, v, average_attn_weights=average, **given)[1]
            close(a, theirs(*map(torch.tensor, (q, k, v)), average_attn_weights=average, **torch_masks)[1])


def test_multihead_attention_to_itself_and_without_a_batch():
    theirs, ours = torch.nn.MultiheadAttention(8, 2, bias=False), MultiheadAttention(8, 2, bias=False)
    twins(ours, theirs)
    both(lambda x: ours(x, x, x)[0], lambda x: theirs(x, x, x)[0], values(5, 3, 8))
    both(lambda x: ours(x, x, x)[0], lambda x: theirs(x, x, x)[0], values(5, 8))
    close(ours(*[values(5, 8)] * 3)[1], theirs(*[torch.tensor(values(5, 8))] * 3)[1])
    causal = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    both(lambda x: ours(x, x, x, is_causal=True)[0], lambda x: theirs(x, x, x, attn_mask=causal, is_causal=True)[0],
         values(5, 3, 8))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_transformer_layers(norm_first, activation, batch_first):
    options = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0, "activation": activation,
               "norm_first": norm_first, "batch_first": batch_first}
    order = (0, 1, 2) if batch_first else (1, 0, 2)
    src, tgt = values(3, 6, 8, seed=1).transpose(order), values(3, 5, 8, seed=2).transpose(order)
    padding = np.zeros((3, 6), bool)
    padding[0, 5:] = True
    theirs, ours = torch.nn.TransformerEncoderLayer(**options), TransformerEncoderLayer(**options)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    twins(ours, theirs)
    both(lambda x: ours(x, src_key_padding_mask=padding), lambda x: theirs(x, src_key_padding_mask=torch.tensor(padding)), src)
    same_parameter_gradients(ours, theirs)

    theirs, ours = torch.nn.TransformerDecoderLayer(**options), TransformerDecoderLayer(**options)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    twins(ours, theirs)
    causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    both(lambda x, m: ours(x, m, memory_key_padding_mask=padding, tgt_is_causal=True),
         lambda x, m: theirs(x, m, tgt_mask=causal, memory_key_padding_mask=torch.tensor(padding)), tgt, src)
    same_parameter_gradients(ours, theirs)


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding(padding_idx):
    theirs, ours = torch.nn.Embedding(5, 3, padding_idx), Embedding(5, 3, padding_idx)
    twins(ours, theirs)
    index, g = np.array([[0, 2, 4], [2, 2, 1]]), values(2, 3, 3)
    y, z = ours(index), theirs(torch.tensor(index))
    close(y, z)
    y.backward(g)
    z.backward(torch.tensor(g))
    same_parameter_gradients(ours, theirs)


@pytest.mark.parametrize("subtract_last", [False, True])
def test_reversible_instance_normalization(subtract_last):
    """Kim et al. 2022 written in torch, with its statistics detached."""
    ours = RevIN(3, subtract_last=subtract_last).astype(np.float64)
    w, b = values(3, seed=1), values(3, seed=2)
    ours.load_state_dict({"affine_weight": w, "affine_bias": b})
    weight, bias = torch.tensor(w), torch.tensor(b)

    def theirs(x):
        centre = (x[:, -1:] if subtract_last else x.mean(1, keepdim=True)).detach()
        scale = torch.sqrt(x.var(1, keepdim=True, unbiased=False) + 1e-5).detach()
        z = torch.tanh((x - centre) / scale * weight + bias)
        return (z - bias) / (weight + 1e-10) * scale + centre

    both(lambda x: ours.denorm(ndiv.tanh(ours.norm(x))), theirs, values(2, 9, 3))


@pytest.mark.parametrize("kernel", [1, 3, 25])
def test_decomposition(kernel):
    def trend(x, k):
        x = pad(x.transpose(1, 2), ((k - 1) // 2, (k - 1) // 2), mode="replicate")
        return avg_pool1d(x, k, 1).transpose(1, 2)

    x = values(2, 12, 3)
    for i in (0, 1):
        both(lambda x, i=i: SeriesDecomposition(kernel)(x)[i],
             lambda x, i=i: (x - trend(x, kernel), trend(x, kernel))[i], x)
    ours, layer = MixtureDecomposition([kernel, 5]), torch.nn.Linear(1, 2)
    twins(ours.layer, layer)

    def mixed(x):
        shares = torch.softmax(layer(x.unsqueeze(-1)), -1)
        return (torch.stack([trend(x, kernel), trend(x, 5)], -1) * shares).sum(-1)

    both(lambda x: ours(x)[1], mixed, x)
    same_parameter_gradients(ours.layer, layer)
