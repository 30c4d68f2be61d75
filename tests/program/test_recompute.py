"""Recomputation: the same bits in fewer bytes, within every budget that it says it can reach, always on the same way."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ndiv
from ndiv.backends import native
from ndiv.errors import ConfigError
from ndiv.models import get_model
from ndiv.program.checker import check_program
from ndiv.program.executable import Executable
from ndiv.program.ir import Program
from ndiv.program.lower import lower
from ndiv.program.passes import PASSES, run_passes
from ndiv.program.passes.recompute import _Search, explicit_copies, recompute
from ndiv.program.trace import trace
from ndiv.program.train import TrainStep

F = np.float32
ENGINES = ["numpy", *(["native"] if native.available() else [])]


def array(seed, *shape):
    return (np.random.default_rng(seed).standard_normal(shape) * 0.3).astype(F)


def traced(f, *args):
    """(program after all passes, streams) of the gradient of f by all arguments but the first."""
    t = trace(ndiv.value_and_grad(f, tuple(range(1, len(args)))), args, "f")
    return run_passes(t.program), t.streams


def smallest(program):
    """The smallest number of bytes that can be reached."""
    try:
        return lower(recompute(program, 0)).arena
    except ConfigError as said:
        assert said.code == "E0010"
        return int(re.search(r"memory=(\d+)", said.hint).group(1))


def same_bits(program, other, arrays, streams=0):
    """That both give the same on both engines, random numbers included."""
    for engine in ENGINES:
        given = []
        for p in (program, other):
            ndiv.manual_seed(5)
            given.append(Executable(p, streams=streams, engine=engine, passes=())(arrays))
        for a, b in zip(*given, strict=True):
            np.testing.assert_array_equal(a, b)


# functions ----------------------------------------------------------------------------------------------------------

def rnn(x, w, u):
    h = np.zeros((x.shape[0], u.shape[0]), F)
    for t in range(x.shape[1]):
        h = ndiv.tanh(x[:, t] @ w + h @ u)
    return (h * h).mean()


def mixing(x, *weights):
    for q, up, down in zip(weights[::3], weights[1::3], weights[2::3], strict=True):
        y = x - x.mean(-1, True)
        x = x + ndiv.softmax(y @ q @ y.swapaxes(1, 2), 2) @ y
        x = x + ndiv.dropout(ndiv.gelu(x @ up), 0.2) @ down
    return (x * x).mean()


def wide(x, w):
    return ndiv.softmax(ndiv.silu(x @ w), 1).swapaxes(0, 1).reshape((-1,)).exp().mean()


RNN = (rnn, [array(0, 64, 12, 3), array(1, 3, 16), array(2, 16, 16)])
MIXING = (mixing, [array(0, 4, 24, 16), *(array(k, *s) for k, s in enumerate([(16, 16), (16, 64), (64, 16)] * 3))])
WIDE = (wide, [array(0, 30, 6), array(1, 6, 50)])
CASES = [pytest.param(*case, id=case[0].__name__) for case in (RNN, MIXING, WIDE)]


@pytest.mark.parametrize(("f", "args"), CASES)
def test_every_budget_down_to_the_smallest_is_kept_with_the_same_bits(f, args):
    program, streams = traced(f, *args)
    full, least = lower(program).arena, smallest(program)
    arenas = []
    for budget in np.linspace(least, full, 5, dtype=int):
        other = recompute(program, int(budget))
        plan = lower(check_program(other))
        assert plan.arena <= budget
        arenas.append(plan.arena)
        same_bits(program, other, args, streams)
    assert arenas == sorted(arenas)


@pytest.mark.parametrize(("f", "args", "part"), [(*RNN, 0.75), (*MIXING, 0.5)])
def test_deep_functions_need_much_less(f, args, part):
    program, _ = traced(f, *args)
    assert smallest(program) <= part * lower(program).arena


def test_a_program_that_fits_is_left_alone():
    program, _ = traced(*RNN[:1], *RNN[1])
    assert recompute(program, lower(program).arena) is program


def test_it_is_deterministic_and_the_text_says_all():
    program, _ = traced(*MIXING[:1], *MIXING[1])
    budget = lower(program).arena // 2
    once, twice = recompute(program, budget), recompute(program, budget)
    assert once.text() == twice.text() and once.hash != program.hash
    again = Program.parse(once.text(), once.arrays())
    assert again.text() == once.text() and lower(again).arena == lower(once).arena


def test_smaller_budgets_go_further_on_the_same_way():
    program, _ = traced(*RNN[:1], *RNN[1])
    full, least = lower(program).arena, smallest(program)
    sizes = [len(recompute(program, b)) for b in (full, (full + least) // 2, least)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_dropout_is_drawn_again_alike():
    """What dropout leaves is computed again, with the same numbers."""
    program, streams = traced(*MIXING[:1], *MIXING[1])
    other = recompute(program, smallest(program))
    drawn = [sum(e.op == "dropout" for e in p.eqns) for p in (program, other)]
    assert drawn[1] > drawn[0]
    same_bits(program, other, MIXING[1], streams)


def test_common_subexpressions_would_undo_it_so_it_is_no_pass_in_the_middle():
    program, _ = traced(*MIXING[:1], *MIXING[1])
    other = recompute(program, lower(program).arena // 2)
    assert len(PASSES["cse"](other)) < len(other) and "recompute" not in PASSES


@pytest.mark.parametrize("budget", [-1, 1.5, "1 MB", True])
def test_what_is_no_number_of_bytes(budget):
    program, _ = traced(*WIDE[:1], *WIDE[1])
    with pytest.raises(ConfigError, match="number of bytes"):
        recompute(program, budget)


def test_a_budget_that_cannot_be_kept_names_the_smallest_size():
    program, _ = traced(*RNN[:1], *RNN[1])
    least = smallest(program)
    with pytest.raises(ConfigError, match=f"{least:,} were reached") as caught:
        recompute(program, least - 1)
    assert caught.value.code == "E0010" and caught.value.value == least - 1
    assert lower(recompute(program, least)).arena <= least


# random programs ----------------------------------------------------------------------------------------------------

def grown(seed, length):
    """A random function of two arrays."""

    def f(x, w):
        rng = random.Random(seed)
        values = [x, w, x @ w]
        for _ in range(length):
            a, b = rng.choice(values), rng.choice(values)
            made = rng.choice([
                lambda a, b: ndiv.tanh(a), lambda a, b: ndiv.softmax(a, 1), lambda a, b: a * b if a.shape == b.shape else a * b.mean(),
                lambda a, b: a @ a.swapaxes(0, 1), lambda a, b: a.swapaxes(0, 1), lambda a, b: ndiv.dropout(a, 0.3),
                lambda a, b: a.sum(0, True) + a, lambda a, b: ndiv.cat([a, -a], dim=1)[:, 1:7], lambda a, b: a[:, ::-1],
                lambda a, b: a.reshape((1, -1)) if a.shape[0] < 9 else ndiv.exp(-a * a)])(a, b)
            if made.shape[0] * made.shape[1] <= 300:
                values.append(made)
        return sum((v * v).mean() for v in values[1:])

    return f


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 14), st.floats(0, 1))
def test_random_training_programs(seed, length, part):
    args = [array(seed, 6, 6), array(seed + 1, 6, 6)]
    program, streams = traced(grown(seed, length), *args)
    full, least = lower(program).arena, smallest(program)
    budget = int(least + part * (full - least))
    other = recompute(program, budget)
    assert lower(check_program(other)).arena <= budget
    same_bits(program, other, args, streams)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 14))
def test_the_search_sees_the_memory_that_lowering_plans(seed, length):
    program, _ = traced(grown(seed, length), array(seed, 6, 6), array(seed + 1, 6, 6))
    copied = explicit_copies(program)
    assert lower(copied).bound == lower(program).bound
    search = _Search(copied)
    for peak, order in search.steps():
        assert lower(check_program(search.program_of(order))).bound == peak


# where users meet it ------------------------------------------------------------------------------------------------

def test_compile_takes_a_budget():
    f, args = RNN
    free = ndiv.compile(ndiv.value_and_grad(f, (1, 2)))
    expected = free(*args)
    budget = int(free.plans[0].plan.arena * 0.8)
    tight = ndiv.compile(ndiv.value_and_grad(f, (1, 2)), memory=budget)
    got = tight(*args)
    assert tight.plans[0].plan.arena <= budget
    np.testing.assert_array_equal(expected[0].numpy(), got[0].numpy())
    for a, b in zip(expected[1], got[1], strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.raises(ConfigError, match="cannot be within 1 bytes"):
        ndiv.compile(ndiv.value_and_grad(f, (1, 2)), memory=1)(*args)


def training(memory, steps=4, parts=1):
    """Losses, parameters and the arena of some training steps, of one batch or several."""
    ndiv.manual_seed(2)
    model = get_model("NHITS")(h=12, input_size=48, gradient_clip_val=1.0, dropout_prob_theta=0.2, memory_budget=memory)
    rng = np.random.default_rng(0)
    batch = {"insample_y": rng.standard_normal((512, 48, 1)).astype(F), "outsample_y": rng.standard_normal((512, 12, 1)).astype(F)}
    model.train()
    step = TrainStep(model)
    losses = [step(batch if parts == 1 else [batch] * parts) for _ in range(steps)]
    assert not step.reason
    made = next(iter((step.cache if parts == 1 else step.parts).values()))
    return losses, [p.numpy().copy() for p in model.parameters()], made.executable.plan.arena


@pytest.mark.parametrize("parts", [1, 2])
def test_training_steps_with_clipping_dropout_and_moments_have_the_same_bits(parts):
    losses, parameters, arena = training(None, parts=parts)
    budget = int(arena * 0.85)
    again, others, less = training(budget, parts=parts)
    assert less <= budget and losses == again
    for a, b in zip(parameters, others, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_models_budget_that_cannot_be_kept_names_one_that_can():
    with pytest.raises(ConfigError, match=r"NHITS\.train_step cannot be within 1,000 bytes") as error:
        training(1000)
    assert error.value.code == "E0010" and error.value.value == 1000
    enough = int(re.search(r"memory_budget=(\d+)", error.value.hint).group(1))
    assert training(enough, steps=1)[2] <= enough
