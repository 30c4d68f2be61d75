"""Convolution and its gradients as plan operations: TCN, token embeddings, distilling, TimesNet's images."""

from __future__ import annotations

from .plan_call import Call

SIZES = {  # x, w, stride, before and after, dilation, groups
    "TCN 32x32x96": ((32, 32, 96), (32, 32, 3), 1, (8, 0), 4, 1),
    "TCN 32x64x500": ((32, 64, 500), (64, 64, 2), 1, (16, 0), 16, 1),
    "TCN 32x16x96": ((32, 16, 96), (16, 16, 2), 1, (1, 0), 1, 1),
    "tokens 32x7x98": ((32, 7, 98), (512, 7, 3), 1, (0, 0), 1, 1),
    "distil 8x512x98": ((8, 512, 98), (512, 512, 3), 1, (0, 0), 1, 1),
    "depthwise 32x64x96": ((32, 64, 96), (64, 1, 7), 1, (3, 3), 1, 64),
    "patches 32x32x96": ((32, 32, 96), (64, 32, 8), 4, (0, 0), 1, 1),
    "image 32x32x12x24 by 3": ((32, 32, 12, 24), (32, 32, 3, 3), 1, (1, 1), 1, 1),
    "image 8x32x12x24 by 11": ((8, 32, 12, 24), (32, 32, 11, 11), 1, (5, 5), 1, 1),
}


class Convolution:
    params = [list(SIZES)]
    param_names = ["size"]

    def setup(self, size: str) -> None:
        x, w, stride, padding, dilation, groups = SIZES[size]
        axes = len(x) - 2
        attrs = {"stride": (stride,) * axes, "padding": padding * axes, "dilation": (dilation,) * axes, "groups": groups}
        self.forward = Call("conv", [x, w], attrs)
        self.constant = Call("conv", [x, w], attrs, constant=(1,))
        y = self.forward.outputs[0].shape
        self.input = Call("conv_grad_input", [y, w], {**attrs, "size": x[2:]})
        self.weight = Call("conv_grad_weight", [x, y], {**attrs, "kernel": w[2:]})

    def time_conv(self, size: str) -> None:
        self.forward()

    def time_conv_constant_weights(self, size: str) -> None:
        self.constant()

    def time_grad_input(self, size: str) -> None:
        self.input()

    def time_grad_weight(self, size: str) -> None:
        self.weight()
