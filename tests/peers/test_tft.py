"""TFT with neuralforecast's weights: forecasts, gradients, variable weights and attention, over every architecture argument."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from peer_tft import arrays_of, batch, draw, ours, peer_forward, peer_of, unused
from peer_transformers import LOSSES

pytest.importorskip("neuralforecast")  # the folder has its own environment; see README.md
import torch

from ndiv.interop import from_neuralforecast
from ndiv.interop.peers.tft import convert


def both(options, loss, seed, train=False):
    """The two models with the same weights, and the state that both have."""
    peer = peer_of("TFT", options, loss, seed).train(train)
    state, model = arrays_of(peer), ours(options, loss).train(train)
    taken = convert(state, model)
    assert set(taken) == set(model.state_dict())
    # each array is used, and once
    assert sum(v.size for v in taken.values()) == sum(v.size for k, v in state.items() if not unused(k, options))
    model.load_state_dict(taken)
    return peer, model, state


def same(options, loss, seed, train=False):
    """Forecasts within 2e-5 of the largest element, gradients of a random projection within 1e-4."""
    (peer, model, state), data = both(options, loss, seed, train), batch(options, seed)
    expected, out = peer_forward(peer, data), model.forward(data)
    wanted = expected.detach().numpy()
    assert out.shape == wanted.shape == (len(data["insample_y"]), options["h"], model.n_out)
    assert np.abs(out.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()
    projection = np.random.default_rng(seed).normal(size=wanted.shape).astype(np.float32)
    (expected * torch.tensor(projection)).sum().backward()
    (out * projection).sum().backward()
    gradients = {k: np.zeros_like(v) for k, v in state.items()}
    gradients |= {k: p.grad.numpy() for k, p in peer.named_parameters() if p.grad is not None}
    assert not any(gradients[k].any() for k in state if unused(k, options))
    found = convert(gradients, model)
    largest = max(np.abs(g).max() for g in found.values())
    for key, p in model.named_parameters():
        got = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
        # what has no gradient but rounding (a bias before normalization) is measured by the largest of all gradients
        off = np.abs(got - found[key]).max()
        assert off <= 1e-4 * max(np.abs(found[key]).max(), 1e-2 * largest), (key, off)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(14))
def test_forecast_and_gradients(seed, loss):
    same(draw(seed), loss, seed)


def test_a_long_window():
    same({**draw(1), "input_size": 336, "h": 48, "hidden_size": 32, "n_head": 4}, "point", 0)


@pytest.mark.parametrize("seed", range(3))
def test_while_training(seed):
    """Dropout draws other numbers there and here, so it is off."""
    same({**draw(seed), "dropout": 0.0, "attn_dropout": 0.0}, "point", seed, train=True)


LABELS = {"Past variable importance over time": "past", "Future variable importance over time": "future"}


@pytest.mark.parametrize("seed", range(8))
def test_what_a_forecast_was_made_of(seed):
    """Importances, attention and correlations are neuralforecast's. It names the last two past variables the other way round
    where nothing is known of the future; see test_its_names_are_turned_round."""
    options = {**draw(seed), "scaler_type": "identity", "input_size": 7}
    (peer, model, _), data = both(options, "point", seed), batch(options, seed)
    with torch.no_grad():
        peer_forward(peer, data)
    theirs, found = peer.feature_importances(), model.feature_importances(data)
    for label, key in LABELS.items():
        if label in theirs:
            np.testing.assert_allclose(pd.DataFrame(found[key]).to_numpy(), theirs[label].to_numpy(), atol=2e-6)
            if options["futr_exog_list"]:
                assert list(found[key]) == list(theirs[label])
    if options["stat_exog_list"]:
        for name, value in theirs["Static covariates"]["importance"].items():
            np.testing.assert_allclose(found["static"][name], value, atol=2e-6)
    np.testing.assert_allclose(model.attention_weights(data), peer.attention_weights(), atol=2e-6)
    ranked = model.feature_importance_correlations(data)
    wanted = pd.DataFrame({**found["past"], "mean_attention": model.attention_weights(data)[7:, :7].mean(0)}).corr(method="spearman")
    np.testing.assert_allclose(pd.DataFrame(ranked).to_numpy(), wanted.to_numpy(), atol=1e-12)


def test_its_names_are_turned_round():
    """The target's own values are the last input there, and the repeated value the one before: a model whose weights let only
    the target through says "repeated_target"; ndiv's says what it is."""
    options = {"h": 2, "input_size": 5, "hidden_size": 4, "n_head": 1, "scaler_type": "identity"}
    peer, _, _ = both(options, "point", 0)
    joint = peer.temporal_encoder.history_vsn.joint_grn
    with torch.no_grad():
        joint.layer_norm.ln.weight.zero_()
        joint.layer_norm.ln.bias.copy_(torch.tensor([-9.0, 9.0]))  # inputs: repeated value, target
        data = batch(options, 0)
        before, far = peer_forward(peer, data), {**data, "insample_y": data["insample_y"].copy()}
        far["insample_y"][:, 2] += 5  # a value that is not repeated
        assert (peer_forward(peer, far) != before).any()
    labelled = peer.feature_importances()["Past variable importance over time"]
    assert (labelled["repeated_target"] > 0.99).all()
    model = ours(options, "point")
    model.load_state_dict(convert(arrays_of(peer), model))
    assert (model.feature_importances(data)["past"]["observed_target"] > 0.99).all()


def test_an_object_is_read():
    """With an activation whose name neuralforecast does not know, which it takes as ELU."""
    from neuralforecast.models import TFT

    peer = TFT(h=3, input_size=6, hidden_size=4, n_head=2, grn_activation="relu", max_steps=1)
    model = from_neuralforecast(peer)
    assert model.arguments["grn_activation"] == "ELU" and model.variant == "compat"
    data = batch({"h": 3, "input_size": 6}, 0)
    with torch.no_grad():
        wanted = peer_forward(peer.eval(), data).numpy()
    np.testing.assert_allclose(model.eval().forward(data).numpy(), wanted, rtol=2e-5, atol=2e-6)
