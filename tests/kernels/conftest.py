"""Files of this folder that test nothing without the extension, or with one instruction set, are not collected then."""

from ndiv.backends import native

NEEDED = {"test_status.py": 1, "test_unary.py": 1, "test_same_bits.py": 2}
collect_ignore = [name for name, count in NEEDED.items() if len(native.isas()) < count]
