"""Training: the loop, its checkpoints, its progress bar."""

from .trainer import Trainer, TrainState

__all__ = ["TrainState", "Trainer"]
