"""Shared settings of the suite: no display, Hypothesis profiles, and a header that says which kernels are under test."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers fill the cores: no second thread waits for one
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("NDIV_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))  # for small.py, which tests of all models share

import hypothesis

# Examples are drawn from the test's own text, so that a failure in one run is a failure in the next one.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")


def pytest_report_header() -> str:
    import ndiv

    facts = ndiv.info()
    return f"ndiv {facts['ndiv']}: backend {facts['backend']}, isa {facts['isa']} of {facts['isas']}, numpy {facts['numpy']}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The random numbers of a test do not depend on which tests ran before it in this process."""
    import ndiv

    ndiv.manual_seed(0)


# Comparisons with other libraries need those libraries: tests/peers/README.md.
collect_ignore_glob = ["peers/*"] if importlib.util.find_spec("neuralforecast") is None else []


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return Path(__file__).resolve().parent.parent
