"""Everything here compares the native operations of plans with their references: without the extension there is nothing to run."""

import sys
from pathlib import Path

from ndiv.backends import native

sys.path.insert(0, str(Path(__file__).parent))  # for plan_op.py, which the families share

collect_ignore = [] if native.available() else [path.name for path in Path(__file__).parent.glob("test_*.py")]
