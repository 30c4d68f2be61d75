"""The lazy table of names in ndiv/__init__.py lists exactly what the op families offer."""

from __future__ import annotations

import ndiv
from ndiv.autograd import ops


def test_every_public_op_is_a_function_of_ndiv():
    listed = {name for name, home in ndiv._HOME.items() if home == "ndiv.autograd.ops"}
    assert listed == set(ops.FUNCTIONS)


def test_names_resolve():
    for name in ndiv.__all__:
        assert getattr(ndiv, name) is not None
