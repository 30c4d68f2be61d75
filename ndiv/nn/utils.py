"""What is done to a module's parameters from outside: weight normalization, one vector of all, clipping.

Contract: a normalized module keeps its class's behaviour and name; only where its weight comes from changes. Parameters
are replaced, so optimizers are made afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.ops import FUNCTIONS
from ..errors import ConfigError, closest
from ..optim import clip_grad_norm_, clip_grad_value_
from .module import Module, Parameter

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "remove_weight_norm", "vector_to_parameters",
           "weight_norm"]

_NDIV_INTERNAL = True


class _WeightNormed(Module):
    """Put before a module's class: reading a normalized weight works it out from its two parameters, through ndiv ops."""

    def __getattr__(self, name: str) -> Any:
        dims = self.__dict__.get("_weight_norms", {})
        if name in dims:
            g, v = self.__dict__[f"{name}_g"], self.__dict__[f"{name}_v"]  # as a layer reads its weight: by attribute
            return v * (g / _norm(v, dims[name]))
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_weight_norms", {}):
            raise ConfigError(f"{name} is worked out from {name}_g and {name}_v", value=name,
                              hint="write into those, or call remove_weight_norm first")
        super().__setattr__(name, value)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self).__mro__[2],), self.__dict__  # the class is made on the fly: found by its base


_CLASSES: dict[type, type] = {}


def _normed(cls: type) -> type:
    """The class whose instances are of ``cls`` with normalized weights; its ``__mro__`` is itself, the above, cls, ..."""
    if cls not in _CLASSES:
        _CLASSES[cls] = type(cls.__name__, (_WeightNormed, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__})
    return _CLASSES[cls]


def _rebuild(cls: type) -> Any:
    return object.__new__(_normed(cls))


def _norm(v: Any, dim: int | None) -> Any:
    """The Euclidean norm over all axes but ``dim``, those kept with length 1; over all of them, a scalar, for None."""
    axes = tuple(i for i in range(len(v.shape)) if i != dim)
    square = v * v
    return FUNCTIONS["sqrt"](FUNCTIONS["sum"](square, axes, dim is not None) if axes else square)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Hold a parameter as a length and a direction: w = g v / ||v|| (Salimans & Kingma 2016, equation 2).

    The parameter ``name`` gives way to ``{name}_g`` (lengths: [n, 1, ...] with n on axis ``dim``) and ``{name}_v`` (its
    own shape), both trained and saved; reading it gives the product, differentiable to any order. With ``dim`` None one
    length, a scalar, serves the whole array. Returns the module, changed in place.

    Raises `ConfigError` (E0010) when the module has no such parameter, ``dim`` is no axis of it, it is normalized
    already, or a part of it is all zeros, which has no direction.

    >>> from ndiv import nn
    >>> from ndiv.nn.utils import weight_norm
    >>> layer = weight_norm(nn.Linear(4, 3))
    >>> {key: value.shape for key, value in layer.state_dict().items()}
    {'bias': (3,), 'weight_g': (3, 1), 'weight_v': (3, 4)}
    """
    owner = type(module).__name__
    if name in module.__dict__.get("_weight_norms", {}):
        raise ConfigError(f"{name} of {owner} is normalized already", value=name, hint="call weight_norm once a parameter")
    if name not in module._parameters:
        raise ConfigError(f"{owner} has no parameter {name!r} of its own", value=name, hint=closest(name, module._parameters))
    values = module._parameters[name].data
    if dim is not None and not -values.ndim <= dim < values.ndim:
        raise ConfigError(f"{name} of {owner} has {values.ndim} axes, so none is number {dim}", value=dim,
                          hint="give an axis, or None for one length for all")
    axis = None if dim is None else dim % values.ndim
    lengths = np.asarray(_norm(values, axis))
    if not lengths.all():
        raise ConfigError(f"{name} of {owner} has a part that is all zeros, which has no direction", value=name,
                          hint="initialize it with other numbers first")
    trained = module._parameters[name].requires_grad
    _forget(module, name)
    module.__dict__.setdefault("_weight_norms", {})[name] = axis
    if not isinstance(module, _WeightNormed):
        object.__setattr__(module, "__class__", _normed(type(module)))
    setattr(module, f"{name}_g", Parameter(lengths.copy(), trained))
    setattr(module, f"{name}_v", Parameter(values.copy(), trained))
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo `weight_norm`: the parameter ``name`` is back, with the values that it has now.

    Raises `ConfigError` (E0010) when it is not normalized.

    >>> from ndiv import nn
    >>> from ndiv.nn.utils import remove_weight_norm, weight_norm
    >>> sorted(remove_weight_norm(weight_norm(nn.Linear(4, 3))).state_dict())
    ['bias', 'weight']
    """
    dims = module.__dict__.get("_weight_norms", {})
    if name not in dims:
        raise ConfigError(f"{name} of {type(module).__name__} is not normalized", value=name, hint=closest(name, dims))
    values, trained = getattr(module, name).data, module._parameters[f"{name}_v"].requires_grad
    del dims[name]
    for part in (f"{name}_g", f"{name}_v"):
        _forget(module, part)
    if not dims:
        del module.__dict__["_weight_norms"]
        object.__setattr__(module, "__class__", type(module).__mro__[2])
    setattr(module, name, Parameter(values, trained))
    return module


def _forget(module: Module, name: str) -> None:
    """Forget a parameter."""
    del module._parameters[name]
    del module.__dict__[name]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All values in one vector, in order; gradients flow through it.

    >>> from ndiv import nn
    >>> from ndiv.nn.utils import parameters_to_vector
    >>> parameters_to_vector(nn.Linear(4, 3).parameters()).shape
    (15,)
    """
    parts = [FUNCTIONS["reshape"](p, (-1,)) for p in parameters]
    if not parts:
        raise ConfigError("parameters_to_vector: no parameters", value=0, hint="pass model.parameters()")
    return FUNCTIONS["cat"](parts, 0)


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Write the parts of a vector into parameters, in order: the inverse of `parameters_to_vector`.

    Raises `ConfigError` (E0010), and writes nothing, unless the vector has exactly as many values.
    """
    params = list(parameters)
    values = vec.data if isinstance(vec, Tensor) else np.asarray(vec)
    total = sum(math.prod(p.shape) for p in params)
    if values.shape != (total,):
        raise ConfigError(f"the vector has shape {list(values.shape)} and the parameters {total} values", value=values.shape,
                          hint="use a vector that parameters_to_vector made of the same parameters")
    start = 0
    for p in params:
        n = math.prod(p.shape)
        p.copy_(values[start:start + n].reshape(p.shape))
        start += n
