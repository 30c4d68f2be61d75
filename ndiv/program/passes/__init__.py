"""Passes: each takes a Program and gives one that computes the same, checked after it ran.

Contract: a pass is a function Program -> Program in a short file of its own; `run_passes` runs them in order and checks the
result of each. Before `select` equations name primitives; after it, plan operations and views.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..checker import check_program
from ..ir import Eqn, Program
from .addends import addends
from .cse import cse
from .dce import dce
from .epilogue import epilogues
from .factors import factors
from .fold import fold
from .fuse import fuse
from .joins import join_slices
from .picks import pick_products
from .select import select
from .transpose import absorb_transposes

__all__ = ["PASSES", "run_passes"]

PASSES: dict[str, Callable[[Program], Program]] = {
    "fold": fold, "cse": cse, "absorb_transposes": absorb_transposes, "pick_products": pick_products,
    "join_slices": join_slices, "dce": dce, "select": select, "fold_views": fold,
    "share": cse, "epilogues": epilogues, "factors": factors, "fuse": fuse, "addends": addends, "sweep": dce,
}


def run_passes(program: Program, passes: Iterable[str] | None = None) -> Program:
    """The program after the named passes (default: all, in the order of `PASSES`)."""
    known: set[Eqn] = set()
    for name in PASSES if passes is None else passes:
        program = check_program(PASSES[name](program), known)
    return program
