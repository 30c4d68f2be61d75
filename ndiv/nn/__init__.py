"""Layers and the Module that holds them; PyTorch's names throughout."""

from . import init, utils
from .attention import MultiheadAttention, TransformerDecoderLayer, TransformerEncoderLayer
from .causal import CausalConv1d
from .conv import AvgPool1d, AvgPool2d, Conv1d, Conv2d, ConvTranspose1d, MaxPool1d, MaxPool2d
from .embedding import Embedding, LearnedPositionalEncoding, PositionalEncoding, sinusoidal_positions
from .layers import (
    ACTIVATION_NAMES,
    ELU,
    GELU,
    SELU,
    Dropout,
    Dropout1d,
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
from .norm import BatchNorm1d, BatchNorm2d
from .recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from .series import MixtureDecomposition, RevIN, SeriesDecomposition

__all__ = [
    "ACTIVATION_NAMES", "ELU", "GELU", "GRU", "LSTM", "RNN", "SELU", "AvgPool1d", "AvgPool2d", "BatchNorm1d", "BatchNorm2d",
    "CausalConv1d", "Conv1d", "Conv2d", "ConvTranspose1d", "Dropout", "Dropout1d", "Embedding", "GRUCell", "Identity",
    "LSTMCell", "LayerNorm", "LeakyReLU", "LearnedPositionalEncoding", "Linear", "MaxPool1d", "MaxPool2d",
    "MixtureDecomposition", "Module", "ModuleList", "MultiheadAttention", "PReLU", "Parameter", "PositionalEncoding",
    "RNNCell", "ReLU", "RevIN", "Sequential", "SeriesDecomposition", "SiLU", "Sigmoid", "Softplus", "Tanh",
    "TransformerDecoderLayer", "TransformerEncoderLayer", "activation", "init", "sinusoidal_positions", "utils",
]
