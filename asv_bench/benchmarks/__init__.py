"""Benchmarks of ndiv for asv. Each is small; a figure means something beside another one from the same run.

BLAS gets one thread, unless the environment says otherwise: with more, a figure depends on what else the machine does.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
