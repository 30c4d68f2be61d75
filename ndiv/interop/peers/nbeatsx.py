"""NBEATSx: neuralforecast's weights under ndiv's names; laid out as NBEATS's, and the exogenous basis has none."""

from __future__ import annotations

from .nbeats import convert

__all__ = ["convert"]
