"""What `import ndiv` costs beside `import numpy`: time of the statement, and resident memory."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # asv puts only its own folder there
from fresh import measure

FIRST_USE = "import ndiv; ndiv.tensor([1.0])"


class Import:
    """Medians over fresh interpreters, interleaved so that a slow moment of the machine hits both."""

    timeout = 120
    params = ["import ndiv", FIRST_USE]
    param_names = ["statement"]

    def track_ratio_to_numpy(self, statement: str) -> float:
        pairs = [(measure(statement)[0], measure("import numpy")[0]) for _ in range(7)]
        return statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)

    def track_milliseconds(self, statement: str) -> float:
        return 1e3 * statistics.median(measure(statement)[0] for _ in range(7))

    def track_resident_megabytes(self, statement: str) -> float:
        return measure(statement)[1]


Import.track_ratio_to_numpy.unit = "ratio"  # type: ignore[attr-defined]
Import.track_milliseconds.unit = "ms"  # type: ignore[attr-defined]
Import.track_resident_megabytes.unit = "MB"  # type: ignore[attr-defined]
