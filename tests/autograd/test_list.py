"""docs/ops.md is the frozen list of ops: what it says and what is registered are the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_list_in_the_docs_is_the_registry():
    spec = importlib.util.spec_from_file_location("make_ops", DOCS / "make_ops.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "ops.md").read_text() == module.table() + "\n", "run: python docs/make_ops.py > docs/ops.md"
