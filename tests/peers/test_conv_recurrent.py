"""Convolution, pooling, batch normalization and recurrent layers against PyTorch in float64: values and gradients, 1e-9."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ndiv
from ndiv.autograd.ops import conv as conv_ops
from ndiv.autograd.ops.norm import batch_norm
from ndiv.nn import conv as conv_layers
from ndiv.nn import norm as norm_layers
from ndiv.nn import recurrent as recurrent_layers

torch = pytest.importorskip("torch")  # the folder has its own environment; see README.md
F = torch.nn.functional
TOLERANCE = 1e-9


def draw(*shape, seed=0):
    return np.random.Generator(np.random.Philox(key=[seed, 77])).normal(size=shape)


def close(a, b, what=""):
    b = b.detach().numpy()
    assert a.shape == b.shape, what
    np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * max(1.0, float(np.abs(b).max(initial=0.0))), err_msg=what)


def compare(ours, theirs, arrays):
    """Values and all gradients of two functions of the same arrays, under one random cotangent for each output."""
    mine = [None if a is None else ndiv.tensor(a, requires_grad=True) for a in arrays]
    peer = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    a, b = ours(*mine), theirs(*peer)
    a, b = (a, b) if isinstance(a, tuple) else ((a,), (b,))
    total_a = total_b = 0.0
    for k, (p, q) in enumerate(zip(a, b, strict=True)):
        close(p.numpy(), q, f"output {k}")
        v = draw(*p.shape, seed=50 + k)
        total_a, total_b = total_a + (p * v).sum(), total_b + (q * torch.tensor(v)).sum()
    total_a.backward()
    total_b.backward()
    for k, (p, q) in enumerate(zip(mine, peer, strict=True)):
        if p is not None:
            close(p.grad.numpy(), q.grad, f"gradient {k}")


def grid(*choices):
    """All combinations, but for a stride (the first) with padding "same", which both sides refuse."""
    return [c for c in itertools.product(*choices) if c[0] == 1 or "same" not in c]


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups", "bias"), grid(
    (1, 2, 3), (0, 2, "same", "valid"), (1, 2), (1, 2, 4), (True, False)))
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv1d(stride, padding, dilation, groups, bias):
    for kernel in (1, 2, 3):
        arrays = [draw(2, 4, 11), draw(8, 4 // groups, kernel, seed=1), draw(8, seed=2) if bias else None]
        more = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        compare(lambda *a, kw=more: conv_ops.conv1d(*a, **kw), lambda *a, kw=more: F.conv1d(*a, **kw), arrays)


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), grid(
    (1, (2, 1), 3), (0, (1, 2), "same"), (1, (2, 1)), (1, 2, 4)))
@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_conv2d(stride, padding, dilation, groups):
    more = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    for kernel in ((1, 1), (2, 3), (3, 1)):
        arrays = [draw(2, 4, 7, 6), draw(4, 4 // groups, *kernel, seed=1), draw(4, seed=2)]
        compare(lambda *a, kw=more: conv_ops.conv2d(*a, **kw), lambda *a, kw=more: F.conv2d(*a, **kw), arrays)


@pytest.mark.parametrize(("stride", "padding", "extra", "groups", "dilation"), [
    (1, 0, 0, 1, 1), (2, 1, 1, 1, 1), (3, 0, 2, 2, 1), (2, 2, 0, 2, 2), (2, 1, 1, 4, 3)])
def test_conv_transpose(stride, padding, extra, groups, dilation):
    more = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    arrays = [draw(2, 4, 5), draw(4, 2, 3, seed=1), draw(2 * groups, seed=2)]
    compare(lambda *a: conv_ops.conv_transpose1d(*a, **more), lambda *a: F.conv_transpose1d(*a, **more), arrays)
    arrays = [draw(2, 4, 5, 3), draw(4, 2, 3, 2, seed=1), draw(2 * groups, seed=2)]
    compare(lambda *a: conv_ops.conv_transpose2d(*a, **more), lambda *a: F.conv_transpose2d(*a, **more), arrays)


def test_second_order_of_conv():
    """The gradient of a squared gradient, through all three primitives of the family."""
    x, w = draw(2, 4, 9), draw(6, 2, 3, seed=1)

    def ours(x, w):
        y = conv_ops.conv1d(x, w, stride=2, padding=1, groups=2)
        gx, gw = ndiv.grad(lambda a, b: (conv_ops.conv1d(a, b, stride=2, padding=1, groups=2) ** 2).sum(), argnums=(0, 1),
                           create_graph=True)(x, w)
        return (gx**2).sum() + (gw**2 * 0.1).sum() + y.sum()

    def theirs(x, w):
        y = F.conv1d(x, w, stride=2, padding=1, groups=2)
        gx, gw = torch.autograd.grad((y**2).sum(), (x, w), create_graph=True)
        return (gx**2).sum() + (gw**2 * 0.1).sum() + y.sum()

    compare(ours, theirs, [x, w])


@pytest.mark.parametrize(("kernel", "stride", "padding", "ceil_mode"), list(itertools.product(
    (2, 3, 4), (None, 1, 2, 3), (0, 1), (False, True))))
def test_pooling(kernel, stride, padding, ceil_mode):
    for axes, peers in [(1, (F.max_pool1d, F.avg_pool1d)), (2, (F.max_pool2d, F.avg_pool2d))]:
        x = draw(2, 3, *(9, 8)[:axes])
        for dilation in (1, 2):
            compare(lambda t, d=dilation, n=axes: conv_ops.max_pool(t, kernel, stride, padding, d, ceil_mode, axes=n),
                    lambda t, d=dilation, f=peers[0]: f(t, kernel, stride, padding, d, ceil_mode), [x])
            ours = conv_ops.max_pool(x, kernel, stride, padding, dilation, ceil_mode, True, axes=axes)[1]
            theirs = peers[0](torch.tensor(x), kernel, stride, padding, dilation, ceil_mode, return_indices=True)[1]
            np.testing.assert_array_equal(ours, theirs.numpy())
        for counted in (True, False):
            compare(lambda t, c=counted, n=axes: conv_ops.avg_pool(t, kernel, stride, padding, ceil_mode, c, axes=n),
                    lambda t, c=counted, f=peers[1]: f(t, kernel, stride, padding, ceil_mode, c), [x])


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 6), (2, 3, 4, 5)])
def test_batch_norm(shape):
    x, w, b = draw(*shape), draw(3, seed=1), draw(3, seed=2)
    compare(lambda *a: batch_norm(a[0], None, None, *a[1:], training=True),
            lambda *a: F.batch_norm(a[0], None, None, *a[1:], training=True), [x, w, b])
    mean, var = draw(3, seed=3), draw(3, seed=4) ** 2
    compare(lambda *a: batch_norm(a[0], mean.copy(), var.copy(), *a[1:], eps=1e-3),
            lambda *a: F.batch_norm(a[0], torch.tensor(mean), torch.tensor(var), *a[1:], eps=1e-3), [x, w, b])


@pytest.mark.parametrize(("momentum", "affine", "track"), list(itertools.product((0.1, 0.7, None), (True, False),
                                                                                 (True, False))))
def test_batch_norm_layers_over_steps(momentum, affine, track):
    for ours, theirs, shape in [(norm_layers.BatchNorm1d, torch.nn.BatchNorm1d, (4, 3, 5)),
                                (norm_layers.BatchNorm2d, torch.nn.BatchNorm2d, (4, 3, 5, 2))]:
        a = ours(3, momentum=momentum, affine=affine, track_running_stats=track).astype(np.float64)
        b = theirs(3, momentum=momentum, affine=affine, track_running_stats=track).double()
        for name in ("running_mean", "running_var") if track else ():
            setattr(a, name, getattr(a, name).astype(np.float64))
        for step in range(4):
            x = draw(*shape, seed=step) * 2 + 1
            close(a(ndiv.tensor(x)).numpy(), b(torch.tensor(x)))
        a.eval(), b.eval()
        close(a(ndiv.tensor(x)).numpy(), b(torch.tensor(x)))
        assert set(a.state_dict()) == set(b.state_dict())
        for name, value in b.state_dict().items():
            close(a.state_dict()[name], value, name)


def pair(ours, theirs, *args, **kw):
    """Two layers with the same float64 weights: PyTorch's state goes in unchanged."""
    b = theirs(*args, **kw).double()
    a = ours(*args, **kw).astype(np.float64)
    a.load_state_dict({name: value.numpy() for name, value in b.state_dict().items()})
    assert [n for n, _ in a.named_parameters()] == [n for n, _ in b.named_parameters()]
    return a, b


def parameters_agree(a, b):
    for (name, p), (_, q) in zip(a.named_parameters(), b.named_parameters(), strict=True):
        close(p.grad.numpy(), q.grad, name)


RECURRENT = [("RNN", {"nonlinearity": "tanh"}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}), ("LSTM", {})]


@pytest.mark.parametrize(("kind", "layers", "bidirectional", "batch_first", "bias", "ragged", "with_state"), [
    (kind, *rest) for kind in range(4) for rest in itertools.product((1, 2), *[(False, True)] * 5)])
def test_recurrent_layers(kind, layers, bidirectional, batch_first, bias, ragged, with_state):
    name, more = RECURRENT[kind]
    a, b = pair(getattr(recurrent_layers, name), getattr(torch.nn, name), 3, 4, num_layers=layers, bias=bias,
                batch_first=batch_first, bidirectional=bidirectional, **more)
    steps, batch = 6, 3
    x = draw(batch, steps, 3) if batch_first else draw(steps, batch, 3)
    lengths = [4, 6, 1] if ragged else None
    states = [draw(layers * (1 + bidirectional), batch, 4, seed=3 + k) for k in range(1 + (name == "LSTM"))]
    states = states if with_state else []

    def flat(y, final):
        return (y, *(final if isinstance(final, tuple) else (final,)))

    def ours(x, *s):
        return flat(*a(x, (s if name == "LSTM" else s[0]) if s else None, lengths=lengths))

    def theirs(x, *s):
        given = (s if name == "LSTM" else s[0]) if s else None
        if lengths is None:
            return flat(*b(x, given))
        rnn_utils = torch.nn.utils.rnn
        packed = rnn_utils.pack_padded_sequence(x, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=False)
        y, final = b(packed, given)
        return flat(rnn_utils.pad_packed_sequence(y, batch_first=batch_first, total_length=steps)[0], final)

    compare(ours, theirs, [x, *states])
    parameters_agree(a, b)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_recurrent_layer_without_batch(name):
    a, b = pair(getattr(recurrent_layers, name), getattr(torch.nn, name), 3, 4, num_layers=2, bidirectional=True)

    def flat(y, final):
        return (y, *(final if isinstance(final, tuple) else (final,)))

    compare(lambda x: flat(*a(x)), lambda x: flat(*b(x)), [draw(5, 3)])


@pytest.mark.parametrize(("name", "more"), [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("GRUCell", {}),
                                            ("LSTMCell", {})])
def test_cells(name, more):
    a, b = pair(getattr(recurrent_layers, name), getattr(torch.nn, name), 3, 4, **more)
    states = [draw(5, 4, seed=1 + k) for k in range(1 + (name == "LSTMCell"))]
    compare(lambda x, *s: a(x, s if len(s) > 1 else s[0]), lambda x, *s: b(x, s if len(s) > 1 else s[0]),
            [draw(5, 3), *states])
    parameters_agree(a, b)


@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_second_order_of_recurrent_layers(name):
    """The gradient of a squared gradient: the loop's, differentiated again."""
    a, b = pair(getattr(recurrent_layers, name), getattr(torch.nn, name), 2, 3, bidirectional=True)
    v = draw(4, 2, 6, seed=9)

    def ours(x):
        return (ndiv.grad(lambda t: (a(t)[0] * v).sum(), create_graph=True)(x) ** 2).sum()

    def theirs(x):
        return (torch.autograd.grad((b(x)[0] * torch.tensor(v)).sum(), x, create_graph=True)[0] ** 2).sum()

    compare(ours, theirs, [draw(4, 2, 2)])


@pytest.mark.parametrize(("args", "more"), [
    ((4, 6, 3), {}), ((4, 6, 3), {"padding": "same", "padding_mode": "reflect"}), ((4, 6, 2), {"groups": 2, "bias": False}),
    ((4, 6, 3), {"padding": 1, "padding_mode": "circular"}), ((4, 6, 3), {"padding": 2, "padding_mode": "replicate"})])
def test_conv_layers(args, more):
    for ours, theirs, shape in [(conv_layers.Conv1d, torch.nn.Conv1d, (2, 4, 9)),
                                (conv_layers.Conv2d, torch.nn.Conv2d, (2, 4, 6, 5))]:
        a, b = pair(ours, theirs, *args, **more)
        compare(a, b, [draw(*shape)])
        parameters_agree(a, b)
        compare(a, b, [draw(*shape[1:])])  # without a batch


def test_transposed_and_pooling_layers():
    a, b = pair(conv_layers.ConvTranspose1d, torch.nn.ConvTranspose1d, 4, 6, 3, stride=2, padding=1, output_padding=1, groups=2)
    compare(a, b, [draw(2, 4, 5)])
    for name, args, shape in [("MaxPool1d", (3, 2, 1), (2, 3, 9)), ("AvgPool1d", (3, 2, 1), (2, 3, 9)),
                              ("MaxPool2d", ((3, 2), 2, 1), (2, 3, 6, 7)), ("AvgPool2d", ((3, 2), 2, 1), (2, 3, 6, 7))]:
        compare(getattr(conv_layers, name)(*args), getattr(torch.nn, name)(*args), [draw(*shape)])


@pytest.mark.parametrize(("module", "name", "args"), [
    (conv_layers, "Conv1d", (8, 256, 5)), (conv_layers, "Conv2d", (4, 256, 3)), (conv_layers, "ConvTranspose1d", (4, 256, 5)),
    (recurrent_layers, "LSTM", (8, 64)), (recurrent_layers, "GRU", (8, 64)), (recurrent_layers, "RNN", (8, 64))])
def test_initial_values_have_the_same_range(module, name, args):
    ndiv.manual_seed(0)
    torch.manual_seed(0)
    theirs = dict(getattr(torch.nn, name)(*args).named_parameters())
    for parameter, p in getattr(module, name)(*args).named_parameters():
        q = theirs[parameter].detach().numpy()
        assert p.shape == q.shape
        bound = np.abs(q).max()
        assert abs(np.abs(p.numpy()).max() / bound - 1) < 0.1, parameter
