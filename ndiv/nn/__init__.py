"""Layers and the Module that holds them; PyTorch's names throughout."""

from . import init
from .layers import (
    ACTIVATION_NAMES,
    ELU,
    SELU,
    Dropout,
    Identity,
    LayerNorm,
    LeakyReLU,
    Linear,
    ModuleList,
    PReLU,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
    activation,
)
from .module import Module, Parameter

__all__ = ["ACTIVATION_NAMES", "Dropout", "ELU", "Identity", "LayerNorm", "LeakyReLU", "Linear", "Module", "ModuleList",
           "PReLU", "Parameter", "ReLU", "SELU", "Sequential", "SiLU", "Sigmoid", "Softplus", "Tanh", "activation", "init"]
