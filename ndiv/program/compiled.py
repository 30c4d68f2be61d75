"""ndiv.compile: a function traced once for each set of shapes, then run as a plan.

Contract: a `Compiled` keeps a small least-recently-used cache of executables by guards: structure, shapes and dtypes of the
arguments, and whether the module behind the function trains (or what else it is given as guard). Each new plan is compared
with op-by-op execution on data that it was not traced on. A function that cannot be traced raises `TraceBreak` (E0012).
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import ConfigError, TraceBreak
from .executable import Executable
from .passes.narrow import narrow
from .trace import Traced, trace
from .tree import flatten, unflatten

__all__ = ["Compiled", "agree", "compile"]

CACHE = 8  # plans kept for each function
PATIENCE = 64  # plans made before the function is left uncompiled


class Compiled:
    """A compiled function; call it as the function. ``plans`` lists what was made so far.

    names   a function: id of a Tensor -> the name of its state; default: the parameters of the module behind ``f``
    memory  as `compile` takes it
    guard   a function: what a plan depends on beside the arguments; default: whether the module behind ``f`` trains
    after   how many calls of the same shapes run uncompiled before a plan is made of the next
    """

    def __init__(self, f: Callable[..., Any], names: Callable[[], dict[int, str]] | None = None,
                 memory: int | None = None, guard: Callable[[], Any] | None = None, after: int = 0) -> None:
        self.f = f
        self.memory = memory
        self.names = names
        self.owner = f if hasattr(f, "training") else getattr(f, "__self__", None)
        self.guard = guard or (lambda: getattr(self.owner, "training", None))
        self.after = after
        self.cache: OrderedDict[Any, tuple[Executable, Traced]] = OrderedDict()
        self.calls: OrderedDict[Any, int] = OrderedDict()  # by guards, of those that have no plan yet
        self.made = 0
        self.__name__ = getattr(f, "__name__", type(f).__name__)
        self.__doc__ = f.__doc__

    @property
    def plans(self) -> list[Executable]:
        """The executables in the cache, oldest first."""
        return [executable for executable, _ in self.cache.values()]

    def __call__(self, *args: Any) -> Any:
        leaves, spec = flatten(args)
        arrays = [a.data if isinstance(a, Tensor) else a for _, a in leaves]
        key = self.key(spec, arrays)
        entry = self.cache.get(key)
        if entry is None:
            if self.made >= PATIENCE or self.is_early(key):
                return self.f(*args)
            entry = self.make(key, args)
        else:
            self.cache.move_to_end(key)
        executable, traced = entry
        return unflatten(traced.out_spec, [Tensor(a) for a in executable(arrays)])

    def ready(self, *args: Any) -> Executable | None:
        """The executable for such arguments where one has been made; it takes their arrays in order, and gives the results'."""
        leaves, spec = flatten(args)
        arrays = [a.data if isinstance(a, Tensor) else a for _, a in leaves]
        key = self.key(spec, arrays)
        if key not in self.cache:
            return None
        self.cache.move_to_end(key)
        return self.cache[key][0]

    def key(self, spec: Any, arrays: list[Any]) -> Any:
        """The guards of a call."""
        return spec, tuple((a.shape, a.dtype) for a in arrays), self.guard()

    def is_early(self, key: Any) -> bool:
        """Whether this call comes before the one that a plan is made for; counts it."""
        count = self.calls.pop(key, 0)
        if count >= self.after:
            return False
        self.calls[key] = count + 1
        if len(self.calls) > PATIENCE:
            self.calls.popitem(last=False)
        return True

    def make(self, key: Any, args: tuple[Any, ...]) -> tuple[Executable, Traced]:
        """Trace, lower and check; the new entry."""
        names = self.names() if self.names is not None else _names_of(self.owner)
        traced = trace(self.f, args, self.__name__, names)
        executable = Executable(narrow(traced.program), traced.tensors, traced.streams, memory=self.memory, draws=traced.draws,
                                hosted=traced.hosted)
        agree(executable, traced)
        self.cache[key] = entry = (executable, traced)
        self.made += 1
        if len(self.cache) > CACHE:
            self.cache.popitem(last=False)
        if self.made == PATIENCE:
            warnings.warn(f"{self.__name__} was compiled for {PATIENCE} sets of shapes; it stays uncompiled from now on",
                          stacklevel=3)
        return entry


def _names_of(owner: Any) -> dict[int, str]:
    """Names of a module's parameters and buffers and of what it borrows, by id."""
    if not hasattr(owner, "named_parameters"):
        return {}
    return {id(t): name for name, t in [*owner.named_parameters(), *owner.named_buffers(), *owner.named_borrowed()]}


def agree(executable: Executable, traced: Traced, tolerance: float = 1e-3) -> None:
    """Compare with what op-by-op execution gave on the second trace's data; `TraceBreak` where they differ. States that the
    plan updates are what they were afterwards.

    This finds wrong programs, not rounding: results that cancel to nothing may differ by a little of what went in.
    """
    from .. import random

    inputs, expected, updates = traced.second
    largest = max((float(np.abs(a).max(initial=0.0)) for a in inputs if a.dtype.kind == "f"), default=0.0)
    floor = 1e-5 * (1.0 + (largest if np.isfinite(largest) else 0.0))
    before = {name: traced.tensors[name].data.copy() for name in updates}
    with random.fork(0):
        got = executable(inputs)
    for name, values in before.items():
        held = traced.tensors[name].data
        got.append(held.copy())
        held[...] = values
    for k, (a, b) in enumerate(zip(got, [*expected, *updates.values()], strict=True)):
        other = np.asarray(b, np.float64)
        finite = np.isfinite(other)  # what made-up data brought out of range says nothing
        wide, other = a[finite].astype(np.float64), other[finite]
        scale = float(np.abs(other).max(initial=0.0))
        if not np.allclose(wide, other, rtol=tolerance, atol=max(tolerance * scale, floor)):
            worst = float(np.nanmax(np.abs(wide - other)))
            raise TraceBreak(f"the plan of {executable.program.name} gives other numbers than the function itself "
                             f"(result {k}, by {worst:.3g})", value=worst, hint="please report this")


def compile(f: Callable[..., Any], memory: int | None = None) -> Compiled:
    """``f`` traced once for each set of argument shapes, then run as a plan, without Python between the ops.

    f takes and returns Tensors or arrays, nested in dicts, lists and tuples as you like; other arguments are part of the guard.
    Parameters that it uses are read at each call; other arrays that it captures are frozen. Results carry no gradient:
    compile ``ndiv.value_and_grad(f)`` to have gradients in the plan.

    memory: the most bytes that a plan's temporaries may take (not arguments, results and parameters). Where they would take
    more, values are computed again in the place of being kept, which gives the same bits in more time; `ConfigError` (E0010),
    with the smallest size that was reached, when that does not suffice.

    Raises `TraceBreak` (E0012) when ``f`` does not compute the same program for all data.

    >>> import ndiv, numpy as np
    >>> fast = ndiv.compile(lambda x, y: ndiv.tanh(x @ y).sum())
    >>> float(fast(np.ones((2, 3), np.float32), np.zeros((3, 2), np.float32)))
    0.0
    """
    if not callable(f):
        raise ConfigError(f"compile takes a function, not {type(f).__name__}", value=f, hint="give a function of Tensors")
    return Compiled(f, memory=memory)
