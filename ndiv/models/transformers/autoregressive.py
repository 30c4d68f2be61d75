"""Decoding step after step: each value of the horizon is forecast from those before it, with or without a key-value cache.

Contract: `Autoregressive` is an `EncoderDecoder` whose ``decoding`` is "one_shot" (that of the base) or "autoregressive":
the decoder's tokens are made of values one step late, so that the numbers at a step follow from the values before it.

training   teacher forcing (Williams, Zipser, Neural Computation 1989): the true values enter, and one parallel pass with the
           causal mask gives all h steps, whose loss is minimized: of a point, of quantiles, or a likelihood of each step given
           the true values before it. A missing value enters as 0. So training never sees what its own errors lead to
forecast   a step's own numbers enter the next one: a point as it is, of quantiles the median (without one their mean), of a
           distribution the mean (`ndiv.models.feedback`). Quantiles are those of each step given such values before it: they
           do not widen by what is uncertain about those

A step of the decoder needs of the tokens before it nothing but keys and values of self-attention, and of the window those of
attention to the encoder's output. Cached, the first are kept as they come and the second computed once; uncached, the whole
decoder runs again over all tokens at every step, which gives the same numbers (to rounding) and is the reference. A forecast is
cached, and by two plans: one for the window, one that runs h times for a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import backends, random
from ...autograd import Tensor, no_grad
from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError, ShapeError, closest
from ...nn import sinusoidal_positions
from ...nn.cache import KeyValueCache
from ...program.forward import arrays_of
from ..base import Batch
from ..feedback import as_input, fed_back
from ..probabilistic.paths import PathModel
from .layers import WINDOW, EncoderDecoder

__all__ = ["DECODING", "Autoregressive"]

DECODING = ("one_shot", "autoregressive")
_KEPT = 1 << 25  # bytes of keys and values of the windows that are decoded side by side, about what a processor's cache holds
_BLOCK = 8  # steps that a plan takes, at most: a call from Python costs a quarter of a step
_cat, _pad, _stack, _where = (FUNCTIONS[n] for n in ("cat", "pad", "stack", "where"))
Pair = tuple[Any, Any]  # keys and values of a layer, each [B, heads, n, d]


class Autoregressive(PathModel, EncoderDecoder):
    """Base of an encoder-decoder that can decode step after step; see the top of this file."""

    decoding = "one_shot"
    rows_of_a_path = 16  # keys and values of each step

    def settle_decoding(self, decoding: str) -> None:
        """Check the argument and keep it; `ConfigError` (E0010)."""
        name = type(self).__name__
        if decoding not in DECODING:
            raise ConfigError(f"{name}: unknown decoding {decoding!r}", value=decoding, hint=closest(decoding, DECODING))
        if decoding == "autoregressive" and self.variant == "compat":
            raise ConfigError(f"{name}: variant='compat' decodes in one shot, as neuralforecast does, so decoding={decoding!r} "
                              "is not there", value=decoding, hint="use variant='paper', or decoding='one_shot'")
        self.decoding = decoding

    @property
    def stepwise(self) -> bool:
        """Whether decoding is autoregressive."""
        return self.decoding == "autoregressive"

    # -- training: one parallel pass ---------------------------------------------------------------------------------

    def teacher_forced(self, batch: Batch) -> Any:
        """[B, h, outputs] of a scaled batch with its targets: each step is forecast from the true values before it."""
        y, mask, hist, futr, stat = self.inputs(batch)
        y = y if mask is None else y * mask
        values = self._late(y)
        if self.h > 1:
            true, on = as_input(self, batch["outsample_y"][:, :self.h - 1]), batch.get("outsample_mask")
            if on is not None:
                true = _where(on[:, :self.h - 1] != 0, true, np.zeros((), y.dtype))
            values = _cat([values, true * 0.0 if self.arguments["exclude_insample_y"] else true], dim=1)
        return self.decoded(values, self.decoder_marks(futr, stat), self.encoded(y, hist, futr, stat), self.h)

    def compute_loss(self, batch: Batch) -> Tensor:
        if not self.stepwise:
            return super().compute_loss(batch)
        scaled, loc, scale = self.scale(batch)
        if "outsample_y" not in scaled:
            raise ShapeError(f"{type(self).__name__}: the batch has no outsample_y", hint="give outsample_y [B, h, n]")
        y_hat = self._unaffine(self.teacher_forced(scaled))
        y = (batch if self.loss.is_distribution_output else scaled)["outsample_y"]
        loss: Tensor = self.loss.objective(y, y_hat, scaled.get("outsample_mask"), scaled["insample_y"], loc, scale)
        return loss

    def scale(self, batch: Batch) -> tuple[Batch, Any, Any]:
        """As in the base; the batch also holds loc and scale, in which a distribution's mean is fed back."""
        out, loc, scale = super().scale(batch)
        return ({**out, "loc": loc, "scale": scale} if self.stepwise and loc is not None else out), loc, scale

    # -- decoding as one function ------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Any:
        return self.decode(batch) if self.stepwise else super().forward(batch)

    def decode(self, batch: Batch, cached: bool = True) -> Any:
        """Numbers [B, h, outputs] of a batch in the units that `scale` gives, step after step, in one function of ops.

        With ``cached=False`` each step runs the whole decoder over all tokens so far, and keeps nothing: the same to rounding.
        A model of either ``decoding`` can; it is trained for one.

        >>> from ndiv.models import Transformer
        >>> m = Transformer(h=4, input_size=8, hidden_size=8, decoding="autoregressive").eval()
        >>> batch = {"insample_y": np.ones((2, 8, 1), np.float32)}
        >>> bool(np.allclose(m.decode(batch).numpy(), m.decode(batch, cached=False).numpy(), atol=1e-6))
        True
        """
        if not cached:
            return self._decoded_anew(batch)
        recent, seen, past, marks = self._started(batch)
        return self._steps(recent, marks, self._positions(self.h, recent.dtype), past, None, seen, batch)[0]

    def _decoded_anew(self, batch: Batch) -> Any:
        y, mask, hist, futr, stat = self.inputs(batch)
        y = y if mask is None else y * mask
        memory, marks, values = self.encoded(y, hist, futr, stat), self.decoder_marks(futr, stat), self._late(y)
        outs: list[Any] = []
        for tokens in range(self.label + 1, self.label + self.h + 1):
            if outs:
                values = _cat([values, fed_back(self, outs[-1], batch)], dim=1)
            outs.append(self.decoded(values, None if marks is None else marks[:, :tokens], memory, 1))
        return outs[0] if self.h == 1 else _cat(outs, dim=1)

    def _late(self, y: Any) -> Any:
        """The values [B, label + 1, 1] of the tokens of the window's end and of the first step after it: those before each."""
        return _pad(y, (0, 0, 1, 0))[:, -(self.label + 1):]

    def _started(self, batch: Batch) -> tuple[Any, list[Pair], list[Pair], Any]:
        """What steps need of a scaled window: values of the first token [B, WINDOW, 1], keys and values [B, heads, *, d] of the
        encoder's output and of the tokens of the window's end for each layer, covariates of the horizon [B, h, M] or None."""
        y, mask, hist, futr, stat = self.inputs(batch)
        y = y if mask is None else y * mask
        memory, marks, values = self.encoded(y, hist, futr, stat), self.decoder_marks(futr, stat), self._late(y)
        z = self.decoder_embedding(values[:, :self.label], None if marks is None else marks[:, :self.label])
        seen, past = [], []
        for i, layer in enumerate(self.decoder):
            q, k, v = layer.attention.projected(z)
            past.append((k, v))
            seen.append(layer.cross.keys_values(memory))
            if i + 1 < len(self.decoder):  # of the last layer keys and values are all that steps look at
                z = layer.mixed_in(z, layer.attention.given(layer.attention.attend(q, k, v)), seen[-1])
        recent = _pad(values, (0, 0, WINDOW - 1, 0))[:, -WINDOW:]
        return recent, seen, past, None if marks is None else marks[:, self.label:]

    def _steps(self, recent: Any, marks: Any, positions: Any, past: list[Pair], filled: Any, seen: list[Pair],
               units: Batch) -> tuple[Any, Any, list[Pair]]:
        """A step for each of positions [n, hidden]: (numbers [B, n, outputs], the values of the token after them, their keys
        and values)."""
        rows: list[Any] = [None] * len(self.decoder)
        outs = []
        for s in range(len(positions)):
            mark = None if marks is None else marks[:, s:s + 1]
            outs.append(self._token_step(recent, mark, positions[s], past, filled, rows, seen))
            recent = _cat([recent[:, 1:], fed_back(self, outs[-1], units)], dim=1)
        return outs[0] if len(outs) == 1 else _cat(outs, dim=1), recent, rows

    def _token_step(self, recent: Any, mark: Any, position: Any, past: list[Pair], filled: Any, rows: list[Any],
              seen: list[Pair]) -> Any:
        """Numbers of one step [B, 1, outputs]; its keys and values are added to ``rows``."""
        z = self.decoder_embedding.token(recent, mark, position)
        for i, layer in enumerate(self.decoder):
            z, rows[i] = layer.step(z, past[i], filled, rows[i], seen[i])
        return self.projection(self.decoder_norm(z))

    @property
    def draws_paths(self) -> bool:
        return self.stepwise and super().draws_paths

    def _some_paths(self, batch: Batch, n: int, seed: int, streams: list[int]) -> np.ndarray:
        """[B, n, h], each value drawn from the distribution given those before it, and fed back (`PathModel`)."""
        scaled, loc, scale = self.scale(batch)

        def many(found: Any) -> Any:
            return None if found is None else np.repeat(arrays_of(found), n, axis=0)

        recent, seen, past, marks = self._started(scaled)
        recent, marks, loc, scale = map(many, (recent, marks, loc, scale))
        seen, past = ([(many(k), many(v)) for k, v in pairs] for pairs in (seen, past))
        rows: list[Any] = [None] * len(self.decoder)
        found = np.empty((len(streams), n, self.h), recent.dtype)
        for s, position in enumerate(self._positions(self.h, recent.dtype)):
            mark = None if marks is None else marks[:, s:s + 1]
            numbers = self._token_step(recent, mark, position, past, None, rows, seen)
            found[:, :, s] = self.drawn_from(numbers, loc, scale, seed, [first + s for first in streams])
            value = self.entered(found[:, :, s].reshape(-1, 1, 1), loc, scale)
            recent = np.concatenate([recent[:, 1:], value], axis=1)
        return found

    def _positions(self, steps: int, dtype: Any) -> np.ndarray:
        """Rows of the positions of that many steps after the window, [steps, hidden]."""
        table: np.ndarray = sinusoidal_positions(self.label + steps, self.projection.weight.shape[1], dtype)
        return table[self.label:]

    # -- forecasts: a plan for the window, and one for a step ----------------------------------------------------------

    def _planned(self, name: str, batch: Batch, after: int) -> Any:
        if not self.stepwise or name == "_begun" or random.is_traced():
            return super()._planned(name, batch, after)
        with no_grad():  # the steps inside run as plans
            return arrays_of(getattr(self, name)(batch))

    def _numbers(self, batch: Batch) -> tuple[Any, Any, Any]:
        if not self.stepwise or random.is_traced():
            return super()._numbers(batch)
        keys = ("insample_y", "insample_mask", "hist_exog", "futr_exog", "stat_exog")
        given = {k: batch[k] for k in keys if batch.get(k) is not None}
        windows, layer = len(batch["insample_y"]), self.decoder[0].attention
        one = 8 * len(self.decoder) * layer.heads * layer.head_dim * (self.label + self.h + self.input_size)  # its bytes
        at_once = 1 << (max(_KEPT // one, 2).bit_length() - 1)
        parts = [self._streamed({k: v[i:i + at_once] for k, v in given.items()}, windows == 1)
                 for i in range(0, windows, at_once)]
        numbers, loc, scale = (None if p[0] is None else np.concatenate(p) for p in zip(*parts, strict=True))
        return numbers, loc, scale

    def _streamed(self, batch: Batch, alone: bool) -> tuple[Any, Any, Any]:
        """`_numbers` of some windows, as arrays. One that is ``alone`` stays one row: twice as fast, with bits of its own."""
        from ...program.forward import ForwardPlans, full_size

        rows, native = len(batch["insample_y"]), backends.current() == "native"
        if self._plans is None:
            self._plans = ForwardPlans(self)
        if native and not alone:  # batches of all sizes share few plans
            batch = self._plans.filled(batch, full_size(rows) - rows)
        loc, scale, recent, seen, past, marks = self._planned("_begun", batch, 0)
        layers, _, b, heads, label, features = past.shape
        blocks = -(-self.h // _BLOCK)
        n = -(-self.h // blocks)  # steps of a block: the last ones of the last block may be more than are asked for
        cache = KeyValueCache(layers, b, heads, label + n * blocks, features, past.dtype)
        cache.append(past)
        positions = self._positions(n * blocks, past.dtype)
        if marks is not None:
            marks = np.pad(marks, ((0, 0), (0, n * blocks - self.h), (0, 0)))
        given = {"recent": recent, "seen": seen, "past": cache.array, "filled": cache.filled}
        given |= {} if loc is None else {"loc": loc, "scale": scale}
        outs: list[Any] = []
        run: Any = None
        for s in range(0, self.h, n):
            given["positions"] = positions[s:s + n]
            if marks is not None:
                given["marks"] = np.ascontiguousarray(marks[:, s:s + n])
            if run is None:
                run = self._plans.held("_next", given) if native else lambda g: arrays_of(self._next(g))
            out, given["recent"], kept = run(given)
            outs.append(out)
            cache.append(kept)
        numbers = self._unaffine(np.concatenate(outs, axis=1)[:rows, :self.h])
        loc, scale = (None if v is None else v[:rows] for v in (loc, scale))
        return arrays_of(numbers), loc, scale

    def _begun(self, batch: Batch) -> tuple[Any, ...]:
        """(loc, scale, *what steps need of the window, keys and values as one array each)."""
        scaled, loc, scale = self.scale(batch)
        recent, seen, past, marks = self._started(scaled)
        return loc, scale, recent, _stacked(seen), _stacked(past), marks

    def _next(self, given: Batch) -> tuple[Any, Any, Any]:
        """`_steps` on arrays of keys and values."""
        past, seen = ([(a[i, 0], a[i, 1]) for i in range(len(self.decoder))] for a in (given["past"], given["seen"]))
        out, recent, rows = self._steps(given["recent"], given.get("marks"), given["positions"], past, given["filled"], seen,
                                        given)
        return out, recent, _stacked(rows)


def _stacked(pairs: list[Pair]) -> Any:
    """[layers, 2, B, heads, n, d] of keys and values of each layer."""
    return _stack([_stack(pair) for pair in pairs])
