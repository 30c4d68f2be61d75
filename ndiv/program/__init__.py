"""Programs and plans: the tape as text, its passes, planned memory, and what runs it.

    trace.py, grad.py, update.py   a function, its gradient and the optimizer's step become a Program (ir.py, checker.py)
    passes/                        Program -> Program
    layout.py, memory.py, lower.py Program -> Plan (plan.py); ops/ are the operations of plans
    interpret.py                   runs a Plan on NumPy; ``csrc/core/plan*.c`` runs the same bytes natively
    executable.py, compiled.py, train.py, file.py, show.py   what users call
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compiled import compile as compile
    from .file import read as load
    from .ir import Program as Program

__all__ = ["Program", "compile", "load"]


def __getattr__(name: str) -> Any:
    if name == "compile":
        from .compiled import compile

        return compile
    if name == "load":
        from .file import read

        return read
    if name == "Program":
        from .ir import Program

        return Program
    raise AttributeError(f"module 'ndiv.program' has no attribute {name!r}")
