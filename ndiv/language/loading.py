"""`load`: one way in for all files that hold a language model.

Contract: what a path is follows from the file system and from the first bytes of a file, not from names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, FileError
from .backbone import Backbone
from .parts import Sizes

__all__ = ["limited", "load"]


def load(path: str | os.PathLike[str], num_layers: int | None = None) -> Backbone:
    """The language model in a local folder or file, as a frozen `Backbone`.

    path        a folder with config.json, model.safetensors (or model.safetensors.index.json and its parts) and, for texts,
                tokenizer.json; or a GGUF file
    num_layers  run only the first so many layers

    FileError (E0006) for files that are missing, damaged, hold pickles, or hold an architecture other than GPT-2, LLaMA and
    BERT; ConfigError (E0010) for a num_layers that the model does not have.
    """
    from .folders import read_folder
    from .gguf import read_gguf

    if num_layers is not None:
        if isinstance(num_layers, bool) or not isinstance(num_layers, (int, np.integer)) or num_layers < 1:
            raise ConfigError(f"num_layers must be a positive whole number, not {num_layers!r}", value=num_layers,
                              hint="leave it out to run all layers")
        num_layers = int(num_layers)
    place = Path(path)
    try:
        if place.is_dir():
            return read_folder(place, num_layers)
        if place.is_file():
            return read_gguf(place, num_layers)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{place} could not be read: {error.strerror or error}", value=str(place)) from None
    raise FileError(f"{place} does not exist", value=str(place), hint="give a model's folder, or a .gguf file")


def limited(cls: type[Sizes], found: dict[str, Any], num_layers: int | None, where: str) -> Any:
    """Sizes that a file gave, with so many layers; FileError where they do not fit together."""
    if num_layers is not None and num_layers > found["num_layers"]:
        raise ConfigError(f"num_layers is {num_layers} and the model has {found['num_layers']}", value=num_layers,
                          hint=f"give 1 to {found['num_layers']}, or leave it out")
    try:
        return cls(**{**found, "num_layers": num_layers or found["num_layers"]})
    except ConfigError as error:
        raise FileError(f"{where}: {error.message}", value=error.value, hint=error.hint) from None
