"""Optimizers and gradient clipping."""

from .optimizers import Adam, AdamW, Optimizer, clip_grad_norm_, global_norm
from .schedulers import SCHEDULERS, StepLR, scheduler

__all__ = ["SCHEDULERS", "Adam", "AdamW", "Optimizer", "StepLR", "clip_grad_norm_", "global_norm", "scheduler"]
