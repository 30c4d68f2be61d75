"""`measure`: what one statement costs in a fresh interpreter. Shared by the benchmark and the comparison of imports."""

from __future__ import annotations

import os
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


def measure(statement: str) -> tuple[float, float]:
    """(seconds, resident MB) of one statement in a fresh interpreter; the time is taken inside of it."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # installed packages have bytecode
    done = subprocess.run([sys.executable, "-c", MEASURE.format(statement=statement)], capture_output=True, text=True,
                          check=True, env=env)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)
