"""Plans allocate nothing once they have run: malloc and its kin are counted while C runs a plan a thousand times.

Left out where there is no C compiler, or another C library than glibc (see conftest.py).
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROGRAM = """
import ctypes, sys
sys.path.insert(0, {here!r})
sys.path.insert(0, {tests!r})
import ndiv, test_models
from ndiv.backends import native, threadpool
from ndiv.program.show import View

shim = ctypes.CDLL({shim!r})
shim.allocations_of.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
before = shim.allocations()
keep = [ctypes.create_string_buffer(5000) for _ in range(100)]
assert shim.allocations() - before >= 100, "the counter does not count"

threadpool.set_threads({threads})
view = View(test_models.build({name!r}, "StudentT"), test_models.BATCH, train={train})
executable = view.executable
assert executable.engine == "native"
slots, results = executable.fill(view.arrays)
runner, ffi = executable.runner, native._ffi
runner.run(slots)  # warms up: contexts, threads, packed weights
table, _ = runner._new_table()
views = [(i, ffi.from_buffer("char[]", slots[i])) for i, *_ in runner._open]
for i, view in views:
    table[i] = view
address = lambda p: int(ffi.cast("uintptr_t", p))
run = address(ffi.addressof(native._need(), "nd_plan_run"))
print([shim.allocations_of(run, address(runner._plan), address(table), 250) for _ in range(4)])
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    path = tmp_path_factory.mktemp("shim") / "allocations.so"
    subprocess.run(["cc", "-O2", "-fno-builtin", "-shared", "-fPIC", str(HERE / "allocations.c"), "-o", str(path)], check=True)
    return str(path)


@pytest.mark.parametrize("name, train, threads", [("MLP", True, 2), ("NHITS", True, 1), ("Mixed", True, 2), ("Mixed", False, 1),
                                                  ("DLinear", False, 2)])
def test_a_thousand_runs_allocate_nothing(shim, name, train, threads):
    code = PROGRAM.format(here=str(HERE), tests=str(HERE.parent), shim=shim, name=name, train=train, threads=threads)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300,
                          env={**os.environ, "LD_PRELOAD": shim})
    assert done.returncode == 0, done.stderr[-2000:]
    counts = ast.literal_eval(done.stdout)
    # a thread of the pool that is first scheduled now gets its thread-local variables from the loader, once
    assert min(counts) == 0 and sum(counts) < threads
