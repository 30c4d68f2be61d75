"""Backbone: the contract of all three architectures, on random weights, and the reference's hidden states and gradients."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from language_files import CASES, figure, write_folder

import ndiv
from ndiv.autograd.check import gradcheck
from ndiv.errors import ConfigError, ShapeError
from ndiv.language import Backbone, load
from ndiv.language.llama import LlamaSizes, llama3_divisors, rotations

KINDS = ("gpt2", "llama", "bert")
SMALL = {"width": 8, "num_heads": 2, "num_layers": 2, "inner": 12, "vocabulary_size": 30, "max_positions": 10}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def small(kind, **sizes):
    return Backbone.from_config(kind, **{**SMALL, **({"kv_heads": 1} if kind == "llama" else {}), **sizes})


def mask_of(*lengths, total=6):
    return (np.arange(total) < np.array(lengths)[:, None]).astype(np.float32)


# against the reference --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_hidden_states_and_gradients_are_the_reference_s(case, tmp_path):
    """Of transformers 5.23: within 1e-5 and 1e-4 of the largest; half of the rows are padded."""
    config, weights, found = figure(case)
    model = load(write_folder(tmp_path / "model", config, weights))
    x = ndiv.tensor(found["x"], requires_grad=True)
    hidden = model.hidden_states(x, found["mask"]) * found["mask"][..., None]
    np.testing.assert_allclose(hidden.numpy(), found["hidden"], rtol=0, atol=1e-5 * np.abs(found["hidden"]).max())
    (hidden * found["g"]).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), found["gradient"], rtol=0, atol=1e-4 * np.abs(found["gradient"]).max())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())


# the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_backbone_tells(kind):
    b = small(kind)
    assert (b.kind, b.width, b.vocabulary_size, b.num_layers, b.max_positions) == (kind, 8, 30, 2, 10)
    assert b.embeddings.shape == (30, 8)
    assert b.embeddings.dtype == np.float32
    ids = np.array([[1, 2, 29], [0, 0, 5]])
    np.testing.assert_array_equal(b.embed(ids).numpy(), b.embeddings.data[ids])
    np.testing.assert_array_equal(b.embed(ids.tolist()).numpy(), b.embeddings.data[ids])
    assert repr(b).endswith(f"({kind}, width=8, num_layers=2, vocabulary_size=30)")
    assert b.hidden_states(numbers(2, 6, 8)).shape == (2, 6, 8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_a_plan_gives_the_same(kind, dtype):
    b = small(kind)
    x, mask = numbers(3, 6, 8), mask_of(6, 4, 1).astype(dtype)
    plan, plain = ndiv.compile(b), ndiv.compile(b.hidden_states)
    np.testing.assert_allclose(plan(x, mask).numpy(), b(x, mask).numpy(), atol=2e-6)
    np.testing.assert_allclose(plain(x).numpy(), b(x).numpy(), atol=2e-6)
    assert {v.name for v in plan.plans[0].source.states} < {name for name, _ in b.named_parameters()}
    assert sum(c.size for c in plan.plans[0].source.consts.values()) < 200  # weights are read where they are, not copied


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_through_it(kind):
    b = small(kind, num_layers=1).astype(np.float64)
    x = ndiv.tensor(numbers(2, 4, 8).astype(np.float64), requires_grad=True)
    assert gradcheck(lambda x: b.hidden_states(x, mask_of(4, 2, total=4).astype(np.float64)), (x,))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_in_front_is_trained_and_the_model_is_not(kind):
    b, front = small(kind), ndiv.nn.Linear(3, 8)
    before = b.fingerprint
    loss, gradients = ndiv.value_and_grad(lambda w: (b(numbers(2, 5, 3) @ w.T) ** 2).mean())(front.weight)
    assert np.isfinite(float(loss)) and np.abs(gradients.numpy()).max() > 0
    assert [p.requires_grad for p in b.parameters()].count(True) == 0
    b.train()
    assert small(kind).fingerprint == before
    np.testing.assert_array_equal(b(numbers(1, 5, 8)).numpy(), b.eval()(numbers(1, 5, 8)).numpy())


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_not_seen(kind):
    """A row alone, and the same row padded beside a longer one: whatever stands in the padding."""
    b = small(kind)
    x = numbers(2, 6, 8)
    alone = b(x[1:, :4]).numpy()
    for fill in (0.0, 50.0):
        x[1, 4:] = fill
        np.testing.assert_allclose(b(x, mask_of(6, 4)).numpy()[1:, :4], alone, atol=2e-6)


@pytest.mark.parametrize("kind, causal", [("gpt2", True), ("llama", True), ("bert", False)])
def test_what_sees_what(kind, causal):
    b, x = small(kind), numbers(1, 6, 8)
    before = b(x).numpy()
    x[0, 3, 2] += 1.0  # of one feature: what is added to all, a normalization takes away
    changed = np.abs(b(x).numpy() - before).max((0, 2)) > 1e-6
    assert changed.tolist() == ([False] * 3 + [True] * 3 if causal else [True] * 6)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_matter(kind):
    b, x = small(kind), numbers(1, 6, 8)
    assert np.abs(b(x[:, [1, 0, 2, 3, 4, 5]]).numpy()[:, 5] - b(x).numpy()[:, 5]).max() > 1e-4


def test_rotations_turn_by_the_position():
    """Scores of a rotated query and a rotated key depend on the distance of their positions alone."""
    sizes = LlamaSizes(width=6, num_heads=1, theta=50.0, divisors=(2.0, 1.0, 3.0))
    cos, sin = rotations(sizes, 9)
    np.testing.assert_allclose(np.arctan2(sin[1], cos[1]), [1 / 2, 50 ** (-2 / 6), 50 ** (-4 / 6) / 3], rtol=1e-6)
    q, k = numbers(3).astype(complex) + 1j * numbers(3, seed=1), numbers(3, seed=2) + 1j * numbers(3, seed=3)
    turn = cos + 1j * sin
    scores = ((q * turn)[:, None] * np.conj(k * turn)[None]).sum(-1).real
    for distance in range(-8, 9):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)


def test_stretched_frequencies():
    """Slow waves by the factor, fast ones not at all, and between them the frequency is linear in the turns."""
    theta, pairs, length = 10000.0, 8, 64
    found = llama3_divisors(theta, pairs, 8.0, 1.0, 4.0, length)
    for i, divisor in enumerate(found):
        turns = length * theta ** (-i / pairs) / (2 * np.pi)
        share = min(max((turns - 1) / 3, 0), 1)
        assert divisor == pytest.approx(1 / (share + (1 - share) / 8))
    assert found[0] == 1.0 and found[-1] == 8.0 and 1.0 < found[1] < 8.0


# identity ---------------------------------------------------------------------------------------------------------


def test_fingerprints_follow_weights_and_architecture():
    base = small("gpt2")
    assert base.fingerprint == small("gpt2").fingerprint
    others = [small("gpt2", num_layers=1), small("gpt2", scale_by_layer=True), small("gpt2", eps=1e-6), small("bert"),
              Backbone.from_config("gpt2", seed=1, **SMALL)]
    prints = {b.fingerprint for b in (base, *others)}
    assert len(prints) == len(others) + 1
    assert all(len(p) == 64 and int(p, 16) >= 0 for p in prints)
    changed = small("gpt2")
    changed.layers[1].back.bias.data[3] += 1e-3
    assert changed.fingerprint not in prints


def test_copies_share_the_weights():
    b = small("llama")
    twin = copy.deepcopy(b)
    assert all(np.shares_memory(p.data, q.data) for p, q in zip(b.parameters(), twin.parameters(), strict=True))
    twin.astype(np.float64)
    assert b.embeddings.dtype == np.float32
    assert twin.fingerprint == b.fingerprint


# text -------------------------------------------------------------------------------------------------------------


def test_encode_pads_at_the_end_and_cuts():
    b = Backbone.from_config("gpt2", vocabulary_size=200, **{k: v for k, v in SMALL.items() if k != "vocabulary_size"})
    ids, mask = b.encode(["abc", "", "zé"])
    assert ids.tolist() == [[97, 98, 99], [0, 0, 0], [122, 195, 169]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]
    assert (ids.dtype, mask.dtype) == (np.int64, np.float32)
    ids, mask = b.encode(["abc", "d"], max_length=2)
    assert ids.tolist() == [[97, 98], [100, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]
    assert np.isfinite(b.hidden_states(b.embed(ids), mask).numpy()).all()


@pytest.mark.parametrize("texts", ["abc", [], [1]])
def test_encode_refuses_what_is_no_list_of_texts(texts):
    with pytest.raises(ConfigError, match="list of texts"):
        small("gpt2").encode(texts)


@pytest.mark.parametrize("length", [0, -1, 2.5, True])
def test_encode_refuses_lengths(length):
    with pytest.raises(ConfigError, match="max_length must be"):
        small("gpt2").encode(["a"], length)


# refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, sizes, words", [
    ("gpt", {}, "unknown kind"), ("gpt2", {"depth": 3}, "no size 'depth'"), ("gpt2", {"width": 0}, "width must be"),
    ("gpt2", {"num_layers": 1.5}, "num_layers must be"), ("bert", {"width": 9}, "not a multiple of num_heads"),
    ("llama", {"width": 6}, "head_dim must be even"), ("llama", {"kv_heads": 3}, "not a multiple of kv_heads"),
    ("llama", {"divisors": (1.0,) * 3}, "3 divisors for 2 pairs"), ("llama", {"divisors": (0.0,)}, "divisors"),
    ("llama", {"theta": 0.0}, "theta must be"), ("bert", {"token_types": 0}, "token_types must be"),
    ("bert", {"activation": "gelo"}, "unknown activation"), ("bert", {"eps": float("nan")}, "eps must be")])
def test_sizes_that_do_not_fit(kind, sizes, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Backbone.from_config(kind, **{**SMALL, **sizes})
    assert caught.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_that_do_not_fit(kind):
    b = small(kind)
    for x, mask, words in [(numbers(2, 8), None, "inputs_embeds has shape"), (numbers(2, 3, 7), None, r"give \[B, T, 8\]"),
                           (numbers(2, 11, 8), None, "the model has 10 positions"),
                           (numbers(2, 3, 8), np.ones((2, 4)), r"give \[2, 3\]")]:
        with pytest.raises(ShapeError, match=words):
            b.hidden_states(x, mask)
    with pytest.raises(ShapeError, match="the table has 30 rows"):
        b.embed(np.array([[30]]))
