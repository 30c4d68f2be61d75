"""GradScaler: keeps the gradients of a half-precision loss out of the range where they vanish.

Contract: PyTorch's method names, defaults, growth and backoff; the order of calls is checked. The scale is a Python
float that stays finite in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import ConfigError
from .optimizer import Optimizer, in_range

__all__ = ["GradScaler"]

_LARGEST = float(np.finfo(np.float32).max)


class GradScaler:
    """Dynamic loss scaling (Micikevicius et al. 2018, section 3.2).

    A loss times a large number gives gradients times that number, which half precision can hold; they are divided by it
    before the update. A step whose gradients overflowed is skipped and the scale comes down; after enough good steps it
    goes up.

    init_scale        the scale at first
    growth_factor     what it is multiplied with after ``growth_interval`` good steps in a row
    backoff_factor    what it is multiplied with after a step that overflowed
    growth_interval   good steps between growths
    enabled           False: every method passes through

    Raises `ConfigError` (E0010) for values out of range and for calls out of order.

    >>> import ndiv, numpy as np
    >>> p = ndiv.nn.Parameter(np.ones(2, np.float32))
    >>> opt, scaler = ndiv.optim.SGD([p], lr=0.25), ndiv.optim.GradScaler()
    >>> scaler.scale((p * p).sum()).backward()
    >>> scaler.step(opt)
    True
    >>> scaler.update(); p.numpy()
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, init_scale: float = 65536.0, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True) -> None:
        in_range("GradScaler", "init_scale", init_scale, 0.0, _LARGEST)
        in_range("GradScaler", "backoff_factor", backoff_factor, 0.0, 1.0)
        in_range("GradScaler", "growth_interval", growth_interval, 1)
        for name, value, low in (("init_scale", init_scale, 0.0), ("growth_factor", growth_factor, 1.0),
                                 ("backoff_factor", backoff_factor, 0.0)):
            if not value > low:
                raise ConfigError(f"GradScaler: {name} must be above {low:g}, not {value!r}", value=value,
                                  hint="see the defaults in its docstring")
        self.enabled, self.growth_interval = enabled, int(growth_interval)
        self.growth_factor, self.backoff_factor = float(growth_factor), float(backoff_factor)
        self._scale, self._tracker = float(init_scale), 0
        # since the last update: id -> [optimizer, whether its gradients overflowed, whether it was stepped]
        self._seen: dict[int, list[Any]] = {}

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self.enabled

    def get_scale(self) -> float:
        """The scale in force; 1 when not enabled."""
        return self._scale if self.enabled else 1.0

    def scale(self, outputs: Any) -> Any:
        """A loss, or a list or tuple of them, times the scale."""
        if not self.enabled:
            return outputs
        if isinstance(outputs, Tensor):
            with np.errstate(over="ignore"):  # an overflow is found in the gradients, and the step is skipped
                return outputs * self._scale
        if isinstance(outputs, Iterable):
            scaled = [self.scale(out) for out in outputs]
            return tuple(scaled) if isinstance(outputs, tuple) else scaled
        raise ConfigError(f"GradScaler: scale() takes Tensors, not {type(outputs).__name__}", value=outputs,
                          hint="scaler.scale(loss).backward()")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the optimizer's gradients by the scale, and see whether all are finite.

        To be called before the gradients are clipped or looked at, once a step; `step` does it otherwise.
        """
        if not self.enabled:
            return
        if id(optimizer) in self._seen:
            when = "step()" if self._seen[id(optimizer)][2] else "unscale_()"
            raise ConfigError(f"GradScaler: unscale_() after {when} of the same optimizer", value=optimizer,
                              hint="call update() between two steps")
        inverse, overflow = 1.0 / self._scale, False
        for p in optimizer.params:
            if p.grad is not None:
                g = p.grad.data
                overflow = overflow or not bool(np.isfinite(g).all())
                p.grad = Tensor(np.asarray(g * g.dtype.type(inverse)))
        self._seen[id(optimizer)] = [optimizer, overflow, False]

    def step(self, optimizer: Optimizer, **kwargs: Any) -> bool:
        """``optimizer.step(**kwargs)`` on the unscaled gradients, unless one of them is NaN or infinite.

        Returns whether the step was made.
        """
        if not self.enabled:
            optimizer.step(**kwargs)
            return True
        if id(optimizer) not in self._seen:
            self.unscale_(optimizer)
        seen = self._seen[id(optimizer)]
        if seen[2]:
            raise ConfigError("GradScaler: step() twice on the same optimizer", value=optimizer,
                              hint="call update() between two steps")
        seen[2] = True
        if seen[1]:
            return False
        optimizer.step(**kwargs)
        return True

    def update(self, new_scale: float | None = None) -> None:
        """Adjust the scale to what this step's gradients were like; or set it."""
        if not self.enabled:
            return
        if new_scale is not None:
            in_range("GradScaler", "new_scale", new_scale, float(np.finfo(np.float32).tiny), _LARGEST)
            self._scale = float(new_scale)
        elif not self._seen:
            raise ConfigError("GradScaler: update() before any gradients were looked at", value=None,
                              hint="scaler.step(optimizer) first")
        elif any(overflow for _, overflow, _ in self._seen.values()):
            self._scale, self._tracker = self._scale * self.backoff_factor, 0
        else:
            self._tracker += 1
            if self._tracker == self.growth_interval:
                grown = self._scale * self.growth_factor
                self._scale, self._tracker = grown if grown <= _LARGEST else self._scale, 0
        self._seen.clear()

    def state_dict(self) -> dict[str, float]:
        """The scale, its rules and the count of good steps, as numbers; empty when not enabled."""
        if not self.enabled:
            return {}
        return {"scale": self._scale, "growth_factor": self.growth_factor, "backoff_factor": self.backoff_factor,
                "growth_interval": self.growth_interval, "_growth_tracker": self._tracker}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from `state_dict`."""
        if not self.enabled:
            return
        if set(state) != set(self.state_dict()):
            raise ConfigError(f"this is not a state of GradScaler: it has {sorted(state)}", value=sorted(state),
                              hint="save it from a scaler that is enabled")
        self._scale, self._tracker = float(state["scale"]), int(state["_growth_tracker"])
        self.growth_factor, self.backoff_factor = float(state["growth_factor"]), float(state["backoff_factor"])
        self.growth_interval = int(state["growth_interval"])
