"""Memory planning: nothing that is alive at once overlaps, and the arena is near its lower bound for every model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import LIGHT, sampled

from ndiv.models import get_model, list_models
from ndiv.program.memory import ALIGN, Buffer, _greedy, aligned, place
from ndiv.program.show import View

SIZES = st.integers(0, 5000)
TIMES = st.integers(0, 30)


@st.composite
def buffers(draw):
    out = []
    for k in range(draw(st.integers(0, 25))):
        first = draw(TIMES)
        out.append(Buffer(k, draw(SIZES), first, first + draw(st.integers(0, 12))))
    return out


@settings(max_examples=300, deadline=None)
@given(buffers())
def test_nothing_overlaps_and_the_bound_is_a_bound(given_buffers):
    arena = place(given_buffers)
    assert arena.size >= arena.bound and arena.size % ALIGN == 0
    for a in given_buffers:
        assert arena.offsets[a.key] % ALIGN == 0 and arena.offsets[a.key] + a.size <= arena.size
        for b in given_buffers:
            if a is not b and a.first <= b.last and b.first <= a.last and a.size and b.size:
                apart = (arena.offsets[a.key] + a.size <= arena.offsets[b.key]
                         or arena.offsets[b.key] + b.size <= arena.offsets[a.key])
                assert apart, (a, b)


@settings(max_examples=50, deadline=None)
@given(buffers())
def test_the_same_buffers_always_lie_in_the_same_places(given_buffers):
    assert place(given_buffers) == place(given_buffers)


def by_definition(order):
    """Offsets of buffers placed one after another: the smallest gap among those alive with it that holds it, or the end."""
    offsets = []
    for k, b in enumerate(order):
        beside = sorted((at, at + aligned(o.size)) for o, at in zip(order[:k], offsets, strict=True)
                        if o.first <= b.last and b.first <= o.last)
        ends = [max([0, *(end for _, end in beside[:n])]) for n in range(len(beside) + 1)]
        gaps = [(at - ends[n], n) for n, (at, _) in enumerate(beside) if at - ends[n] >= aligned(b.size)]
        offsets.append(ends[min(gaps)[1]] if gaps else ends[-1])
    return offsets


@settings(max_examples=100, deadline=None)
@given(buffers(), st.randoms(use_true_random=False))
def test_placing_in_an_order_and_in_one_that_begins_alike(given_buffers, draw):
    n = len(given_buffers)
    sizes = [aligned(b.size) for b in given_buffers]
    near = [[j for j, o in enumerate(given_buffers) if j != i and o.first <= b.last and b.first <= o.last]
            for i, b in enumerate(given_buffers)]
    order, starts, since = draw.sample(range(n), n), [-1] * n, 0
    for _ in range(3 if n else 0):
        size = _greedy(order, sizes, near, starts, since)
        wanted = by_definition([given_buffers[i] for i in order])
        assert [starts[i] for i in order] == wanted and size == max(at + sizes[i] for i, at in zip(order, wanted, strict=True))
        since = draw.randrange(n)
        order = [*order[:since], *draw.sample(order[since:], n - since)]


def test_members_share_the_place_of_their_leader():
    arena = place([Buffer("a", 100, 0, 3, ["b", "c"])])
    assert arena.offsets == {"a": 0, "b": 0, "c": 0}


@pytest.mark.parametrize("name, options, train", sampled(list_models(), [
    {}, {"gradient_clip_val": 1.0, "scaler_type": "revin"}, {"scaler_type": "robust"}], [False, True], every=6))
def test_every_model_is_within_a_tenth_of_the_bound(name, options, train):
    one = 2 if train and name == "DeepNPTS" else 1  # batch normalization learns nothing from one window
    for size, length in ((one, 24), (7, 48)):
        model = get_model(name)(h=12, input_size=length, **LIGHT.get(name, {}), **options)
        rng = np.random.default_rng(0)
        batch = {"insample_y": rng.standard_normal((size, length, 1)).astype(np.float32),
                 "outsample_y": rng.standard_normal((size, 12, 1)).astype(np.float32)}
        if not train:
            del batch["outsample_y"]
        plan = View(model, batch, train).executable.plan
        assert plan.arena <= 1.10 * max(plan.bound, ALIGN)
