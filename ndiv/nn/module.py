"""Module and Parameter: how layers hold their weights and each other.

Contract: attributes that are Parameters or Modules are registered by assignment, in order; names are dotted paths,
as in PyTorch. Buffers are arrays that are saved with the weights but not trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import ConfigError

__all__ = ["Module", "Parameter"]

_NDIV_INTERNAL = True
# While a function is traced for compilation: on_buffer(module, name) is what stands for a buffer, or None;
# on_buffer(module, name, value) notes that it takes a new value, and says whether it did.
on_buffer: Any = None


class Parameter(Tensor):
    """A Tensor that is trained: a leaf with requires_grad, found by `Module.parameters`."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        values = data.data if isinstance(data, Tensor) else np.asarray(data)
        super().__init__(np.array(values, dtype=values.dtype if values.dtype.kind == "f" else np.float32, order="C"),
                         requires_grad)


class Module:
    """Base of layers and models: define ``forward``, assign Parameters and Modules as attributes.

    >>> from ndiv import nn
    >>> [name for name, _ in nn.Sequential(nn.Linear(2, 3), nn.ReLU()).named_parameters()]
    ['0.weight', '0.bias']
    """

    training: bool

    def __init__(self) -> None:
        self.__dict__.update(_parameters={}, _modules={}, _buffers={}, _hooks=[], training=True)

    def __setattr__(self, name: str, value: Any) -> None:
        for kind, cls in (("_parameters", Parameter), ("_modules", Module)):
            if not isinstance(value, cls):  # a replacement of the same kind keeps its place in the order
                self.__dict__[kind].pop(name, None)
        if isinstance(value, Parameter):
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._modules[name] = value
        elif name in self._buffers:
            if on_buffer is not None and on_buffer(self, name, value):
                return
            self._buffers[name] = np.asarray(value)
            return
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        buffers = self.__dict__.get("_buffers", {})
        if name in buffers:
            held = None if on_buffer is None else on_buffer(self, name)
            return buffers[name] if held is None else held
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def register_buffer(self, name: str, value: Any) -> None:
        """An array that belongs to the state but is not trained."""
        self._buffers[name] = np.asarray(value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        out = self.forward(*args, **kwargs)
        for hook in self._hooks:
            changed = hook(self, args, out)
            out = out if changed is None else changed
        return out

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> Callable[[], None]:
        """Call ``hook(module, args, output)`` after each forward; what it returns, if anything, takes the output's place.

        Returns a function that removes the hook.

        >>> from ndiv import nn
        >>> import numpy as np
        >>> layer, seen = nn.ReLU(), []
        >>> remove = layer.register_forward_hook(lambda m, args, out: seen.append(float(out.max())))
        >>> _ = layer(np.array([-1.0, 2.0])); remove(); _ = layer(np.array([5.0])); seen
        [2.0]
        """
        self._hooks.append(hook)
        return lambda: self._hooks.remove(hook)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with dotted names."""
        yield prefix, self
        for name, child in self._modules.items():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """This module and all below it, in the order of `named_modules`; every forecast asks, so no names are made."""
        left: list[Module] = [self]
        while left:
            module = left.pop()
            yield module
            left.extend(reversed(module._modules.values()))

    def children(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, Parameter), each once even where it is shared."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, p in module._parameters.items():
                if id(p) not in seen:
                    seen.add(id(p))
                    yield f"{prefix}.{name}" if prefix else name, p

    def parameters(self) -> Iterator[Parameter]:
        """Each Parameter once, in the order of `named_parameters`."""
        return iter({id(p): p for m in self.modules() for p in m._parameters.values()}.values())

    def named_borrowed(self) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, Parameter) of what this module or one below it reads and does not own: it is neither trained, saved nor
        converted with it. Plans read its values at each run, as they do those of `named_parameters`."""
        for prefix, child in self._modules.items():
            for name, p in child.named_borrowed():
                yield f"{prefix}.{name}", p

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        for prefix, module in self.named_modules():
            for name, b in module._buffers.items():
                yield f"{prefix}.{name}" if prefix else name, b

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all weights and buffers, by dotted name."""
        state = {name: p.data.copy() for name, p in self.named_parameters()}
        state.update((name, b.copy()) for name, b in self.named_buffers())
        return state

    def load_state_dict(self, state: dict[str, Any], strict: bool = True) -> None:
        """Take weights over by name; with ``strict`` the names must match exactly. Nothing changes on an error."""
        own = dict(self.named_parameters())
        buffers = {name: (m, key) for prefix, m in self.named_modules() for key in m._buffers
                   for name in [f"{prefix}.{key}" if prefix else key]}
        arrays = {k: v.data if isinstance(v, Tensor) else np.asarray(v) for k, v in state.items()}
        missing = sorted((own.keys() | buffers.keys()) - arrays.keys())
        unknown = sorted(arrays.keys() - own.keys() - buffers.keys())
        if strict and (missing or unknown):
            raise ConfigError(f"load_state_dict: missing {missing}, unknown {unknown}", value=missing + unknown,
                              hint="the state must come from a module of the same configuration, or pass strict=False")
        for name, p in own.items():
            if name in arrays and arrays[name].shape != p.shape:
                raise ConfigError(f"load_state_dict: {name} has shape {list(arrays[name].shape)} and the module "
                                  f"{list(p.shape)}", value=name, hint="use the configuration that made the state")
        for name, values in arrays.items():
            if name in own:
                own[name].copy_(values)
            elif name in buffers:
                module, key = buffers[name]
                module._buffers[key] = np.array(values)

    def train(self, mode: bool = True) -> Module:
        """Training mode (dropout active) for this module and all below it."""
        for m in self.modules():
            object.__setattr__(m, "training", mode)
        return self

    def eval(self) -> Module:
        """Inference mode."""
        return self.train(False)

    def zero_grad(self) -> None:
        for p in self.parameters():
            p.grad = None

    def astype(self, dtype: Any) -> Module:
        """All parameters converted in place (float64 for verification)."""
        for p in self.parameters():
            p.data = np.array(p.data, dtype=dtype, order="C")
        return self

    def __repr__(self) -> str:
        if not self._modules:
            return f"{type(self).__name__}({self.extra_repr()})"
        body = "".join(f"\n  ({n}): " + repr(m).replace("\n", "\n  ") for n, m in self._modules.items())
        return f"{type(self).__name__}({body}\n)"

    def extra_repr(self) -> str:
        return ""
