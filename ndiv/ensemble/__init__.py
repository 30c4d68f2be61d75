"""Several models as one: means, medians, and weights that are learned where the models were tested.

Contract: weights come from forecasts whose models had not seen what they were compared with: windows of a cross-validation.
Frames may be pandas or polars; what comes back is the kind that came in. SciPy (extra "ensemble") is imported for weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ndiv._lazy import lazy

if TYPE_CHECKING:
    from .combination import Combination as Combination
    from .combination import combine as combine
    from .combination import learn as learn
    from .forecaster import Ensemble as Ensemble

_HOME = {"Combination": "combination", "combine": "combination", "learn": "combination", "Ensemble": "forecaster"}

__all__ = ["Combination", "Ensemble", "combine", "learn"]

__getattr__, __dir__ = lazy(__name__, _HOME)
