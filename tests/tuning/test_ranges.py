"""Ranges and spaces: what they draw stays inside, what they refuse, what default spaces name."""

from __future__ import annotations

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndiv.errors import ConfigError
from ndiv.models import get_model, list_models
from ndiv.models.arguments import bind
from ndiv.tuning import Range, Space, choice, default_space, loguniform, qloguniform, quniform, randint, uniform
from ndiv.tuning.ranges import FirstTrial
from ndiv.tuning.spaces import SPACES


def draws(space: Space, n: int = 20) -> list[dict]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space(study.ask()) for _ in range(n)]


@given(st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=5, deadline=None)
def test_numbers_stay_inside(low: int, width: int) -> None:
    high = low + width
    for drawn in draws(Space(a=randint(low, high), b=uniform(low, high), c=loguniform(low, high), d=qloguniform(low, high),
                             e=quniform(low, high, 1)), 5):
        assert low <= drawn["a"] < high  # the upper end is left out, as in NumPy and Ray
        assert all(low <= drawn[k] <= high for k in "bcde")
        assert all(isinstance(drawn[k], int) for k in "ade")


def test_lists_are_choices_and_names_are_not() -> None:
    space = Space(pools=[[2, 1], [4, 1]], futr_exog_list=["x", "z"], dilations=(1, 2), steps=5)
    found = draws(space)
    assert {tuple(d["pools"]) for d in found} == {(2, 1), (4, 1)}
    assert all(d["futr_exog_list"] == ["x", "z"] and d["dilations"] == (1, 2) and d["steps"] == 5 for d in found)


def test_multiples_of_the_horizon() -> None:
    assert Space.of({"input_size_multiplier": [1, 3]}, 12)["input_size"].values == (12, 36)
    assert Space.of({"input_size_multiplier": [1, 3], "input_size": 7}, 12) == {"input_size": 7}
    assert Space(input_size=[12, 24, 36]).no_longer_than(30)["input_size"].values == (12, 24)
    assert Space(input_size=[12, 24]).no_longer_than(3)["input_size"] == [12, 24]  # then the trials say what is wrong


def test_records_come_back() -> None:
    space = Space(a=choice([[1], [2]]), b=uniform(0, 1), c=(1, 2), d=None, e=[3, 4])
    again = Space.from_record(space.record())
    assert again == {**space, "e": choice([3, 4])}
    assert draws(again) == draws(space)


@pytest.mark.parametrize("bad", [lambda: choice([]), lambda: choice("ab"), lambda: uniform(2, 1), lambda: loguniform(0, 1),
                                 lambda: quniform(0, 1, 0), lambda: randint(3, 3), lambda: default_space("Naive")])
def test_refused(bad) -> None:
    with pytest.raises(ConfigError):
        bad()


def test_every_model_has_a_space_of_its_arguments() -> None:
    assert sorted(SPACES) == list_models()
    for name in list_models():
        first = Space.of(default_space(name), 12)(FirstTrial())
        bound = bind(get_model(name), (), {"h": 12, **first})  # refuses unknown names
        assert bound["input_size"] > 0
        searched = {k for k, v in default_space(name).items() if isinstance(v, Range)}
        assert "learning_rate" in searched
        assert not searched & {"random_seed", "step_size"}
