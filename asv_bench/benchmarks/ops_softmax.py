"""softmax and its gradient as plan operations, on the rows of attention and of mixtures."""

from __future__ import annotations

from .plan_call import Call

SIZES = {"attention 256x96x96": (256, 96, 96), "attention 128x24x24": (128, 24, 24), "mixture 32x7x8": (32, 7, 8),
         "rows 2048x720": (2048, 720)}


class Softmax:
    params = [["softmax", "log_softmax", "softmax_bwd", "log_softmax_bwd"], list(SIZES)]
    param_names = ["op", "size"]

    def setup(self, op: str, size: str) -> None:
        self.call = Call(op, [SIZES[size]] * (2 if op.endswith("bwd") else 1))

    def time_op(self, op: str, size: str) -> None:
        self.call()
