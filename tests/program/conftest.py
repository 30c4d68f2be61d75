"""Files of this folder that need what is not here are left out: a C compiler and glibc, to count allocations."""

import platform
import shutil
import sys

from ndiv.backends import native

NEEDED = {"test_allocations.py": native.available() and sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
          and shutil.which("cc") is not None}
collect_ignore = [name for name, present in NEEDED.items() if not present]
