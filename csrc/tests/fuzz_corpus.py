"""Writes the start corpus of fuzz_plan: every call that the tests of the plan operations make with success and small operands
becomes plans, with operands in slots, as constants, in the arena, and inside a scan. Nothing here lists operations.

    python csrc/tests/fuzz_corpus.py FOLDER [pytest arguments]
"""

import collections
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "kernels")]
from plan_bytes import Plan  # noqa: E402

from ndiv.backends import call  # noqa: E402

MOST_BYTES, MOST_PLANS = 1 << 14, 60  # of the operands of one call; of one operation

run = call.call_op
seen = collections.defaultdict(set)


def plan_of(op, inputs, outputs, attrs, form):
    """One call as a plan. form: slots, constants, arena, scan."""
    p = Plan()
    numbers = []
    if form == "scan":
        p.op("scan", attrs=[2, 1])
    for i, a in enumerate([*inputs, *outputs]):
        if a is None:
            numbers.append(None)
            continue
        strides = [s // a.itemsize for s in a.strides]
        low = sum(min(s * (d - 1), 0) for s, d in zip(strides, a.shape, strict=True)) if a.size else 0
        high = 1 + sum(max(s * (d - 1), 0) for s, d in zip(strides, a.shape, strict=True)) if a.size else 0
        size = high - low
        if form == "arena":
            number = p.arena((size,), a.dtype)
        else:
            number = p.slot("output" if i >= len(inputs) else "constant" if form == "constants" else "input", (size,), a.dtype)
        value = p.values[number]
        value[3:5], value[6:8] = [a.ndim, value[4] - low * a.itemsize], [list(a.shape), strides]
        numbers.append(number)
    p.op(op, numbers[:len(inputs)], numbers[len(inputs):], [int(x) for x in attrs])
    return p.bytes()


def recorded(name, inputs, outputs, attrs=(), constant=()):
    """`call_op` that also keeps the call."""
    run(name, inputs, outputs, attrs, constant)
    arrays = [a for a in (*inputs, *outputs) if a is not None]
    if sum(a.nbytes for a in arrays) > MOST_BYTES:
        return
    shapes = ((a is not None and (a.ndim, a.dtype.str, a.size == 0, a.flags.c_contiguous)) for a in (*inputs, *outputs))
    key = (len(attrs), *shapes, *(int(x) for x in attrs if abs(int(x)) < 64))
    if key in seen[name] or len(seen[name]) >= MOST_PLANS:
        return
    seen[name].add(key)
    for form in ("slots", "constants", "arena", "scan"):
        data = plan_of(name, inputs, outputs, attrs, form)
        (folder / f"{name}-{form}-{hashlib.sha1(data).hexdigest()[:10]}").write_bytes(data)


folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
call.call_op = recorded
np.seterr(all="ignore")
status = pytest.main(["-q", "-p", "no:cacheprovider", str(ROOT / "tests" / "kernels" / "ops"), *sys.argv[2:]])
print(", ".join(f"{name} {len(keys)}" for name, keys in sorted(seen.items())))
sys.exit(int(status))
