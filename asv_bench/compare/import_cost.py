"""Prints what importing ndiv costs beside importing NumPy.

Each statement runs in fresh interpreters, interleaved with the others. The time is taken inside of the process, around
the statement alone, so the start of the interpreter is not in it. The memory is what is resident when it is done.
The first row is the interpreter alone; "first use" also loads the engine and makes a tensor.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

STATEMENTS = {
    "pass": "pass",
    "import numpy": "import numpy",
    "import ndiv": "import ndiv",
    "import ndiv, first use": "import ndiv; ndiv.tensor([1.0])",
    "import ndiv.models, NHITS": "from ndiv.models import NHITS",
}

MEASURE = """
import time
start = time.perf_counter()
{statement}
taken = time.perf_counter() - start
try:
    resident = int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) / 1024
except OSError:  # not Linux
    import resource, sys
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
print(taken, resident)
"""


def measure(statement: str) -> tuple[float, float]:
    """(seconds, resident MB) of one statement in a fresh interpreter."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # installed packages have bytecode
    done = subprocess.run([sys.executable, "-c", MEASURE.format(statement=statement)], capture_output=True, text=True,
                          check=True, env=env)
    seconds, megabytes = done.stdout.split()
    return float(seconds), float(megabytes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="fresh interpreters a statement (default: 15)")
    rounds = parser.parse_args().rounds
    for statement in STATEMENTS.values():  # compile to bytecode and fill the file cache
        measure(statement)
    results = {name: [measure(STATEMENTS[name])] for name in STATEMENTS}
    for _ in range(rounds - 1):
        for name, statement in STATEMENTS.items():
            results[name].append(measure(statement))
    time = {name: statistics.median(t for t, _ in rows) for name, rows in results.items()}
    memory = {name: statistics.median(m for _, m in rows) for name, rows in results.items()}
    print(f"Python {sys.version.split()[0]}, medians of {rounds} fresh interpreters, interleaved")
    print(f"{'statement':<28}{'ms':>9}{'x numpy':>9}{'MB resident':>13}")
    for name in STATEMENTS:
        ratio = time[name] / time["import numpy"]
        print(f"{name:<28}{1e3 * time[name]:>9.1f}{ratio:>9.2f}{memory[name]:>13.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
