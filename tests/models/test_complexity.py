"""Memory of attention, forward and backward, grows as published: by the bytes that plans take, which are the same everywhere.

asv_bench/compare/complexity.py prints times and slopes beside these, up to 4,096 steps.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import ndiv
from ndiv.models import get_model
from ndiv.models.transformers.informer import ProbSparseAttention

SHORT, LONG = 256, 1024
HEADS, WIDTH = 2, 8
LAW = LONG * math.log(LONG) / (SHORT * math.log(SHORT))  # 5: how many times L log L grows, where L^2 does 16 times


def arena(f, *shapes):
    """Bytes of the temporaries of a function's output and its gradients by all arguments."""
    inputs = [np.random.default_rng(i).standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)]
    toward = np.ones(ndiv.no_grad()(f)(*inputs).shape, np.float32)
    compiled = ndiv.compile(ndiv.value_and_grad(lambda g, *xs: (f(*xs) * g).sum(), tuple(range(1, len(shapes) + 1))))
    compiled(toward, *inputs)
    return compiled.plans[0].plan.arena


def growth(f):
    """How many times the bytes for `LONG` are those for `SHORT`; f gives a function and shapes for a length."""
    sizes = [arena(function, *shapes) for function, shapes in map(f, (SHORT, LONG))]
    return sizes[1] / sizes[0]


def between(attend):
    return lambda length: (attend, [(1, HEADS, length, WIDTH)] * 3)


def explicit(q, k, v):
    return ndiv.softmax(q @ k.swapaxes(-1, -2), -1) @ v


def layer(name, cross, **options):
    """Self-attention of a model's encoder, or attention of its decoder to the encoder's output."""
    def made(length):
        m = get_model(name)(h=1, input_size=length, decoder_input_size_multiplier=1.0, hidden_size=HEADS * WIDTH, n_head=HEADS,
                            **options).eval()
        if cross:
            return m.decoder[0].cross, [(1, length + 1, HEADS * WIDTH), (1, length, HEADS * WIDTH)]
        return lambda x: m.encoder[0].attention(x, x), [(1, length, HEADS * WIDTH)]

    return made


LOG_LINEAR = {f"ProbSparse, causal={causal}": between(ProbSparseAttention(HEADS * WIDTH, HEADS, 3, False, causal=causal).attend)
              for causal in (False, True)}
LOG_LINEAR |= {f"{name}, {options}, cross={cross}": layer(name, cross, **options) for name, options in (
    ("Autoformer", {}), ("FEDformer", {"version": "Fourier", "modes": 8}), ("FEDformer", {"version": "Wavelets", "modes": 8}))
    for cross in (False, True)}


@pytest.mark.parametrize("kind", LOG_LINEAR)
def test_it_grows_no_faster_than_its_law(kind):
    assert growth(LOG_LINEAR[kind]) <= LAW


def test_flash_attention_is_linear_and_explicit_scores_are_not():
    assert growth(between(ndiv.scaled_dot_product_attention)) <= 1.01 * LONG / SHORT
    assert growth(between(explicit)) > 0.9 * (LONG / SHORT) ** 2


@pytest.mark.parametrize("residual", [False, True])
def test_the_encoder_of_patchtst_is_linear(residual):
    """Residual attention too, though it adds up scores: none of them are kept."""
    def made(length):
        m = get_model("PatchTST")(h=8, input_size=length, hidden_size=HEADS * WIDTH, n_heads=HEADS, linear_hidden_size=16,
                                  patch_len=4, stride=2, encoder_layers=2, res_attention=residual).eval()
        return m.encode, [(1, m.positions.shape[0], 4)]

    assert growth(made) <= 1.01 * LONG / SHORT
