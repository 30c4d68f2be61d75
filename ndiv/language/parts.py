"""What the three architectures are made of: weights that are held as they are read, and the layers that use them.

Contract: a `Frozen` parameter shares its array (often a part of a mapped file) and requires no gradient; gradients flow through
every layer here to its input. `Tensors` hands weights out by name, and refuses one that is missing or of another shape before
it is read. There is no dropout: what is frozen runs as it does when it is used, whatever mode the module is in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.ops import FUNCTIONS
from ..errors import ConfigError, FileError, closest
from ..nn import Module, Parameter

__all__ = ["ACTIVATIONS", "Frozen", "LayerNorm", "Linear", "Sizes", "Tensors", "attend", "heads_apart"]

# as config.json names them -> the engine's names
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh",
               "relu": "relu", "silu": "silu", "swish": "silu", "tanh": "tanh"}


class Frozen(Parameter):
    """A parameter that is not trained: it shares the array that it is given and requires no gradient.

    >>> import numpy as np
    >>> a = np.ones(3, np.float32)
    >>> p = Frozen(a)
    >>> p.requires_grad, np.shares_memory(p.data, a)
    (False, True)
    """

    __slots__ = ()

    def __init__(self, data: np.ndarray) -> None:
        Tensor.__init__(self, data)

    def __deepcopy__(self, memo: dict[int, Any]) -> Frozen:
        """Another parameter that shares the array: copies of a model take no memory for what is not trained."""
        return Frozen(self.data)


class Tensors:
    """Weights by name: float32, C-contiguous, read when they are asked for.

    where   what messages call their source
    shapes  name -> shape, of all that there are
    read    name -> the array
    """

    def __init__(self, where: str, shapes: Mapping[str, tuple[int, ...]], read: Callable[[str], np.ndarray],
                 prefix: str = "") -> None:
        self.where, self.shapes, self.read, self.prefix = where, shapes, read, prefix

    def under(self, prefix: str) -> Tensors:
        """The weights whose names begin so, by the rest of their names."""
        return Tensors(self.where, self.shapes, self.read, self.prefix + prefix)

    def __call__(self, name: str, *shape: int) -> Frozen:
        """The weight of this name, which must have this shape."""
        name = self.prefix + name
        found = self.shapes.get(name)
        if found is None:
            raise FileError(f"{self.where} has no tensor {name}", value=name,
                            hint="the file is not complete, or holds another model than its configuration says")
        if tuple(found) != shape:
            raise FileError(f"{self.where}: {name} has shape {list(found)}, and the configuration says {list(shape)}",
                            value=tuple(found), hint="weights and configuration are of different models")
        return Frozen(self.read(name))


@dataclass(frozen=True)
class Sizes:
    """What every architecture has; subclasses add theirs. ConfigError (E0010) where the numbers do not fit together.

    width            features of an embedding and of a hidden state
    num_heads        attention heads
    inner            features between the two maps of a feed-forward block
    vocabulary_size  words
    max_positions    the most positions of a sequence
    activation       of the feed-forward block, a key of `ACTIVATIONS`
    eps              added to the variance in a normalization
    """

    width: int = 16
    num_layers: int = 2
    num_heads: int = 2
    inner: int = 32
    vocabulary_size: int = 256
    max_positions: int = 64
    activation: str = "gelu"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("width", "num_layers", "num_heads", "inner", "vocabulary_size", "max_positions"):
            self.positive(name)
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            raise ConfigError(f"unknown activation {self.activation!r}", value=self.activation,
                              hint=closest(self.activation, ACTIVATIONS))
        if not 0.0 < self.eps < 1.0:
            raise ConfigError(f"eps must be in (0, 1), not {self.eps!r}", value=self.eps, hint="1e-5 is common")
        self.check()

    def positive(self, name: str) -> None:
        """Refuse what is no positive whole number."""
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ConfigError(f"{name} must be a positive whole number, not {value!r}", value=value, hint=f"give {name} >= 1")

    def check(self) -> None:
        """Whether the heads share the features equally; architectures add what they need."""
        if self.width % self.num_heads:
            raise ConfigError(f"width {self.width} is not a multiple of num_heads {self.num_heads}",
                              value=(self.width, self.num_heads), hint="each head takes an equal share of the features")


class Linear(Module):
    """act(x W' + b): [*, in] -> [*, out]; weight [out, in], bias [out] or None."""

    def __init__(self, w: Tensors, inputs: int, outputs: int, bias: bool = True, activation: str = "identity") -> None:
        super().__init__()
        self.activation = activation
        self.weight = w("weight", outputs, inputs)
        self.bias = w("bias", outputs) if bias else None

    def forward(self, x: Any) -> Any:
        return FUNCTIONS["linear"](x, self.weight, self.bias, self.activation)


class LayerNorm(Module):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis (Ba et al. 2016)."""

    def __init__(self, w: Tensors, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight, self.bias = w("weight", width), w("bias", width)

    def forward(self, x: Any) -> Any:
        return FUNCTIONS["layer_norm"](x, self.weight, self.bias, self.eps)


def heads_apart(x: Any, heads: int) -> Any:
    """[B, T, heads * d] -> [B, heads, T, d]"""
    b, t, n = x.shape
    return x.reshape(b, t, heads, n // heads).permute(0, 2, 1, 3)


def attend(q: Any, k: Any, v: Any, allowed: Any, causal: bool, scale: float | None = None) -> Any:
    """q [B, heads, T, d], k and v alike -> [B, T, heads * d]; ``allowed`` [B, 1, 1, T] says which keys may be attended to.

    The heads may be on two axes, of which k and v have 1 in the second.
    """
    out = FUNCTIONS["scaled_dot_product_attention"](q, k, v, allowed, 0.0, causal, scale)
    b, *_, t, d = out.shape
    return out.reshape(b, -1, t, d).permute(0, 2, 1, 3).reshape(b, t, -1)
