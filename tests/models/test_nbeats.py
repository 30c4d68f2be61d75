"""NBEATS: its bases and blocks beside independent NumPy, decomposition, neuralforecast's numbers, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ndiv
from ndiv.errors import ConfigError
from ndiv.interop.peers.nbeats import convert
from ndiv.models import NBEATS, get_model
from ndiv.models.advanced.blocks import BASES, fourier, trend
from ndiv.verify.model import verify

H, L, B = 6, 14, 3
UNITS = [[7, 7], [7, 5]]
INTERPRETABLE = {"stack_types": ["trend", "seasonality"], "n_blocks": [2, 2], "n_harmonics": 1, "mlp_units": UNITS}
LOSSES = {"MAE": ndiv.losses.MAE, "MQLoss": lambda: ndiv.losses.MQLoss(level=[80]),
          "StudentT": lambda: ndiv.losses.DistributionLoss("StudentT", level=[80])}


def batch(seed=0, missing=False):
    rng = np.random.default_rng(seed)
    mask = np.ones((B, L, 1), np.float32)
    if missing:
        mask[:, 3:6] = 0
    return {"insample_y": (rng.normal(size=(B, L, 1)).astype(np.float32) + 3) * mask, "insample_mask": mask,
            "outsample_y": rng.normal(size=(B, H, 1)).astype(np.float32), "outsample_mask": np.ones((B, H, 1), np.float32)}


def make(**options):
    return NBEATS(**{"h": H, "input_size": L, "mlp_units": UNITS, **options})


# -- bases ---------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("length", [8, 24])
def test_functions_of_a_trend_are_independent(basis, length):
    n = BASES[basis][1] + 3
    table = trend(basis, length, n)
    assert table.shape == (n + 1, length) and np.isfinite(table).all()
    assert np.linalg.matrix_rank(table) == n + 1
    assert trend(basis, 1, n).shape == (n + 1, 1)


def test_what_neuralforecasts_tables_lack():
    """The functions that are 0 everywhere, which variant="paper" has in no basis."""
    empty = {b: [k for k, row in enumerate(trend(b, 24, 4, compat=True)) if not row.any()] for b in BASES}
    assert empty == {b: {"changepoint": [4], "piecewise_linear": [0]}.get(b, []) for b in BASES}
    assert not fourier(np.arange(6), 6, 1, zero_sine=True)[3].any()


def test_polynomials():
    x = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(trend("chebyshev", 9, 4), [np.cos(k * np.arccos(x)) for k in range(5)], atol=1e-12)
    legendre = [np.ones(9), x]
    for k in (1, 2, 3):
        legendre.append(((2 * k + 1) * x * legendre[k] - k * legendre[k - 1]) / (k + 1))
    np.testing.assert_allclose(trend("legendre", 9, 4), legendre, atol=1e-12)


def spanned(functions, table):
    return np.abs(table.T @ np.linalg.lstsq(table.T, functions.T, rcond=None)[0] - functions.T).max() < 1e-9


def test_piecewise_functions():
    t = np.linspace(0, 1, 25)
    assert spanned(trend("linear_hat", 25, 4), trend("changepoint", 25, 4))  # both: all polygons on five even knots
    assert spanned(np.stack([np.ones(25), t]), trend("changepoint", 25, 4))
    np.testing.assert_allclose(trend("linear_hat", 25, 4).sum(0), 1)
    np.testing.assert_allclose(trend("piecewise_linear", 25, 4).sum(0), np.minimum(1, (1 - t) * 5), atol=1e-12)
    for name, knots in (("linear_hat", np.arange(5) / 4), ("piecewise_linear", np.arange(5) / 5)):
        for k, row in enumerate(trend(name, 101, 4)):
            assert np.argmax(row) == round(knots[k] * 100) and row.max() == pytest.approx(1)


def test_splines():
    t = np.linspace(0, 1, 31)
    for n_basis in (3, 4, 8):
        table = trend("spline", 31, n_basis)
        assert (table >= 0).all() and table[0, 0] == table[-1, -1] == 1
        np.testing.assert_allclose(table.sum(0), 1)
        assert spanned(np.stack([t ** k for k in range(4)]), table)
        assert (np.count_nonzero(table, axis=0) <= 4).all()
    bernstein = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t ** 2 * (1 - t), t ** 3]  # without knots inside
    np.testing.assert_allclose(trend("spline", 31, 3), bernstein, atol=1e-12)


@pytest.mark.parametrize("h", [2, 3, 8, 9])
@pytest.mark.parametrize("n_harmonics", [1, 2, 3])
def test_waves(h, n_harmonics):
    steps = np.arange(-5, h)
    table = fourier(steps, h, n_harmonics)
    rounds = [k / n_harmonics for k in range(n_harmonics, 5 * h) if k / n_harmonics < h / 2]
    wanted = [np.ones(len(steps)), *(np.cos(2 * np.pi * f * steps / h) for f in rounds),
              *(np.sin(2 * np.pi * f * steps / h) for f in rounds)]
    np.testing.assert_allclose(table, wanted, atol=1e-9)
    if n_harmonics == 1 and h % 2 == 0:  # equation 3
        assert len(table) == 2 * (h // 2 - 1) + 1
    if n_harmonics == 1:
        gram = table[:, -h:] @ table[:, -h:].T
        np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-9)


# -- the model -----------------------------------------------------------------------------------------------------------

def by_hand(model, y, mask, n_harmonics, n_basis):
    """variant="paper" of stacks with ReLU and one output, from the paper's equations, in float64."""
    state = {k: v.astype(np.float64) for k, v in model.state_dict().items()}
    x, total = y * mask, 0.0
    for k, kind in enumerate(model.stack_names):
        z = x
        for j in range(len(model.blocks[k].layers)):
            z = np.maximum(z @ state[f"blocks.{k}.layers.{j}.weight"].T + state[f"blocks.{k}.layers.{j}.bias"], 0)
        theta = z @ state[f"blocks.{k}.theta.weight"].T + state[f"blocks.{k}.theta.bias"]
        if kind == "identity":
            back, ahead = np.eye(L), np.eye(H)
        elif kind == "trend":
            back, ahead = (np.stack([(np.arange(n) / n) ** p for p in range(n_basis + 1)]) for n in (L, H))
        else:
            f = np.arange(n_harmonics, n_harmonics * H / 2)[:, None] / n_harmonics
            back, ahead = (np.concatenate([np.ones((1, len(t))), np.cos(2 * np.pi * f * t), np.sin(2 * np.pi * f * t)])
                           for t in (np.arange(-L, 0) / H, np.arange(H) / H))
        x = (x - theta[:, :len(back)] @ back) * mask
        total = total + theta[:, len(back):] @ ahead
    return total


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("n_harmonics", [1, 2])
def test_paper_is_the_papers_equations(n_harmonics, missing):
    m, data = make(n_harmonics=n_harmonics, n_blocks=[1, 2, 1], n_basis=3,
                   stack_types=["trend", "seasonality", "identity"]), batch(missing=missing)
    m.stack_names = [n.split()[0] for n in m.stack_names]
    wanted = by_hand(m, data["insample_y"][..., 0].astype(float), data["insample_mask"][..., 0], n_harmonics, 3)
    np.testing.assert_allclose(m.forward(data).numpy()[..., 0], wanted, rtol=1e-4, atol=1e-5)


def test_what_is_missing_does_not_matter_and_no_mask_is_a_full_one():
    m, data = make(), batch(missing=True)
    other = {**data, "insample_y": data["insample_y"] + (1 - data["insample_mask"]) * 100}
    np.testing.assert_array_equal(m.forward(data).numpy(), m.forward(other).numpy())
    full = batch()
    np.testing.assert_array_equal(m.forward(full).numpy(), m.forward({"insample_y": full["insample_y"]}).numpy())


def test_without_coefficients_compat_repeats_the_last_value_and_paper_says_zero():
    for variant in ("paper", "compat"):
        m, data = make(variant=variant), batch()
        for block in m.blocks:
            block.theta.weight.copy_(np.zeros(block.theta.weight.shape))
            block.theta.bias.copy_(np.zeros(block.theta.bias.shape))
        wanted = data["insample_y"][:, -1:] if variant == "compat" else np.zeros((B, 1, 1))
        np.testing.assert_array_equal(m.forward(data).numpy(), np.broadcast_to(wanted, (B, H, 1)))


def test_shared_weights():
    shared, own = (make(n_blocks=[3, 1, 2], shared_weights=s) for s in (True, False))
    assert len(shared.blocks) == len(own.blocks) == 6 and shared.blocks[0] is shared.blocks[2] is not shared.blocks[3]
    one = make()
    assert sum(p.numel() for p in shared.parameters()) == sum(p.numel() for p in one.parameters())
    assert sum(p.numel() for p in own.parameters()) > sum(p.numel() for p in one.parameters())
    again = make(n_blocks=[3, 1, 2], shared_weights=True, random_seed=5)
    again.load_state_dict(shared.state_dict())
    np.testing.assert_array_equal(again.forward(batch()).numpy(), shared.forward(batch()).numpy())


@pytest.mark.parametrize("activation", ["ReLU", "Softplus", "Tanh", "SELU", "LeakyReLU", "PReLU", "Sigmoid"])
def test_activations(activation):
    m, data = make(activation=activation, learning_rate=1e-2, loss=ndiv.losses.MSE()), batch()
    start, slopes = m.train_step(data), [n for n, _ in m.named_parameters() if "prelu" in n]
    for _ in range(400):
        end = m.train_step(data)
    assert end < 0.01 * start
    assert slopes == ([f"blocks.{k}.prelu.weight" for k in range(3)] if activation == "PReLU" else [])
    assert all(m.state_dict()[n] != 0.25 for n in slopes)


def test_dropout_while_training_only():
    m, data = make(dropout_prob_theta=0.4, variant="compat"), batch()
    assert not np.array_equal(m.forward(data).numpy(), m.forward(data).numpy())
    np.testing.assert_array_equal(m.forecast(data), make(variant="compat").forecast(data))


@pytest.mark.parametrize("variant", ["paper", "compat"])
@pytest.mark.parametrize("options", [{"activation": "PReLU", "shared_weights": True}, {"basis": "spline", "n_basis": 4, "loss": "MQLoss"},
                                     {"activation": "SELU", "stack_types": ["seasonality"] * 3, "n_harmonics": 3}], ids=str)
def test_certificates(options, variant):
    certificate = verify(make(**options, variant=variant, n_blocks=[1, 2, 2]), batch(missing=True))
    assert certificate and certificate.unreached == [], str(certificate)


# -- decomposition ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scaler", ["identity", "standard", "robust", "minmax", "invariant", "revin"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_parts_add_up_to_the_forecast(variant, loss, scaler):
    m = make(variant=variant, loss=LOSSES[loss](), scaler_type=scaler, n_blocks=[1, 2, 1])
    data = batch(missing=True)
    forecast = m.forecast(data)
    stacks, blocks = m.decompose(data), m.decompose(data, by="block")
    assert list(stacks) == ["level", "identity", "trend", "seasonality"]
    assert list(blocks) == ["level", "identity, block 1", "trend, block 1", "trend, block 2", "seasonality, block 1"]
    for parts in (stacks, blocks):
        np.testing.assert_allclose(sum(parts.values()), forecast, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(blocks["trend, block 1"] + blocks["trend, block 2"], stacks["trend"], rtol=1e-4, atol=1e-5)
    assert m.training


@pytest.mark.parametrize("scaler", ["identity", "standard"])
def test_parts_are_what_their_stacks_can_say(scaler):
    """A trend is a polynomial, a seasonality is made of waves, in the units of the data; the level is the window's."""
    m, data = make(**INTERPRETABLE, scaler_type=scaler), batch()
    parts = {k: v[..., 0].astype(float) for k, v in m.decompose(data).items()}
    t = np.arange(H) / H
    for found, table in ((parts["trend"], np.stack([t ** k for k in range(3)])), (parts["seasonality"], fourier(np.arange(H), H, 1))):
        residual = found.T - table.T @ np.linalg.lstsq(table.T, found.T, rcond=None)[0]
        assert np.abs(residual).max() < 1e-6 * max(1, np.abs(found).max())
    level = 0 if scaler == "identity" else data["insample_y"].mean(1)
    np.testing.assert_allclose(parts["level"], np.broadcast_to(level, (B, H)), rtol=1e-5, atol=1e-6)


def test_stacks_of_one_type_are_numbered():
    m = make(stack_types=["trend", "identity", "trend"])
    assert list(m.decompose(batch())) == ["level", "trend 1", "identity", "trend 3"]
    with pytest.raises(ConfigError, match="by must be 'stack' or 'block', not 'stak'") as error:
        m.decompose(batch(), by="stak")
    assert error.value.code == "E0010" and "Did you mean 'stack'" in error.value.hint


def test_stacks_learn_to_tell_a_trend_from_a_season():
    """Windows of a line and a wave of h steps, free of noise: each stack forecasts its own to a tenth of its size."""
    rng = np.random.default_rng(0)
    t, n = np.arange(-L, H), 64
    line = rng.normal(size=(n, 1)) + rng.normal(size=(n, 1)) * t / H
    phase, size = rng.uniform(0, 2 * np.pi, (n, 1)), rng.uniform(0.5, 2, (n, 1))
    wave = size * np.cos(2 * np.pi * t / H + phase)
    y = (line + wave).astype(np.float32)[..., None]
    data = {"insample_y": y[:, :L], "outsample_y": y[:, L:]}
    m = make(**{**INTERPRETABLE, "mlp_units": [[64, 64]], "n_basis": 1}, learning_rate=3e-3, loss=ndiv.losses.MSE())
    for _ in range(1500):
        m.train_step(data)
    parts = m.decompose(data)
    # a constant is in both bases: they are compared without their means
    for name, wanted in (("trend", line[:, L:]), ("seasonality", wave[:, L:])):
        found = parts[name][..., 0] - parts[name][..., 0].mean(1, keepdims=True)
        wanted = wanted - wanted.mean(1, keepdims=True)
        assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.1 * np.sqrt(np.mean(wanted ** 2)), name


# -- arguments -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("options", "text"), [
    ({"h": 1}, "h of at least 2.*identity"), ({"h": 1, "stack_types": ["seasonality"], "n_blocks": [1]}, "h of at least 2"),
    ({"stack_types": ["trend", "seasonalty"], "n_blocks": [1, 1]}, "'seasonalty'.*Did you mean 'seasonality'"),
    ({"stack_types": []}, "stack_types"), ({"stack_types": "trend"}, "stack_types must be a list"),
    ({"stack_types": ["exogenous"], "n_blocks": [1]}, "unknown stack type 'exogenous'"),
    ({"n_blocks": [1, 1]}, "n_blocks has 2 entries and stack_types 3"), ({"n_blocks": [1, 0, 1]}, "n_blocks must hold positive"),
    ({"n_blocks": 3}, "n_blocks must be a list"), ({"mlp_units": []}, "mlp_units"), ({"mlp_units": [[8, 0]]}, "mlp_units"),
    ({"mlp_units": [8, 8]}, "mlp_units must be pairs"), ({"mlp_units": [[8, 8], [9, 8]]}, "chain"),
    ({"basis": "polynomail"}, "'polynomail'.*Did you mean 'polynomial'"), ({"n_basis": -1}, "n_basis must be.*at least 0"),
    ({"basis": "spline"}, "n_basis must be.*at least 3 for basis='spline', not 2.*n_basis >= 3"), ({"n_basis": 1.5}, "n_basis"),
    ({"basis": "linear_hat", "n_basis": 0}, "at least 1"), ({"n_harmonics": 0}, "n_harmonics must be"), ({"n_harmonics": 1.5}, "n_harm"),
    ({"activation": "ReLu6"}, "unknown activation 'ReLu6'.*ReLU"), ({"activation": None}, "unknown activation"),
    ({"dropout_prob_theta": 1.0}, "dropout_prob_theta must be in"), ({"dropout_prob_theta": "no"}, "dropout_prob_theta"),
    ({"futr_exog_list": ["a"]}, " takes no futr_exog.*NBEATSx"), ({"stack_types": None}, "stack_types must be a list"),
    ({"n_blocks": None}, "n_blocks must be a list"), ({"n_blocks": [True, 1, 1]}, "n_blocks must hold positive"),
])
def test_bad_configurations(options, text):
    with pytest.raises(ConfigError, match=f"NBEATS.*{text}") as error:
        make(**options)
    assert error.value.code == "E0010" and error.value.hint


def test_one_step_ahead_and_the_shortest_seasons():
    assert make(h=1, stack_types=["identity"], n_blocks=[2]).forward({"insample_y": batch()["insample_y"]}).shape == (B, 1, 1)
    for h in (2, 3):
        m = make(h=h, n_harmonics=3, basis="spline", n_basis=5)
        assert np.isfinite(m.forward({"insample_y": batch()["insample_y"]}).numpy()).all()


def test_n_polynomials_is_said_to_have_no_effect():
    with pytest.warns(FutureWarning, match="n_polynomials=3 has no effect"):
        m = make(n_polynomials=3)
    assert sum(p.numel() for p in m.parameters()) == sum(p.numel() for p in make().parameters())


# -- neuralforecast ----------------------------------------------------------------------------------------------------------

FIGURES = np.load(Path(__file__).parent / "figures" / "nbeats.npz")


@pytest.mark.parametrize("case", sorted({name.split(":")[0] for name in FIGURES.files}))
def test_compat_gives_neuralforecasts_numbers(case):
    """Weights and forecasts of NBEATS and NBEATSx of neuralforecast 3.3.0, written by tests/peers/make_figures.py."""
    facts = json.loads(str(FIGURES[f"{case}: facts"]))
    sizes = [int(np.prod(shape)) for _, shape in facts["shapes"]]
    pieces = np.split(FIGURES[f"{case}: numbers"], np.cumsum(sizes)[:-1])
    arrays = {name: piece.reshape(shape) for (name, shape), piece in zip(facts["shapes"], pieces, strict=True)}
    loss = {"MAE": ndiv.losses.MAE, "MQLoss": lambda: ndiv.losses.MQLoss(level=[80, 95]),
            "StudentT": lambda: ndiv.losses.DistributionLoss("StudentT", level=[80])}[facts["loss"]]()
    m = get_model(facts["model"])(**facts["options"], loss=loss, variant="compat").eval()
    m.load_state_dict(convert({k: v for k, v in arrays.items() if k.startswith("blocks.")}, m))
    found = m.forward({k: v for k, v in arrays.items() if not k.startswith("blocks.")}).numpy()
    assert np.abs(found - arrays["forecast"]).max() <= 2e-5 * np.abs(arrays["forecast"]).max()


def test_weights_of_other_blocks_are_refused():
    m = make(variant="compat")
    state = {f"blocks.{k}.layers.0.weight": np.zeros((7, L)) for k in range(2)}
    with pytest.raises(ConfigError, match="weights are of 2 blocks and the model has 3"):
        convert(state, m)
    with pytest.raises(ConfigError, match="block 0 has 1 layers in the weights and 4"):
        convert({**state, "blocks.2.layers.0.weight": np.zeros((7, L))}, m)
