"""neuralforecast's TimeLLM beside ndiv's: the same configuration, weights, batch, and tiny language model.

Prompts hold all digits of float32 numbers, and lags of equal autocorrelation in any order. So the texts of both are compared
with each other, words exactly and numbers to rounding, and then neuralforecast reads those of ndiv.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

B = 5
LLM = {"kind": "gpt2", "width": 4, "num_layers": 2, "inner": 8, "vocabulary_size": 7, "max_positions": 512}
FIGURES = {  # case: options of the model, whose language model is Backbone.from_config(**LLM)
    "plain": {"h": 3, "input_size": 16, "patch_len": 4, "stride": 4, "d_ff": 3, "d_llm": 4, "d_model": 4, "n_heads": 2, "top_k": 2},
    "prefix": {"h": 2, "input_size": 13, "patch_len": 6, "stride": 4, "d_ff": 4, "d_llm": 4, "d_model": 2, "n_heads": 1, "top_k": 5,
               "prompt_prefix": "Sales."},
}
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def draw(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration over every argument of the architecture, and of a language model."""
    rng = np.random.default_rng(seed)

    def pick(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    patch = int(pick(2, 5, 8))
    width = int(pick(8, 12))
    options = {"h": int(pick(1, 3, 9)), "input_size": int(pick(8, 13, 30)), "patch_len": patch, "stride": int(pick(1, 3, patch)),
               "d_ff": int(pick(1, 5, width)), "top_k": int(pick(1, 3, 5)), "d_llm": width, "d_model": int(pick(3, 8)),
               "n_heads": int(pick(1, 2, 3)), "prompt_prefix": pick(None, "Hourly load of a grid. "), "dropout": float(pick(0.0, 0.2))}
    return options, {"kind": ("gpt2", "llama", "bert")[seed % 3], "width": width, "num_layers": int(pick(1, 2)), "seed": seed}


def batch(options: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Windows, some values missing."""
    rng = np.random.default_rng(seed)
    length = options["input_size"]
    mask = (rng.random((B, length, 1)) > 0.1).astype(np.float32)
    y = (np.sin(np.arange(length) / rng.uniform(1, 4, (B, 1))) * 3 + rng.normal(size=(B, length)) + 5).astype(np.float32)
    return {"insample_y": y[..., None] * mask, "insample_mask": mask}


def tokenizer(eos: bool = True) -> Any:
    """A small byte-level BPE, trained on a text of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "[PAD]"]
    text = ["min value max value median value the trend of input is upward downward top 5 lags are forecast the next steps"] * 5
    made.train_from_iterator(text, trainers.BpeTrainer(vocab_size=290, special_tokens=special,
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=made, **({"eos_token": special[0]} if eos else {}))


def write_folder(place: Path, kind: str, width: int, num_layers: int, seed: int, llm: dict[str, Any] | None = None) -> str:
    """A language model with random weights and its tokenizer, as transformers saves them; of the sizes of ``llm``, if given."""
    import torch
    import transformers

    torch.manual_seed(seed)
    words = tokenizer(kind != "bert")
    ids = words.convert_tokens_to_ids(["<|endoftext|>", "[PAD]"])
    common = {"vocab_size": len(words), "eos_token_id": ids[0], "bos_token_id": ids[0], "pad_token_id": ids[kind == "bert"]}
    if kind == "gpt2":
        if llm is not None:
            common = {"vocab_size": llm["vocabulary_size"], "n_inner": llm["inner"]}
        config = transformers.GPT2Config(n_embd=width, n_layer=num_layers, n_head=2, n_positions=512, **common)
    else:
        cls = transformers.LlamaConfig if kind == "llama" else transformers.BertConfig
        config = cls(hidden_size=width, intermediate_size=16, num_hidden_layers=num_layers, num_attention_heads=2,
                     max_position_embeddings=512, **common)
    model = transformers.AutoModel.from_config(config)
    with torch.no_grad():
        for p in model.parameters():  # as they start they do next to nothing
            p.add_(0.3 * torch.randn_like(p))
    model.save_pretrained(str(place))
    words.save_pretrained(str(place))
    return str(place)


class Heard:
    """A tokenizer that compares the texts with those expected, and reads the expected ones."""

    def __init__(self, inner: Any, expected: list[str]) -> None:
        self.inner, self.expected = inner, expected

    def __call__(self, texts: list[str], **options: Any) -> Any:
        assert len(texts) == len(self.expected)
        for theirs, ours in zip(texts, self.expected, strict=True):
            np.testing.assert_allclose([float(n) for n in NUMBER.findall(theirs)], [float(n) for n in NUMBER.findall(ours)],
                                       rtol=2e-6, atol=2e-6)
            assert NUMBER.sub("#", theirs).split("lags are")[0] == NUMBER.sub("#", ours).split("lags are")[0]
        return self.inner(self.expected, **options)


def same_lags(model: Any, z: np.ndarray, lags: np.ndarray) -> None:
    """Whether neuralforecast's lags of normalized windows z [B, L, 1] have the autocorrelations of these."""
    import torch

    theirs = model.calcute_lags(torch.tensor(z)).numpy()
    assert theirs.shape == lags.shape
    spectrum = np.abs(np.fft.rfft(z[..., 0].astype(np.float64))) ** 2
    correlation = np.fft.irfft(spectrum)
    np.testing.assert_allclose(np.take_along_axis(correlation, theirs, 1), np.take_along_axis(correlation, lags, 1),
                               atol=1e-5 * correlation.max())


def peer_of(folder: str, options: dict[str, Any]) -> Any:
    """neuralforecast's model with random weights, in eval mode."""
    import neuralforecast.models as peers
    import torch

    torch.manual_seed(7)
    return peers.TimeLLM(max_steps=1, llm=folder, **options).eval()


def peer_forward(peer: Any, model: Any, data: dict[str, np.ndarray]) -> Any:
    """Its forecast, a tensor [B, h, 1], of ndiv's prompts, which are compared with its own."""
    import torch

    z = model.norm.norm(data["insample_y"])
    same_lags(peer, z, np.array([[int(n) for n in t.split("[")[1].split("]")[0].split(",")] for t in model.texts(data)]))
    inner = peer.llm_tokenizer
    peer.llm_tokenizer = Heard(inner, model.texts(data))
    try:
        return peer({k: torch.tensor(v) for k, v in data.items()})
    finally:
        peer.llm_tokenizer = inner


def arrays_of(peer: Any) -> dict[str, np.ndarray]:
    """What it trains."""
    return {k: p.detach().numpy().copy() for k, p in peer.named_parameters() if p.requires_grad}


# -- figures for the everyday suite ----------------------------------------------------------------------------------------------

HERE_AND_THERE = {"embeddings": "wte.weight", "positions": "wpe.weight", "norm": "ln_f", "c_attn": "attn.c_attn",
                  "c_proj": "attn.c_proj", "wide": "mlp.c_fc", "back": "mlp.c_proj"}


class Bytes:
    """The tokens of `Backbone.from_config`, as neuralforecast asks for them: bytes modulo the words, padded with 0."""

    def __call__(self, texts: list[str], **options: Any) -> Any:
        import torch

        rows = [[b % LLM["vocabulary_size"] for b in t.encode()] for t in texts]
        longest = max(map(len, rows))
        self.input_ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        return self


def write(folder: Path) -> None:
    """timellm.npz: of each case the state by neuralforecast's names, batch, prompts, forecast; the hash of the language model."""
    import tempfile

    import torch

    from ndiv.language import Backbone
    from ndiv.models import get_model

    backbone = Backbone.from_config(**LLM)
    arrays = {"fingerprint": np.array(backbone.fingerprint)}
    for case, options in FIGURES.items():
        model = get_model("TimeLLM")(variant="compat", llm=backbone, **options)
        with tempfile.TemporaryDirectory() as place:
            peer = peer_of(write_folder(Path(place), "gpt2", LLM["width"], LLM["num_layers"], 0, LLM), options)
        peer.llm_tokenizer = Bytes()
        state = {}
        for name, p in backbone.named_parameters():
            parts = [HERE_AND_THERE.get(part, "h" if part == "layers" else part) for part in name.split(".")]
            state[".".join(parts)] = torch.tensor(p.data)
        peer.llm.load_state_dict(state)
        with torch.no_grad():  # few values, so that the file is small
            for p in peer.mapping_layer.parameters():
                p.copy_(torch.round(p * 16) / 16)
        data = batch(options, 0)
        arrays |= {f"{case}/{k}": v for k, v in data.items()} | {f"{case}/state/{k}": v for k, v in arrays_of(peer).items()}
        arrays[f"{case}/texts"] = np.array(model.texts(data))
        arrays[f"{case}/forecast"] = peer_forward(peer, model, data).detach().numpy()
        print("timellm", case, arrays[f"{case}/forecast"].shape)
    np.savez_compressed(folder / "timellm.npz", **arrays)
