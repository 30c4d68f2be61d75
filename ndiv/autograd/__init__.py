"""The engine: records what runs, differentiates it, verifies it.

primitive.py  the record of an op and the registry      tensor.py     Tensor
tape.py       recording and its modes                   backward.py   cotangents
shapes.py     shape rules and their errors              checkpoint.py values worked out again
ops/          declarations, by family                   transforms.py grad, vjp, jvp, hessian
check.py      verification of ops
"""

from . import ops as ops
from .backward import backward
from .check import check_bad, check_node, check_primitive, check_sample, gradcheck, gradgradcheck
from .checkpoint import checkpoint
from .primitive import REGISTRY, Primitive, get
from .tape import Node, Tape, apply, enable_grad, is_grad_enabled, no_grad, trace
from .tensor import Tensor, tensor
from .transforms import grad, hessian, jvp, value_and_grad, vjp

__all__ = [
    "REGISTRY", "Node", "Primitive", "Tape", "Tensor", "apply", "backward", "check_bad", "check_node",
    "check_primitive", "check_sample", "checkpoint", "enable_grad", "get", "grad", "gradcheck",
    "gradgradcheck", "hessian", "is_grad_enabled", "jvp", "no_grad", "tensor", "trace", "value_and_grad",
    "vjp",
]
