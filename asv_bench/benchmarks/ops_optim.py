"""Optimizer steps as plan operations, on small parameters and on large ones."""

from __future__ import annotations

import numpy as np

from .plan_call import Call

ADAM = np.array([1e-3, 0.9, 0.999, 1e-8, 0.01, 0.5, 0.1, 1.0])
SGD = np.array([1e-3, 0.9, 0.0, 0.01, 0.0, 1.0])
RMSPROP = np.array([1e-3, 0.99, 1e-8, 0.0, 0.0, 1.0])


class Step:
    params = [["adamw", "adamw_amsgrad", "sgd", "rmsprop"], [10, 1000, 65_536, 1_200_000, 2_600_000]]
    param_names = ["optimizer", "parameters"]

    def setup(self, optimizer: str, parameters: int) -> None:
        n, zeros, control = (parameters,), np.zeros(parameters, np.float32), np.array([1.0, 0.5])
        operands, flag = {
            "adamw": ([n, n, n, zeros, ADAM], "l2"), "adamw_amsgrad": ([n, n, n, zeros, zeros, ADAM], "l2"),
            "sgd": ([n, n, n, SGD], "nesterov"), "rmsprop": ([n, n, zeros, None, None, RMSPROP], "centered")}[optimizer]
        self.call = Call(optimizer, [*operands, control], {flag: False})

    def time_step(self, optimizer: str, parameters: int) -> None:
        self.call()
