"""Tensor: an array that may require a gradient. Sugar only; ops live in `ops/`, recording in `tape.py`.

Contract: ``data`` is a NumPy array that belongs to the engine. Values do not change behind a recorded op: what
writes in place (`copy_`, optimizers) stamps ``written``, and backward refuses stale values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError

__all__ = ["Tensor", "tensor", "values"]

on_read: Any = None  # called with a Tensor whose values leave the tape; set while a function is traced for compilation
on_write: Any = None  # called with a leaf and its new values; True: the trace has noted it, and nothing is written


if TYPE_CHECKING:  # what ops/ installs at run time, for type checkers and editors

    class _Methods:
        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, key: Any) -> Tensor: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
else:
    _Methods = object


class Tensor(_Methods):
    """An n-dimensional array with an optional gradient; made by `ndiv.tensor`.

    data           NumPy array
    requires_grad  whether gradients flow to or through it
    grad           Tensor of the same shape after ``backward()``, for leaves
    node, slot     the recorded op (and which of its outputs) that made it; None for leaves
    """

    __slots__ = ("__weakref__", "data", "grad", "name", "node", "requires_grad", "slot", "written")
    __array_ufunc__ = None  # NumPy leaves `array * tensor` to Tensor.__rmul__

    def __init__(self, data: np.ndarray, requires_grad: bool = False, node: Any = None, slot: int = 0) -> None:
        self.data = data
        self.requires_grad = requires_grad
        self.node = node
        self.slot = slot
        self.grad: Tensor | None = None
        self.name: str | None = None
        self.written = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def is_leaf(self) -> bool:
        return self.node is None

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Number of elements."""
        return self.data.size

    def dim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    def numpy(self) -> np.ndarray:
        """The values. Read-only while they belong to a recorded graph, so that no gradient can go stale."""
        if on_read is not None:
            on_read(self)
        if self.requires_grad or self.node is not None:
            view = self.data.view()
            view.flags.writeable = False
            return view
        return self.data

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.numpy() if dtype is None else self.numpy().astype(dtype, copy=False)
        return values.copy() if copy else values

    def detach(self) -> Tensor:
        """The same values, outside any graph."""
        from .tape import stopped

        values = stopped(self)
        return values if isinstance(values, Tensor) else Tensor(values)

    def requires_grad_(self, flag: bool = True) -> Tensor:
        """Set ``requires_grad`` on a leaf."""
        if self.node is not None:
            raise ShapeError("requires_grad_ is for leaves; this tensor was computed", hint="call detach() first")
        self.requires_grad = flag
        return self

    def item(self) -> Any:
        """The single value, as a Python number."""
        if self.data.size != 1:
            raise ShapeError(f"item() needs one element and this tensor has shape {list(self.shape)}", value=self.shape,
                             hint="reduce it first, or use tolist()")
        if on_read is not None:
            on_read(self)
        return self.data.item()

    def tolist(self) -> Any:
        if on_read is not None:
            on_read(self)
        return self.data.tolist()

    def backward(self, gradient: Any = None, retain_graph: bool = True, create_graph: bool = False) -> None:
        """Accumulate d(self)/d(leaf) into ``leaf.grad`` of every leaf that requires it.

        A tensor with more than one element needs ``gradient``, of its shape. ``retain_graph`` is accepted for
        familiarity: a graph lives as long as its outputs.

        >>> import ndiv, numpy as np
        >>> x = ndiv.tensor(np.array([1.0, 2.0]), requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad.numpy()
        array([2., 4.])
        """
        from .backward import backward

        backward((self,), (gradient,), create_graph=create_graph)

    def zero_grad(self) -> None:
        self.grad = None

    def copy_(self, values: Any) -> Tensor:
        """Write new values into a leaf, in place; graphs recorded before this can no longer run backward.

        In a function that is being compiled this is a state of the plan that takes a new value when the plan runs.
        """
        from .tape import _sequence

        if on_write is not None and on_write(self, values):
            return self
        if self.node is not None:
            raise ShapeError("copy_ writes into leaves only; this tensor was computed", hint="detach() it first")
        self.data[...] = values.data if isinstance(values, Tensor) else values
        self.written = next(_sequence)
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        raise ShapeError("tensors are not written element by element, since a recorded value must not change",
                         hint="use ndiv.where or ndiv.index_put, or build the array before ndiv.tensor(...)")

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.data.ndim:
            raise TypeError("a 0-d tensor has no length")
        return len(self.data)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="tensor(")
        kind = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        grad = f", op={self.node.prim.name}" if self.node is not None else ""
        if self.requires_grad and self.node is None:
            grad = ", requires_grad=True"
        return f"tensor({body}{kind}{grad})"


def values(x: Any) -> np.ndarray:
    """The array behind a Tensor, or ``x`` itself as an array; never a copy of an array."""
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def tensor(data: Any, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor holding a copy of ``data``. Python numbers become float32; arrays keep their type.

    >>> import ndiv
    >>> ndiv.tensor([1.0, 2.0]).dtype
    dtype('float32')
    """
    if isinstance(data, Tensor):
        data = data.data
    source = data if isinstance(data, (np.ndarray, np.generic)) else None
    try:
        values = np.array(data, dtype=dtype)
    except (ValueError, TypeError) as cause:
        raise ShapeError(f"tensor() could not read {type(data).__name__}: {cause}", value=data,
                         hint="give numbers, nested lists of equal lengths, or an array") from None
    if values.dtype.kind not in "fciub":
        raise ShapeError(f"tensor() needs numbers, not dtype {values.dtype}", value=data, hint="convert to float first")
    if dtype is None and source is None and values.dtype == np.float64:
        values = values.astype(np.float32)
    if requires_grad and values.dtype.kind not in "fc":
        raise ShapeError(f"only floating-point tensors have gradients, not {values.dtype}", value=values.dtype,
                         hint="pass dtype=np.float32")
    return Tensor(values, requires_grad)
