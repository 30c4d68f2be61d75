"""Random tiny language models of `transformers`, and what they give: shared by test_language and make_figures.

Contract: `draw(kind, seed)` is a configuration, `reference` its model with weights that follow from the seed, `batch` embeddings,
a mask with padding at the end, and a cotangent that is 0 there; `outputs` the last hidden states and the gradient of their
product with the cotangent with respect to the embeddings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers

KINDS = ("gpt2", "llama", "bert")
VOCABULARY = 13
# of the small figures in tests/language: (kind, seed)
FIGURES = (("gpt2", 1), ("gpt2", 3), ("llama", 2), ("llama", 3), ("llama", 4), ("llama", 8), ("bert", 0), ("bert", 7))


def draw(kind: str, seed: int) -> dict[str, Any]:
    """Arguments of the configuration, every one of them that changes what is computed."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    heads = int(rng.choice([1, 2, 4]))
    width = heads * int(rng.choice([2, 4])) if heads == 4 else 8  # over fewer features normalization leaves rounding alone
    inner, layers = int(rng.integers(3, 12)), int(rng.integers(1, 4))
    length = int(rng.integers(12, 20))
    common = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    if kind == "gpt2":
        return {**common, "n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": length,
                "n_inner": [None, inner][seed % 2], "activation_function": ["gelu_new", "gelu", "relu"][seed % 3],
                "layer_norm_epsilon": [1e-5, 1e-3][seed % 2], "scale_attn_weights": seed % 4 != 3,
                "scale_attn_by_inverse_layer_idx": seed % 3 == 1}
    more = {**common, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads,
            "intermediate_size": inner, "max_position_embeddings": length}
    if kind == "bert":
        return {**more, "hidden_act": ["gelu", "gelu_new", "silu", "relu"][seed % 4], "layer_norm_eps": [1e-12, 1e-3][seed % 2],
                "type_vocab_size": [2, 1][seed % 2]}
    scaling: dict[str, Any] = [{}, {"rope_type": "linear", "factor": 3.0}, {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16}][seed % 3]
    return {**more, "num_key_value_heads": int(rng.choice([n for n in (1, 2, 4) if heads % n == 0])), "head_dim": [4, 6, 8][seed % 3],
            "hidden_act": ["silu", "gelu"][seed % 2], "rms_norm_eps": [1e-6, 1e-3][seed % 2],
            "attention_bias": seed % 4 == 2, "mlp_bias": seed % 4 == 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": [10000.0, 100.0][seed % 2], **scaling}}


def reference(kind: str, options: dict[str, Any], seed: int = 0) -> Any:
    """The model with weights that leave nothing at its initial value."""
    config = transformers.AutoConfig.for_model(kind, **options)
    more = {"add_pooling_layer": False} if kind == "bert" else {}
    model = {"gpt2": transformers.GPT2Model, "llama": transformers.LlamaModel, "bert": transformers.BertModel}[kind](config, **more)
    return shaken(model, seed)


def shaken(model: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            one = p.ndim == 1 and name.endswith("weight")
            p.copy_(torch.tensor(one + 0.3 * rng.standard_normal(tuple(p.shape)), dtype=torch.float32))
    return model.eval()


def batch(width: int, length: int, seed: int = 0, rows: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(embeddings [rows, length, width], mask [rows, length], cotangent like the embeddings)."""
    rng = np.random.default_rng(seed)
    x, g = (rng.standard_normal((rows, length, width)).astype(np.float32) for _ in range(2))
    mask = (np.arange(length) < np.array([[length], [max(length // 2, 1)], [1]])[:rows]).astype(np.float32)
    return x, mask, g * mask[..., None]


def outputs(model: Any, x: np.ndarray, mask: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(hidden states, 0 where the mask is; gradient with respect to the embeddings)."""
    embeds = torch.tensor(x, requires_grad=True)
    hidden = model(inputs_embeds=embeds, attention_mask=torch.tensor(mask)).last_hidden_state
    (hidden * torch.tensor(g)).sum().backward()
    return hidden.detach().numpy() * mask[..., None], embeds.grad.numpy()
