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
# Chosen at h = 96 by the mean validation loss over seeds 1, 2, 3: 0.6578. Next: L=336, MSE, scaler "identity" with decay
# 0.5 (0.6585), 0.7 (0.6586) and 0.8 (0.6611), L=512 (0.6603), and that with "revin" (0.6607). The other `CANDIDATES` were
# compared with seed 1 alone and lost there. The first three are within the spread over seeds, so this choice says little;
# it was made before its own test error was known, but after that of the second (0.3950). Other horizons take the same
# setting, unselected.
_NHITS = {"n_pool_kernel_size": [16, 8, 1], "n_freq_downsample": [24, 12, 1], "mlp_units": [[256, 256]],
          "dropout_prob_theta": 0.5, "scaler_type": "standard"}

# Model -> horizon (0: any other) -> setting.
SETTINGS: dict[str, dict[int, Setting]] = {
    "NLinear": {0: Setting(336, 5e-3, f"{_LTSF}; best rate by validation too")},
    "DLinear": {0: Setting(336, 5e-3, f"{_LTSF}; best rate by validation too"),
                192: Setting(336, 2e-3, f"{_LTSF}, rate by validation"),
                336: Setting(336, 2e-3, f"{_LTSF}, rate by validation")},
    "MLP": {0: Setting(336, 1e-3, "validation at h = 96", model={"hidden_size": 64, "num_layers": 1})},
    "NHITS": {0: Setting(432, 5e-4, "validation at h = 96", loss="MAE", model=_NHITS)},
}

# What --select compares, as changes to the model's setting.
_LINEAR: list[dict[str, Any]] = [{"learning_rate": r} for r in (5e-3, 2e-3, 1e-3, 5e-4)]
_RAW: dict[str, Any] = {"input_size": 336, "loss": "MSE", "model": {"scaler_type": "identity"}}  # windows as they are
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "NLinear": _LINEAR,
    "DLinear": _LINEAR,
    "MLP": [
        {},
        {"learning_rate": 2e-4, "model": {"hidden_size": 256, "num_layers": 2}},
        {"learning_rate": 2e-4, "loss": "MAE", "model": {"hidden_size": 256, "num_layers": 2}},
        {"learning_rate": 2e-4, "loss": "MAE", "model": {"hidden_size": 256, "num_layers": 2, "scaler_type": "standard"}},
        {"learning_rate": 2e-4, "model": {"hidden_size": 256, "num_layers": 2, "optimizer": "AdamW",
                                          "optimizer_kwargs": {"weight_decay": 1.0}}},
    ],
    "NHITS": [
        {},
        {"input_size": 336},
        {"input_size": 512},
        {"input_size": 576},
        {"input_size": 672},
        {"input_size": 512, "loss": "MSE"},
        {"input_size": 512, "learning_rate": 2e-4},
        {"input_size": 512, "model": {"scaler_type": "revin"}},
        {"input_size": 512, "model": {"n_pool_kernel_size": [24, 12, 1]}},
        _RAW,
        {**_RAW, "decay": 0.7},
        {**_RAW, "decay": 0.8},
        {**_RAW, "learning_rate": 1e-3},
        {**_RAW, "learning_rate": 1e-3, "loss": "MAE"},
        {**_RAW, "batch_size": 16},
        {**_RAW, "batch_size": 64},
        {**_RAW, "input_size": 432},
        {**_RAW, "input_size": 512},
        {**_RAW, "input_size": 672},
        *({**_RAW, "model": {"scaler_type": "identity", **change}} for change in (
            {"dropout_prob_theta": 0.3}, {"dropout_prob_theta": 0.7}, {"mlp_units": [[128, 128]]}, {"mlp_units": [[512, 512]]},
            {"mlp_units": [[256, 256], [256, 256]]}, {"n_pool_kernel_size": [24, 12, 1]}, {"n_pool_kernel_size": [2, 2, 2]},
            {"n_pool_kernel_size": [2, 2, 2], "mlp_units": [[512, 512]]},
            {"optimizer": "AdamW", "optimizer_kwargs": {"weight_decay": 0.3}})),
    ],
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
