"""Wrong rules are made, found out, and gone afterwards."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from ndiv.autograd import REGISTRY, Primitive
from ndiv.autograd.primitive import Sample
from ndiv.verify import mutants, rules
from ndiv.verify.__main__ import main


def test_a_sample_of_all_mutants_is_rejected():
    """Every 9th here; ``python -m ndiv.verify mutate`` runs all of them."""
    before = {name: (p.vjp, p.run, p.ref, p.decompose) for name, p in REGISTRY.items()}
    score = mutants.run(every=9)
    assert score, str(score)
    assert sum(score.made.values()) > 100
    assert {name: (p.vjp, p.run, p.ref, p.decompose) for name, p in REGISTRY.items()} == before


@pytest.mark.parametrize("name", ["mul", "matmul", "layer_norm", "softmax", "maximum"])
def test_all_mutants_of_one_op(name):
    score = mutants.run([name])
    assert score, str(score)
    assert score.unread == []


def test_kinds():
    made = {m.kind for name in ("matmul", "tanh", "where", "mean", "bias_act") for m in mutants.mutants_of(REGISTRY[name])}
    assert made >= {"sign", "term", "factor", "constant", "transpose", "branch", "unbroadcast", "whole"}


def test_lambdas_on_one_line_are_told_apart():
    one, two = REGISTRY["sub"].vjp
    assert ast.unparse(rules.tree_of(one).body) == "g"
    assert ast.unparse(rules.tree_of(two).body) == "-g"


def _scaled(factor):
    return lambda g, y, x: g * factor * np.cos(x)


def test_closures_and_defaults_survive():
    rule = _scaled(3.0)
    again = rules.function_from(rules.tree_of(rule), rule)
    assert again(1.0, None, 0.5) == rule(1.0, None, 0.5)

    def with_default(g, k=2, *, m=5):
        return g * k * m

    again = rules.function_from(rules.tree_of(with_default), with_default)
    assert again(1.0) == 10.0


def test_functions_without_source_get_whole_mutants_only():
    rule = eval("lambda g, y, x: g * y")
    assert rules.tree_of(rule) is None
    prim = Primitive("from_text", ("x",), "[*A] -> [*A]", ref=np.exp, vjp=(rule,), saves=("out",),
                     samples=lambda: [Sample((np.ones((2, 3)),))])
    assert {m.kind for m in mutants.mutants_of(prim)} == {"whole"}


def test_weak_samples_let_mutants_live(monkeypatch):
    """The other direction: with samples that cannot tell, survivors are reported, and the command says so."""
    monkeypatch.setattr(REGISTRY["mul"], "samples", lambda: [Sample((np.zeros((2, 2)), np.zeros((2, 2))))])
    score = mutants.run(["mul"])
    assert not score
    assert "SURVIVED" in str(score)
    assert main(["mutate", "mul"]) == 1


def test_the_command_prints_the_score(capsys):
    assert main(["mutate", "tanh"]) == 0
    assert "score 100.0 %" in capsys.readouterr().out


def test_equivalent_mutants_still_exist():
    """An entry whose code has changed is removed from the list, not kept for ever."""
    for op, source in mutants.EQUIVALENT:
        assert source in {m.source for m in mutants.mutants_of(REGISTRY[op])}
