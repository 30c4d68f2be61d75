"""All ops, imported in one fixed order, and the methods and operators that Tensor gets from them."""

from __future__ import annotations

from typing import Any

from ... import backends
from ..tensor import Tensor
from . import conv, elementwise, index, linear, norm, random, reduce, shape

FAMILIES = (elementwise, shape, reduce, linear, index, conv, norm, random)

_FUNCTIONS = {
    elementwise: "abs add clip cos div elu eq exp expm1 ge gt le leaky_relu log log1p lt maximum minimum mul ne neg pow "
                 "relu rsqrt selu sigmoid sign silu sin softplus sqrt sub tanh where",
    shape: "cat expand flatten flip getitem narrow pad permute reshape squeeze stack transpose unsqueeze",
    reduce: "amax amin logsumexp mean softmax sum var",
    linear: "bias_act linear matmul",
    index: "avg_pool1d gather max_pool1d moving_average",
    conv: "interpolate",
    norm: "layer_norm",
    random: "dropout",
}

FUNCTIONS: dict[str, Any] = {name: getattr(family, name) for family, names in _FUNCTIONS.items() for name in names.split()}

_METHODS = ("abs add clip cos div exp expand expm1 flatten flip gather log log1p logsumexp matmul amax amin maximum mean "
            "minimum mul narrow neg permute pow relu reshape rsqrt sigmoid sign silu sin softmax softplus sqrt squeeze "
            "sub sum tanh transpose unsqueeze var where ge gt le lt eq ne").split()


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
