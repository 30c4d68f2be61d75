"""MLP: the window and its covariates, flattened, through hidden layers with ReLU.

The plain feed-forward forecaster (Rumelhart, Hinton, Williams 1986). Both variants compute the same: concat [y, hist,
futr, stat] -> num_layers hidden layers of hidden_size -> h * outputs.
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


class MLP(BaseModel):
    """MLP.

    num_layers    hidden layers
    hidden_size   their width

    >>> import numpy as np
    >>> m = MLP(h=24, input_size=96, hidden_size=64)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    DIFFERENCES = "none"
    PAPER = "Rumelhart, Hinton & Williams 1986, Learning representations by back-propagating errors"

    def __init__(self, h: int, input_size: int = -1, num_layers: int = 2, hidden_size: int = 1024,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("MLP", num_layers=num_layers, hidden_size=hidden_size)
        size = (self.input_size * (1 + self.hist_exog_size) + (self.input_size + self.h) * self.futr_exog_size
                + self.stat_exog_size)
        widths = [size, *[hidden_size] * num_layers]
        self.mlp = ModuleList(Linear(a, b, activation="relu") for a, b in pairwise(widths))
        self.out = Linear(hidden_size, self.h * self.n_out)

    def forward(self, batch: Batch) -> Any:
        y, _, hist, futr, stat = self.inputs(batch)
        parts = [v.reshape(y.shape[0], -1) for v in (y, hist, futr, stat) if v is not None]
        x = parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=1)
        for layer in self.mlp:
            x = layer(x)
        return self.out(x).reshape(-1, self.h, self.n_out)
