"""MultiSeries: one encoder for hundreds of series, and a head for each.

ndiv's own; the idea is that of multi-task networks (Caruana 1997, "Multitask Learning", Machine Learning 28): what series
have in common is learned from all of them, what is a series' own from its own. Of a window y of series s in group g, x is y
less its last value l, and v are covariates, which the embedding of the group is part of:
    z = MLP([x, v]) with a 1 at its end           shared encoder
    forecast = l + (W + W_s) z                    W is shared, W_s the series' own, zero at first
A series that training has not seen takes the mean of W_s over the series of its group, and of all series where the group is
unknown too or there are no groups. Training prepares for that: each window takes the mean in place of its series' own head with
probability ``unseen_share``, and so a mean head is trained as a head, not only what is left over by others.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd.ops import FUNCTIONS
from ...data.store import SeriesStore
from ...errors import ConfigError
from ...nn import Dropout, Linear, ModuleList, Parameter
from ..arguments import check_count
from ..base import BaseModel, Batch, last_observed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..arguments import CommonArguments

SERIES, GROUPS = "(series)", "(groups)"  # in `categories`: the ids that have a head, and the group of each as a code


class SeriesCodes:
    """A function (store, series [B], ...) -> the heads of a batch's windows: ``series_code`` [B], 0 for ids without one."""

    def __init__(self, ids: list[Any]) -> None:
        self.codes = {key: k for k, key in enumerate(ids, 1)}

    def __call__(self, store: SeriesStore, series: np.ndarray, *window: Any) -> dict[str, np.ndarray]:
        return {"series_code": np.array([self.codes.get(key, 0) for key in store.ids[series].tolist()], np.float32)}


class MultiSeries(BaseModel):
    """A shared encoder with a head for each series.

    group          a categorical static covariate, such as "sector", which must be in stat_exog_list and in cat_exog_list
    num_layers     hidden layers of the encoder
    hidden_size    their width
    dropout        after each of them
    series_heads   False: the shared head alone
    unseen_share   share of the training windows that take the mean head of their group

    Heads are made by fit, one for each series of its data; the ids are saved with the model. A batch says which head in
    ``series_code`` [B], the place of the series in the first fit counted from 1; without it, and for 0, the mean is taken.

    >>> import numpy as np
    >>> m = MultiSeries(h=24, input_size=96, hidden_size=64)
    >>> m.forward({"insample_y": np.zeros((32, 96, 1), np.float32)}).shape
    (32, 24, 1)
    """

    EXOGENOUS_FUTR = EXOGENOUS_HIST = EXOGENOUS_STAT = True
    PAPER = "Caruana 1997, Multitask Learning, as ndiv applies it to series"
    DIFFERENCES = "neuralforecast has no such model: paper alone"
    VARIANTS = ("paper",)
    DEFAULTS = {"scaler_type": "standard"}

    def __init__(self, h: int, input_size: int = -1, group: str | None = None, num_layers: int = 2, hidden_size: int = 128,
                 dropout: float = 0.0, series_heads: bool = True, unseen_share: float = 0.2,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("MultiSeries", num_layers=num_layers, hidden_size=hidden_size)
        for key, value in (("dropout", dropout), ("unseen_share", unseen_share)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise ConfigError(f"MultiSeries: {key} must be in [0, 1), not {value!r}", value=value, hint="0.1 is common")
        if not isinstance(series_heads, bool):
            raise ConfigError(f"MultiSeries: series_heads must be True or False, not {series_heads!r}", value=series_heads,
                              hint="False leaves the shared head alone")
        if group is not None and not (group in self.stat_exog_list and group in self.cat_exog_list):
            raise ConfigError(f"MultiSeries: group={group!r} is not in both stat_exog_list and cat_exog_list", value=group,
                              hint=f"stat_exog_list=[{group!r}], cat_exog_list=[{group!r}], and static_df has the column")
        self.group, self.series_heads, self.unseen_share = group, series_heads, float(unseen_share)
        size = (self.input_size * (1 + self.hist_exog_size) + (self.input_size + self.h) * self.futr_exog_size
                + self.stat_exog_size)
        self.encoder = ModuleList(Linear(a, b, activation="relu") for a, b in pairwise([size, *[hidden_size] * num_layers]))
        self.dropout = Dropout(dropout)
        self.out = Linear(hidden_size, self.h * self.n_out)
        known = self.categories.get(SERIES, [])
        self.n_heads = len(known)
        if known:
            self.heads = Parameter(np.zeros((len(known), (hidden_size + 1) * self.h * self.n_out), np.float32))
            self.n_groups = len(self.categories[group]) if group is not None else 0
            self.members = _members(self.categories[GROUPS], self.n_groups)

    def forward(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)
        level = last_observed(y, mask)  # [B, 1, 1]
        x = y - level if mask is None else (y - level) * mask
        parts = [v.reshape(y.shape[0], -1) for v in (x, hist, futr, stat) if v is not None]
        z = parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=1)
        for layer in self.encoder:
            z = self.dropout(layer(z))
        out = self.out(z)  # [B, h * outputs]
        if self.n_heads:
            own = FUNCTIONS["embedding"](self._rows(batch, y), self._table())  # [B, (hidden + 1) * h * outputs]
            own = own.reshape(y.shape[0], -1, out.shape[1])
            z = z.reshape(y.shape[0], 1, -1)
            out = out + FUNCTIONS["matmul"](z, own[:, :-1])[:, 0] + own[:, -1]
        return out.reshape(-1, self.h, self.n_out) + self.leveled(level)

    def _table(self) -> Any:
        """[1 + groups + series, ...]: the mean head of all series, of each group, then the head of each series."""
        heads = self.heads
        return FUNCTIONS["cat"]([FUNCTIONS["matmul"](self.members.astype(heads.dtype), heads), heads], dim=0)

    def _rows(self, batch: Batch, y: Any) -> Any:
        """The row of `_table` for each window, int64 [B]."""
        where, one = FUNCTIONS["where"], y[:, 0, 0] * 0.0 + 1.0
        group = one * 0.0
        if self.group is not None:
            code = batch["stat_exog"][:, self.stat_exog_list.index(self.group)]
            group = where(code >= 1, where(code < self.n_groups + 1, code, 0.0), 0.0)
        code = batch.get("series_code")
        if code is None:
            return group.astype(np.int64)
        if self.training:
            code = where(FUNCTIONS["dropout"](where(code > 0, one, one), self.unseen_share, True) > 0, code, 0.0)
        return where(code >= 1, where(code < self.n_heads + 1, code + float(self.n_groups), group), group).astype(np.int64)

    # -- data ------------------------------------------------------------------------------------------------------

    def adopted(self, store: SeriesStore, futr: np.ndarray | None = None, learn_from: np.ndarray | None = None,
                ) -> tuple[SeriesStore, np.ndarray | None]:
        if not self.series_heads:
            return super().adopted(store, futr, learn_from)
        ids = store.ids.tolist()
        known = self.categories if learn_from is None or self.fitted else {SERIES: ids, GROUPS: []}
        if learn_from is not None and self.fitted:
            old = set(known.get(SERIES, []))
            new = [key for key in ids if key not in old]
            if new:
                warnings.warn(f"MultiSeries: {len(new)} series are new since the first fit and take the mean head of their "
                              f"group: {', '.join(map(str, new[:3]))}; use_init_models=True gives them heads", stacklevel=5)
        taken, futr = super().adopted(store, futr, learn_from)  # of a fit it finds the categories of columns
        if learn_from is not None and not self.fitted:
            groups = (taken.stat[:, taken.stat_names.index(self.group)] if self.group else np.zeros(len(ids))).astype(int)
            own = {name: values for name, values in self.categories.items() if name in self.cat_exog_list}
            self._categorize({**own, SERIES: ids, GROUPS: groups.tolist()})
            known = self.categories
        return replace(taken, extras=(SeriesCodes(known[SERIES]),)), futr

    def export(self, path: Any, batch_size: int = 1) -> None:
        """As every model's; refused where there are heads, since a model file is not told which series a window is of."""
        if self.n_heads:
            raise ConfigError("MultiSeries: a model file does not know which series a window is of", value=self.n_heads,
                              hint="use NeuralForecast.save, or make the model with series_heads=False")
        super().export(path, batch_size)


def _members(groups: list[int], n: int) -> np.ndarray:
    """[1 + n, S]: rows that take means, of all series, then of those of each group (of all, where it has none).

    >>> _members([1, 2, 2], 2).tolist()
    [[0.3333333333333333, 0.3333333333333333, 0.3333333333333333], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]
    """
    found = np.ones((n + 1, len(groups)))
    found[1:] = np.arange(1, n + 1)[:, None] == np.array(groups)
    found[found.sum(1) == 0] = 1.0
    return found / found.sum(1, keepdims=True)
