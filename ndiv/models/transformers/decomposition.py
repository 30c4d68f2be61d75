"""What Autoformer and FEDformer share: layers that take a trend out after each block, and `DecompositionModel` over them.

Contract: as in `layers`, sequences are [B, L, hidden], and what a layer attends by is a module of (x, memory). There is
one difference: instead of a normalization, a decomposition follows each block with its residual (Wu et al. 2021, section
3.1), and what it takes out is projected to the forecast and added up there:
    encoder layer: x <- S(x + A(x, x)); x <- S(x + FFN(x))              S, T: season and trend of a series (equation 1)
    decoder layer: z1 = z + A(z, z); z2 = S(z1) + A(S(z1), memory); z3 = S(z2) + FFN(S(z2))
        z <- S(z3);  trend <- trend + W_1 T(z1) + W_2 T(z2) + W_3 T(z3)                         (equations 3 to 5)
    forecast = W (norm(z)) + trend, at the last h steps
The trend begins as the mean of the window, the seasonal part as that of the window's end and zeros (equation 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...autograd.ops import FUNCTIONS
from ...nn import Dropout, LayerNorm, Linear, Module, ModuleList, SeriesDecomposition
from ..arguments import check_count
from ..base import Batch
from ..parts import SumModel
from .layers import Embedding, EncoderDecoder, FeedForward

__all__ = ["DecompositionModel", "SeasonalNorm"]

NEIGHBOURS = 3  # steps that compat's projection of a trend sees


class SeasonalNorm(Module):
    """Layer normalization whose features have mean 0 over the steps: [B, L, hidden] -> [B, L, hidden]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = LayerNorm(hidden)

    def forward(self, x: Any) -> Any:
        z = self.norm(x)
        return z - FUNCTIONS["mean"](z, 1, True)


class TrendProjection(Module):
    """What the three trends of a layer, each [B, L, hidden], add to the last h steps of the forecast: [B, h, outputs].

    A linear map of the three (W_1 to W_3 side by side) or, where ``wrap``, one of their sum at a step and its two neighbours,
    the first and the last step of the sequence being neighbours.
    """

    def __init__(self, hidden: int, outputs: int, wrap: bool) -> None:
        super().__init__()
        self.wrap = wrap
        self.values = Linear(3 * hidden, outputs, bias=False)  # 3 trends, or NEIGHBOURS

    def forward(self, trends: list[Any], h: int) -> Any:
        if not self.wrap:
            return self.values(FUNCTIONS["cat"]([t[:, -h:] for t in trends], dim=2))
        whole = trends[0] + trends[1] + trends[2]
        rows = FUNCTIONS["cat"]([whole[:, -h - 1:], whole[:, :1]], dim=1)  # [B, h + 2, hidden]: there is a step before them
        return self.values(FUNCTIONS["cat"]([rows[:, k:k + h] for k in range(NEIGHBOURS)], dim=2))


class DecomposedEncoderLayer(Module):
    """Attention and feed-forward block, each with its residual and without its trend: [B, L, hidden] -> [B, L, hidden]."""

    def __init__(self, attention: Module, feed_forward: FeedForward, season: Module, dropout: float) -> None:
        super().__init__()
        self.attention, self.feed_forward, self.season = attention, feed_forward, season
        self.dropout = Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x, _ = self.season(x + self.dropout(self.attention(x, x)))
        x, _ = self.season(x + self.dropout(self.feed_forward(x)))
        return x


class DecomposedDecoderLayer(Module):
    """(z [B, L, hidden], memory, h) -> (z, what its trends add to the last h steps of the forecast, [B, h, outputs])."""

    def __init__(self, attention: Module, cross: Module, feed_forward: FeedForward, season: Module, dropout: float,
                 trend: TrendProjection) -> None:
        super().__init__()
        self.attention, self.cross, self.feed_forward, self.season = attention, cross, feed_forward, season
        self.dropout = Dropout(dropout)
        self.trend = trend

    def forward(self, z: Any, memory: Any, h: int) -> tuple[Any, Any]:
        trends = [None, None, None]
        z, trends[0] = self.season(z + self.dropout(self.attention(z, z)))
        z, trends[1] = self.season(z + self.dropout(self.cross(z, memory)))
        z, trends[2] = self.season(z + self.dropout(self.feed_forward(z)))
        return z, self.trend(trends, h)


class DecompositionModel(EncoderDecoder, SumModel):
    """Base of Autoformer and FEDformer: tokens without positions, decomposition, encoder and decoder.

    Missing steps of a window are taken to be at the mean of the others in ``paper``; in ``compat`` they are zeros.
    """

    def compose(self, hidden: int, inner: int, dropout: float, act: str, window: int, encoder: Iterable[Module],
                decoder: Iterable[tuple[Module, Module]]) -> None:
        """Make the parts from each encoder layer's attention, and each decoder layer's to itself and to the encoder."""
        check_count(type(self).__name__, MovingAvg_window=window)
        futr, hist, stat = self.futr_exog_size, self.hist_exog_size, self.stat_exog_size
        self.season = SeriesDecomposition(window)

        def block() -> FeedForward:
            return FeedForward(hidden, inner, dropout, act, bias=False)

        self.encoder_embedding = Embedding(futr + hist + stat, hidden, dropout, wrap=True, positions=False)
        self.decoder_embedding = Embedding(futr + stat, hidden, dropout, wrap=True, positions=False)
        self.encoder = ModuleList(DecomposedEncoderLayer(a, block(), self.season, dropout) for a in encoder)
        self.encoder_norm = SeasonalNorm(hidden)
        self.decoder = ModuleList(
            DecomposedDecoderLayer(a, cross, block(), self.season, dropout,
                                   TrendProjection(hidden, self.n_out, self.variant == "compat")) for a, cross in decoder)
        self.decoder_norm = SeasonalNorm(hidden)
        self.projection = Linear(hidden, self.n_out)

    def forward(self, batch: Batch) -> Any:
        trend, *parts, season = self._parts(batch)
        for part in parts:
            trend = trend + part  # [B, h, outputs]
        return season + trend

    def blockwise(self, batch: Batch) -> list[Any]:
        level, trend, *parts, season = self._parts(batch)
        for part in parts:
            trend = trend + part
        return [level + trend * 0.0, trend, season]

    def part_names(self, batch: Batch) -> list[str]:
        return ["trend", "seasonality"]

    def _parts(self, batch: Batch) -> list[Any]:
        """The window's level, what each layer adds to the trend, the season; they add up to [B, h, outputs]."""
        y, mask, hist, futr, stat = self.inputs(batch)  # [B, L, 1]
        if mask is None or self.variant == "compat":
            level = FUNCTIONS["mean"](y, 1, True)  # [B, 1, 1]
        else:
            count = FUNCTIONS["sum"](mask, 1, True)
            level = FUNCTIONS["sum"](y * mask, 1, True) / FUNCTIONS["where"](count > 0, count, 1.0)
            y = FUNCTIONS["where"](mask > 0, y, level)
        known, ahead = self.input_size, self.label + self.h
        x = self.encoder_embedding(y, self._marks(stat, None if futr is None else futr[:, :known], hist, length=known))
        for layer in self.encoder:
            x = layer(x)
        memory = self.encoder_norm(x)
        start = FUNCTIONS["pad"](self.season(y)[0][:, -self.label:], (0, 0, 0, self.h))  # [B, label + h, 1]
        z = self.decoder_embedding(start, self._marks(stat, None if futr is None else futr[:, -ahead:], length=ahead))
        parts = [self.leveled(level)]
        for layer in self.decoder:
            z, part = layer(z, memory, self.h)
            parts.append(part)
        return [*parts, self.projection(self.decoder_norm(z)[:, -self.h:])]
