"""NLinear: one linear map of the window, taken relative to its last value.

Zeng, Chen, Zhang, Xu, "Are Transformers Effective for Time Series Forecasting?", AAAI 2023, section 4 (NLinear):
    y = W (x - x_L) + b + x_L,   x [L], x_L its last value, W [h, L].

variant="paper": the level is the last value that is not missing.
variant="compat": missing values are not looked at: the level is the last row of the window, as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...nn import Linear
from ..base import BaseModel, Batch, last_observed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class NLinear(BaseModel):
    """NLinear. Arguments: see `ndiv.models.arguments`; it has none of its own.

    >>> import numpy as np
    >>> m = NLinear(h=24, input_size=96)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    LONG_HORIZON = True
    DIFFERENCES = ("the level is the last value that is not missing in paper, so that a gap at the end does not move it to "
                   "zero, and the last row as it is in compat")
    PAPER = "Zeng et al. 2023, Are Transformers Effective for Time Series Forecasting?"
    DEFAULTS = {"max_steps": 5000, "learning_rate": 1e-4}

    def __init__(self, h: int, input_size: int = -1, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        self.linear = Linear(self.input_size, self.h * self.n_out)

    def forward(self, batch: Batch) -> Any:
        y, mask, *_ = self.inputs(batch)
        if self.variant == "compat":
            mask = None
        level = last_observed(y, mask)  # [B, 1, 1]
        x = y - level if mask is None else (y - level) * mask
        out = self.linear(x.reshape(-1, self.input_size))  # [B, h * outputs]
        return out.reshape(-1, self.h, self.n_out) + self.leveled(level)
