"""The number formats of GGUF files: blocks of small integers with their scales, as float32.

Contract: `FORMATS` has (elements of a block, bytes of a block) by name; `dequantized` turns bytes into float32, many blocks
at a time. Each block's function takes raw [n, bytes] uint8 and returns [n, elements] float32, computed in float32 in the order
in which ggml (the library that defines the formats) does: the results have the same bits.

The formats: "_0" is scale * q with q around 0, "_1" is scale * q + minimum. "_K" blocks have 256 elements in groups that have
6-bit (Q4_K, Q5_K) or 8-bit (Q6_K) scales of their own. The halves of a block's bytes hold elements that are half a group apart.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["FORMATS", "dequantized"]

_AT_A_TIME = 1 << 18  # elements: what is between the steps stays in the cache
_F32 = np.float32


def _half(raw: np.ndarray, at: int) -> np.ndarray:
    """[n, 1]: the float16 at byte ``at`` of each block."""
    return np.ascontiguousarray(raw[:, at:at + 2]).view("<f2").astype(_F32)


def _nibbles(raw: np.ndarray, at: int, count: int) -> np.ndarray:
    """[n, count / group, 2, group] uint8, group = at most 32: low halves, then high halves, of each group of bytes."""
    group = min(count, 32)
    q = raw[:, at:at + count].reshape(len(raw), -1, 1, group)
    return (q >> np.array([[0], [4]], np.uint8)) & np.uint8(15)


def _fifth_bits(raw: np.ndarray, at: int) -> np.ndarray:
    """[n, 32] uint8: bit i of the four bytes, as 0 or 16."""
    return np.unpackbits(raw[:, at:at + 4], axis=1, bitorder="little") << np.uint8(4)


def _q4_0(raw: np.ndarray) -> np.ndarray:
    q = _nibbles(raw, 2, 16).reshape(-1, 32)
    return (q.view(np.int8) - np.int8(8)) * _half(raw, 0)


def _q4_1(raw: np.ndarray) -> np.ndarray:
    return _nibbles(raw, 4, 16).reshape(-1, 32) * _half(raw, 0) + _half(raw, 2)


def _q5_0(raw: np.ndarray) -> np.ndarray:
    q = _nibbles(raw, 6, 16).reshape(-1, 32) | _fifth_bits(raw, 2)
    return (q.view(np.int8) - np.int8(16)) * _half(raw, 0)


def _q5_1(raw: np.ndarray) -> np.ndarray:
    q = _nibbles(raw, 8, 16).reshape(-1, 32) | _fifth_bits(raw, 4)
    return q * _half(raw, 0) + _half(raw, 2)


def _q8_0(raw: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(raw[:, 2:]).view(np.int8) * _half(raw, 0)


def _scales(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(scale, minimum) of the 8 groups of a Q4_K or Q5_K block, each [n, 8, 1]: 16 numbers of 6 bits in 12 bytes.

    The first four of each are the low 6 bits of bytes 0-3 and 4-7; the last four have their low 4 bits in bytes 8-11 and
    their high 2 bits in what is left of bytes 0-7.
    """
    a, b, c = raw[:, 4:8], raw[:, 8:12], raw[:, 12:16]
    scale = np.concatenate([a & 63, (c & 15) | ((a >> 6) << 4)], axis=1)
    least = np.concatenate([b & 63, (c >> 4) | ((b >> 6) << 4)], axis=1)
    return (_half(raw, 0) * scale)[:, :, None], (_half(raw, 2) * least)[:, :, None]


def _q4_k(raw: np.ndarray) -> np.ndarray:
    scale, least = _scales(raw)
    return (_nibbles(raw, 16, 128).reshape(-1, 8, 32) * scale - least).reshape(-1, 256)


def _q5_k(raw: np.ndarray) -> np.ndarray:
    scale, least = _scales(raw)
    high = (raw[:, 16:48].reshape(-1, 1, 32) >> np.arange(8, dtype=np.uint8)[:, None]) & np.uint8(1)  # bit g is of group g
    q = _nibbles(raw, 48, 128).reshape(-1, 8, 32) | (high << np.uint8(4))
    return (q * scale - least).reshape(-1, 256)


def _q6_k(raw: np.ndarray) -> np.ndarray:
    n = len(raw)
    low = raw[:, :128].reshape(n, 2, 1, 64) >> np.array([[0], [4]], np.uint8) & np.uint8(15)  # [n, 2, 2, 64]
    high = raw[:, 128:192].reshape(n, 2, 1, 32) >> np.array([[0], [2], [4], [6]], np.uint8) & np.uint8(3)  # [n, 2, 4, 32]
    q = low.reshape(n, 2, 4, 32) | (high << np.uint8(4))
    scale = _half(raw, 208) * np.ascontiguousarray(raw[:, 192:208]).view(np.int8)  # [n, 16], each for 16 elements
    return ((q.view(np.int8) - np.int8(32)).reshape(n, 16, 16) * scale[:, :, None]).reshape(n, 256)


def _bf16(raw: np.ndarray) -> np.ndarray:
    return (raw.view("<u2").astype(np.uint32) << np.uint32(16)).view(_F32)


def _floats(dtype: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda raw: raw.view(dtype).astype(_F32)


_BLOCKS: dict[str, tuple[int, int, Callable[[np.ndarray], np.ndarray]]] = {
    "F32": (1, 4, _floats("<f4")), "F16": (1, 2, _floats("<f2")), "BF16": (1, 2, _bf16),
    "Q4_0": (32, 18, _q4_0), "Q4_1": (32, 20, _q4_1), "Q5_0": (32, 22, _q5_0), "Q5_1": (32, 24, _q5_1),
    "Q8_0": (32, 34, _q8_0), "Q4_K": (256, 144, _q4_k), "Q5_K": (256, 176, _q5_k), "Q6_K": (256, 210, _q6_k),
}
FORMATS = {name: block[:2] for name, block in _BLOCKS.items()}


def dequantized(raw: np.ndarray, kind: str) -> np.ndarray:
    """The numbers that blocks of one of `FORMATS` hold: raw [blocks * bytes] uint8 -> [blocks * elements] float32.

    >>> import numpy as np
    >>> raw = np.concatenate([np.array([0.5], "<f2").view(np.uint8), np.arange(32, dtype=np.uint8)])
    >>> dequantized(raw, "Q8_0")[:4]
    array([0. , 0.5, 1. , 1.5], dtype=float32)
    """
    elements, size, function = _BLOCKS[kind]
    blocks = raw.reshape(-1, size)
    out = np.empty((len(blocks), elements), _F32)
    step = max(_AT_A_TIME // elements, 1)
    for i in range(0, len(blocks), step):
        out[i:i + step] = function(np.ascontiguousarray(blocks[i:i + step]))
    return out.reshape(-1)
