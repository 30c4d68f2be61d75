"""Prints what importing ndiv costs beside importing NumPy.

Each statement runs in fresh interpreters, interleaved with the others. The time is taken inside of the process, around
the statement alone, so the start of the interpreter is not in it. The memory is what is resident when it is done.
The first row is the interpreter alone; "first use" also loads the engine and makes a tensor.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fresh import measure

STATEMENTS = {
    "pass": "pass",
    "import numpy": "import numpy",
    "import ndiv": "import ndiv",
    "import ndiv, first use": "import ndiv; ndiv.tensor([1.0])",
    "import ndiv.models, NHITS": "from ndiv.models import NHITS",
}


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
