"""``python -m ndiv.bench``: the benchmarks without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from .cli import add_arguments, run


def main() -> int:
    """Parse the process's arguments and run; returns the exit status."""
    parser = argparse.ArgumentParser(prog="ndiv bench", description="Benchmarks.")
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
