"""All ops, imported in one fixed order, and the methods and operators that Tensor gets from them."""

from __future__ import annotations

from typing import Any

from ... import backends
from ..tensor import Tensor
from . import (
    attention,
    conv,
    elementwise,
    gather,
    linear,
    norm,
    pool,
    random,
    recurrent,
    reduce,
    shape,
    special,
    spectral,
)

FAMILIES = (elementwise, shape, gather, reduce, linear, pool, special, conv, norm, recurrent, spectral, random, attention)

_NDIV_INTERNAL = True
# what ndiv offers as functions: the names that each family lists as PUBLIC
FUNCTIONS: dict[str, Any] = {name: getattr(family, name) for family in FAMILIES for name in family.PUBLIC}

_METHODS = ("abs add amax amin argmax argmin chunk clip cos cumsum digamma div eq erf exp expand expm1 flatten "
            "flip gather ge gt le lgamma log log1p log_softmax logsumexp lt masked_fill matmul maximum mean "
            "minimum mul narrow ne neg permute pow prod relu repeat reshape roll rsqrt scatter_add sigmoid sign "
            "silu sin softmax softplus sort split sqrt squeeze std sub sum tanh topk transpose unfold unsqueeze "
            "var where").split()


def _swap(function: Any) -> Any:
    return lambda self, other: function(other, self)


def install() -> None:
    """Give Tensor its operators and methods; the methods are the functions themselves."""
    for name in _METHODS:
        setattr(Tensor, name, FUNCTIONS[name])
    operators = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "pow": "pow", "matmul": "matmul"}
    for dunder, name in operators.items():
        setattr(Tensor, f"__{dunder}__", FUNCTIONS[name])
        setattr(Tensor, f"__r{dunder}__", _swap(FUNCTIONS[name]))
    for name in ("gt", "ge", "lt", "le", "eq", "ne"):
        setattr(Tensor, f"__{name}__", FUNCTIONS[name])
    more = {"__neg__": elementwise.neg, "__abs__": elementwise.abs, "__getitem__": shape.getitem,
            "astype": elementwise.cast, "swapaxes": shape.transpose, "to": elementwise.cast, "view": shape.reshape,
            "clamp": elementwise.clip, "float": lambda x: elementwise.cast(x, "float32"),
            "double": lambda x: elementwise.cast(x, "float64")}
    for name, function in more.items():
        setattr(Tensor, name, function)
    Tensor.T = property(lambda x: shape.permute(x, tuple(range(len(x.shape)))[::-1]))  # type: ignore[attr-defined]


install()
backends.current()  # the native kernels, where there are any, take the places of their references
__all__ = ["FAMILIES", "FUNCTIONS"]
