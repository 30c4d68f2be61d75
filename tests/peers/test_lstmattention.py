"""LSTMAttention beside the same equations written with PyTorch's layers: the same weights and windows, forecasts within 2e-5 of
the largest element and gradients of all weights within 1e-4, over every argument of the architecture.

No library has this model, so what stands beside it is written here, with torch.nn.LSTM on packed sequences and PyTorch's attention.
"""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv import losses
from ndiv.models import get_model

torch = pytest.importorskip("torch")  # the folder has its own environment; see README.md
F = torch.nn.functional
B = 5
LOSSES = {"point": losses.MAE, "quantiles": lambda: losses.MQLoss(level=[80]), "normal": lambda: losses.DistributionLoss("Normal")}


class Heads(torch.nn.Module):
    def __init__(self, hidden, memory, heads):
        super().__init__()
        self.hidden, self.heads = hidden, heads
        self.query, self.key_value = torch.nn.Linear(hidden, hidden), torch.nn.Linear(memory, 2 * hidden)
        self.out = torch.nn.Linear(hidden, hidden)

    def forward(self, s, memory, padded):
        keys, values = self.key_value.weight.chunk(2)
        out, _ = F.multi_head_attention_forward(
            s.transpose(0, 1), memory.transpose(0, 1), memory.transpose(0, 1), self.hidden, self.heads, None,
            torch.cat([self.query.bias, self.key_value.bias]), None, None, False, 0.0, self.out.weight, self.out.bias,
            training=False, key_padding_mask=padded, need_weights=False, use_separate_proj_weight=True,
            q_proj_weight=self.query.weight, k_proj_weight=keys, v_proj_weight=values)
        return out.transpose(0, 1)


class Luong(torch.nn.Module):
    def __init__(self, hidden, memory, heads):
        super().__init__()
        self.score = torch.nn.Linear(hidden, memory, bias=False)

    def forward(self, s, memory, padded):
        scores = torch.einsum("bth,hi,bli->btl", s, self.score.weight.T, memory).masked_fill(padded[:, None], -torch.inf)
        return torch.softmax(scores, dim=2) @ memory


class Bahdanau(torch.nn.Module):
    def __init__(self, hidden, memory, heads):
        super().__init__()
        self.state, self.memory = torch.nn.Linear(hidden, hidden), torch.nn.Linear(memory, hidden, bias=False)
        self.score = torch.nn.Linear(hidden, 1, bias=False)

    def forward(self, s, memory, padded):
        scores = self.score(torch.tanh(self.state(s)[:, :, None] + self.memory(memory)[:, None]))[..., 0]
        return torch.softmax(scores.masked_fill(padded[:, None], -torch.inf), dim=2) @ memory


class Decoder(torch.nn.Module):
    def __init__(self, o, known, size, memory, n_out):
        super().__init__()
        hidden, kind = o["lstm_hidden_size"], o["attention"]
        self.first = kind == "bahdanau"
        self.attention = {"multihead": Heads, "luong": Luong, "bahdanau": Bahdanau}[kind](hidden, memory, o["n_head"])
        self.lstm = torch.nn.LSTM(1 + known + size * self.first, hidden, o["lstm_n_layers"], batch_first=True)
        self.combine, self.head = torch.nn.Linear(size + hidden, hidden), torch.nn.Linear(hidden, n_out)

    def forward(self, x, state, memory, padded):
        """One step: x [B, 1, *]."""
        if self.first:
            context = self.attention(state[0][-1][:, None], memory, padded)
            s, state = self.lstm(torch.cat([x, context], 2), state)
        else:
            s, state = self.lstm(x, state)
            context = self.attention(s, memory, padded)
        return self.head(torch.tanh(self.combine(torch.cat([context, s], 2)))), state


class Peer(torch.nn.Module):
    def __init__(self, o, n_out):
        super().__init__()
        self.o, hidden = o, o["lstm_hidden_size"]
        hist, futr, stat = (len(o[f"{k}_exog_list"]) for k in ("hist", "futr", "stat"))
        memory = hidden * (1 + o["encoder_bidirectional"])
        self.encoder = torch.nn.LSTM(1 + hist + futr + stat, hidden, o["lstm_n_layers"], batch_first=True,
                                     bidirectional=o["encoder_bidirectional"])
        if o["encoder_bidirectional"]:
            self.bridge_state, self.bridge_cell = torch.nn.Linear(memory, hidden), torch.nn.Linear(memory, hidden)
        self.decoder = Decoder(o, futr + stat, hidden if o["attention"] == "multihead" else memory, memory, n_out)

    def forward(self, data, fed, teacher=None, coins=None):
        """[B, h, outputs]; teacher [B, h, 1]: true values, which are read everywhere, or where coins [B, h - 1, 1] say so."""
        y, mask, length = data["insample_y"], data["insample_mask"], self.o["input_size"]
        begin = mask[:, :, 0].argmax(1)
        x = [y * mask]
        if "hist_exog" in data:
            x.append(data["hist_exog"])
        if "stat_exog" in data:
            x.append(data["stat_exog"][:, None].expand(-1, length, -1))
        if "futr_exog" in data:
            x.append(data["futr_exog"][:, :length])
        rows = [row[b:] for row, b in zip(torch.cat(x, 2), begin, strict=True)]
        packed = torch.nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
        memory, state = self.encoder(packed)
        memory, _ = torch.nn.utils.rnn.pad_packed_sequence(memory, batch_first=True, total_length=length)
        if self.o["encoder_bidirectional"]:
            h, c = (torch.cat([v[::2], v[1::2]], 2) for v in state)
            state = torch.tanh(self.bridge_state(h)), self.bridge_cell(c)
        padded = torch.arange(length) >= (length - begin)[:, None]
        z = torch.stack([row[m > 0][-1] for row, m in zip(y, mask[:, :, 0], strict=True)])[:, None]
        found = []
        for k in range(self.o["h"]):
            step = [z]
            if "stat_exog" in data:
                step.append(data["stat_exog"][:, None])
            if "futr_exog" in data:
                step.append(data["futr_exog"][:, length + k:length + k + 1])
            out, state = self.decoder(torch.cat(step, 2), state, memory, padded)
            found.append(out)
            if k + 1 < self.o["h"]:
                z = fed(out) if teacher is None else teacher[:, k:k + 1]
                if coins is not None:
                    z = torch.where(coins[:, k:k + 1], z, fed(out).detach())
        return torch.cat(found, 1)


FED = {"point": lambda o: o, "quantiles": lambda o: o.sort(dim=2).values[..., 1:2], "normal": lambda o: o[..., :1]}


def draw(seed):
    """A configuration over every argument of the architecture."""
    rng = np.random.default_rng(seed)

    def pick(*values):
        return values[rng.integers(len(values))]

    names = {"hist_exog_list": ["p", "q"], "futr_exog_list": ["f"], "stat_exog_list": ["s", "t"]}
    return {"h": pick(1, 3, 8), "input_size": pick(3, 12, 25), "lstm_n_layers": pick(1, 2, 3), "n_head": pick(1, 2, 4),
            "lstm_hidden_size": pick(4, 8, 20), "attention": ("multihead", "luong", "bahdanau")[seed % 3],
            "encoder_bidirectional": bool(seed // 3 % 2), "scaler_type": "identity",
            **{key: pick([], value) for key, value in names.items()}}


def batch(o, seed):
    """Windows with gaps, some of which begin late, with the covariates of the configuration."""
    rng = np.random.default_rng(seed)
    length, h = o["input_size"], o["h"]
    mask = (rng.random((B, length, 1)) > 0.2).astype(np.float32)
    mask[0, :length // 2] = 0
    mask[1, -1] = 0
    mask[:, length // 2] = 1
    out = {"insample_y": rng.normal(size=(B, length, 1)).astype(np.float32), "insample_mask": mask,
           "outsample_y": rng.normal(size=(B, h, 1)).astype(np.float32)}
    for key, shape in (("hist_exog", (B, length)), ("futr_exog", (B, length + h)), ("stat_exog", (B,))):
        if o[f"{key}_list"]:
            out[key] = rng.normal(size=(*shape, len(o[f"{key}_list"]))).astype(np.float32)
    return out


@pytest.mark.parametrize("decoding", ["greedy", "forced", "mixed"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(12))
def test_forecast_and_gradients(seed, loss, decoding):
    o = draw(seed)
    model, data = get_model("LSTMAttention")(loss=LOSSES[loss](), random_seed=seed, **o), batch(o, seed)
    peer = Peer(o, model.n_out)
    state = {k: torch.tensor(v) for k, v in model.state_dict().items() if k != "codebook"}
    with torch.no_grad():
        for value in state.values():
            value *= 1.5  # gates and probabilities that differ from step to step
    peer.load_state_dict(state)  # strict: the names and shapes are the same, and each is used
    model.load_state_dict({**model.state_dict(), **{k: v.numpy() for k, v in state.items()}})
    given = {k: torch.tensor(v) for k, v in data.items()}
    if decoding == "greedy":
        out, expected = model.forward(data), peer(given, FED[loss])
    elif decoding == "forced":
        out, expected = model.teacher_forced(data), peer(given, FED[loss], given["outsample_y"])
    else:
        with ndiv.random.fork(seed):
            coins = ndiv.random.generator().random((B, o["h"] - 1, 1), dtype=np.float32) < 0.5
        with ndiv.random.fork(seed):
            out = model.teacher_forced(data, np.full((1, 1, 1), 0.5, np.float32))
        expected = peer(given, FED[loss], given["outsample_y"], torch.tensor(coins))
    wanted = expected.detach().numpy()
    assert out.shape == wanted.shape == (B, o["h"], model.n_out)
    assert np.abs(out.numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()
    projection = np.random.default_rng(seed).normal(size=wanted.shape).astype(np.float32)
    (expected * torch.tensor(projection)).sum().backward()
    (out * projection).sum().backward()
    gradients = {k: np.zeros(p.shape) if p.grad is None else p.grad.numpy() for k, p in peer.named_parameters()}
    largest = max(np.abs(g).max() for g in gradients.values())
    for key, p in model.named_parameters():
        off = np.abs(p.grad.numpy() - gradients[key]).max()
        # a bias of keys has no gradient but rounding: what is below a hundredth of the largest is measured by that
        assert off <= 1e-4 * max(np.abs(gradients[key]).max(), 1e-2 * largest), (key, off)


def test_a_long_window():
    """As long as in practice, where rounding of sums and states has room."""
    o = {**draw(0), "input_size": 336, "h": 96, "lstm_hidden_size": 32, "n_head": 4, "encoder_bidirectional": False}
    model, data = get_model("LSTMAttention")(**o), batch(o, 0)
    peer = Peer(o, 1)
    peer.load_state_dict({k: torch.tensor(v) for k, v in model.state_dict().items() if k != "codebook"})
    with torch.no_grad():
        wanted = peer({k: torch.tensor(v) for k, v in data.items()}, FED["point"]).numpy()
    assert np.abs(model.eval().forward(data).numpy() - wanted).max() <= 2e-5 * np.abs(wanted).max()
