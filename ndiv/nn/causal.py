"""CausalConv1d: convolution over time that looks only one way, and can work out only its latest outputs.

Contract: arguments, parameter names and initial values are those of `Conv1d` with stride 1. Output t of [B, out, L] sees
inputs t, t - d, ..., t - (K - 1) d (``direction="backward"``) or t, t + d, ..., t + (K - 1) d ("forward"), with zeros
beyond the ends, so the length stays.
"""

from __future__ import annotations

from typing import Any

from ..autograd.ops.conv import CONV
from ..autograd.tape import apply
from ..errors import ConfigError, closest
from .conv import Conv1d

__all__ = ["CausalConv1d"]

_NDIV_INTERNAL = True
_DIRECTIONS = ("backward", "forward")


class CausalConv1d(Conv1d):
    """Dilated causal convolution (van den Oord et al. 2016, WaveNet, section 2.1): x [B, in, L] -> [B, out, L].

    ``last`` asks for the latest ``last`` outputs alone, which costs that much less; x may then hold the latest of a longer
    sequence, if it reaches back far enough (`history`). Raises `ConfigError` (E0010) for an unknown direction.

    >>> import ndiv, numpy as np
    >>> layer = ndiv.nn.CausalConv1d(1, 1, 2, dilation=3)
    >>> x = np.arange(10, dtype=np.float32).reshape(1, 1, 10)
    >>> layer.history(1), layer(ndiv.tensor(x)).shape
    (4, (1, 1, 10))
    >>> bool(np.allclose(layer(ndiv.tensor(x[..., -4:]), last=1).numpy(), layer(ndiv.tensor(x)).numpy()[..., -1:]))
    True
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1, groups: int = 1,
                 bias: bool = True, direction: str = "backward") -> None:
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation, groups=groups, bias=bias)
        if direction not in _DIRECTIONS:
            raise ConfigError(f"CausalConv1d: unknown direction {direction!r}", value=direction,
                              hint=closest(direction, _DIRECTIONS))
        self.direction = direction
        self.reach = int(self.dilation[0] * (self.kernel_size[0] - 1))  # steps from an output to its farthest input

    def history(self, last: int) -> int:
        """How many inputs the latest ``last`` outputs depend on."""
        return last + self.reach

    def forward(self, x: Any, last: int | None = None) -> Any:
        length = x.shape[-1]
        want = length if last is None else last
        if self.direction == "backward":
            x = x[..., -self.history(want):] if self.history(want) < length else x
            sides = (self.history(want) - x.shape[-1], 0)
        else:
            x = x[..., -want:] if want < length else x  # the latest outputs look beyond the end
            sides = (0, self.reach)
        y = apply(CONV, (x, self.weight), {"stride": (1,), "padding": (sides,), "dilation": self.dilation,
                                           "groups": self.groups})
        return y if self.bias is None else y + self.bias.reshape(-1, 1)

    def extra_repr(self) -> str:
        return (f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, dilation={self.dilation}, "
                f"groups={self.groups}, bias={self.bias is not None}, direction={self.direction!r}")
