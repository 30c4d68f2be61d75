"""Reductions as plan operations: gradients of biases, statistics of windows, losses, the norm that clips gradients."""

from __future__ import annotations

from .plan_call import Call

CASES = {
    "bias 32x1024": ("sum", (32, 1024), (0,)),
    "bias 16000x512": ("sum", (16000, 512), (0,)),
    "bias 100000x16": ("sum", (100000, 16), (0,)),
    "rows 16000x512": ("sum", (16000, 512), (1,)),
    "rows 1024x24": ("mean", (1024, 24), (1,)),
    "series 32x720x7": ("mean", (32, 720, 7), (1,)),
    "series 32x96x321": ("mean", (32, 96, 321), (1,)),
    "channels 32x512x96": ("sum", (32, 512, 96), (0, 2)),
    "loss 1e6": ("mean", (1_000_000,), (0,)),
    "largest 1024x96": ("amax", (1024, 96), (1,)),
    "largest of columns 1024x96": ("amax", (1024, 96), (0,)),
    "product 1024x24": ("prod", (1024, 24), (1,)),
}


class Reduce:
    params = [list(CASES)]
    param_names = ["case"]

    def setup(self, case: str) -> None:
        name, shape, dims = CASES[case]
        self.call = Call(name, [shape], {"dims": dims, "keepdim": False})

    def time_call(self, case: str) -> None:
        self.call()


class Others:
    params = [["argmax rows", "argmax columns", "norm 20x1000", "norm 12x100000"]]
    param_names = ["case"]

    def setup(self, case: str) -> None:
        if case.startswith("argmax"):
            self.call = Call("argmax", [(1024, 96)], {"dim": int(case.endswith("rows"))})
        else:
            count, size = map(int, case.split()[1].split("x"))
            self.call = Call("sumsq_scale", [None, *[(size,)] * count], {"max_norm": 1.0})

    def time_call(self, case: str) -> None:
        self.call()
