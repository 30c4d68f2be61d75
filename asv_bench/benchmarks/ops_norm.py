"""layer_norm and batch_norm as plan operations, forward and backward, on tokens and on channels of series."""

from __future__ import annotations

from .plan_call import Call

ROWS = {"tokens 3072x512": (3072, 512), "tokens 224x512": (224, 512), "tokens 3072x64": (3072, 64),
        "tokens 384x128": (384, 128)}
CHANNELS = {"series 32x64x96": (32, 64, 96), "tokens 3072x128": (3072, 128), "layer 32x512": (32, 512)}
EPS = {"eps": 1e-5}


class LayerNorm:
    params = [list(ROWS)]
    param_names = ["size"]

    def setup(self, size: str) -> None:
        rows, n = ROWS[size]
        self.forward = Call("layer_norm", [(rows, n), (n,), (n,)], EPS)
        self.backward = Call("layer_norm_bwd", [(rows, n), (rows, n), (n,), (rows, 1), (rows, 1)], EPS)

    def time_forward(self, size: str) -> None:
        self.forward()

    def time_backward(self, size: str) -> None:
        self.backward()


class BatchNorm:
    params = [list(CHANNELS)]
    param_names = ["size"]

    def setup(self, size: str) -> None:
        x, c = CHANNELS[size], (CHANNELS[size][1],)
        self.forward = Call("batch_norm", [x, c, c], EPS)
        self.backward = Call("batch_norm_bwd", [x, x, c, c, c], EPS)
        self.backward.inputs[4] **= 2  # variances

    def time_forward(self, size: str) -> None:
        self.forward()

    def time_backward(self, size: str) -> None:
        self.backward()
