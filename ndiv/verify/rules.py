"""Gradient rules as source: where an op's rule is written, what it calls, and how a changed version is put in force.

Contract: `sites` lists the functions that make up an op's gradient: the rule of each argument, private helpers of the
op families that it calls, and the fused backward that it runs. `tree_of` finds the syntax tree of a function by comparing
bytecode, which tells lambdas on one line apart on every Python version; `function_from` turns a changed tree back into a
function with the same globals and closure.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..autograd.primitive import Primitive

__all__ = ["Change", "Site", "function_from", "rebind", "sites", "tree_of"]

Change = tuple[Any, str, Any]  # (owner, attribute, new value)
FAMILIES = "ndiv.autograd.ops."


@dataclass
class Site:
    """A function that takes part in an op's gradient, and the changes that put another one in its place."""

    label: str
    function: Callable[..., Any]
    install: Callable[[Callable[..., Any]], list[Change]]
    also: tuple[str, ...] = ()  # other ops that the change touches


def sites(prim: Primitive) -> Iterator[Site]:
    """Everything that makes up the gradient of ``prim`` and is written in Python.

    >>> from ndiv.autograd import get
    >>> [site.label for site in sites(get("mul"))]
    ['rule of a', 'rule of b']
    """
    own: list[Site] = []
    if callable(prim.vjp):
        own.append(Site("rule", prim.vjp, lambda new: [(prim, "vjp", new)]))
    elif prim.vjp is not None:
        for i, rule in enumerate(prim.vjp):
            if rule is not None:
                def install(new: Any, i: int = i) -> list[Change]:
                    given: Any = prim.vjp
                    return [(prim, "vjp", (*given[:i], new, *given[i + 1:]))]

                own.append(Site(f"rule of {prim.args[i].lstrip('*')}", rule, install))
    for site in own:
        yield site
        yield from _helpers(site, {id(site.function)})
    done: set[str] = set()
    for site in own:
        for other in _mentioned(site.function):
            if isinstance(other, Primitive) and other.decompose and other.name.startswith(prim.name + "_") \
                    and other.name not in done:
                done.add(other.name)
                fused = Site(other.name, other.decompose, lambda new, other=other: [  # type: ignore[misc]
                    (other, "run", new), (other, "ref", new), (other, "decompose", new)], (other.name,))
                yield fused
                yield from _helpers(fused, {id(other.decompose)})


def _names(code: types.CodeType) -> set[str]:
    found = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            found |= _names(const)
    return found


def _mentioned(function: Any) -> list[Any]:
    """The values of the globals that a function names, in a fixed order."""
    if not isinstance(function, types.FunctionType):
        return []
    return [function.__globals__[n] for n in sorted(_names(function.__code__)) if n in function.__globals__]


def _helpers(site: Site, seen: set[int]) -> Iterator[Site]:
    """Private functions of the op families that a site calls, theirs too, and private tables of functions."""
    function = site.function
    if not isinstance(function, types.FunctionType):
        return
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        if not name.startswith("_"):
            continue
        entries = {None: value} if isinstance(value, types.FunctionType) else value if isinstance(value, dict) else {}
        for key, helper in entries.items():
            if not isinstance(helper, types.FunctionType) or not helper.__module__.startswith(FAMILIES) or id(helper) in seen:
                continue
            seen.add(id(helper))

            def install(new: Any, name: str = name, key: Any = key, value: Any = value) -> list[Change]:
                return site.install(rebind(function, {name: new if key is None else {**value, key: new}}))

            label = f"{name}, called by {site.label}" if key is None else f"{name}[{key!r}], read by {site.label}"
            inner = Site(label, helper, install, site.also)
            yield inner
            yield from _helpers(inner, seen)


def rebind(function: types.FunctionType, values: dict[str, Any]) -> types.FunctionType:
    """The same function with some of its globals replaced, for itself only."""
    new = types.FunctionType(function.__code__, {**function.__globals__, **values}, function.__name__,
                             function.__defaults__, function.__closure__)
    new.__kwdefaults__ = function.__kwdefaults__
    return new


@cache
def _module(file: str) -> ast.Module:
    with open(file, encoding="utf-8") as source:
        return ast.parse(source.read())


def tree_of(function: Any) -> ast.Lambda | ast.FunctionDef | None:
    """The syntax tree of a Python function; None when there is no source, or none that compiles to its bytecode."""
    if not isinstance(function, types.FunctionType):
        return None
    try:
        module = _module(function.__code__.co_filename)
    except (OSError, SyntaxError):
        return None
    wanted = _essence(function.__code__)
    for node in ast.walk(module):
        if not isinstance(node, (ast.Lambda, ast.FunctionDef)):
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if first == function.__code__.co_firstlineno and _essence(_compiled(node, function)) == wanted:
            return node
    return None


def _essence(code: types.CodeType) -> tuple[Any, ...]:
    """What a code object does, without where it stands."""
    consts = tuple(_essence(c) if isinstance(c, types.CodeType) else (type(c), c) for c in code.co_consts
                   if not (isinstance(c, str) and "<locals>" in c))  # Python 3.10 keeps qualified names there
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, consts


def _maker(node: ast.AST, function: types.FunctionType) -> types.CodeType:
    """Code of ``maker(*free variables)``, which returns the function.

    It is compiled below the imports of its module, since the compiler treats calls through imported names its own way.
    """
    if isinstance(node, ast.Lambda):
        body: list[ast.stmt] = [ast.Return(node)]
    else:
        assert isinstance(node, ast.FunctionDef)
        body = [node, ast.Return(ast.Name(node.name, ast.Load()))]
    file = function.__code__.co_filename
    maker = ast.parse(f"def maker({', '.join(function.__code__.co_freevars)}): pass")
    maker.body[0].body = body  # type: ignore[attr-defined]
    imports = [line for line in _module(file).body if isinstance(line, (ast.Import, ast.ImportFrom))]
    maker.body[:0] = imports
    code = compile(ast.fix_missing_locations(maker), file, "exec", dont_inherit=True)
    return next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == "maker")


def _compiled(node: ast.AST, function: types.FunctionType) -> types.CodeType:
    return next(c for c in _maker(node, function).co_consts if isinstance(c, types.CodeType))


def function_from(node: ast.AST, function: types.FunctionType) -> types.FunctionType:
    """A function made from a (changed) tree, with the globals, defaults and closure of the original."""
    maker = types.FunctionType(_maker(node, function), function.__globals__)
    new = maker(*[cell.cell_contents for cell in function.__closure__ or ()])
    new.__defaults__, new.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    return new
