"""What all optimizers share: parameter groups, the step's loop, and a state that is saved and restored exactly.

Contract: `step` reads ``p.grad`` and writes ``p.data`` in place (stamping ``p.written``). A family defines `update`, one
group's update, and reads its hyper-parameters from the group at every step, so that schedules may change them.
A parameter without a gradient is left alone, its state and its count of updates too, as in PyTorch. ``max_norm`` clips
by global norm inside the same pass, without touching the gradients.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NoReturn

import numpy as np

from ..autograd import Tensor
from ..autograd.tape import _sequence
from ..errors import ArgumentError, ConfigError, closest
from .clip import clip_scale, global_norm

__all__ = ["Optimizer", "in_range", "scaled"]

Group = dict[str, Any]
Work = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], int]
_NOT_SAVED = ("params", "name")


def in_range(owner: str, name: str, value: Any, low: float = 0.0, high: float = math.inf) -> None:
    """Refuse a hyper-parameter outside [low, high), NaN included, with E0010."""
    if isinstance(value, (int, float, np.number)) and low <= value < high:
        return
    wanted = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g})"
    raise ConfigError(f"{owner}: {name} must be {wanted}, not {value!r}", value=value, hint="see the defaults in its docstring")


def scaled(g: np.ndarray, scale: float) -> np.ndarray:
    """The gradient times a number, in the gradient's type; the gradient itself when the number is 1."""
    return g if scale == 1.0 else np.asarray(g * g.dtype.type(scale))


def _plain(value: Any) -> Any:
    """Numbers as Python's float, so that a state written as JSON comes back with the same types."""
    return float(value) if isinstance(value, (int, float, np.number)) and not isinstance(value, bool) else value


class Optimizer:
    """Base of the optimizers, and how to write another one: define `update` and, for checks, `check`.

    params     Tensors, or groups: dicts with "params" and the hyper-parameters that differ from the defaults
    defaults   the hyper-parameters of groups that do not give them; "lr" among them

    ``param_groups`` is a list of dicts, as in PyTorch. ``lr`` is the rate of the first group; setting it sets every
    group's rate, in the proportions that they had when the optimizer was made.

    >>> import ndiv, numpy as np
    >>> body, head = (ndiv.nn.Parameter(np.ones(2)) for _ in range(2))
    >>> opt = ndiv.optim.SGD([{"params": [body]}, {"params": [head], "lr": 0.2}], lr=0.1)
    >>> opt.lr = 0.05
    >>> [group["lr"] for group in opt.param_groups]
    [0.05, 0.1]
    """

    ARRAYS: frozenset[str] = frozenset()  # names of the arrays that `update` keeps for a parameter

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = {**defaults, "maximize": bool(defaults.get("maximize", False))}
        self.param_groups: list[Group] = []
        self.params: list[Tensor] = []  # of all groups, in order
        self.state: list[dict[str, np.ndarray]] = []  # one for each of params
        self.counts: list[int] = []  # updates that each of params has had
        self._ratios: list[float] = []  # each group's rate relative to the first one's
        given: list[Any] = [params] if isinstance(params, (Tensor, dict)) else list(params)
        if not given:
            raise ConfigError(f"{type(self).__name__}: no parameters to train", value=0, hint="pass model.parameters()")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    # -- groups ----------------------------------------------------------------------------------------------------

    def add_param_group(self, group: Group) -> None:
        """Train more parameters, with hyper-parameters of their own where the dict gives them.

        Raises `ConfigError` (E0010) for values out of range, what is not a leaf Tensor, and parameters that are in a
        group already; `ArgumentError` (E0010) for unknown names.
        """
        owner = type(self).__name__
        if not isinstance(group, dict) or "params" not in group:
            raise ConfigError(f"{owner}: a parameter group is a dict with 'params', not {group!r}", value=group,
                              hint="[{'params': model.parameters(), 'lr': 1e-4}]")
        for name in group:
            if name not in self.defaults and name not in _NOT_SAVED:
                raise ArgumentError(f"{owner}: unknown hyper-parameter {name!r} in a group", value=name,
                                    hint=closest(name, self.defaults))
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        known = {id(p) for p in self.params}
        for p in params:
            if not isinstance(p, Tensor) or p.node is not None or p.dtype.kind != "f":
                raise ConfigError(f"{owner}: trains leaf Tensors of floating point, not {p!r}", value=p,
                                  hint="pass model.parameters()")
            if id(p) in known:
                raise ConfigError(f"{owner}: a parameter of shape {list(p.shape)} is given twice", value=p.shape,
                                  hint="each parameter belongs to one group, once")
            known.add(id(p))
        full = {name: _plain(value) for name, value in {**self.defaults, **group}.items()}
        full["params"] = params
        in_range(owner, "lr", full["lr"])
        self.check(full)
        first = self.param_groups[0]["lr"] if self.param_groups else full["lr"]
        ratio = 1.0 if full["lr"] == first else full["lr"] / first if first else math.inf
        self.param_groups.append(full)
        self._ratios.append(ratio)
        self.params += params
        self.state += [{} for _ in params]
        self.counts += [0] * len(params)

    def check(self, group: Group) -> None:
        """Refuse values that are out of range (E0010)."""

    @property
    def lr(self) -> float:
        """The first group's learning rate."""
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, value: float) -> None:
        if math.inf in self._ratios:
            raise ConfigError("the first group's learning rate was 0, so the others have no proportion to it", value=value,
                              hint="set param_groups[i]['lr'], or put a group that is trained first")
        for group, ratio in zip(self.param_groups, self._ratios, strict=True):
            group["lr"] = float(value) * ratio

    # -- training --------------------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients; with ``set_to_none=False`` they become zeros, which still count as gradients."""
        for p in self.params:
            p.grad = None if set_to_none else Tensor(np.zeros_like(p.data))

    def step(self, max_norm: float | None = None, norm: float | None = None) -> None:
        """One update; with ``max_norm``, as if the gradients had first been clipped to that global norm.

        norm: the global norm, where the caller has worked it out already.
        """
        scale = 1.0
        if max_norm is not None:
            scale = clip_scale(global_norm(self.params) if norm is None else norm, max_norm)
        i = 0
        for group in self.param_groups:
            work: list[Work] = []
            for p in group["params"]:
                grad = p.grad
                if grad is not None:
                    g = grad.data
                    self.counts[i] = count = self.counts[i] + 1
                    work.append((p.data, g if g.flags.c_contiguous else np.ascontiguousarray(g), self.state[i], count))
                    p.written = next(_sequence)
                i += 1
            with np.errstate(all="ignore"):  # an infinite gradient is the trainer's to report, not NumPy's
                self.update(group, work, -scale if group["maximize"] else scale)

    def update(self, group: Group, work: list[Work], scale: float) -> None:
        """Write the new values of one group's parameters, each given as (p, g, state, count).

        p      values, written in place
        g      gradient, not to be written; it counts ``scale`` times (clipping, and the sign of ``maximize``)
        state  the parameter's arrays by the names of `ARRAYS`; made here when first needed
        count  1 at the parameter's first update
        """
        raise NotImplementedError

    # -- in plans --------------------------------------------------------------------------------------------------

    def plan(self, group: Group) -> tuple[str, dict[str, Any], tuple[str | None, ...]] | None:
        """(plan operation, its attributes, names of the arrays that it keeps) of a group's update inside a compiled training
        step, or None: then the step runs op by op."""
        return None

    def numbers(self, group: Group, count: int) -> tuple[float, ...]:
        """What the plan operation reads at each step, ``count`` being 1 at the first."""
        raise NotImplementedError

    # -- state -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on with the same bits, flat: names to copied arrays and numbers.

        ``group.J.NAME`` hyper-parameters, ``NAME.I`` a parameter's arrays, ``counts`` the updates that each has had.
        """
        out: dict[str, Any] = {"counts": np.array(self.counts, np.int64), "ratios": np.array(self._ratios, np.float64)}
        for j, group in enumerate(self.param_groups):
            for name, value in group.items():
                if name in _NOT_SAVED:
                    continue
                several = enumerate(value) if isinstance(value, tuple) else [("", value)]
                out.update((f"group.{j}.{name}.{k}".rstrip("."), number) for k, number in several)
        for i, arrays in enumerate(self.state):
            out.update((f"{name}.{i}", a.copy()) for name, a in arrays.items())
        return out

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`: arrays, counts and hyper-parameters, the learning rates among them.

        Raises `ConfigError` (E0010), and changes nothing, when the state is not of this kind of optimizer with these
        groups and shapes.
        """
        rest = dict(state)
        counts, ratios = np.asarray(rest.pop("counts", ())), np.asarray(rest.pop("ratios", ()))
        if counts.shape != (len(self.params),) or ratios.shape != (len(self.param_groups),):
            self._refuse(f"it has {counts.size} parameters in {ratios.size} groups, and this one has {len(self.params)} in "
                         f"{len(self.param_groups)}", len(counts))
        groups = [self._take_group(j, group, rest) for j, group in enumerate(self.param_groups)]
        arrays: list[dict[str, np.ndarray]] = [{} for _ in self.params]
        for key, value in rest.items():
            name, _, index = key.rpartition(".")
            i = int(index) if index.isdecimal() else -1
            if name not in self.ARRAYS or not 0 <= i < len(arrays):
                self._refuse(f"it holds {key!r}, which this one has no use for", key)
            if np.shape(value) != self.params[i].shape:
                self._refuse(f"{key} has shape {list(np.shape(value))} and the parameter {list(self.params[i].shape)}", key)
            arrays[i][name] = np.array(value, self.params[i].dtype)
        self.counts, self._ratios, self.state = counts.tolist(), ratios.tolist(), arrays
        for group, numbers in zip(self.param_groups, groups, strict=True):
            group.update(numbers)

    def _take_group(self, j: int, group: Group, rest: dict[str, Any]) -> Group:
        """The hyper-parameters of a group out of a flat state, which loses them."""
        numbers: Group = {}
        optional = {"initial_lr": 0.0}  # there when a schedule drives the optimizer
        for name, value in {**optional, **group}.items():
            if name in _NOT_SAVED:
                continue
            keys = [f"group.{j}.{name}.{k}" for k in range(len(value))] if isinstance(value, tuple) else [f"group.{j}.{name}"]
            if name in optional and keys[0] not in rest:
                continue
            if any(key not in rest for key in keys):
                self._refuse(f"{keys[0]} is missing", keys[0])
            found = [type(old)(rest.pop(key)) for key, old in zip(keys, value if isinstance(value, tuple) else (value,),
                                                                  strict=True)]
            numbers[name] = tuple(found) if isinstance(value, tuple) else found[0]
        return numbers

    def _refuse(self, why: str, value: Any) -> NoReturn:
        raise ConfigError(f"this is not a state of {type(self).__name__} with these parameters: {why}", value=value,
                          hint="make the optimizer with the configuration that the state was saved with")

    def __repr__(self) -> str:
        lines = [f"  group {j}: {len(g['params'])} parameters, "
                 + ", ".join(f"{k}={v!r}" for k, v in g.items() if k != "params") for j, g in enumerate(self.param_groups)]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])
