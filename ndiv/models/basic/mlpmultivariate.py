"""MLPMultivariate: the windows of all series and their covariates, flattened, through hidden layers with ReLU.

The plain feed-forward forecaster (Rumelhart, Hinton, Williams 1986) for N series at once. Both variants compute the same:
concat [y, hist, futr, stat] of all series -> num_layers hidden layers of hidden_size -> h * outputs * N.
Parameters grow with N * L * hidden_size.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...nn import Linear, ModuleList
from ..arguments import check_count
from ..base import BaseModel, Batch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments


class MLPMultivariate(BaseModel):
    """MLPMultivariate.

    n_series      series; None: as many as fit is given
    num_layers    hidden layers
    hidden_size   their width

    >>> import numpy as np
    >>> m = MLPMultivariate(h=24, input_size=96, n_series=7, hidden_size=64)
    >>> m.forward({"insample_y": np.zeros((32, 96, 7), np.float32)}).shape
    (32, 24, 7)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    MULTIVARIATE = True
    DEFAULTS = {"windows_batch_size": 32, "inference_windows_batch_size": 32}
    PAPER = "Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors"
    DIFFERENCES = "none"

    def __init__(self, h: int, input_size: int = -1, n_series: int | None = None, num_layers: int = 2,
                 hidden_size: int = 1024, **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("MLPMultivariate", num_layers=num_layers, hidden_size=hidden_size)
        size = (self.input_size * (1 + self.hist_exog_size) + (self.input_size + self.h) * self.futr_exog_size
                + self.stat_exog_size)
        widths = [self.n_series * size, *[hidden_size] * num_layers]
        self.mlp = ModuleList(Linear(a, b, activation="relu") for a, b in pairwise(widths))
        self.out = Linear(hidden_size, self.h * self.n_out * self.n_series)

    def forward(self, batch: Batch) -> Any:
        y, _, hist, futr, stat = self.inputs(batch)  # [B, L, N], [B, X, L, N], [B, F, L + h, N], [N, S]
        b = y.shape[0]
        parts = [v.reshape(b, -1) for v in (y, hist, futr) if v is not None]
        if stat is not None:
            parts.append(FUNCTIONS["expand"](stat.reshape(1, -1), (b, self.n_series * self.stat_exog_size)))
        x = parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=1)
        for layer in self.mlp:
            x = layer(x)
        return self.out(x).reshape(b, self.h, self.n_series * self.n_out)
