"""What the benchmarks share: names of models, checks made before training begins, facts about weights and the machine.

Contract: importing this needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from ..errors import ConfigError, FileError

__all__ = ["check_writable", "digest", "environment", "model_names"]


def model_names(text: str) -> list[str]:
    """The models of a list separated by commas, as the registry spells them.

    Raises `ConfigError` (E0010) for an unknown one, and for none.

    >>> model_names("nhits, NBEATS")
    ['NHITS', 'NBEATS']
    """
    from ..models import get_model

    names = [n.strip() for n in text.split(",") if n.strip()]
    if not names:
        raise ConfigError("--models names no model", value=text, hint="for example --models NLinear,DLinear")
    return [get_model(n).__name__ for n in names]


def check_writable(path: str | None) -> None:
    """Refuse before hours of training what could not be written after them: `FileError` (E0006)."""
    folder = None if path is None else Path(path).absolute().parent
    if folder is not None and (Path(str(path)).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK)):
        raise FileError(f"cannot write {path}", value=path, hint="give a file in a folder that exists")


def digest(model: Any) -> str:
    """A short name for a model's weights: equal exactly when all bits are."""
    total = hashlib.sha256()
    for name, array in sorted(model.state_dict().items()):
        total.update(name.encode() + array.tobytes())
    return total.hexdigest()[:16]


def environment() -> dict[str, Any]:
    """Versions, backend and threads, JSON-able."""
    import numpy as np

    from .. import info

    threads = {k: os.environ[k] for k in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS") if k in os.environ}
    facts = info()
    return {"ndiv": str(facts["ndiv"]), "backend": str(facts["backend"]), "isa": str(facts["isa"]), "numpy": np.__version__,
            "python": platform.python_version(), "machine": platform.machine(), "threads": threads}
