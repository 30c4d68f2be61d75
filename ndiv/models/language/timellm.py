"""TimeLLM: a frozen language model that reads a window as patches in its own words, behind a prompt about it.

Jin, Wang, Ma, Chu, Zhang, Shi, Chen, Liang, Li, Pan, Wen, "Time-LLM: Time Series Forecasting by Reprogramming Large Language
Models", ICLR 2024, section 3. Each series is a sample of its own. Its window of L steps, by reversible instance normalization
(Kim et al. 2022), is followed by ``stride`` copies of its last value and cut into
    P = floor((L - patch_len) / stride) + 2 patches, X_p [P, patch_len]
    X = X_p W_p + b                                                    patch embedding, [P, d_model]
    E' = W E                                                           V' text prototypes from the V words E of the model
    Z_k = softmax((X W_k^Q) (E' W_k^K)' / sqrt(d)) (E' W_k^V)          reprogramming, in heads k
    Z = [Z_1 .. Z_K] W_o                                               [P, D], the width of the language model
    O = LLM([prompt; Z]) at the places of Z                            prompt-as-prefix; the language model is frozen
    forecast = O W + b, flattened, back in units                       of the first d_ff features, as in the authors' code
The prompt tells of the data set (``prompt_prefix``), the task, and the window: least and greatest value, median, whether it
rises, and the lags of the highest autocorrelation (see prompts.py). As in the authors' code it is about the normalized window.

variant="paper": as above, except that E' is trained itself. W enters through W E alone, and E, with more words than features,
    lets W E be any matrix; so the models are the same, with V' D numbers to train in the place of V' V, and without a product
    over all words in every step. E' starts as words drawn at random. Missing values count in no statistic. A prompt gives
    numbers to a hundredth of a standard deviation, lags of 1 to L / 2, and nothing in its place where it is shorter than
    another: a forecast does not depend on the rest of its batch. Dropout of the head is in front of it. Of a distribution's
    parameters the location alone is put back in units.
variant="compat": as neuralforecast: W is trained, patches are embedded with their two neighbours (the first and the last being
    neighbours), missing values count as zeros, prompts give all digits and lag 0, shorter ones are padded to the longest
    of their batch and the padding is read as text, and the head's dropout zeroes forecasts. neuralforecast takes point losses
    only; that is not repeated here. Lags of equal autocorrelation, l and L - l, are in an order of rounding there; here the
    smaller comes first.

The backbone is not part of the model: not of its parameters, its state, or its file, which holds its hash.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ...autograd import Tensor, is_grad_enabled, no_grad
from ...autograd.host import host
from ...autograd.ops import FUNCTIONS
from ...errors import ConfigError
from ...nn import Dropout, Linear, Module, Parameter, RevIN
from ..arguments import check_count
from ..base import BaseModel, Batch, last_observed
from ..transformers.blocks_patch import check_rates, in_units
from .borrowed import Borrowed, borrow
from .prompts import Prompts
from .reprogramming import Prototypes, Reprogramming, WordMapping, patch_steps

if TYPE_CHECKING:
    import os

    from typing_extensions import Unpack

    from ...language import Backbone
    from ..arguments import CommonArguments


class TimeLLM(BaseModel):
    """TimeLLM.

    patch_len, stride      steps of a patch, and from one patch to the next; patch_len is at most input_size + stride
    d_ff                   features of a head of attention, and of each hidden state that the head of the model reads
    top_k                  lags that a prompt names
    d_llm                  width of the backbone: None, or that number. Without a backbone, the width of what takes its
                           place; None: d_ff
    d_model                features of a patch
    n_heads                heads of attention
    llm                    the language model: a folder or an `ndiv.language.Backbone`, which several models may share. None, in
                           ``paper`` alone: none, the ablation of the paper. Prototypes are free then, there is no prompt, and
                           reprogrammed patches go to the head as they are
    llm_num_hidden_layers  layers of the backbone that are run, at most (``compat``: all, whatever is given)
    prompt_prefix          what a prompt says of the data set
    dropout                on patches, on the probabilities of attention, and at the head
    num_tokens             V', text prototypes
    prompt_tokens          room for a prompt; a longer one loses its beginning. None: as much as it may need; 0: no prompt
    use_norm               normalize each window, and undo that for its forecast

    neuralforecast trains 5 steps unless told otherwise; here it is as many as with other models. With a backbone forecasts
    cannot be exported as a file of their own, since prompts are made by Python.

    >>> import numpy as np
    >>> from ndiv.language import Backbone
    >>> llm = Backbone.from_config("gpt2", width=16, num_layers=1, max_positions=256)
    >>> m = TimeLLM(h=24, input_size=96, d_ff=16, d_model=8, n_heads=2, num_tokens=32, llm=llm, prompt_prefix="Sales.")
    >>> batch = {"insample_y": np.sin(np.arange(96, dtype=np.float32) / 4).reshape(1, 96, 1)}
    >>> m.forward(batch).shape
    (1, 24, 1)
    >>> about, window = m.texts(batch)[0].split(" Input: ")
    >>> print(about); print(window)
    Data: Sales. Task: forecast the next 24 steps given the previous 96 steps.
    minimum -1.45, maximum 1.37, median 0.06, trend downward, top lags 1, 24, 25, 2, 23.
    """

    LONG_HORIZON = True
    DEFAULTS = {"learning_rate": 1e-4}
    PAPER = "Jin et al. 2024, Time-LLM: Time Series Forecasting by Reprogramming Large Language Models"
    DIFFERENCES = ("paper trains the text prototypes themselves in the place of a map from all words, which can reach any "
                   "prototypes, embeds each patch alone, takes statistics from observed steps, gives them in prompts with two "
                   "digits and lags from 1 to L / 2, hides padding, and puts the head's dropout in front of it; compat trains "
                   "the map, embeds patches with their neighbours, counts missing steps as zeros, gives all digits and lag 0, "
                   "reads padding as text, so that a forecast depends on its batch, and zeroes forecasts by the head's dropout")

    llm: Borrowed | None

    def __init__(self, h: int, input_size: int = -1, patch_len: int = 16, stride: int = 8, d_ff: int = 128, top_k: int = 5,
                 d_llm: int | None = None, d_model: int = 32, n_heads: int = 8,
                 llm: str | os.PathLike[str] | Backbone | Borrowed | dict[str, Any] | None = None,
                 llm_num_hidden_layers: int = 32, prompt_prefix: str | None = None, dropout: float = 0.1,
                 num_tokens: int = 1024, prompt_tokens: int | None = None, use_norm: bool = True,
                 **common: Unpack[CommonArguments]) -> None:
        super().__init__()
        check_count("TimeLLM", patch_len=patch_len, stride=stride, d_ff=d_ff, top_k=top_k, d_model=d_model, n_heads=n_heads,
                    llm_num_hidden_layers=llm_num_hidden_layers, num_tokens=num_tokens)
        if prompt_tokens is not None:
            check_count("TimeLLM", 0, prompt_tokens=prompt_tokens)
        if d_llm is not None:
            check_count("TimeLLM", d_llm=d_llm)
        check_rates("TimeLLM", dropout=dropout)
        if prompt_prefix is not None and not isinstance(prompt_prefix, str):
            raise ConfigError(f"TimeLLM: prompt_prefix must be text, not {prompt_prefix!r}", value=prompt_prefix,
                              hint="one or two sentences about the data set")
        compat = self.variant == "compat"
        if compat and llm is None:
            raise ConfigError("TimeLLM: llm is None, for which neuralforecast downloads GPT-2; ndiv downloads nothing",
                              value=None, hint='give llm="folder with config.json and model.safetensors" (its tokenizer needs '
                              'pip install "ndiv[language]"), or variant="paper" for the model without one')
        self.__dict__["llm"] = None if llm is None else borrow(llm, None if compat else llm_num_hidden_layers)
        self.__dict__["arguments"] = {**self.arguments, "llm": self.llm}  # not read from its folder again
        width = (d_llm or d_ff) if self.llm is None else self.llm.backbone.width
        if d_llm is not None and d_llm != width:
            raise ConfigError(f"TimeLLM: d_llm is {d_llm} and llm is {width} wide", value=d_llm, hint=f"d_llm={width}, or None")
        if d_ff > width:
            raise ConfigError(f"TimeLLM: d_ff is {d_ff} and a hidden state has {width} features", value=d_ff,
                              hint=f"d_ff is at most {width}")
        self.patch_len, self.d_ff = min(patch_len, self.input_size + stride), d_ff
        self.steps = patch_steps(self.input_size, self.patch_len, stride, compat)
        patches = len(self.steps)
        self.norm = RevIN(1, affine=False) if use_norm else None
        self.embed = Linear(self.steps.shape[1], d_model, bias=not compat)
        words = self.words
        self.prototypes: Module = (WordMapping(num_tokens, words.shape[0]) if compat
                                   else Prototypes(num_tokens, width, None if words is None else words.data))
        self.reprogramming = Reprogramming(d_model, width, n_heads, d_ff, dropout)
        self.dropout = Dropout(dropout)
        self.head = Linear(patches * d_ff, self.h * self.n_out)
        self.prompts = None
        if self.llm is not None and prompt_tokens != 0:
            self.prompts = Prompts(self.llm, self.h, self.input_size, patches, prompt_prefix, self._lags(top_k),
                                   prompt_tokens, compat)
        self._held: Any = None  # keys and values, and the weights that they were made of

    def _lags(self, top_k: int) -> int:
        """How many lags a prompt names; in ``compat`` that many must be there, as in neuralforecast."""
        length = self.input_size
        if self.variant != "compat":
            return min(top_k, length // 2)
        if top_k > length - length % 2:
            raise ConfigError(f"TimeLLM: top_k is {top_k} and a window of {length} steps has {length - length % 2} lags",
                              value=top_k, hint="give a lower top_k, or a longer input_size")
        return top_k

    @property
    def words(self) -> Any:
        """The embeddings of the backbone's words, [V, D], or None."""
        return None if self.llm is None else self.llm.backbone.embeddings

    # -- the architecture ------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Any:
        y, mask, *_ = self.inputs(batch)  # [B, L, 1]
        compat = self.variant == "compat"
        seen = None if compat else mask
        z = y if self.norm is None else self.norm.norm(y, seen)
        last = z[:, -1:] if compat else last_observed(z, mask)
        x = FUNCTIONS["cat"]([z, last], dim=1).reshape(-1, self.input_size + 1)[:, self.steps]
        x = self.reprogramming(self.dropout(self.embed(x)), *self.keys_values())  # [B, P, D]
        out = self.read(x, z, seen)
        out = out.reshape(out.shape[0], -1)  # [B, P * d_ff]
        out = self.dropout(self.head(out)) if compat else self.head(self.dropout(out))
        return in_units(self, self.norm, out.reshape(-1, self.h * self.n_out, 1)).reshape(-1, self.h, self.n_out)

    def keys_values(self) -> tuple[Any, Any]:
        """Keys and values of the prototypes; where nothing is trained they are made once for the weights as they are."""
        if self.training or is_grad_enabled():
            return self.reprogramming.keys_values(self.prototypes(self.words))
        return host(self._projected)

    def _projected(self) -> tuple[np.ndarray, np.ndarray]:
        """What `keys_values` holds: arrays."""
        read = [*self.prototypes.parameters(), *self.reprogramming.key_value.parameters()]
        stamps = [(p.data, p.written) for p in read]
        held = self._held
        if held is None or any(a is not b or n != m for (a, n), (b, m) in zip(stamps, held[0], strict=True)):
            with no_grad():
                keys, values = self.reprogramming.keys_values(self.prototypes(self.words))
            self._held = held = stamps, (keys.data, values.data)
        found: tuple[np.ndarray, np.ndarray] = held[1]
        return found

    def read(self, x: Any, z: Any, mask: Any) -> Any:
        """The first d_ff features of what the backbone makes of patches x [B, P, D] behind prompts about windows z [B, L, 1]:
        [B, P, d_ff]."""
        if self.llm is None:
            return x[..., :self.d_ff]
        backbone = self.llm.backbone
        if self.prompts is None:
            return backbone.hidden_states(x)[..., :self.d_ff]
        ids, order, places, seen = host(self.prompts.tokens, *((z,) if mask is None else (z, mask)))
        rows = FUNCTIONS["cat"]([backbone.embed(ids), x], dim=1).reshape(-1, x.shape[2])  # [B * S, D]
        # what is left of the room comes last, where a model that looks back does not see it
        states = backbone.hidden_states(FUNCTIONS["embedding"](order, rows), None if backbone.kind in _CAUSAL else seen)
        return FUNCTIONS["embedding"](places, states.reshape(-1, x.shape[2])[:, :self.d_ff])

    def texts(self, batch: Batch) -> list[str]:
        """The prompts about the windows of a batch, in the units of the data; none without a backbone."""
        y, mask, *_ = self.inputs(self.scale({k: np.asarray(v) for k, v in batch.items()})[0])
        seen = None if self.variant == "compat" else mask
        with no_grad():
            z = y if self.norm is None else self.norm.norm(y, seen)
        return [] if self.prompts is None else self.prompts.texts(z.data if isinstance(z, Tensor) else z, seen)

    # -- what is borrowed ------------------------------------------------------------------------------------------

    def named_borrowed(self) -> Iterator[tuple[str, Parameter]]:
        if self.llm is not None:
            for name, p in self.llm.backbone.named_parameters():
                yield f"llm.{name}", p

    def astype(self, dtype: Any) -> TimeLLM:
        """All parameters converted in place, and the backbone's in a copy, which is this model's own."""
        super().astype(dtype)
        if self.llm is not None and self.words.dtype != dtype:
            own = copy.deepcopy(self.llm.backbone)
            own.astype(dtype)
            self.__dict__["llm"] = Borrowed(own, self.llm.path)
        return self

    def config(self) -> dict[str, Any]:
        """As of any model; ``llm`` is the hash of the backbone, and where it was."""
        held = self.arguments["llm"]
        return {**super().config(), "llm": None if held is None else held.record()}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_held": None}


_CAUSAL = ("gpt2", "llama")  # kinds of backbones in which no token sees a later one
