"""Models whose forecast is a sum: of stacks, of trend and season.

Contract: such a model defines `blockwise`, the numbers of each part, and `part_names`; `decompose` turns them into parts of the
forecast in the units of the data, which add up to it for every loss and scaler.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import no_grad
from ..errors import ConfigError, closest
from .base import BaseModel, Batch

__all__ = ["SumModel"]


class SumModel(BaseModel):
    """Base of the models that can be taken apart; see the top of this file."""

    def blockwise(self, batch: Batch) -> list[Any]:
        """Numbers of each part of a scaled batch, [B, h, outputs], those without a name (levels) first; they add up to
        `forward`."""
        raise NotImplementedError

    def part_names(self, batch: Batch) -> list[str]:
        """Of each part of `blockwise` after the level, the name that `decompose` gives it."""
        raise NotImplementedError

    def decompose(self, batch: Batch, by: str = "stack") -> dict[str, np.ndarray]:
        """What each part (of NBEATS and its kin: stack, or block, ``by="block"``) adds to `forecast`, in the units of the data:
        name -> [B, h, columns].

        The first part, "level", is the forecast without any of them; each other part is the difference that it makes to the
        forecast of those before it. The parts add up to the forecast for every loss and scaler; where both are affine they do
        not depend on the order. Raises `ConfigError` (E0010) for another ``by``.

        >>> import ndiv, numpy as np
        >>> m = ndiv.models.NBEATS(h=4, input_size=8, mlp_units=[[8, 8]])
        >>> parts = m.decompose({"insample_y": np.ones((2, 8, 1), np.float32)})
        >>> list(parts)
        ['level', 'identity', 'trend', 'seasonality']
        >>> bool(np.allclose(sum(parts.values()), m.forecast({"insample_y": np.ones((2, 8, 1), np.float32)}), atol=1e-6))
        True
        """
        found: dict[str, np.ndarray] = {}
        before: Any = 0.0
        for name, total in self.totals(batch, by).items():
            found[name], before = total - before, total
        return found

    def totals(self, batch: Batch, by: str = "stack") -> dict[str, np.ndarray]:
        """The forecast with each part and all before it, [B, h, columns]: what `decompose` gives, summed up."""
        if by not in ("stack", "block"):
            raise ConfigError(f"{type(self).__name__}.decompose: by must be 'stack' or 'block', not {by!r}", value=by,
                              hint=closest(str(by), ("stack", "block")))
        was = self.training
        self.eval()
        try:
            with no_grad():
                return self._totals(batch, by)
        finally:
            self.train(was)

    def _totals(self, batch: Batch, by: str) -> dict[str, np.ndarray]:
        from ..program.forward import arrays_of

        scaled, loc, scale = self.scale(batch)
        parts, names = self.blockwise(scaled), self.part_names(scaled)
        levels = len(parts) - len(names)

        def columns(numbers: Any) -> np.ndarray:
            numbers = self._unaffine(numbers)
            if self.loss.is_distribution_output:
                out: Any = self.loss.forecast(numbers, loc, scale)
            else:
                out = self.loss.forecast(numbers)
                out = out if loc is None else self.scaler.inverse(out, loc[..., None], scale[..., None])
            return np.asarray(arrays_of(out)).reshape(len(out), self.h, -1)

        total = parts[-1] * 0.0  # [B, h, outputs]
        for part in parts[:levels]:
            total = total + part
        found = {"level": columns(total)}
        for k, part in enumerate(parts[levels:]):
            total = total + part
            name = names[k] if by == "stack" else f"{names[k]}, block {names[:k].count(names[k]) + 1}"
            found[name] = columns(total)
        return found
