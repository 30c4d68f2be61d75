"""GPT-2: a causal decoder with trained positions and normalization before each block.

A. Radford, J. Wu, R. Child, D. Luan, D. Amodei, I. Sutskever, Language Models are Unsupervised Multitask Learners, 2019:

    x = words + positions
    x = x + attention(norm(x));  x = x + W2 gelu(W1 norm(x))     in each layer
    norm(x)                                                       after the last

Contract: weights are named as in its checkpoints; the matrices of a layer are [in, out] there, and are used so. GELU is the
tanh approximation unless the configuration names another activation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..autograd.ops import FUNCTIONS
from ..nn import Module, ModuleList
from .backbone import Backbone
from .parts import ACTIVATIONS, LayerNorm, Sizes, Tensors, attend, heads_apart
from .tokenizing import Tokenizer

__all__ = ["GPT2", "GPT2Sizes"]


@dataclass(frozen=True)
class GPT2Sizes(Sizes):
    """``scale``: whether scores are divided by the root of a head's features; ``scale_by_layer``: and by the layer's number."""

    activation: str = "gelu_new"
    scale: bool = True
    scale_by_layer: bool = False


class _Map(Module):
    """act(x W + b) with the weight as the checkpoints have it, [in, out]."""

    def __init__(self, w: Tensors, inputs: int, outputs: int, activation: str = "identity") -> None:
        super().__init__()
        self.activation = activation
        self.weight, self.bias = w("weight", inputs, outputs), w("bias", outputs)

    def forward(self, x: Any) -> Any:
        return FUNCTIONS["bias_act"](FUNCTIONS["matmul"](x, self.weight), self.bias, self.activation)


class _Layer(Module):
    """[B, T, width] -> [B, T, width]"""

    def __init__(self, w: Tensors, sizes: GPT2Sizes, number: int) -> None:
        super().__init__()
        n = sizes.width
        self.heads = sizes.num_heads
        self.scale = ((n // sizes.num_heads) ** -0.5 if sizes.scale else 1.0) / (number if sizes.scale_by_layer else 1)
        self.ln_1 = LayerNorm(w.under("ln_1."), n, sizes.eps)
        self.c_attn = _Map(w.under("attn.c_attn."), n, 3 * n)
        self.c_proj = _Map(w.under("attn.c_proj."), n, n)
        self.ln_2 = LayerNorm(w.under("ln_2."), n, sizes.eps)
        self.wide = _Map(w.under("mlp.c_fc."), n, sizes.inner, ACTIVATIONS[sizes.activation])
        self.back = _Map(w.under("mlp.c_proj."), sizes.inner, n)

    def forward(self, x: Any, allowed: Any) -> Any:
        n = x.shape[2]
        qkv = self.c_attn(self.ln_1(x))
        q, k, v = (heads_apart(qkv[..., i * n:(i + 1) * n], self.heads) for i in range(3))
        x = x + self.c_proj(attend(q, k, v, allowed, True, self.scale))
        return x + self.back(self.wide(self.ln_2(x)))


class GPT2(Backbone):
    """GPT-2 of any size; see `Backbone`."""

    kind = "gpt2"
    sizes_type = GPT2Sizes

    def __init__(self, sizes: GPT2Sizes, w: Tensors, tokenizer: Callable[[], Tokenizer] | None = None) -> None:
        super().__init__(sizes, tokenizer)
        self.embeddings = w("wte.weight", sizes.vocabulary_size, sizes.width)
        self.positions = w("wpe.weight", sizes.max_positions, sizes.width)
        self.layers = ModuleList(_Layer(w.under(f"h.{i}."), sizes, i + 1) for i in range(sizes.num_layers))
        self.norm = LayerNorm(w.under("ln_f."), sizes.width, sizes.eps)

    def run(self, x: Any, allowed: Any) -> Any:
        x = x + self.positions[:x.shape[1]]
        for layer in self.layers:
            x = layer(x, allowed)
        return self.norm(x)
