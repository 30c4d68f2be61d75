"""Optimizers, learning-rate schedules, gradient clipping and loss scaling; PyTorch's names and defaults.

An optimizer's state is flat arrays and numbers, a schedule is a pure function of the step that can also drive an
optimizer: training that was stopped goes on with the same bits.
"""

from .adam import Adam, AdamW
from .clip import clip_grad_norm_, clip_grad_value_, global_norm
from .one_cycle import OneCycleLR
from .optimizer import Optimizer
from .plateau import ReduceLROnPlateau
from .rmsprop import RMSprop
from .scaler import GradScaler
from .schedule import Schedule
from .schedulers import (
    SCHEDULERS,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    MultiStepLR,
    StepLR,
    WarmupCosine,
    WarmupLinear,
    scheduler,
)
from .sgd import SGD

OPTIMIZERS: dict[str, type[Optimizer]] = {cls.__name__: cls for cls in (Adam, AdamW, RMSprop, SGD)}

__all__ = ["OPTIMIZERS", "SCHEDULERS", "SGD", "Adam", "AdamW", "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
           "ExponentialLR", "GradScaler", "MultiStepLR", "OneCycleLR", "Optimizer", "RMSprop", "ReduceLROnPlateau", "Schedule",
           "StepLR", "WarmupCosine", "WarmupLinear", "clip_grad_norm_", "clip_grad_value_", "global_norm", "scheduler"]
