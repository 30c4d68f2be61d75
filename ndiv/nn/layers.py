"""The layers: Linear, Dropout, Dropout1d, LayerNorm, Identity, activations, Sequential, ModuleList.

Names, arguments, shapes and initial values follow PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..autograd.ops.linear import ACTIVATIONS
from ..errors import ConfigError, closest
from . import init
from .module import Module, Parameter

__all__ = ["ACTIVATION_NAMES", "Dropout", "Dropout1d", "ELU", "GELU", "Identity", "LayerNorm", "LeakyReLU", "Linear",
           "ModuleList", "PReLU", "ReLU", "SELU", "Sequential", "SiLU", "Sigmoid", "Softplus", "Tanh", "activation"]

_NDIV_INTERNAL = True


def _positive(owner: str, **sizes: int) -> None:
    for name, value in sizes.items():
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ConfigError(f"{owner}: {name} must be a positive whole number, not {value!r}", value=value,
                              hint=f"give {name} >= 1")


class Linear(Module):
    """y = x W' + b, optionally followed by an activation in the same pass; x [*, in] -> [*, out].

    weight [out, in], bias [out]. ``activation`` is a name of `ACTIVATION_NAMES`.

    >>> import ndiv, numpy as np
    >>> ndiv.nn.Linear(3, 2)(ndiv.tensor(np.ones((5, 3), np.float32))).shape
    (5, 2)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, activation: str = "identity") -> None:
        super().__init__()
        _positive("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.activation = activation
        self.weight = Parameter(init.fan_in_uniform((out_features, in_features), in_features))
        self.bias = Parameter(init.fan_in_uniform((out_features,), in_features)) if bias else None

    def forward(self, x: Any) -> Any:
        return FUNCTIONS["linear"](x, self.weight, self.bias, self.activation)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Dropout(Module):
    """Zeroes each element with probability p while training, scaling the rest by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ConfigError(f"Dropout: p must be in [0, 1), not {p!r}", value=p, hint="0.1 is common")
        self.p = p

    def forward(self, x: Any) -> Any:
        return FUNCTIONS["dropout"](x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(Dropout):
    """Zeroes whole channels of x [B, C, L] with probability p while training, scaling the rest by 1 / (1 - p).

    Tompson et al. 2015, Efficient Object Localization Using Convolutional Networks (spatial dropout).

    >>> import ndiv, numpy as np
    >>> y = ndiv.nn.Dropout1d(0.5)(ndiv.tensor(np.ones((2, 3, 4), np.float32))).numpy()
    >>> bool((y == y[:, :, :1]).all())
    True
    """

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0.0:
            return x
        one = np.ones((), x.dtype)
        channels = FUNCTIONS["where"](x[:, :, :1] > 0, one, one)  # ones that a plan knows to depend on the batch
        return x * FUNCTIONS["dropout"](channels, self.p, True)


class LayerNorm(Module):
    """Normalization over the last axis, with weight and bias [n] (Ba et al. 2016)."""

    def __init__(self, normalized_shape: int, eps: float = 1e-5) -> None:
        super().__init__()
        _positive("LayerNorm", normalized_shape=normalized_shape)
        self.eps = eps
        self.weight = Parameter(np.ones(normalized_shape, np.float32))
        self.bias = Parameter(np.zeros(normalized_shape, np.float32))

    def forward(self, x: Any) -> Any:
        return FUNCTIONS["layer_norm"](x, self.weight, self.bias, self.eps)


class Identity(Module):
    """Returns its input."""

    def forward(self, x: Any) -> Any:
        return x


class _Activation(Module):
    name = ""

    def forward(self, x: Any) -> Any:
        return ACTIVATIONS[self.name](x)


def _activation_class(class_name: str, name: str) -> type[Module]:
    doc = f"{ACTIVATIONS[name].__doc__}"
    return type(class_name, (_Activation,), {"name": name, "__doc__": doc, "__module__": __name__})


ReLU = _activation_class("ReLU", "relu")
SELU = _activation_class("SELU", "selu")
ELU = _activation_class("ELU", "elu")
LeakyReLU = _activation_class("LeakyReLU", "leaky_relu")
Tanh = _activation_class("Tanh", "tanh")
Sigmoid = _activation_class("Sigmoid", "sigmoid")
SiLU = _activation_class("SiLU", "silu")
GELU = _activation_class("GELU", "gelu")
Softplus = _activation_class("Softplus", "softplus")


class PReLU(Module):
    """x where positive, else a trained slope times x (He et al. 2015)."""

    def __init__(self, init: float = 0.25) -> None:
        super().__init__()
        self.weight = Parameter(np.full(1, init, np.float32))

    def forward(self, x: Any) -> Any:
        return FUNCTIONS["where"](x > 0, x, x * self.weight)


ACTIVATION_NAMES = {"ReLU": "relu", "SELU": "selu", "ELU": "elu", "LeakyReLU": "leaky_relu", "Tanh": "tanh",
                    "Sigmoid": "sigmoid", "SiLU": "silu", "GELU": "gelu", "Softplus": "softplus", "Linear": "identity"}


def activation(name: str) -> str:
    """The op behind an activation's class name, in any case; unknown names are refused with E0010.

    >>> activation("ReLU")
    'relu'
    """
    known = {k.lower(): v for k, v in ACTIVATION_NAMES.items()}
    try:
        return known[name.lower()]
    except (KeyError, AttributeError):
        raise ConfigError(f"unknown activation {name!r}", value=name, hint=closest(name, ACTIVATION_NAMES)) from None


class Sequential(Module):
    """Modules applied one after another."""

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for i, m in enumerate(modules):
            setattr(self, str(i), m)

    def forward(self, x: Any) -> Any:
        for m in self._modules.values():
            x = m(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, i: int) -> Module:
        return list(self._modules.values())[i]

    def __iter__(self) -> Any:
        return iter(self._modules.values())


class ModuleList(Sequential):
    """A list of modules; calling them is up to the owner."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__(*modules)

    def append(self, module: Module) -> ModuleList:
        setattr(self, str(len(self)), module)
        return self

    forward: Callable[..., Any] = Module.forward
