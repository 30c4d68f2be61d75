"""The Fourier transforms as plan operations, tables included (a plan makes them once)."""

from __future__ import annotations

from .plan_call import Call

SIZES = {"32x96": (32, 96), "224x192": (224, 192), "2048x336": (2048, 336), "2048x720": (2048, 720), "256x97": (256, 97)}


class Transform:
    params = [list(SIZES)]
    param_names = ["size"]

    def setup(self, size: str) -> None:
        rows, n = SIZES[size]
        self.forward = Call("rfft", [(rows, n)], {"n": n, "dim": 1})
        self.inverse = Call("irfft", [(rows, n // 2 + 1, 2)], {"n": n, "dim": 1})

    def time_rfft(self, size: str) -> None:
        self.forward()

    def time_irfft(self, size: str) -> None:
        self.inverse()


class Channels:
    """Along time of [batch, time, channels]."""

    def setup(self) -> None:
        self.forward = Call("rfft", [(32, 96, 64)], {"n": 96, "dim": 1})
        self.inverse = Call("irfft", [(32, 49, 64, 2)], {"n": 96, "dim": 1})

    def time_rfft(self) -> None:
        self.forward()

    def time_irfft(self) -> None:
        self.inverse()
