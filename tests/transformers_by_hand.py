"""The encoder-decoder transformers of variant="paper" by their equations: float64, one window, head and query at a time; and
neuralforecast's committed figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FIGURES = Path(__file__).parent / "models" / "figures" / "transformers.npz"
EXOG = {"futr_exog_list": ["f", "g"], "hist_exog_list": ["p"], "stat_exog_list": ["s", "t"]}
Rows = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # (q, k, v) of one head -> a row for each query


def batch(m: Any, windows: int = 3, exog: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """Windows with gaps for a model, and covariates for `EXOG`."""
    draw = np.random.default_rng(seed)
    mask = (draw.random((windows, m.input_size, 1)) < 0.8).astype(np.float32)
    out = {"insample_y": draw.normal(size=mask.shape), "insample_mask": mask}
    if exog:
        out |= {"futr_exog": draw.normal(size=(windows, m.input_size + m.h, 2)),
                "hist_exog": draw.normal(size=(windows, m.input_size, 1)), "stat_exog": draw.normal(size=(windows, 2))}
    return {k: v.astype(np.float32) for k, v in out.items()}


def full(causal: bool) -> Rows:
    """Each query's mean of the values by the softmax of its scores; of those that are not after it where causal."""
    def rows(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
        out = []
        for i, query in enumerate(q):
            seen = slice(0, i + 1 if causal else len(k))
            p = np.exp(k[seen] @ query / math.sqrt(len(query)))
            out.append(p / p.sum() @ v[seen])
        return np.array(out)

    return rows


class ByHand:
    """The forecast of a model's weights; ``attend`` gives the rows of self-attention."""

    def __init__(self, m: Any, wrap: bool, attend: Callable[[bool], Rows] = full) -> None:
        self.m, self.wrap, self.attend = m, wrap, attend
        self.w = {k: v.astype(np.float64) for k, v in m.state_dict().items()}

    def linear(self, x: np.ndarray, at: str) -> np.ndarray:
        return x @ self.w[f"{at}.weight"].T + self.w.get(f"{at}.bias", 0.0)

    def norm(self, x: np.ndarray, at: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * self.w[f"{at}.weight"] + self.w[f"{at}.bias"]

    def tokens(self, y: np.ndarray, marks: list[np.ndarray], at: str) -> np.ndarray:
        hidden = len(self.w[f"{at}.values.weight"])
        out = []
        for t in range(len(y)):
            seen = [y[(t + k) % len(y)] for k in (-1, 0, 1)] if self.wrap else [y[t + k] if t + k >= 0 else 0.0 for k in (-2, -1, 0)]
            token = self.linear(np.array([*seen, *(v for part in marks for v in part[t])]), f"{at}.values")
            angle = [t / 10_000 ** (i // 2 * 2 / hidden) for i in range(hidden)]
            out.append(token + [math.cos(a) if i % 2 else math.sin(a) for i, a in enumerate(angle)])
        return np.array(out)

    def attention(self, x: np.ndarray, memory: np.ndarray, at: str, rows: Rows) -> np.ndarray:
        if memory is x:
            q, k, v = np.split(self.linear(x, f"{at}.query_key_value"), 3, axis=1)
        else:
            q, (k, v) = self.linear(x, f"{at}.query"), np.split(self.linear(memory, f"{at}.key_value"), 2, axis=1)
        heads = [rows(*(np.split(part, self.heads, axis=1)[i] for part in (q, k, v))) for i in range(self.heads)]
        return self.linear(np.concatenate(heads, axis=1), f"{at}.out")

    @property
    def heads(self) -> int:
        return int(self.m.arguments["n_head"])

    def feed_forward(self, x: np.ndarray, at: str) -> np.ndarray:
        z = self.linear(x, f"{at}.feed_forward.wide")
        z = np.maximum(z, 0) if self.m.arguments["activation"] == "relu" else z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
        return self.linear(z, f"{at}.feed_forward.back")

    def between(self, x: np.ndarray, i: int) -> np.ndarray:
        return x

    def start(self, y: np.ndarray, data: dict[str, np.ndarray]) -> np.ndarray:
        """The decoder's values [label + h]."""
        return np.concatenate([y[len(y) - self.m.label:], np.zeros(self.m.h)])

    def __call__(self, data: dict[str, np.ndarray]) -> np.ndarray:
        return np.stack([self.window({k: v[i].astype(np.float64) for k, v in data.items()}) for i in range(len(data["insample_y"]))])

    def window(self, data: dict[str, np.ndarray]) -> np.ndarray:
        m = self.m
        length, h, label = m.input_size, m.h, m.label
        y = (data["insample_y"] * data["insample_mask"])[:, 0]
        still = [np.tile(data["stat_exog"], (length + h, 1))] if "stat_exog" in data else []
        futr = [data["futr_exog"]] if "futr_exog" in data else []
        hist = [data["hist_exog"]] if "hist_exog" in data else []
        x = self.tokens(y, [part[:length] for part in (*futr, *hist, *still)], "encoder_embedding")
        for i in range(len(m.encoder)):
            at = f"encoder.{i}"
            x = self.norm(x + self.attention(x, x, f"{at}.attention", self.attend(False)), f"{at}.norm1")
            x = self.norm(x + self.feed_forward(x, at), f"{at}.norm2")
            x = self.between(x, i)
        memory = self.norm(x, "encoder_norm")
        z = self.tokens(self.start(y, data), [part[length - label:] for part in (*futr, *still)], "decoder_embedding")
        for i in range(len(m.decoder)):
            at = f"decoder.{i}"
            z = self.norm(z + self.attention(z, z, f"{at}.attention", self.attend(True)), f"{at}.norm1")
            z = self.norm(z + self.attention(z, memory, f"{at}.cross", full(False)), f"{at}.norm2")
            z = self.norm(z + self.feed_forward(z, at), f"{at}.norm3")
        return self.linear(self.norm(z[label:], "decoder_norm"), "projection")


def figures(name: str, path: Path = FIGURES) -> Iterator[
        tuple[str, dict[str, Any], dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]]:
    """(loss, options, neuralforecast's state, batch, its forecast) of each committed case of a model."""
    with np.load(path) as found:
        for key in found:
            if not key.endswith(": facts"):
                continue
            facts, flat, arrays, at = json.loads(str(found[key])), found[key.replace("facts", "numbers")], {}, 0
            for part, shape in facts["shapes"]:
                size = math.prod(shape)
                arrays[part] = flat[at:at + size].reshape(shape)
                if part.endswith("weights1"):  # complex numbers, as pairs
                    arrays[part] = arrays[part].view(np.complex64)[..., 0]
                at += size
            if facts["model"] == name:
                state = {k[6:]: v for k, v in arrays.items() if k.startswith("state.")}
                data = {k: v for k, v in arrays.items() if not k.startswith("state.") and k != "forecast"}
                yield facts["loss"], facts["options"], state, data, arrays["forecast"]
