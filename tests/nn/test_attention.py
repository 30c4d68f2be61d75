"""Attention layers: shapes, masks, heads, what is trained, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError, ShapeError
from ndiv.nn.attention import MultiheadAttention, TransformerDecoderLayer, TransformerEncoderLayer


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, len(shape)])).normal(size=shape)


def layer(*arguments, **options) -> MultiheadAttention:
    ndiv.manual_seed(1)
    return MultiheadAttention(*arguments, **options).astype(np.float64)


def test_it_is_the_heads_side_by_side():
    """Against the definition: project, split, softmax, join, project."""
    m = layer(6, 3, batch_first=True)
    q, k, v = values(2, 4, 6), values(2, 5, 6, seed=1), values(2, 5, 6, seed=2)
    m.in_proj_bias.copy_(values(18, seed=3))
    w, b = m.in_proj_weight.numpy(), m.in_proj_bias.numpy()
    heads, shares = [], []
    for h in range(3):
        qh, kh, vh = (x @ w[6 * i + 2 * h:6 * i + 2 * h + 2].T + b[6 * i + 2 * h:6 * i + 2 * h + 2]
                      for i, x in enumerate((q, k, v)))
        e = np.exp(qh @ kh.transpose(0, 2, 1) / np.sqrt(2))
        shares.append(e / e.sum(-1, keepdims=True))
        heads.append(shares[-1] @ vh)
    expected = np.concatenate(heads, -1) @ m.out_proj.weight.numpy().T + m.out_proj.bias.numpy()
    out, weights = m(q, k, v)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(weights.numpy(), np.mean(shares, 0), rtol=1e-12)
    out, weights = m(q, k, v, average_attn_weights=False)
    np.testing.assert_allclose(weights.numpy(), np.stack(shares, 1), rtol=1e-12)
    fused, nothing = m(q, k, v, need_weights=False)
    assert nothing is None
    np.testing.assert_allclose(fused.numpy(), expected, rtol=1e-12, atol=1e-13)


def test_names_and_first_values_are_pytorchs():
    m = MultiheadAttention(300, 4)
    assert list(m.state_dict()) == ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    assert not m.in_proj_bias.numpy().any() and not m.out_proj.bias.numpy().any()
    bound = np.sqrt(6 / 1200)
    assert np.abs(m.in_proj_weight.numpy()).max() <= bound
    assert abs(m.in_proj_weight.numpy().std() - bound / np.sqrt(3)) < 0.01 * bound
    assert list(MultiheadAttention(8, 2, bias=False, kdim=3).state_dict()) == [
        "q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]


def test_batch_first_only_turns_axes():
    a, b = layer(8, 2), layer(8, 2, batch_first=True)
    x = values(5, 3, 8)
    np.testing.assert_allclose(a(x, x, x)[0].numpy(), b(*[x.swapaxes(0, 1)] * 3)[0].numpy().swapaxes(0, 1), rtol=1e-13)
    np.testing.assert_allclose(a(*[x[:, 1]] * 3)[0].numpy(), a(x, x, x)[0].numpy()[:, 1], rtol=1e-12)
    assert a(*[x[:, 1]] * 3)[1].shape == (5, 5)
    assert a(*[x[:, 1]] * 3, average_attn_weights=False)[1].shape == (2, 5, 5)


@pytest.mark.parametrize("need_weights", [False, True])
def test_padding_does_not_count(need_weights):
    m = layer(8, 2, batch_first=True)
    x, short = values(2, 6, 8), values(2, 4, 8)
    x[:, :4] = short
    padding = np.array([[False] * 4 + [True] * 2] * 2)
    out = m(short, x, x, key_padding_mask=padding, need_weights=need_weights)[0].numpy()
    np.testing.assert_allclose(out, m(short, short, short)[0].numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("kind", ["booleans", "numbers", "tensor"])
def test_a_query_without_keys_gives_the_bias_of_the_output(kind, need_weights):
    m = layer(8, 2, batch_first=True)
    m.out_proj.bias.copy_(values(8, seed=5))
    x = ndiv.tensor(values(2, 4, 8), requires_grad=True)
    blocked = np.zeros((4, 4), bool)
    blocked[2] = True
    mask = {"booleans": blocked, "numbers": np.where(blocked, -np.inf, 0.0), "tensor": ndiv.tensor(blocked)}[kind]
    out = m(x, x, x, attn_mask=mask, need_weights=need_weights)[0]
    np.testing.assert_array_equal(out.numpy()[:, 2], np.broadcast_to(m.out_proj.bias.numpy(), (2, 8)))
    out.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    assert all(np.isfinite(p.grad.numpy()).all() for p in m.parameters())


def test_causal_is_a_triangular_mask():
    m = layer(8, 2, batch_first=True)
    x = values(2, 5, 8)
    future = np.triu(np.ones((5, 5), bool), 1)
    np.testing.assert_allclose(m(x, x, x, is_causal=True)[0].numpy(), m(x, x, x, attn_mask=future)[0].numpy(), rtol=1e-12)
    padding = np.array([[True, False, False, False, False], [False] * 5])
    np.testing.assert_allclose(
        m(x, x, x, is_causal=True, key_padding_mask=padding, need_weights=False)[0].numpy(),
        m(x, x, x, attn_mask=future, key_padding_mask=padding)[0].numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("need_weights", [False, True])
def test_dropout_is_for_training_only(need_weights):
    m = layer(8, 2, 0.5)
    x = values(6, 3, 8)

    def out():
        return m(x, x, x, need_weights=need_weights)[0].numpy()

    assert not np.array_equal(out(), out())
    m.eval()
    first = out()
    np.testing.assert_array_equal(out(), first)
    np.testing.assert_array_equal(layer(8, 2)(x, x, x, need_weights=need_weights)[0].numpy(), first)


def test_float32_stays_float32():
    m = MultiheadAttention(8, 2)
    x = values(5, 3, 8).astype(np.float32)
    for mask in (None, values(5, 5), values(5, 5) > 9, values(6, 5, 5)):
        out, weights = m(x, x, x, attn_mask=mask, key_padding_mask=np.zeros((3, 5), bool))
        assert out.dtype == weights.dtype == np.float32
    out.sum().backward()
    assert all(p.grad.dtype == np.float32 for p in m.parameters())


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layer_is_its_formula(norm_first):
    ndiv.manual_seed(2)
    m = TransformerEncoderLayer(8, 2, 12, 0.1, batch_first=True, norm_first=norm_first).astype(np.float64).eval()
    x = ndiv.tensor(values(3, 5, 8))

    def attend(y):
        return m.self_attn(y, y, y)[0]

    def feed(y):
        return m.linear2(ndiv.relu(m.linear1(y)))

    if norm_first:
        y = x + attend(m.norm1(x))
        expected = y + feed(m.norm2(y))
    else:
        y = m.norm1(x + attend(x))
        expected = m.norm2(y + feed(y))
    np.testing.assert_allclose(m(x).numpy(), expected.numpy(), rtol=1e-12, atol=1e-13)


def test_every_parameter_of_the_decoder_layer_is_trained():
    m = TransformerDecoderLayer(8, 2, 12, activation="gelu", batch_first=True)
    tgt, memory = values(3, 4, 8).astype(np.float32), values(3, 6, 8, seed=1).astype(np.float32)
    (m(tgt, memory, tgt_is_causal=True) ** 3).sum().backward()
    assert [n for n, p in m.named_parameters() if p.grad is None or not p.grad.numpy().any()] == []
    assert [n for n, _ in m.named_modules()][1:] == [
        "self_attn", "self_attn.out_proj", "multihead_attn", "multihead_attn.out_proj", "linear1", "dropout", "linear2",
        "norm1", "norm2", "norm3", "dropout1", "dropout2", "dropout3"]


def test_the_decoder_does_not_see_what_follows():
    m = TransformerDecoderLayer(8, 2, 12, activation=ndiv.tanh, batch_first=True).eval()
    tgt, memory = values(1, 4, 8).astype(np.float32), values(1, 6, 8, seed=1).astype(np.float32)
    before = m(tgt, memory, tgt_is_causal=True).numpy()
    tgt[:, 3] = 5.0
    np.testing.assert_allclose(m(tgt, memory, tgt_is_causal=True).numpy()[:, :3], before[:, :3], rtol=1e-6)


@pytest.mark.parametrize("make", [
    lambda: MultiheadAttention(8, 3), lambda: MultiheadAttention(0, 1), lambda: MultiheadAttention(8, 2, 1.0),
    lambda: MultiheadAttention(8, 2, kdim=0), lambda: TransformerEncoderLayer(8, 2, 0),
    lambda: TransformerEncoderLayer(8, 2, activation="gellu")])
def test_bad_configurations(make):
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.hint


@pytest.mark.parametrize("given", [
    {"attn_mask": np.zeros((5, 6), bool)}, {"attn_mask": np.zeros((3, 5, 5))}, {"key_padding_mask": np.zeros((5, 3), bool)},
    {"value": np.ones((5, 8))}, {"key": np.ones((5, 3, 7))}, {"attn_mask": np.zeros((5, 5), int)}])
def test_bad_shapes(given):
    x = values(5, 3, 8)
    with pytest.raises(ShapeError):
        layer(8, 2)(**{"query": x, "key": x, "value": x, **given})
