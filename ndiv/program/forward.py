"""What a model computes without gradients, its forecast and its validation loss, as plans.

Contract: `ForwardPlans(model)(name, batch, after)` is ``getattr(model, name)(batch)`` with arrays in the place of Tensors: by a
plan where there is one for a batch of these shapes, op by op elsewhere. Both agree to rounding. Parameters are read at each
call. A method that cannot be traced runs op by op from then on, and a warning says why.

When a plan is made: after ``after`` batches of the same shapes, each of which ran op by op. Making one costs as much as two or
three runs, and 5 to 20 ms more; afterwards a run takes between all (one window through wide layers) and a tenth (what moves
memory) of its time op by op.

With ``fill``, for methods whose results are rows that do not depend on each other, a batch is filled up with its last row to
one of few sizes, at most a quarter more (and one window to two), so that batches of all sizes share some 40 plans.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import TraceBreak
from .compiled import Compiled
from .passes.select import LowerError

__all__ = ["ForwardPlans"]

_TYPES = {np.dtype(np.float32), np.dtype(bool)}


class ForwardPlans:
    """Plans of some methods of a model that take a batch."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.functions: dict[tuple[str, int], Compiled] = {}
        self.reasons: dict[str, str] = {}  # by method: why it runs op by op

    def __call__(self, name: str, batch: dict[str, Any], after: int = 0, fill: bool = False) -> Any:
        """The method's result for the batch, arrays in the place of Tensors."""
        f = getattr(self.model, name)
        rows = len(batch["insample_y"]) if fill else None
        if name in self.reasons or rows == 0 or not self.is_plain(batch):
            return arrays_of(f(batch))
        if rows and full_size(rows) > rows:
            return _first(self(name, self.filled(batch, full_size(rows) - rows), after), rows)
        compiled = self.functions.get((name, after))
        if compiled is None:
            compiled = self.functions[name, after] = Compiled(f, guard=self.guard, after=after)
        try:
            return arrays_of(compiled(batch))
        except (TraceBreak, LowerError) as cause:
            self.reasons[name] = str(cause)
            kind = type(self.model).__name__
            warnings.warn(f"{kind}.{name} runs op by op, which is slower: {cause}", stacklevel=4)
            return arrays_of(f(batch))

    def held(self, name: str, batch: dict[str, Any]) -> Callable[[dict[str, Any]], list[np.ndarray]]:
        """The method for many batches of these shapes and these keys in this order, for a method that gives a tuple of arrays:
        what tells whether a plan fits is looked at now and not at each call, so that nothing may change meanwhile."""
        for _ in range(2):
            compiled = None if name in self.reasons or not self.is_plain(batch) else self.functions.get((name, 0))
            executable = None if compiled is None else compiled.ready(batch)
            if executable is not None:
                return lambda b: executable([*b.values()])
            self(name, batch)  # makes the plan, or a warning says why there is none
        f = getattr(self.model, name)
        return lambda b: list(arrays_of(f(b)))

    def filled(self, batch: dict[str, Any], more: int) -> dict[str, Any]:
        """The batch with its last row so many times more; static covariates of a multivariate model have no rows."""
        return {key: v if v is None or (key == "stat_exog" and self.model.MULTIVARIATE)
                else np.concatenate([v, np.repeat(v[-1:], more, axis=0)]) for key, v in batch.items()}

    def is_plain(self, batch: dict[str, Any]) -> bool:
        """Whether all numbers are float32, so that a plan gives results of the same type, and no hook looks on."""
        return (all(getattr(v, "dtype", None) in _TYPES for v in batch.values() if v is not None)
                and not any(m._hooks or any(p.data.dtype not in _TYPES for p in m._parameters.values())
                            for m in self.model.modules()))

    def guard(self) -> Any:
        """What of the model is part of its program: the parameters themselves, and what the losses are set to give."""
        m = self.model
        return (m.training, m.loss, m.loss.output_names, m.valid_loss, m.valid_loss.output_names,
                *map(id, m.parameters()))


def full_size(rows: int) -> int:
    """The smallest of 2, 3, ... 8, 10, 12, 14, 16, 20, ... (four sizes to the next power of two) that holds so many rows.

    Not 1: a product of a single row has bits of its own (docs/design.md, Kernels).

    >>> [full_size(n) for n in (1, 7, 9, 33, 1000)]
    [2, 7, 10, 40, 1024]
    """
    rows = max(rows, 2)
    step = 1 << max((rows - 1).bit_length() - 3, 0)
    return -(-rows // step) * step


def _first(found: Any, rows: int) -> Any:
    """The first rows of an array, or of each in a tuple."""
    if isinstance(found, tuple):
        return tuple(_first(v, rows) for v in found)
    return None if found is None else found[:rows]


def arrays_of(found: Any) -> Any:
    """Tensors as arrays, in a tuple too."""
    if isinstance(found, tuple):
        return tuple(map(arrays_of, found))
    return found.data if isinstance(found, Tensor) else found
