"""What PatchTST and iTransformer share: numbers of normalized windows in the units of these windows, and a check.

Contract: `in_units` undoes the `RevIN` of the model's input. In ``paper`` that is for the numbers that forecast the level;
others, such as the scale of a distribution, stay as they are. In ``compat``, as in neuralforecast, it is for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError

if TYPE_CHECKING:
    from ...nn import RevIN
    from ..base import BaseModel

__all__ = ["check_heads", "check_rates", "in_units"]


def in_units(model: BaseModel, norm: RevIN | None, y: Any) -> Any:
    """Numbers y [B, h * outputs, N] of windows that ``norm`` (or None: nothing) normalized, in units: [B, h, outputs, N]."""
    shape = (y.shape[0], model.h, model.n_out, y.shape[2])
    if norm is None:
        return y.reshape(shape)
    restored = norm.denorm(y).reshape(shape)
    level = model.loss.level_mask()  # [outputs]
    if model.variant == "compat" or level.all():
        return restored
    return FUNCTIONS["where"](level.reshape(1, 1, -1, 1) > 0, restored, y.reshape(shape))


def check_rates(model: str, **rates: Any) -> None:
    """Refuse probabilities of dropout that are not in [0, 1): `ConfigError` (E0010)."""
    for name, value in rates.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0.0 <= value < 1.0:
            raise ConfigError(f"{model}: {name} must be at least 0 and less than 1, not {value!r}", value=value,
                              hint="0.1 to 0.3 are common; 0.0 turns it off")


def check_heads(model: str, hidden_size: int, n_heads: int) -> None:
    """Refuse a width that the heads of attention cannot share equally: `ConfigError` (E0010)."""
    if hidden_size % n_heads:
        fitting = max(n for n in range(1, n_heads) if hidden_size % n == 0)
        raise ConfigError(f"{model}: hidden_size {hidden_size} is not a multiple of n_heads {n_heads}",
                          value=(hidden_size, n_heads), hint=f"n_heads={fitting} would do, or hidden_size="
                          f"{-(-hidden_size // n_heads) * n_heads}")
