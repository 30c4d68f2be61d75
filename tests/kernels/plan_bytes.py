"""A small assembler of plan bytes for tests, independent of the one that ndiv uses; csrc/core/plan.h has the format.

    p = Plan()
    x = p.slot("input", (4, 3)); y = p.slot("output", (4, 3)); t = p.arena((4, 3))
    p.op("bias_act", [x, None], [t, None], [1]); p.op(...)
    data = p.bytes()
"""

import struct
import zlib

import numpy as np

KINDS = {"input": 0, "output": 1, "state": 2, "constant": 3}
DTYPES = {np.dtype(t): i for i, t in enumerate((np.float32, np.float64, np.int64, np.int32, np.bool_))}
ABSENT = 0xFFFFFFFF


def dense(shape):
    """Strides in elements."""
    return [int(np.prod(shape[i + 1:], dtype=np.int64)) for i in range(len(shape))]


class Plan:
    """Lists that may be tampered with before `bytes` writes them."""

    def __init__(self):
        self.names, self.slots, self.values, self.instr, self.operands, self.attrs = [], [], [], [], [], []
        self.size = 0  # of the arena
        self.header = {"magic": b"NDIVPLAN", "version": 1, "flags": 0}

    def view(self, region, slot, dtype, offset, shape, strides=None, step=0):
        """A value anywhere; returns its number."""
        shape = list(shape)
        self.values.append([region, slot, DTYPES[np.dtype(dtype)], len(shape), offset, step, shape,
                            dense(shape) if strides is None else list(strides)])
        return len(self.values) - 1

    def slot(self, kind, shape, dtype="f4"):
        """A slot of that kind and the value that is all of it."""
        dtype = np.dtype(dtype)
        self.slots.append([KINDS[kind], DTYPES[dtype], int(np.prod(shape, dtype=np.int64)) * dtype.itemsize])
        return self.view(1, len(self.slots) - 1, dtype, 0, shape)

    def arena(self, shape, dtype="f4"):
        """A value in fresh memory of the arena."""
        value = self.view(0, 0, dtype, self.size, shape)
        self.size += -(-int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize // 64) * 64
        return value

    def op(self, name, inputs=(), outputs=(), attrs=(), line=0):
        """One instruction."""
        if name not in self.names:
            self.names.append(name)
        self.instr.append([self.names.index(name), len(inputs), len(outputs), len(self.operands), len(self.attrs),
                           len(attrs), line, 0])
        self.operands += [ABSENT if v is None else v for v in (*inputs, *outputs)]
        self.attrs += attrs

    def bytes(self):
        """The plan."""
        body = b"".join(name.encode().ljust(32, b"\0") for name in self.names)
        body += b"".join(struct.pack("<IIQ", *s) for s in self.slots)
        for region, slot, dtype, rank, offset, step, shape, strides in self.values:
            body += struct.pack("<IIIIqq8q8q", region, slot, dtype, rank, offset, step,
                                *(shape + [0] * 8)[:8], *(strides + [0] * 8)[:8])
        body += b"".join(struct.pack("<8I", *i) for i in self.instr)
        body += struct.pack(f"<{len(self.operands)}I", *self.operands) + b"\0" * (len(self.operands) % 2 * 4)
        body += struct.pack(f"<{len(self.attrs)}q", *self.attrs)
        h = {"size": 64 + len(body), "crc": zlib.crc32(body), "arena": self.size, "n": None} | self.header
        counts = h["n"] or [len(x) for x in (self.names, self.slots, self.values, self.instr, self.operands, self.attrs)]
        return h["magic"] + struct.pack("<IIQQQ6I", h["version"], h["flags"], h["size"], h["crc"], h["arena"],
                                        *counts) + body
