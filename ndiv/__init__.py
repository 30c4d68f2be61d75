"""ndiv: neural forecasting on an autodiff engine of its own.

Importing this loads NumPy and the standard library only, and little of that: every name below is looked up when it
is first used. `ndiv.info()` says what is installed and which backend runs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

_HOME: dict[str, str] = {}  # public name -> module that holds it


def _names(module: str, names: str) -> None:
    _HOME.update(dict.fromkeys(names.split(), module))


_names("ndiv.autograd", "Tape Tensor tensor enable_grad no_grad is_grad_enabled trace checkpoint "
       "grad value_and_grad vjp jvp hessian gradcheck gradgradcheck")
_names("ndiv.autograd.ops", "abs add amax amin argmax argmin attention_weights avg_pool1d avg_pool2d batch_norm bias_act cat "
       "chunk clip complex_abs complex_conj complex_mul conv1d conv2d conv_transpose1d conv_transpose2d "
       "cos cumsum digamma div dropout einsum elu embedding eq erf erfc exp expand expm1 flatten flip "
       "gather ge gelu getitem gru gt index_put interpolate irfft layer_norm le leaky_relu lgamma "
       "linear log log1p log_softmax logsumexp lstm lt masked_fill matmul max_pool1d max_pool2d maximum "
       "mean minimum moving_average mul narrow ne neg pad permute polygamma pow prod relu repeat "
       "reshape rfft rnn roll rsqrt scaled_dot_product_attention scatter_add selu sigmoid sign silu sin "
       "softmax softplus sort split sqrt squeeze stack std sub sum tanh topk transpose unfold unsqueeze "
       "var where")
_names("ndiv.random", "manual_seed")
_names("ndiv.errors", "NdivError")
_names("ndiv.forecast", "NeuralForecast evaluate")
_names("ndiv.forecast.evaluation", "backtest compare diagnose_residuals")
_names("ndiv.forecast.reporting", "report")
_names("ndiv.backends", "info")
_names("ndiv.program", "compile load")
_names("ndiv.tuning", "tune")
_names("ndiv.advice", "advise")
_names("ndiv.hierarchy", "aggregate reconcile")
_MODULES = frozenset(
    "advice auto autograd backends bench cli data ensemble errors explain export features forecast hierarchy interop language "
    "losses models nn optim plot program random training tuning utils verify".split())

__all__ = ["__version__", *sorted(_HOME), *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        module = importlib.import_module(_HOME[name])
        value = module.FUNCTIONS[name] if _HOME[name] == "ndiv.autograd.ops" else getattr(module, name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"ndiv.{name}")
    raise AttributeError(f"module 'ndiv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from .autograd import Tape as Tape
    from .autograd import Tensor as Tensor
    from .autograd import tensor as tensor  # type: ignore[no-redef]
    from .backends import info as info
    from .errors import NdivError as NdivError
    from .random import manual_seed as manual_seed
