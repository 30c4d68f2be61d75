"""What one call of fit may do otherwise than the model was told: fewer steps, another rate, weights that stay as they are.

Contract: `tuned` sets a model up for one training and puts its own settings back, whatever happens. Frozen parameters keep
their bits: the optimizer does not hold them, so that no step, compiled or op by op, writes them. Where other parameters are
trained than before, the optimizer begins anew, since its averages are those of another run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from ..errors import ConfigError

__all__ = ["check_patterns", "frozen_names", "tuned"]

_NAMED = 12  # parameters that a message lists


def check_patterns(freeze: Any) -> tuple[str, ...]:
    """``freeze`` as patterns: one or several, as in a shell ("encoder*"). Raises `ConfigError` (E0010) for anything else."""
    found = (freeze,) if isinstance(freeze, str) else tuple(freeze) if isinstance(freeze, Sequence) else (freeze,)
    for pattern in found:
        if not isinstance(pattern, str) or not pattern:
            raise ConfigError(f"freeze must be a name pattern or a list of them, got {freeze!r}", value=freeze,
                              hint="for example freeze='encoder*'")
    return found


def frozen_names(models: Sequence[Any], freeze: Any) -> list[frozenset[str]]:
    """The parameters of each model that ``freeze`` names; a pattern must name some of one model, and none may lose all.

    Raises `ConfigError` (E0010), which lists the names that there are.

    >>> from ndiv.models import NLinear
    >>> [sorted(names) for names in frozen_names([NLinear(h=2, input_size=4)], "*.bias")]
    [['linear.bias']]
    """
    if freeze is None:
        return [frozenset() for _ in models]
    patterns = check_patterns(freeze)
    for model in models:
        if not hasattr(model, "named_parameters"):  # an automatic model, whose model is not chosen yet
            raise ConfigError(f"freeze={freeze!r}: {model!r} has no parameters before its first fit", value=freeze,
                              hint="Fit it once without freeze.")
    names = [[name for name, _ in m.named_parameters()] for m in models]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for own in names for name in own):
            every = list(dict.fromkeys(name for own in names for name in own))
            listed = ", ".join(every[:_NAMED]) + (f" and {len(every) - _NAMED} more" if len(every) > _NAMED else "")
            raise ConfigError(f"freeze={pattern!r} names no parameter", value=pattern, hint=f"The parameters are {listed}.")
    found = [frozenset(n for n in own if any(fnmatchcase(n, p) for p in patterns)) for own in names]
    for model, own, frozen in zip(models, names, found, strict=True):
        if len(frozen) == len(own):
            raise ConfigError(f"freeze={freeze!r} leaves {model!r} nothing to train", value=freeze,
                              hint="Leave the parameters out that shall be trained.")
    return found


@contextmanager
def tuned(model: Any, *, max_steps: int | None = None, learning_rate: float | None = None, freeze: Any = None,
          reset_optimizer: bool = False) -> Iterator[None]:
    """A model with these settings while it trains, and its own ones after.

    freeze           patterns of parameters that keep their values; those that name none of this model are passed over
    reset_optimizer  forget the averages and counts of earlier steps

    Raises `ConfigError` (E0010) for values that cannot be.
    """
    if max_steps is not None and (isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 0):
        raise ConfigError(f"max_steps must be a whole number of at least 0, got {max_steps!r}", value=max_steps)
    if learning_rate is not None and not (isinstance(learning_rate, (int, float)) and 0 < learning_rate < math.inf):
        raise ConfigError(f"learning_rate must be above 0, got {learning_rate!r}", value=learning_rate)
    patterns = () if freeze is None else check_patterns(freeze)
    frozen = frozenset(n for n, _ in model.named_parameters() if any(fnmatchcase(n, p) for p in patterns))
    if reset_optimizer or frozen != model.frozen:
        model.forget_optimizer()
    model.frozen = frozen
    rate, steps = model.optimizer.lr, model.arguments["max_steps"]  # the optimizer's own options may hold a rate
    own = model.base_lr, rate
    if max_steps is not None:
        model.arguments["max_steps"] = max_steps
    if learning_rate is not None:
        model.base_lr = model.optimizer.lr = float(learning_rate)
    try:
        yield
    finally:
        model.arguments["max_steps"] = steps
        if learning_rate is not None:
            model.base_lr, model.optimizer.lr = own
