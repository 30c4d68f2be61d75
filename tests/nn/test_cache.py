"""KeyValueCache and attention to what it holds: token by token the same as causal attention at once, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError, ShapeError
from ndiv.nn.cache import KeyValueCache, attend_onward

SIZES = {"layers": 2, "batch": 3, "heads": 2, "length": 9, "features": 4}


def rows(tokens, layers=2, batch=3, heads=2, features=4, seed=0):
    return np.random.default_rng(seed).normal(size=(layers, 2, batch, heads, tokens, features))


@pytest.mark.parametrize("first", [1, 4])
def test_token_by_token_is_causal_attention(first):
    """Some tokens at once, then single ones: with unfilled places behind a mask, with views of what is filled, and with the
    latest of them not written yet."""
    kv, q = rows(9), rows(9, seed=1)[:, 0]
    cache = KeyValueCache(**SIZES, dtype=np.float64)
    cache.append(kv[..., :first, :])
    for t in range(first, 9):
        for layer in range(2):
            exact = ndiv.scaled_dot_product_attention(q[layer], *kv[layer], is_causal=True)[..., t:t + 1, :]
            one, own = q[layer][..., t:t + 1, :], tuple(kv[layer][..., t:t + 1, :])
            keys, values = cache.of(layer)
            np.testing.assert_allclose(attend_onward(one, keys, values, None, own), exact, rtol=1e-13, atol=1e-14)
            got = attend_onward(one, *cache.array[layer], cache.filled, own)
            np.testing.assert_allclose(got, exact, rtol=1e-13, atol=1e-14)
            start = tuple(a[..., :first, :] for a in (keys, values))
            late = tuple(kv[layer][..., first:t + 1, :])
            np.testing.assert_allclose(attend_onward(one, *start, None, late), exact, rtol=1e-13, atol=1e-14)
        cache.append(kv[..., t:t + 1, :])
    assert cache.size == 9 and cache.filled.all()
    np.testing.assert_array_equal(cache.array, kv)
    whole = attend_onward(q[0][..., -1:, :], *cache.of(0))
    np.testing.assert_allclose(whole, ndiv.scaled_dot_product_attention(q[0], *kv[0])[..., -1:, :], rtol=1e-13, atol=1e-14)


def test_gradients_of_attention_onward():
    kv = rows(6, 1, 1)[0]
    filled = np.arange(5) < 4
    parts = [kv[0, ..., :1, :] * 0.5, kv[0, ..., :5, :], kv[1, ..., :5, :], kv[0, ..., 5:, :], kv[1, ..., 5:, :]]
    assert gradcheck(lambda q, k, v, a, b: (attend_onward(q, k, v, filled, (a, b)) ** 2).sum(), parts)


def test_a_cache_goes_back():
    """What is decoded anew from an earlier token does not see what came after it."""
    cache = KeyValueCache(**SIZES)
    cache.append(rows(7))
    cache.reset(3)
    assert cache.size == 3 and cache.filled.tolist() == [True] * 3 + [False] * 6 and not cache.array[..., 3:, :].any()
    cache.append(rows(2, seed=2))
    np.testing.assert_array_equal(cache.of(1)[1], np.concatenate([rows(7)[1, 1][..., :3, :], rows(2, seed=2)[1, 1]], 2).astype("f4"))
    assert cache.nbytes == 2 * 2 * 3 * 2 * 9 * 4 * 4 + 9
    cache.reset()
    assert cache.size == 0 and not cache.array.any()


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("bad", [0, -1, 2.0, True])
def test_sizes_are_positive(name, bad):
    with pytest.raises(ConfigError, match=f"KeyValueCache: {name} must be a positive whole number") as error:
        KeyValueCache(**{**SIZES, name: bad})
    assert error.value.code == "E0010" and error.value.value == bad and error.value.hint


def test_what_does_not_fit_is_refused():
    cache = KeyValueCache(**SIZES)
    for bad in (rows(1, layers=1), rows(1, batch=2), rows(1, features=3), rows(1)[0]):
        with pytest.raises(ShapeError, match=r"rows have shape .*") as error:
            cache.append(bad)
        assert error.value.value == bad.shape and "[2, 2, 3, 2, n, 4]" in error.value.hint
    cache.append(rows(8))
    with pytest.raises(ShapeError, match="2 tokens after 8 are more than its length 9"):
        cache.append(rows(2))
    for back in (-1, 9):
        with pytest.raises(ShapeError, match=f"none can go back to {back}"):
            cache.reset(back)
    assert cache.size == 8
