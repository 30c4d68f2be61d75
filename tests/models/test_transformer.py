"""Transformer: its equations in NumPy, the mask, neuralforecast's figures and names, and arguments that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from small import shaken
from transformers_by_hand import EXOG, ByHand, batch, figures

import ndiv
from ndiv import losses
from ndiv.errors import ConfigError
from ndiv.interop.description import Model, Named
from ndiv.interop.peers.transformer import convert
from ndiv.interop.translate import build
from ndiv.models import get_model

LOSSES = {"point": losses.MAE, "quantiles": lambda: losses.MQLoss(level=[80])}


def make(**options):
    return get_model("Transformer")(**{"h": 3, "input_size": 7, "hidden_size": 6, "n_head": 2, "conv_hidden_size": 5, **options})


@pytest.mark.parametrize("options", [
    {}, {"encoder_layers": 1, "decoder_layers": 3, "activation": "relu"}, {"h": 1, "decoder_input_size_multiplier": 1.0},
    {"hidden_size": 7, "n_head": 3, "decoder_input_size_multiplier": 0.1, "loss": "MQLoss"}, {"n_head": 1, **EXOG}], ids=str)
def test_the_equations(options):
    m = shaken(make(**options))
    data = batch(m, exog="stat_exog_list" in options)
    expected, got = ByHand(m, wrap=False)(data), m.forward(data).numpy()
    assert got.shape == expected.shape == (3, m.h, m.n_out)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


def test_a_step_does_not_see_those_after_it():
    """What is known of the steps after one changes nothing in its forecast; in compat it does, as in neuralforecast."""
    reaches = {}
    for variant in ("paper", "compat"):
        m = shaken(make(h=5, decoder_layers=2, futr_exog_list=["f", "g"], variant=variant))
        data = {k: v for k, v in batch(m, exog=True).items() if k not in ("hist_exog", "stat_exog")}
        before = m.forward(data).numpy()
        reaches[variant] = []
        for k in range(m.h):
            later = {**data, "futr_exog": data["futr_exog"].copy()}
            later["futr_exog"][:, m.input_size + k] += 1
            reaches[variant].append((m.forward(later).numpy() != before).any(axis=(0, 2)).tolist())
    assert reaches["paper"] == [[step >= k for step in range(5)] for k in range(5)]
    assert all(all(row) for row in reaches["compat"])


def test_the_decoder_starts_from_the_end_of_the_window():
    """The window before its label reaches the forecast through the encoder alone: not where attention to it is cut."""
    m = shaken(make())
    data = batch(m)
    data["insample_mask"][:] = 1
    for layer in m.decoder:
        layer.cross.out.weight.data[:] = 0
    early, late = ({**data, "insample_y": data["insample_y"].copy()} for _ in range(2))
    early["insample_y"][:, :m.input_size - m.label] += 1
    late["insample_y"][:, m.input_size - m.label:] += 1
    assert m.label == 4
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(early).numpy())
    assert np.abs(m.forward(data).numpy() - m.forward(late).numpy()).max() > 1e-3


@pytest.mark.parametrize("case", range(2))
def test_figures_of_neuralforecast(case):
    loss, options, state, data, expected = list(figures("Transformer"))[case]
    m = make(**options, loss=LOSSES[loss](), variant="compat").eval()
    m.load_state_dict(convert(state, m))
    np.testing.assert_allclose(m.forward(data).numpy(), expected, rtol=2e-5, atol=2e-6)
    with pytest.raises(KeyError):
        convert({k: v for k, v in state.items() if k != "decoder.norm.bias"}, m)


def test_neuralforecasts_vanilla_transformer_is_this_one():
    """By its name there, which its column keeps."""
    _, options, state, data, expected = next(figures("Transformer"))
    position = {"enc_embedding.position_embedding.pe": np.zeros((1, 5000, 6), np.float32)}
    for alias in (None, "mine"):
        arguments = {**options, "alias": alias, "loss": Named("loss", "MAE", {})}
        m = build(Model("VanillaTransformer", arguments, state | position), {})
        assert type(m).__name__ == "Transformer" and repr(m) == (alias or "VanillaTransformer")
        np.testing.assert_allclose(m.eval().forward(data).numpy(), expected, rtol=2e-5, atol=2e-6)


def test_dropout_is_for_training():
    m = make(dropout=0.5).train()
    data = batch(m)
    ndiv.manual_seed(0)
    assert not np.array_equal(m.forward(data).numpy(), m.forward(data).numpy())
    m.eval()
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(data).numpy())


@pytest.mark.parametrize("name", ["Transformer", "Informer", "Autoformer", "FEDformer"])
@pytest.mark.parametrize(("options", "text"), [
    *(({key: bad}, f"{key} must be") for key in ("hidden_size", "n_head", "conv_hidden_size", "encoder_layers", "decoder_layers")
      for bad in (0, -1, 2.0, True)),
    ({"n_head": 7}, "n_head 7 is more than hidden_size 6"), ({"dropout": 1.0}, r"dropout must be in \[0, 1\), not 1.0"),
    ({"dropout": "no"}, "dropout"), ({"activation": "gellu"}, "unknown activation 'gellu'"), ({"activation": None}, "activation"),
    *(({"decoder_input_size_multiplier": bad}, "above 0 and at most 1") for bad in (0, 1.5, -0.5, "half", True)),
])
def test_bad_configurations(name, options, text):
    with pytest.raises(ConfigError, match=f"{name}: .*{text}") as error:
        get_model(name)(**{"h": 3, "input_size": 7, "hidden_size": 6, "n_head": 2, **options})
    assert error.value.code == "E0010" and error.value.hint
    assert error.value.value == next(iter(options.values()))
