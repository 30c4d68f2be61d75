"""``python -m ndiv`` is the command ``ndiv``."""

import sys

from ndiv.cli import main

if __name__ == "__main__":
    sys.exit(main())
