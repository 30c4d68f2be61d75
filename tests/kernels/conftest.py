"""Files of this folder that test nothing without the extension, a second instruction set, or Numba, are left out then."""

from ndiv.backends import native, numba

NEEDED = {"test_status.py": native.available(), "test_plan.py": native.available(), "test_pool.py": native.available(),
          "test_unary.py": native.available() or numba.available(),
          "test_same_bits.py": len(native.isas()) > 1, "test_numba.py": numba.available()}
collect_ignore = [name for name, present in NEEDED.items() if not present]
