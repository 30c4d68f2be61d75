"""What `import ndiv` costs and touches: modules, memory, global state."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndiv

MEMORY_LIMIT_MB = 45.0  # of a process that has imported ndiv and NumPy and done nothing else
LINUX = sys.platform.startswith("linux")


def python(code: str) -> Any:
    """Runs ``code`` in a fresh interpreter; what it prints last is read as JSON."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))}
    env["PYTHONPATH"] = str(Path(ndiv.__file__).parent.parent)  # the ndiv that is under test here
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=120,
                          cwd=Path(__file__).parent, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout.strip().splitlines()[-1])


def loaded_by(statement: str) -> set[str]:
    """Names of the modules that a statement loads in a fresh interpreter."""
    return set(python(f"import json, sys; before = set(sys.modules)\n{statement}\n"
                      "print(json.dumps(sorted(set(sys.modules) - before)))"))


def strangers(modules: set[str], *known: str) -> set[str]:
    """Top-level names that are neither the standard library's nor known."""
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - set(known)
    # The last two are made by NumPy's own compiled modules (numpy.random).
    return {name for name in tops if not name.startswith(("_sysconfigdata", "_cython_", "cython_runtime"))}


def test_import_loads_only_itself_and_the_standard_library_and_numpy() -> None:
    modules = loaded_by("import ndiv")
    assert strangers(modules, "numpy", "ndiv") == set()
    assert {m for m in modules if m.partition(".")[0] == "ndiv"} == {"ndiv", "ndiv._version"}


def test_arrays_and_gradients_need_only_numpy_and_the_extension() -> None:
    modules = loaded_by("import ndiv\nx = ndiv.tensor([1.0, 2.0], requires_grad=True)\n(x * x).sum().backward()\n"
                        "ndiv.nn.Linear(2, 1)(x)")
    assert strangers(modules, "numpy", "ndiv", "_cffi_backend") == set()


def test_models_on_arrays_need_no_data_frame_library() -> None:
    modules = loaded_by("import ndiv.models")
    assert strangers(modules, "numpy", "ndiv", "_cffi_backend", "safetensors") == set()


@pytest.mark.parametrize("statement", ["import ndiv", "import ndiv, numpy; ndiv.tensor(numpy.ones(2))"]
                         if LINUX else [])  # /proc is Linux's
def test_resident_memory_after_import(statement: str) -> None:
    megabytes = python(f"{statement}\nstatus = open('/proc/self/status').read()\n"
                       "print(int(status.split('VmRSS:')[1].split()[0]) / 1024)")
    assert megabytes <= MEMORY_LIMIT_MB


def test_import_and_seed_leave_global_state_alone() -> None:
    state = """
import json, logging, os, random, signal, threading, warnings, numpy as np
def look():
    kind, keys, *rest = np.random.get_state()
    return [kind, keys.tolist(), rest, hash(random.getstate()), repr(warnings.filters), repr(np.geterr()),
            repr(np.get_printoptions()), logging.root.level, len(logging.root.handlers), threading.active_count(),
            sorted(os.environ), repr(signal.getsignal(signal.SIGINT)), os.getcwd()]
before = look()
import ndiv
ndiv.manual_seed(3)
ndiv.dropout(ndiv.tensor(np.ones(8)), 0.5)
ndiv.nn.Linear(3, 2)
import ndiv.models, ndiv.optim, ndiv.losses
print(json.dumps([a == b for a, b in zip(before, look())]))
"""
    assert all(python(state))


def test_manual_seed_in_this_process_leaves_numpy_alone() -> None:
    np.random.seed(7)  # noqa: NPY002  the global generator is what this test is about
    expected = np.random.rand(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    before = ndiv.random.get_state()
    ndiv.manual_seed(99)
    ndiv.nn.Linear(3, 2)
    ndiv.random.set_state(before)
    assert np.array_equal(np.random.rand(3), expected)  # noqa: NPY002


@pytest.mark.parametrize("name", ndiv.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(ndiv, name) is not None


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        ndiv.no_such_name  # noqa: B018


MODULES = ["ndiv", *sorted(m.name for m in pkgutil.walk_packages(ndiv.__path__, "ndiv.")
                           if not m.name.endswith(("__main__", "._native")))]


@pytest.mark.parametrize("name", MODULES)
def test_every_name_in_all_exists(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert [n for n in exported if not hasattr(module, n)] == []
    assert len(exported) == len(set(exported))
