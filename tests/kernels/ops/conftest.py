"""Everything here compares the native operations of plans with their references: without the extension there is nothing to run."""

from pathlib import Path

from ndiv.backends import native

collect_ignore = [] if native.available() else [path.name for path in Path(__file__).parent.glob("test_*.py")]
