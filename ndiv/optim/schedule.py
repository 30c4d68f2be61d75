"""What a learning-rate schedule is: a pure function of the step, which can also drive an optimizer.

Contract: ``schedule(base_lr, step)`` is the rate of step 0, 1, 2 ..., so that resuming needs no more than the step. Made
with an optimizer as its first argument (``StepLR(optimizer, step_size=30)``) a schedule is PyTorch's scheduler: it
sets every group's rate at once, and again at each ``step()``. That is done here, once, for all of them: a schedule is
a class with ``__init__(its own numbers)`` and ``__call__(base_lr, step)``, and knows nothing of optimizers.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from ..errors import ArgumentError, ConfigError, closest
from .optimizer import Optimizer

__all__ = ["Schedule", "fraction", "whole"]


def whole(owner: str, name: str, value: Any, low: int = 1) -> int:
    """``value`` when it is a whole number of at least ``low``; E0010 otherwise."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= low:
        return int(value)
    raise ConfigError(f"{owner}: {name} must be a whole number of at least {low}, not {value!r}", value=value,
                      hint="count steps")


def fraction(owner: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> float:
    """``value`` when it is a number in [low, high]; E0010 otherwise."""
    if isinstance(value, (int, float, np.number)) and low <= value <= high:
        return float(value)
    bounds = f"of at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g}]"
    raise ConfigError(f"{owner}: {name} must be a number {bounds}, not {value!r}", value=value, hint="see its docstring")


class _Attaching(type):
    """Lets every schedule take an optimizer as its first argument, and PyTorch's ``last_epoch``."""

    __signature__: inspect.Signature

    def __init__(cls, *args: Any) -> None:
        super().__init__(*args)
        own = inspect.signature(cls.__init__)  # type: ignore[misc]
        cls.__signature__ = own.replace(parameters=list(own.parameters.values())[1:])

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        optimizer = kwargs.pop("optimizer", None)
        if optimizer is None and args and isinstance(args[0], Optimizer):
            optimizer, args = args[0], args[1:]
        last_epoch = kwargs.pop("last_epoch", -1)
        parameters = cls.__signature__.parameters
        for name in kwargs:
            if name not in parameters:
                raise ArgumentError(f"{cls.__name__}: unknown argument {name!r}", value=name, hint=closest(name, parameters))
        missing = [p.name for p in list(parameters.values())[len(args):] if p.default is p.empty and p.name not in kwargs]
        if missing:
            raise ArgumentError(f"{cls.__name__}: {', '.join(missing)} must be given", value=missing,
                                hint=f"{cls.__name__}{cls.__signature__}, with an optimizer before these or without")
        schedule = super().__call__(*args, **kwargs)
        if optimizer is not None:
            schedule.attach(optimizer, last_epoch)
        return schedule


class Schedule(metaclass=_Attaching):
    """Base of the schedules. Define ``__call__(base_lr, step)``; driving an optimizer comes with it.

    >>> import ndiv, numpy as np
    >>> class Halves(ndiv.optim.Schedule):
    ...     def __call__(self, base_lr, step):
    ...         return base_lr / 2**step
    >>> Halves()(0.1, 2)
    0.025
    >>> opt = ndiv.optim.SGD([ndiv.nn.Parameter(np.ones(1))], lr=0.1)
    >>> driver = Halves(opt)
    >>> driver.step(); opt.lr
    0.05
    """

    optimizer: Optimizer | None = None
    last_epoch: float = -1
    base_lrs: list[float] = []
    STATE: tuple[str, ...] = ()  # names of numbers that are not a function of the step

    def __init__(self) -> None:
        """A schedule's own numbers are the arguments of its ``__init__``, kept under the same names."""

    def __call__(self, base_lr: float, step: float) -> float:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def attach(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        """Drive ``optimizer`` from now on, beginning with the rates that its groups have.

        As in PyTorch the rates from which the first schedule began are kept as ``initial_lr`` in the groups, and are
        those of later schedules too. ``last_epoch`` is the last step done.
        """
        if last_epoch >= 0 and any("initial_lr" not in group for group in optimizer.param_groups):
            raise ConfigError(f"{type(self).__name__}: last_epoch={last_epoch} needs the rates that the first schedule began "
                              "with", value=last_epoch, hint="optimizer.load_state_dict(...) first: it brings initial_lr")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch + 1
        self.apply(optimizer, self.base_lrs, self.last_epoch)

    def apply(self, optimizer: Optimizer, base_lrs: list[float], step: float) -> None:
        """Set the rate of each group (one base rate a group) to that of ``step``."""
        if len(base_lrs) != len(optimizer.param_groups):
            raise ConfigError(f"{type(self).__name__}: {len(base_lrs)} base rates for {len(optimizer.param_groups)} groups",
                              value=base_lrs, hint="add all groups before the schedule is made")
        for group, base in zip(optimizer.param_groups, base_lrs, strict=True):
            group["lr"] = self(base, step)

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step, or to ``epoch`` (which may be a fraction)."""
        optimizer = self._driven()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self.apply(optimizer, self.base_lrs, self.last_epoch)

    def get_last_lr(self) -> list[float]:
        """The rates in force, one a group."""
        return [group["lr"] for group in self._driven().param_groups]

    def _driven(self) -> Optimizer:
        if self.optimizer is None:
            raise ConfigError(f"{type(self).__name__} was made without an optimizer, so it has none to step", value=None,
                              hint=f"make it with one: {type(self).__name__}(optimizer, ...)")
        return self.optimizer

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands, as numbers and lists of numbers (JSON)."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs), **{n: getattr(self, n) for n in self.STATE}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; an optimizer that is driven gets its rates."""
        names = ["last_epoch", "base_lrs", *self.STATE]
        if set(state) != set(names):
            raise ConfigError(f"this is not a state of {type(self).__name__}: it has {sorted(state)}", value=sorted(state),
                              hint=f"a state has {sorted(names)}")
        if self.optimizer is not None and len(state["base_lrs"]) != len(self.optimizer.param_groups):
            raise ConfigError(f"{type(self).__name__}: the state has {len(state['base_lrs'])} groups and the optimizer "
                              f"{len(self.optimizer.param_groups)}", value=state["base_lrs"],
                              hint="make the optimizer with the configuration that the state was saved with")
        for name in names:
            setattr(self, name, list(state[name]) if name == "base_lrs" else state[name])
        if self.optimizer is not None:
            self.apply(self.optimizer, self.base_lrs, self.last_epoch)

    def __repr__(self) -> str:
        names = type(self).__signature__.parameters
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"
