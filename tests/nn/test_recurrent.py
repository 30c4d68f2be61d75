"""Recurrent layers: names, shapes, stacking, directions, lengths, dropout, state, refusals."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.autograd.ops.recurrent import lstm
from ndiv.errors import ConfigError, ShapeError
from ndiv.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

KINDS = {"rnn": (RNN, RNNCell, 1), "gru": (GRU, GRUCell, 3), "lstm": (LSTM, LSTMCell, 4)}


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 81])).normal(size=shape).astype(np.float32)


def arrays(final):
    return [s.numpy() for s in (final if isinstance(final, tuple) else (final,))]


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_have_pytorchs_names_order_and_shapes(kind):
    layer, _, gates = KINDS[kind]
    g = gates * 5
    shapes = [(n, p.shape) for n, p in layer(3, 5, num_layers=2, bidirectional=True).named_parameters()]
    expected = []
    for k, width in ((0, 3), (1, 10)):
        for end in (f"l{k}", f"l{k}_reverse"):
            expected += [(f"weight_ih_{end}", (g, width)), (f"weight_hh_{end}", (g, 5)), (f"bias_ih_{end}", (g,)),
                         (f"bias_hh_{end}", (g,))]
    assert shapes == expected
    assert len(list(layer(3, 5, bias=False).parameters())) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_stacked_and_directions_joined(kind):
    """Two layers in both directions against four single ones, by weights and by hand."""
    make, _, _ = KINDS[kind]
    ndiv.manual_seed(2)
    whole, x = make(3, 4, num_layers=2, bidirectional=True), draw(5, 2, 3)
    state = whole.state_dict()
    values, finals = x, []
    for k in range(2):
        ys = []
        for end in (f"l{k}", f"l{k}_reverse"):
            single = make(values.shape[2], 4)
            single.load_state_dict({f"{n}_l0": state[f"{n}_{end}"] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
            back = end.endswith("reverse")
            y, final = single(ndiv.tensor(values[::-1].copy() if back else values))
            ys.append(y.numpy()[::-1] if back else y.numpy())
            finals.append([s[0] for s in arrays(final)])
        values = np.concatenate(ys, -1)
    y, final = whole(ndiv.tensor(x))
    np.testing.assert_allclose(y.numpy(), values, rtol=1e-5, atol=1e-6)
    for got, want in zip(arrays(final), zip(*finals, strict=True), strict=True):
        np.testing.assert_allclose(got, np.stack(want), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_first_and_no_batch(kind):
    make, _, _ = KINDS[kind]
    ndiv.manual_seed(3)
    a, b, x = make(3, 4, num_layers=2), make(3, 4, num_layers=2, batch_first=True), draw(5, 2, 3)
    b.load_state_dict(a.state_dict())
    y, final = a(ndiv.tensor(x))
    y2, final2 = b(ndiv.tensor(x.swapaxes(0, 1).copy()))
    np.testing.assert_array_equal(y2.numpy(), y.numpy().swapaxes(0, 1))
    for p, q in zip(arrays(final), arrays(final2), strict=True):
        np.testing.assert_array_equal(p, q)
        assert p.shape == (2, 2, 4)
    y3, final3 = b(ndiv.tensor(x[:, 1].copy()))
    np.testing.assert_allclose(y3.numpy(), y.numpy()[:, 1], rtol=1e-5, atol=1e-6)
    assert [s.shape for s in arrays(final3)] == [(2, 4)] * len(arrays(final))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_mean_the_sequences_alone(kind, bidirectional):
    make, _, _ = KINDS[kind]
    ndiv.manual_seed(4)
    layer, x, lengths = make(3, 4, num_layers=2, bidirectional=bidirectional), draw(6, 3, 3), [4, 6, 1]
    y, final = layer(ndiv.tensor(x), lengths=lengths)
    for b, n in enumerate(lengths):
        alone, last = layer(ndiv.tensor(x[:n, b:b + 1].copy()))
        np.testing.assert_allclose(y.numpy()[:n, b], alone.numpy()[:, 0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(y.numpy()[n:, b], 0)
        for p, q in zip(arrays(final), arrays(last), strict=True):
            np.testing.assert_allclose(p[:, b], q[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_single_steps(kind):
    make, cell_of, _ = KINDS[kind]
    ndiv.manual_seed(5)
    layer, cell, x = make(3, 4), cell_of(3, 4), draw(5, 2, 3)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    y, final = layer(ndiv.tensor(x))
    state = None
    for t in range(5):
        state = cell(ndiv.tensor(x[t]), state)
        np.testing.assert_allclose(arrays(state)[0], y.numpy()[t], rtol=1e-5, atol=1e-6)
    for p, q in zip(arrays(state), arrays(final), strict=True):
        np.testing.assert_allclose(p, q[0], rtol=1e-5, atol=1e-6)


def test_state_carries_on():
    layer, x = LSTM(3, 4, num_layers=2, bidirectional=False), draw(8, 2, 3)
    y, _ = layer(ndiv.tensor(x))
    first, state = layer(ndiv.tensor(x[:5]))
    second, _ = layer(ndiv.tensor(x[5:]), state)
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()]), y.numpy(), rtol=1e-5, atol=1e-6)


def test_dropout_acts_between_layers_in_training_only():
    ndiv.manual_seed(6)
    layer, x = GRU(3, 8, num_layers=2, dropout=0.5), ndiv.tensor(draw(5, 2, 3))
    a, b = layer(x)[0].numpy(), layer(x)[0].numpy()
    assert not np.array_equal(a, b)
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0].numpy(), layer(x)[0].numpy())
    single = GRU(3, 8, dropout=0.5)
    np.testing.assert_array_equal(single(x)[0].numpy(), single(x)[0].numpy())


def test_initial_values_lie_within_the_root_of_the_hidden_size():
    ndiv.manual_seed(7)
    for p in LSTM(3, 100).parameters():
        assert 0.09 < np.abs(p.numpy()).max() <= 0.1


def test_a_layer_learns_to_remember():
    """The first value of a sequence, told at its end: only state can carry it."""
    ndiv.manual_seed(8)
    layer, head = LSTM(1, 8), ndiv.nn.Linear(8, 1)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = ndiv.optim.AdamW(parameters, lr=0.03)
    x = draw(10, 64, 1)
    for _ in range(150):
        optimizer.zero_grad()
        error = head(layer(ndiv.tensor(x))[0][-1]) - x[0]
        loss = (error * error).mean()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.05 * x[0].var()


def test_one_node_a_layer_and_direction_on_the_tape():
    y, _ = LSTM(3, 4, num_layers=2, bidirectional=True)(ndiv.tensor(draw(50, 2, 3)))
    assert [n.prim.name for n in ndiv.Tape.of(y)].count("lstm") == 4
    assert len(ndiv.Tape.of(y)) < 10


@pytest.mark.parametrize("make", [
    lambda: RNN(0, 3), lambda: GRU(3, 0), lambda: LSTM(3, 4, num_layers=0), lambda: LSTM(3, 4, dropout=1.0),
    lambda: RNN(3, 4, nonlinearity="sigmoid"), lambda: RNNCell(3, 4, nonlinearity="Tanh"), lambda: LSTMCell(3, 1.5)])
def test_bad_arguments(make):
    with pytest.raises(ConfigError) as error:
        make()
    assert error.value.hint


def test_shapes_that_do_not_fit():
    x = ndiv.tensor(draw(5, 2, 3))
    with pytest.raises(ShapeError, match="input_size is 4"):
        GRU(4, 5)(x)
    with pytest.raises(ShapeError, match=r"hx has shape \[2, 2, 5\] and must be \[1, 2, 5\]"):
        GRU(3, 5)(x, ndiv.tensor(draw(2, 2, 5)))
    with pytest.raises(ShapeError, match="pair"):
        LSTM(3, 5)(x, ndiv.tensor(draw(1, 2, 5)))
    with pytest.raises(ShapeError, match="lengths must be 2"):
        GRU(3, 5)(x, lengths=[1, 2, 3])
    with pytest.raises(ShapeError):
        lstm(x, None, None, draw(20, 3), draw(20, 4))
