"""What `import ndiv` costs beside `import numpy`: time of the statement, and resident memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

MEASURE = """
import sys, time
start = time.perf_counter()
{statement}
taken = time.perf_counter() - start
try:
    resident = int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1024
except OSError:  # not Linux
    import resource
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(taken, resident)
"""
FIRST_USE = "import ndiv; ndiv.tensor([1.0])"


def measure(statement: str) -> tuple[float, float]:
    """(seconds, resident MB) of one statement in a fresh interpreter; the time is taken inside of it."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # installed packages have bytecode
    done = subprocess.run([sys.executable, "-c", MEASURE.format(statement=statement)], capture_output=True, text=True,
                          check=True, env=env)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


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
