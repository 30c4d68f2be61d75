"""TCN: the paper's equations in NumPy, what a forecast can see, streaming, and refusals."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError, FeatureError, ShapeError
from ndiv.models import TCN, BaseModel
from ndiv.models.convolutional.tcn import ResidualBlock, _covering

H, L = 3, 16
EXOG = {"futr_exog_list": ["f", "g"], "hist_exog_list": ["p"], "stat_exog_list": ["s", "t"]}


def small(**options):
    return TCN(**{"h": H, "input_size": L, "encoder_hidden_size": 6, "decoder_hidden_size": 5, "context_size": 4,
                  "scaler_type": "identity", **options})


def batch(b=3, steps=L, seed=0, exog=True):
    draw = np.random.default_rng(seed)
    full = {"insample_y": draw.normal(size=(b, steps, 1)), "insample_mask": np.ones((b, steps, 1))}
    if exog:
        full |= {"hist_exog": draw.normal(size=(b, steps, 1)), "futr_exog": draw.normal(size=(b, steps + H, 2)),
                 "stat_exog": draw.normal(size=(b, 2))}
    return {k: v.astype(np.float32) for k, v in full.items()}


def paper(m, data):
    """Section 3 of the paper, step by step and in float64, with zeros before the window."""
    w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}
    y = data["insample_y"] * data["insample_mask"]
    stat = np.repeat(data["stat_exog"][:, None], L, 1)
    x = np.concatenate([y, data["hist_exog"], stat, data["futr_exog"][:, :L]], 2).astype(np.float64)  # [B, L, C]
    relu = lambda v: np.maximum(v, 0)  # noqa: E731

    def conv(x, name, d):
        v, g = w[f"{name}.weight_v"], w[f"{name}.weight_g"]
        kernel = g * v / np.sqrt((v ** 2).sum((1, 2), keepdims=True))
        k = kernel.shape[2]
        out = np.zeros((len(x), L, len(v))) + w[f"{name}.bias"]
        for t in range(L):
            for i in range(k):  # F(s) = sum over i of f(i) x[s - d i], section 3.3; the kernel is stored the other way round
                if t - d * i >= 0:
                    out[:, t] += x[:, t - d * i] @ kernel[:, :, k - 1 - i].T
        return out

    for n, d in enumerate(m.dilations):
        z = relu(conv(relu(conv(x, f"blocks.{n}.conv1", d)), f"blocks.{n}.conv2", d))
        if f"blocks.{n}.residual.weight" in w:
            x = x @ w[f"blocks.{n}.residual.weight"][:, :, 0].T + w[f"blocks.{n}.residual.bias"]
        x = relu(x + z)
    context = (x[:, -1] @ w["context.weight"].T + w["context.bias"]).reshape(len(x), H, -1)
    out = np.concatenate([context, data["futr_exog"][:, L:]], 2)
    out = relu(out @ w["decoder.0.weight"].T + w["decoder.0.bias"])
    return out @ w["decoder.1.weight"].T + w["decoder.1.bias"]


@pytest.mark.parametrize("options", [{}, {"kernel_size": 3}, {"dilations": [1, 2, 4, 8, 16]}, {"dilations": [7, 2]},
                                     {"decoder_hidden_size": 9}, {"kernel_size": 1, "dilations": [1]}])
def test_paper_is_the_equations(options):
    m, data = small(**EXOG, **options), batch()
    data["insample_mask"][0, 3:6] = 0
    np.testing.assert_allclose(m.eval().forward(data).numpy(), paper(m, data), rtol=2e-5, atol=2e-6)


def test_a_block_whose_widths_agree_has_no_convolution_beside():
    assert ResidualBlock(6, 6, 2, 1, "relu", 0.0).residual is None
    assert ResidualBlock(5, 6, 2, 1, "relu", 0.0).residual.weight.shape == (6, 5, 1)


def test_dilations_cover_the_window_and_no_more():
    assert _covering(96, 2) == [1, 2, 4, 8, 16, 16] and _covering(1, 2) == [1] and _covering(50, 1)[:3] == [1, 2, 4]
    for kernel in (2, 3, 5):
        for steps in range(2 * kernel, 400, 7):
            field = 1 + 2 * (kernel - 1) * sum(_covering(steps, kernel))
            assert steps - 2 * (kernel - 1) < field <= steps


@pytest.mark.parametrize("options", [{}, {"dilations": [1, 2]}, {"dilations": [3]}, {"kernel_size": 3, "dilations": [2, 1]}])
def test_a_forecast_sees_its_receptive_field(options):
    m = small(encoder_activation="Tanh", **options).astype(np.float64).eval()
    y = ndiv.tensor(np.random.default_rng(0).normal(size=(1, L, 1)), requires_grad=True)
    m.forward({"insample_y": y}).sum().backward()
    seen = np.flatnonzero(y.grad.numpy().ravel())
    assert seen[0] == max(L - m.receptive_field, 0) and seen[-1] == L - 1
    if not options:  # doubling leaves no holes
        assert list(seen) == list(range(seen[0], L))


def test_latest_states_alone_are_those_of_all():
    ndiv.manual_seed(0)
    block = ResidualBlock(2, 4, 3, 2, "relu", 0.0)
    x = np.random.default_rng(0).normal(size=(2, 2, 20)).astype(np.float32)
    whole = block(ndiv.tensor(x), 20).numpy()
    for last in range(1, 20):
        np.testing.assert_allclose(block(ndiv.tensor(x), last).numpy(), whole[..., -last:], rtol=1e-5, atol=1e-6)
        some = x[..., -(last + block.reach):]
        if some.shape[-1] == last + block.reach:
            np.testing.assert_allclose(block(ndiv.tensor(some), last).numpy(), whole[..., -last:], rtol=1e-5, atol=1e-6)


def test_future_covariates_reach_their_own_step():
    for variant in ("paper", "compat"):
        m, data = small(variant=variant, decoder_activation="Tanh", **EXOG).eval(), batch()
        other = {**data, "futr_exog": data["futr_exog"].copy()}
        other["futr_exog"][:, L + 1] += 1
        moved = (m.forward(other).numpy() != m.forward(data).numpy()).any((0, 2))
        assert moved.tolist() == [False, True, False]


def test_weights_are_normalized():
    m, data = small(**EXOG).eval(), batch()
    before = m.forward(data).numpy()
    m.blocks[0].conv1.weight_v.copy_(m.blocks[0].conv1.weight_v.numpy() * 8)
    np.testing.assert_allclose(m.forward(data).numpy(), before, rtol=1e-5, atol=1e-6)
    assert not any(k.endswith("_g") for k in small(variant="compat").state_dict())


def test_dropout_is_of_training_alone():
    m, data = small(dropout=0.5), batch(exog=False)
    ndiv.manual_seed(0)
    a, b = m.forward(data).numpy(), m.forward(data).numpy()
    assert (a != b).any()
    m.eval()
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(data).numpy())
    assert small().blocks[0].dropout.p == 0.2 and small(dropout=0.0).blocks[0].dropout.p == 0.0


def test_missing_values_are_masked():
    m, data = small(), batch(exog=False)
    data["insample_mask"][:, 5:9] = 0
    other = {**data, "insample_y": data["insample_y"] + 100 * (1 - data["insample_mask"])}
    np.testing.assert_array_equal(m.forecast(data), m.forecast(other))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)),
                                       lambda m: BaseModel.from_config(m.config())])
def test_copies_are_the_same_model(duplicate):
    m, data = small(loss=ndiv.losses.MQLoss(level=[80])), batch(exog=False)
    np.testing.assert_array_equal(duplicate(m).forecast(data), m.forecast(data))


@pytest.mark.parametrize(("options", "text", "hint"), [
    ({"kernel_size": 0}, "kernel_size", ">= 1"), ({"encoder_hidden_size": 0}, "encoder_hidden_size", ">= 1"),
    ({"context_size": 0}, "context_size", ">= 1"), ({"decoder_layers": 0}, "decoder_layers", ">= 1"),
    ({"decoder_hidden_size": -1}, "decoder_hidden_size", ">= 1"), ({"dilations": []}, "dilations", "for example"),
    ({"dilations": [1, 0]}, "dilations", "for example"), ({"dilations": [1.5]}, "dilations", "for example"),
    ({"dilations": 4}, "dilations", "for example"), ({"encoder_activation": "ReLUU"}, "ReLUU", "ReLU"),
    ({"decoder_activation": "Tan"}, "Tan", "Tanh"), ({"dropout": 1.0}, "dropout", "0.2"),
    ({"dropout": 0.1, "variant": "compat"}, "compat", "paper"), ({"inference_input_size": 7}, "inference_input_size", "leave"),
])
def test_bad_configurations(options, text, hint):
    with pytest.raises(ConfigError, match=text) as error:
        small(**options)
    assert error.value.code == "E0010" and hint in error.value.hint


# stream

def windows(data, at):
    """The window that begins at that step."""
    out = {k: v[:, at:at + L] for k, v in data.items() if k in ("insample_y", "insample_mask", "hist_exog")}
    if "futr_exog" in data:
        out |= {"futr_exog": data["futr_exog"][:, at:at + L + H], "stat_exog": data["stat_exog"]}
    return out


@pytest.mark.parametrize("loss", [None, ndiv.losses.MQLoss(level=[80]), ndiv.losses.DistributionLoss("Normal", level=[80])])
@pytest.mark.parametrize("options", [{}, EXOG, {"kernel_size": 3, "dilations": [2, 1]}, {"exclude_insample_y": True, **EXOG}])
def test_a_stream_is_the_forecast_of_each_window(options, loss):
    m, data = small(loss=loss, **options), batch(steps=60, exog="futr_exog_list" in options)
    data["insample_mask"][1, 10:14] = data["insample_mask"][0, 30:33] = 0
    first = windows(data, 0)
    stream = m.stream(first)
    for at in range(40):
        now = windows(data, at)
        ahead = now["futr_exog"][:, L:] if "futr_exog" in now else None
        np.testing.assert_allclose(stream.forecast(ahead), m.forecast(now), rtol=2e-5, atol=2e-6)
        t = at + L
        more = {k: data[k][:, t] for k in ("hist_exog", "futr_exog") if k in data}
        stream.push(data["insample_y"][:, t, 0], data["insample_mask"][:, t, 0], **more)


@pytest.mark.parametrize("scaler", ["standard", "robust", "minmax", "revin"])
@pytest.mark.parametrize("loss", [None, ndiv.losses.DistributionLoss("Normal", level=[80])])
def test_a_stream_keeps_the_scale_of_its_first_windows(scaler, loss):
    m, data = small(scaler_type=scaler, loss=loss, **EXOG), batch(steps=40)
    data["insample_y"] = data["insample_y"] * 5 + 20
    first = windows(data, 0)
    stream = m.stream(first)
    np.testing.assert_allclose(stream.forecast(first["futr_exog"][:, L:]), m.forecast(first), rtol=1e-4)
    kept = m.scaler.stats
    known = {k: kept(v[:, :L], first["insample_mask"] if v.shape[2] == 1 else np.repeat(first["insample_mask"], v.shape[2], 2), axis=1)
             for k, v in first.items() if k in ("insample_y", "hist_exog", "futr_exog")}
    for t in range(L, 30):
        stream.push(data["insample_y"][:, t, 0], hist_exog=data["hist_exog"][:, t], futr_exog=data["futr_exog"][:, t])
    now = windows(data, 30 - L)
    found = itertools.cycle([known["insample_y"], known["hist_exog"], known["futr_exog"]])
    m._plans = None  # plans do not see that a method is exchanged
    m.scaler.__dict__["stats"] = lambda *args, **kw: next(found)  # the statistics of the first windows, in the model's order
    expected = m.forecast(now)
    del m.scaler.__dict__["stats"]
    m._plans = None
    np.testing.assert_allclose(stream.forecast(now["futr_exog"][:, L:]), expected, rtol=1e-4)


def test_a_stream_does_not_grow_and_takes_gaps():
    m, data = small(), batch(b=1, steps=60, exog=False)
    a, b = m.stream(windows(data, 0)), m.stream(windows(data, 0))
    before = len(pickle.dumps([r.kept for rings in a._rings for r in rings[:2]]))
    for t in range(L, 60):
        gap = t % 7 == 0
        a.push(np.nan if gap else data["insample_y"][0, t, 0])
        b.push(data["insample_y"][0, t, 0], observed=[not gap])
        np.testing.assert_array_equal(a.forecast(), b.forecast())
    assert len(pickle.dumps([r.kept for rings in a._rings for r in rings[:2]])) == before


def test_streams_that_cannot_be():
    data = batch()
    with pytest.raises(ConfigError, match="compat"):
        small(variant="compat").stream(data)
    with pytest.raises(ConfigError, match="31 steps of 16") as error:
        small(dilations=[1, 2, 4, 8]).stream(data)
    assert error.value.code == "E0010"
    stream = small(**EXOG).stream(data)
    with pytest.raises(ShapeError, match="3 series"):
        stream.push([1.0])
    with pytest.raises(FeatureError, match="hist_exog"):
        stream.push([1.0] * 3)
    with pytest.raises(FeatureError, match=r"futr_exog must hold \[3, 3, 2\]"):
        stream.forecast()
