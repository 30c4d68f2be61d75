"""Memory planning: nothing that is alive at once overlaps, and the arena is near its lower bound for every model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import LIGHT, sampled

from ndiv.models import get_model, list_models
from ndiv.program.memory import ALIGN, Buffer, place
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
