"""Autoformer and FEDformer of variant="paper" by their equations: float64, one window and step at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from transformers_by_hand import ByHand

Blocks = Callable[["DecomposedByHand", np.ndarray, np.ndarray, str], np.ndarray]  # (self, x, memory, name of the weights)


class DecomposedByHand(ByHand):
    """The forecast of a model's weights; ``block`` gives what attention gives, of x to itself where ``memory is x``."""

    def __init__(self, m, block: Blocks):
        super().__init__(m, wrap=True)
        self.block = block

    def tokens(self, y, marks, at):
        seen = [[y[(t + k) % len(y)] for k in (-1, 0, 1)] for t in range(len(y))]
        return np.array([self.linear(np.array([*seen[t], *(v for part in marks for v in part[t])]), f"{at}.values")
                         for t in range(len(y))])

    def split(self, x):
        """(season, trend): the trend is the mean of the window around each step, the first and last step repeated."""
        k = self.m.arguments["MovingAvg_window"]
        near = [[min(max(t + i, 0), len(x) - 1) for i in range(-((k - 1) // 2), k - (k - 1) // 2)] for t in range(len(x))]
        trend = np.array([x[rows].mean(0) for rows in near])
        return x - trend, trend

    def seasonal_norm(self, x, at):
        z = self.norm(x, f"{at}.norm")
        return z - z.mean(0)

    def window(self, data):
        m, length, h, label = self.m, self.m.input_size, self.m.h, self.m.label
        y, seen = data["insample_y"][:, 0], data["insample_mask"][:, 0] > 0
        level = y[seen].mean() if seen.any() else 0.0
        y = np.where(seen, y, level)
        still = [np.tile(data["stat_exog"], (length + h, 1))] if "stat_exog" in data else []
        futr = [data["futr_exog"]] if "futr_exog" in data else []
        hist = [data["hist_exog"]] if "hist_exog" in data else []
        x = self.tokens(y, [part[:length] for part in (*futr, *hist, *still)], "encoder_embedding")
        for i in range(len(m.encoder)):
            x, _ = self.split(x + self.block(self, x, x, f"encoder.{i}.attention"))
            x, _ = self.split(x + self.feed_forward(x, f"encoder.{i}"))
        memory = self.seasonal_norm(x, "encoder_norm")
        start = np.concatenate([self.split(y)[0][length - label:], np.zeros(h)])
        z = self.tokens(start, [part[length - label:] for part in (*futr, *still)], "decoder_embedding")
        trend = np.zeros((label + h, m.n_out))
        for i in range(len(m.decoder)):
            maps = np.split(self.w[f"decoder.{i}.trend.values.weight"], 3, axis=1)
            z, one = self.split(z + self.block(self, z, z, f"decoder.{i}.attention"))
            z, two = self.split(z + self.block(self, z, memory, f"decoder.{i}.cross"))
            z, three = self.split(z + self.feed_forward(z, f"decoder.{i}"))
            trend += one @ maps[0].T + two @ maps[1].T + three @ maps[2].T
        return (self.linear(self.seasonal_norm(z, "decoder_norm"), "projection") + trend)[label:] + level
