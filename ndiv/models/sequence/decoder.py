"""AttentionDecoder: an LSTM whose states attend to those of an encoder.

Contract: `forward(x [N, T, I], state, prepared, allowed)` gives (numbers [N, T, outputs], state after T steps). With
attention after the state all T steps are one pass of the LSTM and one of the attention; with attention ``before`` it
they are taken one by one. N is the number of windows B that ``prepared`` is of, or, where T = 1, a multiple of it:
several paths of each window then attend to one memory.
"""

from __future__ import annotations

from typing import Any

from ...autograd.ops import FUNCTIONS
from ...nn import LSTM, Linear, Module
from .attention import Attention

__all__ = ["AttentionDecoder"]

_cat = FUNCTIONS["cat"]


class AttentionDecoder(Module):
    """s_t = LSTM(x_t, s_{t-1}), c_t = attention(s_t), numbers W_o tanh(W_c [c_t, s_t]) (Luong et al. 2015, section 3); with
    attention ``before`` s_t = LSTM([x_t, c_t], s_{t-1}), c_t = attention(s_{t-1}) (Bahdanau et al. 2015, section 3.1)."""

    def __init__(self, inputs: int, hidden: int, layers: int, dropout: float, attention: Attention, outputs: int) -> None:
        super().__init__()
        self.attention = attention
        width = inputs + (attention.size if attention.before else 0)
        self.lstm = LSTM(width, hidden, num_layers=layers, batch_first=True, dropout=dropout)
        self.combine = Linear(attention.size + hidden, hidden, activation="tanh")
        self.head = Linear(hidden, outputs)

    def forward(self, x: Any, state: Any, prepared: tuple[Any, ...], allowed: Any) -> tuple[Any, Any]:
        if not self.attention.before:
            s, state = self.lstm(x, state)
            context = self._context(s, prepared, allowed)
        else:
            states, contexts = [], []
            for t in range(x.shape[1]):
                top = state[0][-1]
                contexts.append(self._context(top.reshape(top.shape[0], 1, top.shape[1]), prepared, allowed))
                s, state = self.lstm(_cat([x[:, t:t + 1], contexts[-1]], dim=2), state)
                states.append(s)
            s, context = (v[0] if len(v) == 1 else _cat(v, dim=1) for v in (states, contexts))
        return self.head(self.combine(_cat([context, s], dim=2))), state

    def _context(self, s: Any, prepared: tuple[Any, ...], allowed: Any) -> Any:
        """[N, T, size] of states [N, T, H]: those of one window are its queries, side by side."""
        n, t, hidden = s.shape
        windows = prepared[0].shape[0]
        if windows == n:
            return self.attention(s, prepared, allowed)
        return self.attention(s.reshape(windows, n // windows, hidden), prepared, allowed).reshape(n, t, self.attention.size)
