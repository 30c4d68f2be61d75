"""TimeLLM with neuralforecast's weights: forecasts, gradients and prompts, over every argument, on tiny GPT-2, LLaMA and BERT."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_timellm import NUMBER, arrays_of, batch, draw, peer_forward, peer_of, write_folder

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md

import torch

import ndiv
from ndiv.interop import from_neuralforecast
from ndiv.interop.peers.timellm import convert
from ndiv.models import get_model


def pair(seed, place):
    options, sizes = draw(seed)
    folder = write_folder(place, **sizes)
    return peer_of(folder, options), get_model("TimeLLM")(variant="compat", llm=folder, **options), options


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_forecast_and_gradients(seed, train, tmp_path):
    """Dropout draws other numbers there and here, so it is off in training."""
    peer, model, options = pair(seed, tmp_path)
    state, data = arrays_of(peer), batch(options, seed)
    taken = convert({**state, "word_embeddings": peer.word_embeddings.detach().numpy()}, model)
    assert set(taken) == set(model.state_dict())
    assert sum(v.size for v in taken.values()) == sum(v.size for v in state.values())  # each array is used, and once
    model.load_state_dict(taken)
    model.train(train)
    for m in (peer, model):
        for part in m.modules():
            if "ropout" in type(part).__name__:
                part.p = 0.0
    model.reprogramming.dropout = 0.0
    expected, out = peer_forward(peer, model, data), model.forward(data)
    wanted = expected.detach().numpy()
    assert out.shape == wanted.shape == (len(data["insample_y"]), options["h"], 1)
    assert np.abs(out.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()
    projection = np.random.default_rng(seed).normal(size=wanted.shape).astype(np.float32)
    (expected * torch.tensor(projection)).sum().backward()
    (out * projection).sum().backward()
    found = convert({k: p.grad.numpy() for k, p in peer.named_parameters() if p.requires_grad}, model)
    largest = max(np.abs(g).max() for g in found.values())
    for key, p in model.named_parameters():
        # what has no gradient but rounding (the bias of keys, which softmax does not see) is measured by the largest of all
        off = np.abs(p.grad.numpy() - found[key]).max()
        assert off <= 1e-4 * max(np.abs(found[key]).max(), 1e-2 * largest), (key, off)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_whole_model_is_imported(seed, tmp_path):
    peer, _, options = pair(seed, tmp_path)
    peer.fitted = True
    model = from_neuralforecast(peer)
    assert type(model).__name__ == "TimeLLM"
    assert model.variant == "compat"
    data = batch(options, seed)
    wanted = peer_forward(peer, model, data).detach().numpy()
    assert np.abs(model.forecast(data) - wanted).max() <= 2e-5 * np.abs(wanted).max()


def test_prompts_are_equal_to_the_letter_but_for_the_last_digit(tmp_path):
    """One lag is named, which is 0: the order of others may follow from rounding."""
    options, sizes = draw(0)
    peer = peer_of(write_folder(tmp_path, **sizes), {**options, "input_size": 16, "top_k": 1})
    model = get_model("TimeLLM")(variant="compat", llm=str(tmp_path), **{**options, "input_size": 16, "top_k": 1})
    y = np.random.default_rng(0).integers(-20, 20, (8, 16, 1)).astype(np.float32)
    said = []
    inner = peer.llm_tokenizer
    peer.llm_tokenizer = lambda texts, **more: said.extend(texts) or inner(texts, **more)
    peer({"insample_y": torch.tensor(y)})
    ours = model.texts({"insample_y": y})
    assert [NUMBER.sub("#", t) for t in said] == [NUMBER.sub("#", t) for t in ours]
    np.testing.assert_allclose(*([[float(n) for n in NUMBER.findall(t)] for t in texts] for texts in (said, ours)), rtol=1e-6)


def test_another_language_model_is_refused(tmp_path):
    peer, _, _ = pair(0, tmp_path / "a")
    other = ndiv.language.load(write_folder(tmp_path / "b", **{**draw(0)[1], "seed": 99}))
    with pytest.raises(ndiv.errors.ConfigError, match="not the language model that it was trained with"):
        from_neuralforecast(peer, llm=other)
