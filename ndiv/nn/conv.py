"""Convolution and pooling layers: Conv1d, Conv2d, ConvTranspose1d, MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d.

Arguments, parameter names, shapes and initial values are PyTorch's; time is the last axis of [batch, channels, time].
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd.ops.conv import avg_pool, conv1d, conv2d, conv_transpose1d, max_pool
from ..autograd.ops.shape import pad
from ..errors import ConfigError, closest
from . import init
from .layers import _positive
from .module import Module, Parameter

__all__ = ["AvgPool1d", "AvgPool2d", "Conv1d", "Conv2d", "ConvTranspose1d", "MaxPool1d", "MaxPool2d"]

_NDIV_INTERNAL = True
_MODES = ("zeros", "reflect", "replicate", "circular")


def _each(owner: str, name: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
    """One whole number for each axis, none below ``least``."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(values) != axes or not all(isinstance(v, int) and v >= least for v in values):
        raise ConfigError(f"{owner}: {name} must be a whole number of at least {least}, or {axes} of them, not {value!r}",
                          value=value, hint=f"give {name} >= {least}")
    return values


class _Conv(Module):
    """What the convolutions share: the arguments, the parameters and the padding that is not zeros."""

    axes = 1
    transposed = False

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                 groups: int, bias: bool, padding_mode: str = "zeros") -> None:
        super().__init__()
        name, axes = type(self).__name__, self.axes
        _positive(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ConfigError(f"{name}: groups {groups} must divide in_channels {in_channels} and out_channels {out_channels}",
                              value=groups, hint="groups=1 joins all channels")
        if padding_mode not in _MODES:
            raise ConfigError(f"{name}: unknown padding_mode {padding_mode!r}", value=padding_mode,
                              hint=closest(padding_mode, _MODES))
        self.in_channels, self.out_channels, self.groups, self.padding_mode = in_channels, out_channels, groups, padding_mode
        self.kernel_size = _each(name, "kernel_size", kernel_size, axes, 1)
        self.stride = _each(name, "stride", stride, axes, 1)
        self.dilation = _each(name, "dilation", dilation, axes, 1)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ConfigError(f"{name}: unknown padding {padding!r}", value=padding,
                                  hint=closest(padding, ("same", "valid")))
            if padding == "same" and max(self.stride) > 1:
                raise ConfigError(f"{name}: padding='same' needs stride 1", value=stride, hint="give the padding in numbers")
        self.padding = padding if isinstance(padding, str) else _each(name, "padding", padding, axes, 0)
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        fan_in = second // groups * math.prod(self.kernel_size)
        self.weight = Parameter(init.fan_in_uniform((first, second // groups, *self.kernel_size), fan_in))
        self.bias = Parameter(init.fan_in_uniform((out_channels,), fan_in)) if bias else None

    def _pads(self) -> list[int]:
        """(before, after) from the last axis backwards, for `pad`."""
        out = []
        for i in reversed(range(self.axes)):
            if self.padding == "same":
                spare = self.dilation[i] * (self.kernel_size[i] - 1)
                out += [spare // 2, spare - spare // 2]
            else:
                out += [0, 0] if self.padding == "valid" else [int(self.padding[i])] * 2
        return out

    def forward(self, x: Any) -> Any:
        run: Any = conv1d if self.axes == 1 else conv2d
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = pad(x, self._pads(), mode=self.padding_mode), (0,) * self.axes
        return run(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
                f"padding={self.padding!r}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}")


class Conv1d(_Conv):
    """Convolution over time (`ndiv.conv1d`): x [B, in, L] or [in, L] -> [B, out, P]; weight [out, in / groups, K].

    padding_mode is zeros, reflect, replicate or circular; padding a number, "same" or "valid".

    >>> import ndiv, numpy as np
    >>> ndiv.nn.Conv1d(3, 8, 5, padding="same")(ndiv.tensor(np.ones((2, 3, 24), np.float32))).shape
    (2, 8, 24)
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros") -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)


class Conv2d(_Conv):
    """Convolution over two axes (`ndiv.conv2d`): x [B, in, H, W] -> [B, out, P, Q]; weight [out, in / groups, K, L].

    >>> import ndiv, numpy as np
    >>> ndiv.nn.Conv2d(3, 8, 3, padding=1)(ndiv.tensor(np.ones((2, 3, 6, 7), np.float32))).shape
    (2, 8, 6, 7)
    """

    axes = 2

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros") -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)


class ConvTranspose1d(_Conv):
    """The transpose of a convolution over time (`ndiv.conv_transpose1d`): x [B, in, P] -> [B, out, L].

    weight [in, out / groups, K].

    >>> import ndiv, numpy as np
    >>> ndiv.nn.ConvTranspose1d(3, 8, 4, stride=2)(ndiv.tensor(np.ones((2, 3, 5), np.float32))).shape
    (2, 8, 12)
    """

    transposed = True

    def __init__(self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
                 output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.output_padding = _each("ConvTranspose1d", "output_padding", output_padding, 1, 0)

    def forward(self, x: Any) -> Any:
        return conv_transpose1d(x, self.weight, self.bias, self.stride, self.padding, self.output_padding, self.groups,
                                self.dilation)


class _Pool(Module):
    axes = 1

    def __init__(self, kernel_size: Any, stride: Any, padding: Any) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = _each(name, "kernel_size", kernel_size, self.axes, 1)
        self.stride = self.kernel_size if stride is None else _each(name, "stride", stride, self.axes, 1)
        self.padding = _each(name, "padding", padding, self.axes, 0)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                 return_indices: bool = False, ceil_mode: bool = False) -> None:
        super().__init__(kernel_size, stride, padding)
        self.dilation = _each(type(self).__name__, "dilation", dilation, self.axes, 1)
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Any) -> Any:
        return max_pool(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
                        self.return_indices, axes=self.axes)


class _AvgPool(_Pool):
    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
                 count_include_pad: bool = True) -> None:
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Any) -> Any:
        return avg_pool(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                        axes=self.axes)


class MaxPool1d(_MaxPool):
    """Largest value in each window of the last axis; padding never wins. With return_indices also where it stood.

    >>> import ndiv, numpy as np
    >>> ndiv.nn.MaxPool1d(3, stride=2, padding=1)(ndiv.tensor([[1.0, 3.0, 2.0, 0.0]])).numpy()
    array([[3., 3.]], dtype=float32)
    """


class MaxPool2d(_MaxPool):
    """Largest value in each window of the last two axes (`ndiv.max_pool2d`).

    >>> import ndiv, numpy as np
    >>> ndiv.nn.MaxPool2d(2)(ndiv.tensor(np.ones((1, 3, 4, 6), np.float32))).shape
    (1, 3, 2, 3)
    """

    axes = 2


class AvgPool1d(_AvgPool):
    """Mean of each window of the last axis; padding counts as zeros unless count_include_pad is False.

    >>> import ndiv, numpy as np
    >>> ndiv.nn.AvgPool1d(2)(ndiv.tensor([[1.0, 3.0, 2.0, 0.0]])).numpy()
    array([[2., 1.]], dtype=float32)
    """


class AvgPool2d(_AvgPool):
    """Mean of each window of the last two axes (`ndiv.avg_pool2d`).

    >>> import ndiv, numpy as np
    >>> ndiv.nn.AvgPool2d(2)(ndiv.tensor(np.ones((1, 3, 4, 6), np.float32))).shape
    (1, 3, 2, 3)
    """

    axes = 2
