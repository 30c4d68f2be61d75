"""Moving, picking, sorting and drawing as plan operations: decoders' joins, windows, padding, top frequencies, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from .plan_call import Call

_rng = np.random.default_rng(0)
_windows = np.arange(0, 336 - 16 + 1, 8)
_padding = np.r_[np.zeros(12, np.int64), np.arange(720), np.full(12, 719)]

CASES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "cat label and horizon": ("cat", [(32, 48, 64), (32, 96, 64)], {"dim": 1}),
    "cat features": ("cat", [(32, 96, 64), (32, 96, 64)], {"dim": 2}),
    "cat 96 steps": ("cat", [(32, 1, 64)] * 96, {"dim": 1}),
    "put_slice horizon": ("put_slice", [(32, 24, 64)], {"start": (0, 96, 0), "step": (1, 1, 1), "shape": (32, 120, 64)}),
    "put_slice every second": ("put_slice", [(32, 720)], {"start": (0, 0), "step": (1, 2), "shape": (32, 1440)}),
    "take patches": ("take", [(224, 336), _windows], {"n": 336, "inner": 1, "run": 16, "shape": (224, len(_windows), 16)}),
    "take_add patches": ("take_add", [(224, len(_windows), 16), _windows],
                         {"n": 336, "inner": 1, "run": 16, "shape": (224, 336)}),
    "take padding": ("take", [(32, 7, 720), _padding], {"n": 720, "inner": 1, "run": 1, "shape": (32, 7, 744)}),
    "take embedding": ("take", [(1000, 64), _rng.integers(0, 1000, 3072)],
                       {"n": 1000, "inner": 64, "run": 1, "shape": (3072, 64)}),
    "take_add embedding": ("take_add", [(3072, 64), _rng.integers(0, 1000, 3072)],
                           {"n": 1000, "inner": 64, "run": 1, "shape": (1000, 64)}),
    "gather last": ("gather", [(32, 8, 96, 96), _rng.integers(0, 96, (32, 8, 96, 24))], {"dim": 3}),
    "scatter_add last": ("scatter_add", [(32, 8, 96, 24), _rng.integers(0, 96, (32, 8, 96, 24))], {"dim": 3, "size": 96}),
    "cumsum last": ("cumsum", [(1024, 96)], {"dim": 1}),
    "cumsum time": ("cumsum", [(32, 720, 7)], {"dim": 1}),
    "argsort 96": ("argsort", [(1024, 96)], {"dim": 1}),
    "argsort 720": ("argsort", [(32, 720)], {"dim": 1}),
    "fill": ("fill", [], {"shape": (32, 96, 64), "value": 0.0, "dtype": "float32"}),
    "dropout": ("dropout", [(32, 96, 64), np.array([1, 2])], {"p": 0.1, "offset": 0}),
}


class Data:
    params = [list(CASES)]
    param_names = ["case"]

    def setup(self, case: str) -> None:
        self.call = Call(*CASES[case])

    def time_call(self, case: str) -> None:
        self.call()
