"""Studies that outlive the process: opened, compared with what is searched now, and shown as a table.

Contract: a storage may hold many studies; one is gone on with only where model, horizon, data, validation, space and seed are
those that it was begun with. Trials that were running when a process ended are closed and tried again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data._extras import need
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, FileError

from .ranges import Space, label

if TYPE_CHECKING:
    from .search import Search

__all__ = ["open_study", "records", "table"]

_NAMES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


def open_study(optuna: Any, search: Search, store: SeriesStore, val_size: int) -> Any:
    """The study of the search: new, or that of its storage, whose interrupted trials are closed."""
    options = search.options
    name = options.study_name or f"{search.cls.__name__}-h{search.fixed['h']}"
    storage = options.storage
    if isinstance(storage, (str, os.PathLike)) and "://" not in str(storage):
        path = Path(storage)
        if not path.resolve().parent.is_dir():
            raise FileError(f"the folder of {path} does not exist", value=str(path), hint="Create it first.")
        storage = f"sqlite:///{path.resolve()}"
    try:
        if storage is not None and storage is not options.storage:
            with closing(sqlite3.connect(path)) as file:  # a log that is written ahead costs one write a step, not four
                file.execute("PRAGMA journal_mode = WAL")
        study = optuna.create_study(storage=storage, study_name=None if storage is None else name, load_if_exists=True,
                                    pruner=search.pruner(), direction="minimize")
        if storage is not None:
            _compare(study, _facts(search, store, val_size), name)
        _close_running(study)
        return study
    except (ConfigError, FileError):
        raise
    except Exception as error:
        if not _of_database(error):
            raise
        raise FileError(f"the storage {options.storage} could not be used: {str(error).splitlines()[0]}",
                        value=str(options.storage), hint="Give the path of an SQLite file that a search wrote, or of none.",
                        ) from None


def _of_database(error: Exception) -> bool:
    return any(c.__module__.startswith(("sqlalchemy", "sqlite3", "alembic")) or c.__name__ == "StorageInternalError"
               for c in type(error).__mro__)


def _facts(search: Search, store: SeriesStore, val_size: int) -> dict[str, Any]:
    """What a study's trials depend on, as plain data."""
    digest = hashlib.sha256()
    for array in (store.y, store.mask, store.offsets):
        digest.update(np.ascontiguousarray(array).tobytes())
    space: Any = "a function"
    if isinstance(search.config, Space):
        space = {k: {"range": v["range"] | {"values": [label(x) for x in v["range"]["values"]]}} if "range" in v
                 else label(v["value"]) for k, v in search.config.record().items()}
    settings = {k: label(v.config()) if hasattr(v, "config") else label(v) for k, v in search.fixed.items()}
    return {"model": search.cls.__name__, "settings": settings, "val_size": val_size, "seed": search.options.seed,
            "data": digest.hexdigest()[:16], "space": space, "best_weights": search.keep_best}


def _compare(study: Any, facts: dict[str, Any], name: str) -> None:
    facts = json.loads(json.dumps(facts))
    before = study.user_attrs.get("search")
    if before is None:
        study.set_user_attr("search", facts)
        return
    changed = [key for key, value in facts.items() if before.get(key) != value]
    if changed:
        raise ConfigError(f"the storage holds a search {name!r} with another {', '.join(changed)}", value=changed,
                          hint="Give study_name another name, or storage another file.")


def _close_running(study: Any) -> None:
    """End the trials of a process that is gone. The next trial follows from those before it, so it is the same one again."""
    from .search import INTERRUPTED

    for trial in study.get_trials(deepcopy=False):
        if trial.state.name == "RUNNING":
            study._storage.set_trial_user_attr(trial._trial_id, "reason", INTERRUPTED)
            study.tell(trial.number, state=need("optuna", "tune").trial.TrialState.FAIL)


def records(study: Any) -> list[dict[str, Any]]:
    """One dict a trial: trial, state ("complete", "pruned", "failed"), loss, steps, seconds, reason, then its settings."""
    found = []
    for t in study.get_trials(deepcopy=False):
        if t.state.is_finished():
            loss = float("nan") if t.value is None else float(t.value)
            found.append({"trial": t.number, "state": _NAMES[t.state.name], "loss": loss, "steps": t.user_attrs.get("steps", 0),
                          "seconds": float(t.user_attrs.get("seconds", 0.0)), "reason": t.user_attrs.get("reason", ""),
                          **t.params})
    return found


def table(found: list[dict[str, Any]], library: str = "pandas") -> Any:
    """Records as a frame of pandas or polars, a column for each setting; a setting that a trial lacks is missing there."""
    columns = list(dict.fromkeys(key for record in found for key in record))
    data = {key: [record.get(key) for record in found] for key in columns}
    if library == "polars":
        mixed = {k for k, v in data.items() if len({type(x) for x in v if x is not None} - {int, float}) > 1}
        return need("polars", "polars").DataFrame({k: [None if x is None else str(x) for x in v] if k in mixed else v
                                                   for k, v in data.items()}, strict=False)
    return need("pandas").DataFrame(data)
