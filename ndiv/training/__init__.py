"""Training: the loop, its checkpoints, its progress bar, and what to look at when it goes wrong."""

from .diagnose import Diagnosis, diagnose, first_nonfinite, overfit_one_batch
from .lr_finder import RateSweep, find_lr
from .trainer import Trainer, TrainState

__all__ = ["Diagnosis", "RateSweep", "TrainState", "Trainer", "diagnose", "find_lr", "first_nonfinite", "overfit_one_batch"]
