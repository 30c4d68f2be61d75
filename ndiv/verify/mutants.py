"""Wrong gradient rules, made automatically from the right ones; the checks of `check.py` must reject every one.

Contract: a mutant changes one thing in one rule, in a private helper that the rule calls, or in the fused backward that
it runs: a sign, a term, a factor, a constant, a transpose, a reduction, a branch. Rules of any origin also get the
mutants that need no source: negated, scaled by 1 + 1e-6, zero, the cotangent itself, transposed, not summed down (or
averaged) after broadcasting. Nothing stays changed after a run.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..autograd import Tensor, enable_grad
from ..autograd.backward import pull
from ..autograd.check import check_sample
from ..autograd.primitive import REGISTRY, Primitive
from . import rules
from .ops import table

__all__ = ["EQUIVALENT", "Mutant", "Score", "mutants_of", "run"]

# Mutants that compute the same as the original on every input: (op, what was changed) -> why.
EQUIVALENT: dict[tuple[str, str], str] = {
    ("bias_act", "sum(reshape(g_saved, (-1, g_saved.shape[-1])), 0)  ->  reshape(g_saved, (-1, g_saved.shape[-1]))"):
        "the engine sums leading axes down to the shape of bias",
}


@dataclass
class Mutant:
    """One wrong version of one op's gradient. ``apply()`` is a context manager in which it is in force.

    ``also`` names ops that it changes too; ``acted()`` tells whether it ever had something to change.
    """

    op: str
    kind: str
    place: str
    source: str
    apply: Callable[[], AbstractContextManager[None]] = field(repr=False)
    also: tuple[str, ...] = ()
    acted: Callable[[], bool] = lambda: True

    def __str__(self) -> str:
        return f"{self.op}, {self.place}: {self.source}"


@contextmanager
def _put(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Attributes changed inside, put back outside."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in changes]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


# mutants made from source -----------------------------------------------------------------------------------------

_DROPPED = {"swapaxes": "transpose", "transpose": "transpose", "permute": "transpose", "flip": "transpose",
            "sum": "reduction", "mean": "reduction", "cumsum": "reduction"}
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)


def _variants(node: ast.AST, parent: ast.AST | None) -> Iterator[tuple[str, ast.expr]]:
    """(kind, replacement) for one expression."""
    if isinstance(node, ast.BinOp):
        left, right, op = node.left, node.right, node.op
        if isinstance(op, (ast.Add, ast.Sub)):
            yield "sign", ast.BinOp(left, ast.Sub() if isinstance(op, ast.Add) else ast.Add(), right)
            yield "term", left
            yield "term", right if isinstance(op, ast.Add) else ast.UnaryOp(ast.USub(), right)
        elif isinstance(op, (ast.Mult, ast.Div, ast.Pow)):
            yield "factor", left
            if isinstance(op, ast.Mult):
                yield "factor", right
        elif isinstance(op, ast.MatMult):
            yield "transpose", ast.BinOp(right, op, left)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", node.operand
    elif isinstance(node, ast.Call):
        yield from _call_variants(node)
    elif isinstance(node, ast.Constant) and (type(node.value) is float or (
            type(node.value) is int and isinstance(parent, ast.BinOp) and isinstance(parent.op, _ARITHMETIC))):
        number: Any = node.value
        yield "constant", ast.Constant(number + 1)
        if number:
            yield "constant", ast.Constant(number * 2)


def _call_variants(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    method = isinstance(node.func, ast.Attribute) and not (isinstance(node.func.value, ast.Name)
                                                           and node.func.value.id == "np")
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in _DROPPED and (method or node.args):
        yield _DROPPED[name], node.func.value if method else node.args[0]  # type: ignore[attr-defined]
    elif name == "matmul" and len(node.args) == 2:
        yield "transpose", ast.Call(node.func, node.args[::-1], node.keywords)
    elif name == "where" and len(node.args) == 3:
        yield "branch", ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], node.keywords)


@contextmanager
def _swapped(parent: ast.AST, old: ast.AST, new: ast.AST) -> Iterator[None]:
    """``new`` in the place of ``old`` below ``parent``, put back afterwards."""
    for name, value in ast.iter_fields(parent):
        if value is old:
            setattr(parent, name, new)
            yield
            setattr(parent, name, old)
            return
        if isinstance(value, list) and any(v is old for v in value):
            at = next(i for i, v in enumerate(value) if v is old)
            value[at] = new
            yield
            value[at] = old
            return


def _from_source(prim: Primitive, unreached: list[str]) -> Iterator[Mutant]:
    for site in rules.sites(prim):
        tree = rules.tree_of(site.function)
        if tree is None:
            continue
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        body: list[Any] = [tree.body] if isinstance(tree, ast.Lambda) else tree.body
        nodes = [n for part in body for n in ast.walk(part) if any(True for _ in _variants(n, parents.get(n)))]
        kinds = _reached(prim, site, tree, nodes, parents)
        seen = {ast.dump(tree)}
        for node in nodes:
            owner = parents[node] if isinstance(node, ast.Constant) and parents[node] in kinds else node
            if not kinds[owner]:
                unreached.append(f"{prim.name}, {site.label}: {ast.unparse(node)}")
            if kinds[owner] != {"value"}:
                continue
            for kind, new in _variants(node, parents.get(node)):
                with _swapped(parents[node], node, new):
                    text = ast.dump(tree)
                    changed: Any = rules.function_from(tree, site.function)  # type: ignore[arg-type]
                if text in seen:
                    continue
                seen.add(text)

                def apply(site: rules.Site = site, changed: Any = changed) -> AbstractContextManager[None]:
                    return _put(*site.install(changed))

                yield Mutant(prim.name, kind, site.label, f"{ast.unparse(node)}  ->  {ast.unparse(new)}", apply, site.also)


def _reached(prim: Primitive, site: rules.Site, tree: Any, nodes: list[Any],
             parents: dict[Any, Any]) -> dict[Any, set[str]]:
    """For each expression, what it gave over all samples: "value" (arrays and floats) or "other" (sizes, axes, text).

    Only values are changed: sizes and axes steer the computation, and a change there is a crash or another way to
    the same result, not a wrong gradient.
    """
    kinds: dict[Any, set[str]] = {node: set() for node in nodes}

    def probe(i: int, value: Any) -> Any:
        data = getattr(value, "data", value) if isinstance(value, Tensor) else value
        number = isinstance(data, (float, complex, np.floating)) or (isinstance(data, np.ndarray) and data.dtype.kind in "fcb")
        kinds[nodes[i]].add("value" if number else "other")
        return value

    with ExitStack() as undo:
        for i in reversed(range(len(nodes))):  # inner expressions first, so that parents[node] still holds them
            call = ast.Call(ast.Name("probe_", ast.Load()), [ast.Constant(i), nodes[i]], [])
            undo.enter_context(_swapped(parents[nodes[i]], nodes[i], call))
        watched = rules.rebind(rules.function_from(tree, site.function), {"probe_": probe})  # type: ignore[arg-type]
    with _put(*site.install(watched)):
        _killer(prim, site.also)
    return kinds


# mutants that need no source --------------------------------------------------------------------------------------

_WHOLE: dict[str, Callable[[Any, Any], Any]] = {
    "negated": lambda gi, g: -gi,
    "scaled by 1 + 1e-6": lambda gi, g: gi * (1 + 1e-6),
    "zero": lambda gi, g: gi * 0.0,
    "the cotangent itself": lambda gi, g: g[0] if isinstance(g, tuple) else g,
    "last two axes exchanged": lambda gi, g: gi.swapaxes(-1, -2) if len(gi.shape) > 1 else None,
}


def _whole(prim: Primitive) -> Iterator[Mutant]:
    """The result of a rule, changed as a whole."""
    given: Any = prim.vjp
    if given is None and prim.decompose is not None:
        given = _by_parts(prim)
    if given is None:
        return
    for i, arg in enumerate(prim.args):
        if not callable(given) and given[i] is None:
            continue
        for name, change in _WHOLE.items():
            if name.startswith("the cotangent") and _is_cotangent(given if callable(given) else given[i]):
                continue
            acted: list[bool] = []
            new = (_all_at(given, i, change, acted) if callable(given)
                   else (*given[:i], _one(given[i], change, acted), *given[i + 1:]))
            yield Mutant(prim.name, "whole", f"rule of {arg.lstrip('*')}", name,
                         lambda new=new: _put((prim, "vjp", new)), (), lambda acted=acted: any(acted))  # type: ignore[misc]


def _change(gi: Any, g: Any, change: Callable[[Any, Any], Any], acted: list[bool]) -> Any:
    new = None if gi is None else change(gi, g)
    acted.append(new is not None)
    return gi if new is None else new


def _one(rule: Any, change: Callable[[Any, Any], Any], acted: list[bool]) -> Any:
    return lambda g, out, *inputs, **attrs: _change(rule(g, out, *inputs, **attrs), g, change, acted)


def _all_at(rule: Any, i: int, change: Callable[[Any, Any], Any], acted: list[bool]) -> Any:
    def wrong(g: Any, out: Any, *inputs: Any, **attrs: Any) -> Any:
        gs = list(rule(g, out, *inputs, **attrs))
        gs[i] = _change(gs[i], g, change, acted)
        return gs

    return wrong


def _by_parts(prim: Primitive) -> Any:
    """The gradient through the decomposition, as a rule."""
    def rule(g: Any, out: Any, *inputs: Any, **attrs: Any) -> list[Any]:
        leaves = [Tensor(x, True) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in inputs]
        with enable_grad():
            outs = prim.decompose(*leaves, **attrs)  # type: ignore[misc]
        pairs = [(o, gi) for o, gi in zip(outs if prim.n_out > 1 else (outs,), g if prim.n_out > 1 else (g,), strict=True)
                 if gi is not None and isinstance(o, Tensor) and o.requires_grad]
        pulled = iter(pull([o for o, _ in pairs], [gi for _, gi in pairs], [t for t in leaves if isinstance(t, Tensor)]))
        return [next(pulled)[1] if isinstance(t, Tensor) else None for t in leaves]

    return rule


def _is_cotangent(rule: Any) -> bool:
    """Whether a rule's gradient is the cotangent itself (addition), so that returning it changes nothing."""
    tree = rules.tree_of(rule)
    return isinstance(tree, ast.Lambda) and isinstance(tree.body, ast.Name) and tree.body.id == "g"


def _unbroadcast(prim: Primitive) -> Iterator[Mutant]:
    """The engine's summing down, forgotten or replaced by a mean, for ops whose samples broadcast."""
    engine = sys.modules["ndiv.autograd.backward"]
    right = engine.unbroadcast
    used = []

    def watch(g: Any, shape: tuple[int, ...]) -> Any:
        used.append(int(np.prod(g.shape)) != int(np.prod(shape)))
        return right(g, shape)

    def average(g: Any, shape: tuple[int, ...]) -> Any:
        return right(g, shape) * (float(np.prod(shape)) / max(float(np.prod(g.shape)), 1.0))

    with _put((engine, "unbroadcast", watch)):
        _killer(prim)
    if any(used):
        for name, wrong in (("forgotten", lambda g, shape: g), ("a mean instead of a sum", average)):
            yield Mutant(prim.name, "unbroadcast", "engine", name,
                         lambda wrong=wrong: _put((engine, "unbroadcast", wrong)))  # type: ignore[misc]


def mutants_of(prim: Primitive, unreached: list[str] | None = None) -> list[Mutant]:
    """Every mutant of one op's gradient; expressions that no sample reaches are added to ``unreached``.

    >>> from ndiv.autograd import get
    >>> [str(m) for m in mutants_of(get("exp")) if m.kind == "factor"]
    ['exp, rule of x: g * y  ->  g', 'exp, rule of x: g * y  ->  y']
    """
    return [*_from_source(prim, [] if unreached is None else unreached), *_whole(prim), *_unbroadcast(prim)]


# the run ----------------------------------------------------------------------------------------------------------

def _killer(prim: Primitive, also: tuple[str, ...] = ()) -> str:
    """How the checks reject the op as it is now: by value, shape or crash; "" when they accept it."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        cases = [(p, s) for p in (prim, *(REGISTRY[name] for name in also)) for s in (p.samples() if p.samples else [])]
        for order in (1, 2):
            for changed, sample in cases:
                try:
                    report = check_sample(changed, sample, order=order)
                except Exception:  # a broken rule may raise anything, and then it is found out
                    return "crash"
                if not report:
                    return "shape" if report.faults else f"value, order {order}"
    return ""


@dataclass
class Score:
    """Result of a run: truthy when no mutant survived."""

    made: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    by: Counter[str] = field(default_factory=Counter)
    equivalent: list[str] = field(default_factory=list)
    survivors: list[Mutant] = field(default_factory=list)
    ops: int = 0
    unread: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not self.survivors

    def __str__(self) -> str:
        rows = [(kind, str(n), str(self.killed[kind])) for kind, n in sorted(self.made.items())]
        total, killed = sum(self.made.values()), sum(self.killed.values())
        rows.append(("all", str(total), str(killed)))
        lines = [table(("kind", "mutants", "killed"), rows, right=(1, 2)),
                 f"score {100 * killed / max(total, 1):.1f} % of {total} mutants of {self.ops} gradients; killed by "
                 + ", ".join(f"{how} {n}" for how, n in self.by.most_common())]
        if self.unread:
            lines.append(f"rules without readable source (whole-rule mutants only): {', '.join(self.unread)}")
        lines += [f"not reached by any sample: {text}" for text in self.unreached]
        lines += [f"equivalent, so not counted: {text}" for text in self.equivalent]
        return "\n".join(lines + [f"SURVIVED {m.kind}: {m}" for m in self.survivors])


def run(names: Iterable[str] | None = None, every: int = 1) -> Score:
    """Make the mutants of the named ops (default: all; ``every=n`` takes each n-th) and check each one.

    >>> score = run(["tanh"])
    >>> bool(score), score.made["factor"]
    (True, 3)
    """
    score, count = Score(), 0
    for name in list(REGISTRY) if names is None else names:
        prim = REGISTRY[name]
        found = mutants_of(prim, score.unreached)
        score.ops += bool(found)
        score.unread += [f"{name} ({s.label})" for s in rules.sites(prim) if rules.tree_of(s.function) is None]
        for mutant in found:
            count += 1
            if count % every:
                continue
            with mutant.apply():
                how = _killer(prim, mutant.also)
            if not how and not mutant.acted():  # nothing to change in any sample: gradients of one axis have no transpose
                continue
            reason = EQUIVALENT.get((name, mutant.source))
            if reason and not how:
                score.equivalent.append(f"{mutant} ({reason})")
                continue
            score.made[mutant.kind] += 1
            if how:
                score.killed[mutant.kind] += 1
                score.by[how] += 1
            else:
                score.survivors.append(mutant)
    return score
