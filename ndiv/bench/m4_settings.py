"""How each model is trained on M4's hourly series: settings as data, each with its source.

Contract: `setting` answers for every model of the registry; what was never tuned says so. `CANDIDATES` are what
``ndiv bench m4 --select`` compares, by forecasts of the last 48 training values; no test value has a part in that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .m4 import SERIES

__all__ = ["CANDIDATES", "SETTINGS", "Setting", "candidates", "setting"]


@dataclass(frozen=True)
class Setting:
    """``arguments`` of the model's constructor, beside h and the seed, and the ``source`` of the choice."""

    arguments: dict[str, Any]
    source: str

    def text(self) -> str:
        """One line for the printed table; a batch_size of all series is left out."""
        return ", ".join(f"{k}={_short(v)}" for k, v in self.arguments.items() if (k, v) != ("batch_size", SERIES))

    def record(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return asdict(self)


def _short(value: Any) -> str:
    if isinstance(value, dict):  # a loss
        return str(value.get("distribution", value.get("loss")))
    return str(value).replace(" ", "").replace("'", "")


def _likelihood(distribution: str) -> dict[str, Any]:
    return {"loss": "DistributionLoss", "distribution": distribution, "level": [80, 90]}


# A step draws its windows from all 414 series; the rate is halved three times.
_STEPS: dict[str, Any] = {"batch_size": SERIES, "learning_rate": 1e-3, "num_lr_decays": 3}
_POINT: dict[str, Any] = {"input_size": 192, "scaler_type": "standard", "loss": "MAE", "max_steps": 4000,
                          "windows_batch_size": 256, "mlp_units": [[256, 256], [256, 256]], **_STEPS}
_UNTUNED = Setting({"input_size": 336, "scaler_type": "standard", "max_steps": 1000, "windows_batch_size": 256, **_STEPS},
                   "untuned: common values, not chosen for this model")

# Chosen by validation with seed 1: NBEATS and NHITS by OWA (0.4810, next 0.4902; 0.4782, next 0.4900; OWA on the test values
# differs more than that between seeds), DeepAR by MSIS of the 90 % interval (7.76, next 8.14).
SETTINGS: dict[str, Setting] = {
    "NBEATS": Setting({**_POINT, "stack_types": ["identity"] * 3, "n_blocks": [1, 1, 1]}, "validation"),
    "NHITS": Setting({**_POINT, "n_pool_kernel_size": [8, 4, 1], "n_freq_downsample": [12, 4, 1]}, "validation"),
    "DeepAR": Setting({"input_size": 336, "scaler_type": "standard", "loss": _likelihood("StudentT"), "max_steps": 2000,
                       "windows_batch_size": 64, "lags": [24, 168], "lstm_hidden_size": 80, "trajectory_samples": 200,
                       **_STEPS}, "validation"),
}

# What --select compares with a model's setting, as changes to it.
_LONG: dict[str, Any] = {"input_size": 336, "max_steps": 2000}
_CHANGES: list[dict[str, Any]] = [
    {"max_steps": 2000}, {"input_size": 336}, _LONG, {**_LONG, "loss": {"loss": "MASE", "seasonality": 24}},
    {**_LONG, "scaler_type": "robust"}]
_SMALL: dict[str, Any] = {"input_size": 240, "lstm_hidden_size": 40}
CANDIDATES: dict[str, list[dict[str, Any]]] = {
    "NBEATS": [*_CHANGES, {**_LONG, "stack_types": ["trend", "seasonality"], "n_blocks": [3, 3], "n_harmonics": 1,
                           "shared_weights": True}],
    "NHITS": _CHANGES,
    "DeepAR": [{"input_size": 240}, {"lstm_hidden_size": 40}, _SMALL, {**_SMALL, "scaler_type": "identity"},
               {**_SMALL, "loss": _likelihood("Normal")}],
}


def setting(model: str) -> Setting:
    """The setting of a model."""
    return SETTINGS.get(model, _UNTUNED)


def candidates(model: str) -> list[Setting]:
    """The settings that --select compares, the chosen one first; it alone where no others are listed."""
    base = setting(model)
    return [Setting({**base.arguments, **change}, base.source) for change in [{}, *CANDIDATES.get(model, [])]]
