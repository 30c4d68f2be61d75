"""TiDE: the equations in NumPy, what the variants differ in, missing values, learning, refused configurations."""

from __future__ import annotations

import numpy as np
import pytest
from small import shaken

import ndiv
from ndiv.errors import ConfigError
from ndiv.models import get_model

H, L, B = 3, 8, 5
SMALL = {"hidden_size": 6, "decoder_output_dim": 4, "temporal_decoder_dim": 5, "dropout": 0.0, "temporal_width": 2}
EXOG = {"futr_exog_list": ["f", "g"], "hist_exog_list": ["p"], "stat_exog_list": ["s", "t", "u"]}


def make(**options):
    return get_model("TiDE")(**{"h": H, "input_size": L, **SMALL, **options})


def batch(seed=0, exog=False, missing=False):
    draw = np.random.default_rng(seed)
    y = draw.normal(2, 1, (B, L + H, 1))
    mask = np.ones((B, L + H, 1))
    if missing:
        mask[:, 2:4] = 0
    out = {"insample_y": y[:, :L] * mask[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:]}
    if exog:
        out |= {"futr_exog": draw.normal(size=(B, L + H, 2)), "hist_exog": draw.normal(size=(B, L, 1)),
                "stat_exog": draw.normal(size=(B, 3))}
    return {k: v.astype(np.float32) for k, v in out.items()}


def in_numpy(m, data, layernorm):
    """The forecast by the equations of the paper in float64; layernorm(part, width) says what is normalized."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}

    def block(x, name):
        inner = np.maximum(x @ w[f"{name}.hidden.weight"].T + w[f"{name}.hidden.bias"], 0)
        z = inner @ w[f"{name}.out.weight"].T + w[f"{name}.out.bias"] + x @ w[f"{name}.skip.weight"].T + w[f"{name}.skip.bias"]
        if layernorm(name, z.shape[-1]):
            centred = z - z.mean(-1, keepdims=True)
            z = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * w[f"{name}.norm.weight"] + w[f"{name}.norm.bias"]
        return z

    rows = []
    for i in range(B):  # one series at a time, step by step
        y = data["insample_y"][i, :, 0].astype(np.float64)
        e, ahead = list(y), [np.zeros(0)] * H
        if "hist_exog" in data:
            e += [v for step in data["hist_exog"][i] for v in block(step.astype(np.float64), "hist_projection")]
        if "futr_exog" in data:
            projected = [block(step.astype(np.float64), "futr_projection") for step in data["futr_exog"][i]]
            e += [v for step in projected for v in step]
            ahead = projected[L:]
        if "stat_exog" in data:
            e += list(data["stat_exog"][i].astype(np.float64))
        z = np.array(e)
        for name in [*(f"encoder.{k}" for k in range(len(m.encoder))), *(f"decoder.{k}" for k in range(len(m.decoder)))]:
            z = block(z, name)
        p = len(z) // H
        dense = np.stack([block(np.concatenate([z[t * p:(t + 1) * p], ahead[t]]), "temporal_decoder") for t in range(H)])
        skip = w["global_skip.weight"] @ y + w["global_skip.bias"]
        rows.append(dense + skip.reshape(H, -1))
    return np.stack(rows)


@pytest.mark.parametrize("loss", ["MAE", "MQLoss"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("exog", [False, True])
@pytest.mark.parametrize("layernorm", [False, True])
@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_the_equations(variant, layernorm, exog, depth, loss):
    m = shaken(make(variant=variant, layernorm=layernorm, num_encoder_layers=depth, num_decoder_layers=depth, loss=loss,
                    **(EXOG if exog else {})))
    data = batch(exog=exog)

    def normalized(name, width):
        return layernorm and (variant == "compat" or (width > 1 and name != "temporal_decoder"))

    expected = in_numpy(m, data, normalized)
    got = m.forward(data).numpy()
    assert got.shape == expected.shape == (B, H, m.loss.outputsize)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_one_number_is_not_normalized_away():
    """compat with a point loss is the linear map and a constant; the paper's dense path and covariates reach the forecast."""
    data = batch(exog=True)
    changed = {**data, "futr_exog": data["futr_exog"] + 1, "stat_exog": data["stat_exog"] * 2}
    compat, paper = (shaken(make(variant=v, **EXOG)) for v in ("compat", "paper"))
    np.testing.assert_array_equal(compat.forward(data).numpy(), compat.forward(changed).numpy())
    assert np.abs(paper.forward(data).numpy() - paper.forward(changed).numpy()).max() > 1e-2
    # the same where the projection, or the whole decoder, gives one number
    narrow = shaken(make(temporal_width=1, **EXOG))
    assert np.abs(narrow.forward(data).numpy() - narrow.forward(changed).numpy()).max() > 1e-2
    one = shaken(make(h=1, decoder_output_dim=1))
    assert one.decoder[0].norm is None and one.encoder[0].norm is not None
    assert not np.allclose(np.diff((one.forward(data) - one.global_skip(data["insample_y"][:, :, 0]).reshape(-1, 1, 1)).numpy(), axis=0), 0)


def test_without_normalization_the_variants_are_one():
    data = batch(exog=True)
    paper, compat = (make(variant=v, layernorm=False, **EXOG) for v in ("paper", "compat"))
    compat.load_state_dict(paper.state_dict())
    np.testing.assert_array_equal(paper.eval().forward(data).numpy(), compat.eval().forward(data).numpy())


def test_blocks_have_weights_of_their_own():
    m = make(num_encoder_layers=3, num_decoder_layers=3)
    names = [n for n, _ in m.named_parameters()]
    assert sum(n.endswith("hidden.weight") for n in names) == 3 + 3 + 1
    assert not np.array_equal(m.encoder[1].hidden.weight.numpy(), m.encoder[2].hidden.weight.numpy())


def test_missing_values_are_masked():
    m, data = shaken(make()), batch(missing=True)
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 7}
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(other).numpy())


def test_a_series_alone_and_in_company():
    m, data = shaken(make(**EXOG)), batch(exog=True)
    whole = m.forecast(data)
    for i in range(B):
        np.testing.assert_allclose(m.forecast({k: v[i:i + 1] for k, v in data.items()})[0], whole[i], rtol=2e-5, atol=1e-6)


def test_one_batch_is_learned_by_the_dense_path():
    """To less than 1 % of the loss at the start, where only covariates say what comes: the linear map sees nothing of them."""
    m = make(loss="MSE", learning_rate=1e-2, hidden_size=16, **EXOG)
    data = batch(exog=True)
    data["insample_y"] = np.zeros_like(data["insample_y"])
    start = m.train_step(data)
    for _ in range(500):
        end = m.train_step(data)
    assert end < 0.01 * start


def test_dropout_is_for_training():
    m, data = make(dropout=0.5), batch()
    m.train()
    ndiv.manual_seed(0)
    assert not np.array_equal(m.forward(data).numpy(), m.forward(data).numpy())
    m.eval()
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(data).numpy())


@pytest.mark.parametrize(("options", "text"), [
    *(({name: bad}, f"TiDE: {name} must be") for name in ("hidden_size", "decoder_output_dim", "temporal_decoder_dim",
                                                          "num_encoder_layers", "num_decoder_layers", "temporal_width")
      for bad in (0, -1, 2.0, True)),
    ({"dropout": 1.0}, r"TiDE: dropout must be in \[0, 1\), not 1.0"), ({"dropout": "no"}, "dropout"),
    ({"layernorm": "yes"}, "layernorm must be True or False, not 'yes'"), ({"layernorm": 1}, "layernorm"),
])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint
    assert error.value.value == next(iter(options.values()))
