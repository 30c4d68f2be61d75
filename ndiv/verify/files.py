"""Broken model files: mutated bytes through `ndiv.load`, each refused with E0006 or harmless.

Contract: `run` exports small models, changes their bytes (header, metadata, plan, weights; in half of the cases the plan's own
checksum is repaired, so that the checks behind it are reached), and loads each result on both engines. A file is either refused
with `FileError` (E0006) or loads and forecasts; any other exception is returned as a finding, and a crash ends the process.
"""

from __future__ import annotations

import json
import random
import struct
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError, NdivError
from ..program.file import read

__all__ = ["mutated", "originals", "run"]

_HEADER = 64  # bytes of a plan's header; the checksum stands at byte 24


def originals(folder: Path) -> list[bytes]:
    """Model files of several kinds."""
    from ..models import get_model

    out = []
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("NLinear", {}), ("DLinear", {"moving_avg_window": 3}), ("MLP", {"hidden_size": 8, "scaler_type": "standard"}),
        ("NHITS", {"mlp_units": [[8, 8]] * 3, "scaler_type": "robust"})]
    for name, options in kinds:
        path = folder / f"{name}.ndiv"
        get_model(name)(h=4, input_size=12, **options).export(path)
        out.append(path.read_bytes())
    return out


def _plan_span(data: bytes) -> tuple[int, int]:
    """Where the plan lies in a file."""
    (size,) = struct.unpack_from("<Q", data)
    begin, end = json.loads(data[8:8 + size])["plan"]["data_offsets"]
    return 8 + size + begin, 8 + size + end


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The file with a few bytes changed, cut out, or put in."""
    begin, end = _plan_span(data)
    out = bytearray(data)
    low, high = rng.choice([(0, 8), (8, begin), (begin, begin + _HEADER), (begin + _HEADER, end), (begin + _HEADER, end),
                            (0, len(out))])
    kind = rng.random()
    if kind < 0.1:
        del out[rng.randrange(low, high):]
    elif kind < 0.2:
        at = rng.randrange(low, high)
        out[at:at] = rng.randbytes(rng.randint(1, 16))
    else:
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(low, high)
            out[at] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, out[at] ^ (1 << rng.randrange(8)), rng.randrange(256)])
    if kind >= 0.2 and rng.random() < 0.5:
        struct.pack_into("<Q", out, begin + 24, zlib.crc32(bytes(out[begin + _HEADER:end])))
    return bytes(out)


def _cases(count: int, seed: int, folder: Path) -> Iterator[bytes]:
    files = originals(folder)
    rng = random.Random(seed)
    for _ in range(count):
        yield mutated(rng.choice(files), rng)


def run(count: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """(how many ended how, findings) of ``count`` mutated files."""
    from .. import backends

    ends: Counter[str] = Counter()
    findings: list[str] = []
    engines = ["numpy", *(["native"] if backends.current() == "native" else [])]
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "case.ndiv")
        for k, data in enumerate(_cases(count, seed, Path(name))):
            path.write_bytes(data)
            for engine in engines:
                try:
                    f = read(path, engine)
                    f(np.linspace(0, 1, f.input_size * f.n_series, dtype=np.float32).reshape(f.input_size, f.n_series))
                    ends["loaded"] += 1
                except FileError:
                    ends["refused"] += 1
                except NdivError as error:  # refused later, by a clear error of another kind
                    ends[f"refused when run, {error.code}"] += 1
                except Exception as error:
                    findings.append(f"case {k} (seed {seed}), {engine}: {type(error).__name__}: {error}")
    return ends, findings
