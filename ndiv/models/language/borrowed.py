"""A language model that forecasting models read and do not own: found, shared, written down by its hash, found again.

Contract: `borrow` makes a `Borrowed` of whatever a model's ``llm`` argument may be. `Borrowed.record` is what a saved model
keeps in the place of the weights: their hash, and where they were. Such a record is an ``llm`` argument as well, of which
`borrow` makes the same backbone or raises ConfigError (E0010): never another one.
"""

from __future__ import annotations

import os
import weakref
from typing import Any

import numpy as np

from ...errors import ConfigError, NdivError

__all__ = ["Borrowed", "borrow"]

_LIVING: weakref.WeakSet[Any] = weakref.WeakSet()  # backbones that some model borrowed
_HINT = "give llm=ndiv.language.load(folder), a folder or a Backbone (pip install \"ndiv[language]\"); nothing is downloaded"


class Borrowed:
    """A backbone, and the path that it came from ("" where that is not known). Copies of a model share it, and pickles hold its
    record."""

    def __init__(self, backbone: Any, path: str = "") -> None:
        self.backbone, self.path = backbone, path
        _LIVING.add(backbone)

    def __deepcopy__(self, memo: dict[int, Any]) -> Borrowed:
        return self

    def __reduce__(self) -> Any:
        return borrow, (self.record(), None)

    def __repr__(self) -> str:
        return f"Borrowed({self.backbone!r}, {self.path!r})"

    def record(self) -> dict[str, Any]:
        """What identifies the backbone, JSON-able."""
        b = self.backbone
        return {"fingerprint": b.fingerprint, "kind": b.kind, "num_layers": b.num_layers, "path": self.path}


def borrow(llm: Any, num_layers: int | None) -> Borrowed:
    """The backbone that ``llm`` stands for.

    llm         a folder, an `ndiv.language.Backbone`, a `Borrowed`, or the record of one. A record is looked for among the
                backbones in use, then at its path, unless it names another place or a Backbone as "given"
    num_layers  run no more than so many layers; None: all. A record tells itself

    ConfigError (E0010) for anything else, for a Backbone with more layers, and for a record whose backbone is not found or has
    another hash; FileError (E0006) for a folder that cannot be read.
    """
    from ...language import Backbone, load

    if isinstance(llm, dict):
        return _recorded(llm)
    if isinstance(llm, (str, os.PathLike)):
        found = load(llm)
        if num_layers is not None and found.num_layers > num_layers:
            found = load(llm, num_layers)
        return Borrowed(found, os.path.abspath(llm))
    held = Borrowed(llm) if isinstance(llm, Backbone) else llm
    if not isinstance(held, Borrowed):
        raise ConfigError(f"llm is a {type(llm).__name__}, no language model", value=llm, hint=_HINT)
    if num_layers is not None and held.backbone.num_layers > num_layers:
        raise ConfigError(f"llm has {held.backbone.num_layers} layers and llm_num_hidden_layers is {num_layers}",
                          value=num_layers, hint=f"load it with ndiv.language.load(path, num_layers={num_layers})")
    return held


def _recorded(record: dict[str, Any]) -> Borrowed:
    if not {"fingerprint", "kind", "num_layers", "path"} <= set(record):
        raise ConfigError("llm is a dict that describes no language model", value=sorted(map(str, record)), hint=_HINT)
    given, path, wanted = record.get("given"), str(record["path"]), record["fingerprint"]
    what = f"{record['kind']} with {record['num_layers']} layers and the hash {str(wanted)[:16]}..."
    if given is None:
        for backbone in list(_LIVING):
            alike = backbone.kind == record["kind"] and backbone.num_layers == record["num_layers"]
            # a model in float64 has a copy of its own
            if alike and backbone.embeddings.dtype == np.float32 and backbone.fingerprint == wanted:
                return Borrowed(backbone, path)
    source = path if given is None else given
    hint = "pass llm=, the folder that holds it now, or the Backbone: NeuralForecast.load(path, llm=...)"
    if isinstance(source, str) and not source:
        raise ConfigError(f"the model was trained with a language model that is not in its file: {what}", value=wanted,
                          hint=hint)
    try:
        found = borrow(source, record["num_layers"])
    except NdivError as error:
        raise ConfigError(f"the model was trained with a language model that is not in its file, {what}, and {source!r} gives "
                          f"none: {error.message}", value=str(source), hint=hint) from error
    if found.backbone.fingerprint != wanted:
        raise ConfigError(f"the model was trained with another language model than this: {what}, and the {found.backbone.kind} "
                          f"with {found.backbone.num_layers} layers has {found.backbone.fingerprint[:16]}...",
                          value=found.backbone.fingerprint, hint=hint)
    return found
