"""The number formats of GGUF, against their definitions written out element by element."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from ndiv.language import quantized
from ndiv.language.quantized import FORMATS, dequantized

F = np.float32


def half(raw, at):
    return F(struct.unpack_from("<e", raw, at)[0])


def small_block(raw, head, bits, least, offset):
    """Q4 and Q5: element i is in the low half of byte i for i < 16, else in the high half of byte i - 16."""
    d, m = half(raw, 0), half(raw, 2) if least else F(0)
    out = []
    for i in range(32):
        q = raw[head + i % 16] >> (4 if i >= 16 else 0) & 15
        if bits == 5:
            at = 4 if least else 2
            q |= (struct.unpack_from("<I", raw, at)[0] >> i & 1) << 4
        out.append(F(F(q - offset) * d) + m)
    return out


def six_bits(s, j):
    """(scale, minimum) of group j of a Q4_K or Q5_K block, from its 12 bytes."""
    if j < 4:
        return s[j] & 63, s[j + 4] & 63
    return s[j + 4] & 15 | (s[j - 4] >> 6) << 4, s[j + 4] >> 4 | (s[j] >> 6) << 4


def k_block(raw, bits):
    d, dmin, q = half(raw, 0), half(raw, 2), raw[16 + (32 if bits == 5 else 0):]
    out = []
    for i in range(256):
        group, pos = i // 32, i % 32
        v = q[group // 2 * 32 + pos] >> (4 if group % 2 else 0) & 15
        if bits == 5:
            v |= (raw[16 + pos] >> group & 1) << 4
        scale, least = six_bits(raw[4:16], group)
        out.append(F(F(d * F(scale)) * F(v)) - F(dmin * F(least)))
    return out


def q6_k(raw):
    d, out = half(raw, 208), []
    for i in range(256):
        part, group, pos = i // 128, i % 128 // 32, i % 32
        low = raw[part * 64 + pos + (32 if group % 2 else 0)] >> (4 if group >= 2 else 0) & 15
        high = raw[128 + part * 32 + pos] >> (2 * group) & 3
        scale = struct.unpack_from("b", raw, 192 + i // 16)[0]
        out.append(F(d * F(scale)) * F((low | high << 4) - 32))
    return out


SCALAR = {
    "F32": lambda raw: [F(struct.unpack("<f", raw)[0])], "F16": lambda raw: [half(raw, 0)],
    "BF16": lambda raw: [F(struct.unpack("<f", b"\0\0" + raw)[0])],
    "Q4_0": lambda raw: small_block(raw, 2, 4, False, 8), "Q4_1": lambda raw: small_block(raw, 4, 4, True, 0),
    "Q5_0": lambda raw: small_block(raw, 6, 5, False, 16), "Q5_1": lambda raw: small_block(raw, 8, 5, True, 0),
    "Q8_0": lambda raw: [F(half(raw, 0) * F(struct.unpack_from("b", raw, 2 + i)[0])) for i in range(32)],
    "Q4_K": lambda raw: k_block(raw, 4), "Q5_K": lambda raw: k_block(raw, 5), "Q6_K": q6_k,
}
HALVES = {"F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}


def blocks(kind, count, seed=0):
    """Random bytes, with finite scales and numbers."""
    rng = np.random.default_rng(seed)
    size = FORMATS[kind][1]
    raw = rng.integers(0, 256, (count, size), np.uint8)
    for at in HALVES.get(kind, ()):
        raw[:, at:at + 2] = rng.standard_normal((count, 1)).astype("<f2").view(np.uint8)
    if kind in ("F32", "BF16"):
        raw = rng.standard_normal(count).astype("<f4").view(np.uint8).reshape(count, 4)[:, 4 - size:]
    return np.ascontiguousarray(raw)


def test_every_format_is_checked():
    assert SCALAR.keys() == FORMATS.keys()


@pytest.mark.parametrize("kind", FORMATS)
def test_blocks_are_what_the_format_says(kind):
    """Bit for bit."""
    raw = blocks(kind, 7)
    expected = np.array([v for block in raw for v in SCALAR[kind](block.tobytes())], F)
    found = dequantized(raw.reshape(-1), kind)
    assert found.dtype == F
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", FORMATS)
def test_many_blocks_at_a_time(kind, monkeypatch):
    raw = blocks(kind, 11, 1).reshape(-1)
    whole = dequantized(raw, kind)
    monkeypatch.setattr(quantized, "_AT_A_TIME", 3 * FORMATS[kind][0])
    np.testing.assert_array_equal(dequantized(raw, kind), whole)
    assert dequantized(raw[:0], kind).shape == (0,)
