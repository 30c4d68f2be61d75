"""Arguments and results as flat lists: dicts, lists and tuples taken apart and put together again.

Contract: `flatten` gives (leaves, spec); leaves are the arrays and Tensors with their paths, everything else (numbers,
text, None) is part of the spec, which is hashable and serves as a guard. `unflatten(spec, leaves)` is the inverse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..autograd import Tensor

__all__ = ["flatten", "unflatten"]

_LEAF = ("leaf",)


def flatten(tree: Any) -> tuple[list[tuple[str, Any]], Any]:
    """([(path, array or Tensor)], spec) of a nested structure.

    >>> import numpy as np
    >>> leaves, spec = flatten({"x": np.ones(2), "k": 3})
    >>> [path for path, _ in leaves]
    ['x']
    >>> unflatten(spec, [5])
    {'x': 5, 'k': 3}
    """
    leaves: list[tuple[str, Any]] = []

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, (Tensor, np.ndarray)):
            leaves.append((path or "x", node))
            return _LEAF
        if isinstance(node, dict):
            return ("dict", tuple((k, walk(v, f"{path}.{k}" if path else str(k))) for k, v in node.items()))
        if isinstance(node, (list, tuple)):
            kind = "list" if isinstance(node, list) else "tuple"
            return (kind, tuple(walk(v, f"{path}.{i}" if path else f"x{i}") for i, v in enumerate(node)))
        return ("static", node)

    return leaves, walk(tree, "")


def unflatten(spec: Any, leaves: Sequence[Any]) -> Any:
    """The structure with these leaves in their places."""
    rest: Iterator[Any] = iter(leaves)

    def build(node: Any) -> Any:
        if node == _LEAF:
            return next(rest)
        kind, body = node
        if kind == "dict":
            return {k: build(v) for k, v in body}
        if kind in ("list", "tuple"):
            items = [build(v) for v in body]
            return items if kind == "list" else tuple(items)
        return body

    return build(spec)
