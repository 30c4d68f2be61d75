"""Pooling as plan operations: NHITS' windows, the moving average of decompositions, Informer's distilling."""

from __future__ import annotations

from .plan_call import Call

WINDOWS = {"32x96 by 2": (32, 96, 2), "32x96 by 8": (32, 96, 8), "1024x120 by 2": (1024, 120, 2),
           "1024x96 by 16": (1024, 96, 16)}


class Windows:
    params = [list(WINDOWS)]
    param_names = ["size"]

    def setup(self, size: str) -> None:
        rows, n, k = WINDOWS[size]
        attrs = {"kernel": k, "stride": k}
        self.largest = Call("max_pool1d", [(rows, n)], {**attrs, "ceil_mode": True})
        self.back = Call("max_pool1d_bwd", [(rows, -(-n // k)), (rows, n)], {**attrs, "ceil_mode": True})
        self.mean = Call("avg_pool1d", [(rows, n)], attrs)

    def time_max_pool1d(self, size: str) -> None:
        self.largest()

    def time_max_pool1d_bwd(self, size: str) -> None:
        self.back()

    def time_avg_pool1d(self, size: str) -> None:
        self.mean()


class Others:
    def setup(self) -> None:
        self.moving = Call("avg_pool1d", [(224, 120)], {"kernel": 25, "stride": 1})
        self.moving_back = Call("avg_unpool1d", [(224, 96)], {"kernel": 25, "stride": 1, "size": 120})
        self.distil = Call("max_pool", [(32, 512, 96)], {"kernel": (3,), "stride": (2,), "padding": (1,), "dilation": (1,),
                                                         "ceil_mode": False})

    def time_moving_average(self) -> None:
        self.moving()

    def time_moving_average_bwd(self) -> None:
        self.moving_back()

    def time_max_pool_distilling(self) -> None:
        self.distil()
