"""DLinear: trend and remainder of the window, each mapped linearly to the horizon, and added.

Zeng, Chen, Zhang, Xu, "Are Transformers Effective for Time Series Forecasting?", AAAI 2023, section 4 (DLinear):
    t = moving average of x (window 25, ends repeated),   s = x - t,   y = W_t t + b_t + W_s s + b_s.

Both variants compute the same; "paper" lets missing values take the mean of those that are there, so that they do not
pull the trend to zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ...nn import Linear
from ..base import Batch
from ..parts import SumModel

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class DLinear(SumModel):
    """DLinear.

    moving_avg_window   length of the moving average, odd

    >>> import numpy as np
    >>> m = DLinear(h=24, input_size=96)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    LONG_HORIZON = True
    DIFFERENCES = ("none in full windows; a missing value is the mean of the others in paper, so that the trend is not "
                   "pulled to zero, and 0 in compat")
    PAPER = "Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting?"
    DEFAULTS = {"max_steps": 5000, "learning_rate": 1e-4}

    def __init__(self, h: int, input_size: int = -1, moving_avg_window: int = 25, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        if not isinstance(moving_avg_window, int) or moving_avg_window < 1 or moving_avg_window % 2 == 0:
            raise ConfigError(f"DLinear: moving_avg_window must be odd and positive, not {moving_avg_window!r}",
                              value=moving_avg_window, hint=f"give {int(moving_avg_window) // 2 * 2 + 1}")
        self.window = moving_avg_window
        self.linear_trend = Linear(self.input_size, self.h * self.n_out)
        self.linear_season = Linear(self.input_size, self.h * self.n_out)

    def forward(self, batch: Batch) -> Any:
        trend, season = self._mapped(batch)
        return (trend + season).reshape(-1, self.h, self.n_out)

    def blockwise(self, batch: Batch) -> list[Any]:
        return [part.reshape(-1, self.h, self.n_out) for part in self._mapped(batch)]

    def part_names(self, batch: Batch) -> list[str]:
        return ["trend", "seasonality"]

    def _mapped(self, batch: Batch) -> tuple[Any, Any]:
        """What trend and remainder give, [B, h * outputs] each."""
        y, mask, *_ = self.inputs(batch)
        if mask is not None and self.variant == "paper":
            y = _filled(y, mask)
        x = y.reshape(-1, self.input_size)  # [B, L]
        trend = FUNCTIONS["moving_average"](x, self.window)
        return self.linear_trend(trend), self.linear_season(x - trend)


def _filled(y: Any, mask: Any) -> Any:
    """Missing values replaced by the window's mean of those that are there."""
    n = FUNCTIONS["maximum"](mask.sum(axis=1, keepdims=True), 1.0)
    mean = (y * mask).sum(axis=1, keepdims=True) / n
    return y * mask + mean * (1 - mask)
