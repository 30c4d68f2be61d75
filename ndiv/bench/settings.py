"""How each model is trained in the accuracy benchmark: settings as data, each with its source.

Contract: `setting` answers for every model of the registry; what was never tuned says so. Sources are the official
script, the paper, or "validation": chosen among `CANDIDATES` by validation loss alone, which
``ndiv bench accuracy --select --models NAME --h H`` prints. No setting was chosen by a test result.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

__all__ = ["CANDIDATES", "Setting", "candidates", "setting"]


@dataclass(frozen=True)
class Setting:
    """One way to train.

    input_size      lookback
    learning_rate   of the first epoch; multiplied by ``decay`` after each
    batch_size      start positions in a step; each gives one window a column
    epochs          passes over the training windows at most
    patience        epochs without a better validation loss after which training stops
    loss            what training minimizes; validation is always the mean squared error
    model           further arguments of the model's constructor
    source          where this comes from
    """

    input_size: int
    learning_rate: float
    source: str
    batch_size: int = 32
    epochs: int = 10
    patience: int = 3
    decay: float = 0.5
    loss: str = "MSE"
    model: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """One line: the numbers that matter, for the printed table."""
        parts = [f"lr {self.learning_rate:g} x{self.decay:g}/epoch", f"batch {self.batch_size}", self.loss]
        parts += [f"{k}={_short(v)}" for k, v in self.model.items()]
        return ", ".join(parts)

    def record(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return asdict(self)


def _short(value: Any) -> str:
    return str(value).replace(" ", "").replace("'", "")


_LTSF = "official LTSF-Linear script"
_UNTUNED = Setting(336, 1e-3, "untuned: common values, not chosen for this model")

# Model -> horizon (0: any other) -> setting.
SETTINGS: dict[str, dict[int, Setting]] = {
    "NLinear": {0: Setting(336, 5e-3, _LTSF)},
    "DLinear": {0: Setting(336, 5e-3, _LTSF)},
}

# What --select compares, as changes to the model's setting.
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "NLinear": [{"learning_rate": r} for r in (5e-3, 2e-3, 1e-3, 5e-4)],
    "DLinear": [{"learning_rate": r} for r in (5e-3, 2e-3, 1e-3, 5e-4)],
}


def setting(model: str, h: int) -> Setting:
    """The setting of a model at a horizon.

    >>> setting("NLinear", 96).input_size
    336
    """
    table = SETTINGS.get(model, {})
    return table.get(h, table.get(0, _UNTUNED))


def candidates(model: str, h: int) -> list[Setting]:
    """The settings that --select compares; the setting itself where none are listed."""
    base = setting(model, h)
    return [replace(base, **{**change, "model": {**base.model, **change.get("model", {})}})
            for change in CANDIDATES.get(model, [{}])]
