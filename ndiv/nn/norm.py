"""Batch normalization layers: BatchNorm1d and BatchNorm2d, with PyTorch's arguments, names and running statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.ops.norm import batch_norm
from ..errors import ShapeError
from .layers import _positive
from .module import Module, Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d"]

_NDIV_INTERNAL = True


class _BatchNorm(Module):
    ndims: tuple[int, ...] = ()
    wanted = ""
    num_batches_tracked: Any

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
                 track_running_stats: bool = True) -> None:
        super().__init__()
        _positive(type(self).__name__, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(np.ones(num_features, np.float32)) if affine else None
        self.bias = Parameter(np.zeros(num_features, np.float32)) if affine else None
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, np.float32))
            self.register_buffer("running_var", np.ones(num_features, np.float32))
            self.register_buffer("num_batches_tracked", np.array(0, np.int64))

    def forward(self, x: Any) -> Any:
        if len(x.shape) not in self.ndims or x.shape[1] != self.num_features:
            raise ShapeError(f"{type(self).__name__}: x has shape {list(x.shape)} and the layer {self.num_features} features",
                             value=x.shape, hint=f"give {self.wanted} with C = {self.num_features}")
        if not self.track_running_stats:
            return batch_norm(x, None, None, self.weight, self.bias, True, 0.0, self.eps)
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training:
            seen: Any = self.num_batches_tracked + np.int64(1)
            self.num_batches_tracked = seen
            if self.momentum is None:  # a Tensor where a plan is made, which counts at each run
                momentum = 1.0 / (seen.astype(self.running_mean.dtype) if isinstance(seen, Tensor) else float(seen))
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training, momentum, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"


class BatchNorm1d(_BatchNorm):
    """Normalization of each channel of x [B, C] or [B, C, L] over all other axes (Ioffe and Szegedy 2015).

    While training: by the batch's mean and variance, which also move running_mean and running_var by the fraction
    momentum (None: their plain average). In eval mode: by these. weight and bias [C] where affine. With
    track_running_stats=False the batch's statistics are always used.

    >>> import ndiv, numpy as np
    >>> layer = ndiv.nn.BatchNorm1d(3)
    >>> layer(ndiv.tensor(np.arange(12, dtype=np.float32).reshape(4, 3))).shape, int(layer.num_batches_tracked)
    ((4, 3), 1)
    """

    ndims, wanted = (2, 3), "[B, C] or [B, C, L]"


class BatchNorm2d(_BatchNorm):
    """Normalization of each channel of x [B, C, H, W] over all other axes; as `BatchNorm1d`.

    >>> import ndiv, numpy as np
    >>> ndiv.nn.BatchNorm2d(3)(ndiv.tensor(np.ones((2, 3, 4, 4), np.float32))).shape
    (2, 3, 4, 4)
    """

    ndims, wanted = (4,), "[B, C, H, W]"
