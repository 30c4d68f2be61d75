"""Recurrent layers: RNN, GRU and LSTM over sequences, stacked and in both directions, and their single-step cells.

Arguments, parameter names, shapes, initial values and results are PyTorch's. Where PyTorch packs sequences of several
lengths, forward takes ``lengths``: outputs beyond a sequence's length are 0, and final states are those at its last step.
"""

from __future__ import annotations

from typing import Any

from ..autograd.ops.random import dropout as _dropout
from ..autograd.ops.recurrent import gru, lstm, rnn
from ..autograd.ops.shape import cat, squeeze, stack, transpose, unsqueeze
from ..errors import ConfigError, ShapeError, closest
from . import init
from .layers import _positive
from .module import Module, Parameter

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"]

_NDIV_INTERNAL = True


# what the ops call the parameters
_NAMES = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}


def _nonlinearity(owner: str, name: str) -> str:
    if name not in ("tanh", "relu"):
        raise ConfigError(f"{owner}: unknown nonlinearity {name!r}", value=name, hint=closest(name, ("tanh", "relu")))
    return name


class _Recurrent(Module):
    """Layers and directions; what one of them computes is the subclass's ``_layer``."""

    gates = 1
    states = 1

    def __init__(self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
                 bidirectional: bool) -> None:
        super().__init__()
        _positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not 0.0 <= dropout < 1.0:
            raise ConfigError(f"{type(self).__name__}: dropout must be in [0, 1), not {dropout!r}", value=dropout,
                              hint="it acts between layers, so it needs num_layers > 1")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        rows = self.gates * hidden_size
        for layer in range(num_layers):
            width = hidden_size * self._directions if layer else input_size
            for suffix in self._suffixes(layer):
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, hidden_size)}
                shapes.update({"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {})
                for name, shape in shapes.items():
                    setattr(self, f"{name}_{suffix}", Parameter(init.fan_in_uniform(shape, hidden_size)))

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"][:self._directions]

    def _layer(self, x: Any, state: list[Any], weights: dict[str, Any], lengths: Any,
               reverse: bool) -> tuple[Any, ...]:
        raise NotImplementedError

    def _initial(self, hx: Any, batch: int, batched: bool) -> list[Any]:
        """For each state array [layers * directions, B, H], or None for zeros."""
        if hx is None:
            return [None] * self.states
        given = list(hx) if self.states > 1 else [hx]
        if not batched:
            given = [unsqueeze(s, 1) for s in given]
        wanted = (self.num_layers * self._directions, batch, self.hidden_size)
        for s in given:
            if len(given) != self.states or tuple(s.shape) != wanted:
                raise ShapeError(f"{type(self).__name__}: hx has shape {list(s.shape)} and must be {list(wanted)}",
                                 value=s.shape, hint="[layers * directions, batch, hidden_size]"
                                                     + (", as the pair (h, c)" if self.states > 1 else ""))
        return given

    def forward(self, x: Any, hx: Any = None, lengths: Any = None) -> Any:
        """(y, final state) as documented in the class."""
        batched = len(x.shape) == 3
        if len(x.shape) not in (2, 3) or x.shape[-1] != self.input_size:
            raise ShapeError(f"{type(self).__name__}: x has shape {list(x.shape)} and input_size is {self.input_size}",
                             value=x.shape, hint=f"give {'[B, T, I]' if self.batch_first else '[T, B, I]'} (or [T, I])")
        x = unsqueeze(x, 1) if not batched else transpose(x, 0, 1) if self.batch_first else x
        initial = self._initial(hx, x.shape[1], batched)
        finals: list[list[Any]] = [[] for _ in range(self.states)]
        for layer in range(self.num_layers):
            if layer:
                x = _dropout(x, self.dropout, self.training)
            ys = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                at = layer * self._directions + direction
                state = [None if s is None else s[at] for s in initial]
                weights = {short: getattr(self, f"{name}_{suffix}") for short, name in _NAMES.items()
                           if self.bias or name.startswith("weight")}
                y, *final = self._layer(x, state, weights, lengths, direction == 1)
                ys.append(y)
                for held, s in zip(finals, final, strict=True):
                    held.append(s)
            x = cat(ys, dim=-1) if len(ys) > 1 else ys[0]
        last = [stack(s) for s in finals]
        if not batched:
            x, last = squeeze(x, 1), [squeeze(s, 1) for s in last]
        elif self.batch_first:
            x = transpose(x, 0, 1)
        return x, last[0] if self.states == 1 else tuple(last)

    def extra_repr(self) -> str:
        return (f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}, bias={self.bias}, "
                f"batch_first={self.batch_first}, dropout={self.dropout}, bidirectional={self.bidirectional}")


class RNN(_Recurrent):
    """Elman's recurrent network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu (`ndiv.rnn`).

    forward(x, hx=None, lengths=None) -> (y, h_n), with x [T, B, input_size] ([B, T, input_size] if batch_first, or
    [T, input_size]), hx and h_n [num_layers * directions, B, H], y [T, B, directions * H], lengths [B] in steps. Parameters:
    weight_ih_l0 [H, I], weight_hh_l0 [H, H], bias_ih_l0, bias_hh_l0 [H], likewise for l1 ..., and with suffix _reverse.

    >>> import ndiv, numpy as np
    >>> y, h = ndiv.nn.RNN(3, 8, bidirectional=True)(ndiv.tensor(np.ones((5, 2, 3), np.float32)))
    >>> y.shape, h.shape
    ((5, 2, 16), (2, 2, 8))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        self.nonlinearity = _nonlinearity("RNN", nonlinearity)

    def _layer(self, x: Any, state: list[Any], weights: dict[str, Any], lengths: Any,
               reverse: bool) -> tuple[Any, ...]:
        return rnn(x, state[0], **weights, lengths=lengths, nonlinearity=self.nonlinearity, reverse=reverse)


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al. 2014; `ndiv.gru`), with the reset gate inside, as in PyTorch.

    Arguments and results as `RNN`; the weights' first axis is 3 H, in the order reset, update, new.

    >>> import ndiv, numpy as np
    >>> y, h = ndiv.nn.GRU(3, 8, num_layers=2, batch_first=True)(ndiv.tensor(np.ones((2, 5, 3), np.float32)))
    >>> y.shape, h.shape
    ((2, 5, 8), (2, 2, 8))
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def _layer(self, x: Any, state: list[Any], weights: dict[str, Any], lengths: Any,
               reverse: bool) -> tuple[Any, ...]:
        return gru(x, state[0], **weights, lengths=lengths, reverse=reverse)


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; `ndiv.lstm`).

    forward(x, hx=None, lengths=None) -> (y, (h_n, c_n)), hx the pair (h_0, c_0); else as `RNN`. The weights' first axis
    is 4 H, in the order input, forget, cell, output. Projections (proj_size) are not offered.

    >>> import ndiv, numpy as np
    >>> y, (h, c) = ndiv.nn.LSTM(3, 8)(ndiv.tensor(np.ones((5, 2, 3), np.float32)), lengths=[5, 3])
    >>> y.shape, c.shape, float(abs(y[3:, 1]).sum())
    ((5, 2, 8), (1, 2, 8), 0.0)
    """

    gates, states = 4, 2

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def _layer(self, x: Any, state: list[Any], weights: dict[str, Any], lengths: Any,
               reverse: bool) -> tuple[Any, ...]:
        return lstm(x, state[0], state[1], **weights, lengths=lengths, reverse=reverse)


class _Cell(Module):
    gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        _positive(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(init.fan_in_uniform((rows, input_size), hidden_size))
        self.weight_hh = Parameter(init.fan_in_uniform((rows, hidden_size), hidden_size))
        self.bias_ih = Parameter(init.fan_in_uniform((rows,), hidden_size)) if bias else None
        self.bias_hh = Parameter(init.fan_in_uniform((rows,), hidden_size)) if bias else None

    def _weights(self) -> dict[str, Any]:
        return {short: getattr(self, name) for short, name in _NAMES.items()}

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, bias={self.bias_ih is not None}"


class RNNCell(_Cell):
    """One step of `RNN`: forward(x [B, input_size], h [B, H] or None) -> h' [B, H].

    >>> import ndiv, numpy as np
    >>> ndiv.nn.RNNCell(3, 8)(ndiv.tensor(np.ones((2, 3), np.float32))).shape
    (2, 8)
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size, bias)
        self.nonlinearity = _nonlinearity("RNNCell", nonlinearity)

    def forward(self, x: Any, hx: Any = None) -> Any:
        return rnn(unsqueeze(x, 0), hx, **self._weights(), nonlinearity=self.nonlinearity)[1]


class GRUCell(_Cell):
    """One step of `GRU`: forward(x [B, input_size], h [B, H] or None) -> h' [B, H].

    >>> import ndiv, numpy as np
    >>> ndiv.nn.GRUCell(3, 8)(ndiv.tensor(np.ones((2, 3), np.float32))).shape
    (2, 8)
    """

    gates = 3

    def forward(self, x: Any, hx: Any = None) -> Any:
        return gru(unsqueeze(x, 0), hx, **self._weights())[1]


class LSTMCell(_Cell):
    """One step of `LSTM`: forward(x [B, input_size], (h, c) or None) -> (h', c'), each [B, H].

    >>> import ndiv, numpy as np
    >>> h, c = ndiv.nn.LSTMCell(3, 8)(ndiv.tensor(np.ones((2, 3), np.float32)))
    >>> h.shape, c.shape
    ((2, 8), (2, 8))
    """

    gates = 4

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:
        h0, c0 = (None, None) if hx is None else hx
        _, h, c = lstm(unsqueeze(x, 0), h0, c0, **self._weights())
        return h, c
