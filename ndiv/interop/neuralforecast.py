"""neuralforecast's trained models as ndiv models: objects in memory, and what its `save` writes.

Contract: the ndiv model has the same class name and arguments, ``variant="compat"``, the same weights, and counts as fitted.
PyTorch is not imported and not needed for saved models; files hold safetensors and JSON only, and nothing in them is executed.
"""

from __future__ import annotations

import os
from typing import Any

from ..errors import ConfigError, FileError, NdivError
from .description import Forecaster, Model, read_forecaster, read_model
from .translate import build

__all__ = ["from_neuralforecast"]


def from_neuralforecast(source: Any, **replace: Any) -> Any:
    """The ndiv counterpart of a trained neuralforecast model or forecaster (version 3.3).

    source    a model, found by a search or not, or the path of one that ``model.save`` wrote: a model of `ndiv.models`;
              a ``NeuralForecast`` object, or the path of a folder that its ``save`` wrote: an `ndiv.NeuralForecast` with the
              frequency, column names, covariates, scalers and, where it has them, the series
    replace   arguments for the ndiv models in place of the translated ones, such as ``loss`` for a loss that ndiv does not have

    Forecasts agree to float32 rounding. Quantiles of distributions are exact in ndiv and estimated from samples there.

    Raises `ConfigError` (E0010) for models, losses and arguments without a counterpart, `FileError` (E0006) for files that are
    damaged or of another kind, pickles among them. Warns of arguments without a counterpart that only training depends on.

    >>> from ndiv.interop import from_neuralforecast
    >>> from_neuralforecast("no/such/folder")
    Traceback (most recent call last):
    ndiv.errors.FileError: [E0006] no/such/folder does not exist. Hint: give the folder that NeuralForecast.save wrote
    """
    if isinstance(source, (str, os.PathLike)):
        from .saved import read

        described = read(source)
        try:
            return _made(described, replace)
        except NdivError as error:
            if not error.context.get("damaged"):
                raise
            raise _damaged(source, error.message) from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, MemoryError) as error:
            raise _damaged(source, f"{type(error).__name__} {error}") from error
    if isinstance(getattr(source, "models", None), list) and hasattr(source, "freq"):
        return _made(read_forecaster(source), replace)
    if isinstance(source, type):
        raise ConfigError(f"{source.__name__} is a class", value=source.__name__, hint="give a trained model")
    return _made(read_model(source), replace)


def _made(described: Model | Forecaster, replace: dict[str, Any]) -> Any:
    if isinstance(described, Model):
        return build(described, replace)
    from .forecaster import build_forecaster

    return build_forecaster(described, replace)


def _damaged(path: Any, why: str) -> FileError:
    return FileError(f"{os.fspath(path)} is damaged: {why}", value=os.fspath(path),
                     hint="copy it again, or save it again with neuralforecast 3.3")
