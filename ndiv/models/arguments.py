"""The arguments that every model takes: names and defaults of neuralforecast, checked in one place.

Contract: `COMMON` is the table; `check` refuses unknown names (with the nearest known one) and bad values, all with
code E0010, before a model builds anything. `TRAINERS` are names that neuralforecast hands to PyTorch Lightning and on which no
forecast depends: they are taken, with a warning, and have no effect.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, TypedDict

from ..errors import ArgumentError, ConfigError, closest

__all__ = ["COMMON", "CommonArguments", "bind", "check", "check_count"]


class CommonArguments(TypedDict, total=False):
    """Keyword arguments of every model (see `COMMON` for their defaults)."""

    futr_exog_list: Sequence[str] | None  # covariates known in the future
    hist_exog_list: Sequence[str] | None  # covariates known in the past only
    stat_exog_list: Sequence[str] | None  # one value a series
    cat_exog_list: Sequence[str] | None  # those of the covariates above that hold categories
    categorical_cardinalities: dict[str, int] | None  # categories of each such column; where it is not named, fit counts them
    cat_emb_dim: str | int  # columns that stand for a category: "fastai", "sqrt", "half" (of their number), or how many
    exclude_insample_y: bool  # forecast from covariates alone
    loss: Any  # what training minimizes: a loss of ndiv.losses, its name, or a function of (y_hat, y); None: MAE()
    valid_loss: Any  # what validation measures; None: the loss
    max_steps: int  # training steps
    learning_rate: float  # of the optimizer, at its start
    num_lr_decays: int  # how often the rate is halved over max_steps; negative: never
    early_stop_patience_steps: int  # validations without improvement before stopping; negative: never
    val_check_steps: int  # steps between validations
    batch_size: int  # series in a step
    valid_batch_size: int | None  # for familiarity: validation is bounded by inference_windows_batch_size, in windows
    windows_batch_size: int  # windows in a step, at most
    inference_windows_batch_size: int  # windows in a forward pass without training
    start_padding_enabled: bool  # let windows begin before the series, padded and masked
    training_data_availability_threshold: float  # share of observed values that a window must have
    step_size: int  # distance between windows
    scaler_type: str  # normalization of each window
    random_seed: int  # of the first weights, of dropout and of the windows that a step draws
    drop_last_loader: bool  # leave out the last partial batch of series
    alias: str | None  # name of the forecast's column
    optimizer: Any  # "Adam", "AdamW", or a class
    optimizer_kwargs: dict[str, Any] | None  # its arguments, beside the learning rate
    lr_scheduler: Any  # a name, a class, or a function (base_lr, step) -> lr
    lr_scheduler_kwargs: dict[str, Any] | None  # its arguments
    gradient_clip_val: float | None  # largest global norm of the gradient
    accumulate_grad_batches: int  # batches averaged for one step
    memory_budget: int | None  # most bytes for temporaries of a training step's plan; more than that are computed again
    augment: Any  # changes of training windows at random: "Jitter", TimeWarp(0.2), or a list (ndiv.data.augment)
    restore_best: bool  # end with the best validated weights
    variant: str  # "paper": as published, known defects repaired; "compat": the numbers of neuralforecast


COMMON: dict[str, Any] = {
    "futr_exog_list": None, "hist_exog_list": None, "stat_exog_list": None, "cat_exog_list": None,
    "categorical_cardinalities": None, "cat_emb_dim": "fastai", "exclude_insample_y": False, "loss": None, "valid_loss": None,
    "max_steps": 1000, "learning_rate": 1e-3, "num_lr_decays": -1, "early_stop_patience_steps": -1,
    "val_check_steps": 100, "batch_size": 32, "valid_batch_size": None, "windows_batch_size": 1024,
    "inference_windows_batch_size": 1024, "start_padding_enabled": False, "training_data_availability_threshold": 0.0,
    "step_size": 1, "scaler_type": "identity", "random_seed": 1, "drop_last_loader": False, "alias": None,
    "optimizer": None, "optimizer_kwargs": None, "lr_scheduler": None, "lr_scheduler_kwargs": None,
    "gradient_clip_val": None, "accumulate_grad_batches": 1, "memory_budget": None,
    "augment": None, "restore_best": True, "variant": "paper",
}


TRAINERS = frozenset(
    "accelerator barebones benchmark dataloader_kwargs default_root_dir detect_anomaly deterministic devices "
    "enable_checkpointing enable_model_summary enable_progress_bar inference_mode log_every_n_steps logger num_nodes "
    "num_sanity_val_steps num_workers_loader plugins profiler strategy sync_batchnorm use_distributed_sampler".split())


def bind(cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a model's constructor by name, defaults filled in; unknown names are refused."""
    signature = inspect.signature(cls)
    own = [n for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD and n != "self"]
    ignored = [k for k in kwargs if k in TRAINERS and k not in own]
    if ignored:
        warnings.warn(f"{cls.__name__}: without effect: {', '.join(ignored)}; ndiv trains without PyTorch Lightning",
                      stacklevel=3)
        kwargs = {k: v for k, v in kwargs.items() if k not in ignored}
    unknown = [k for k in kwargs if k not in own and k not in COMMON]
    if unknown:
        raise ArgumentError(f"{cls.__name__}: unknown argument {unknown[0]!r}", value=kwargs[unknown[0]],
                            hint=closest(unknown[0], [*own, *COMMON], "Known"))
    if len(args) > len(own):
        raise ArgumentError(f"{cls.__name__} takes {len(own)} positional arguments and got {len(args)}", value=len(args),
                            hint="give the others by name")
    bound = dict(zip(own, args, strict=False))
    twice = set(bound) & set(kwargs)
    if twice:
        raise ArgumentError(f"{cls.__name__}: {sorted(twice)[0]!r} is given twice", value=sorted(twice), hint="give it once")
    defaults = {n: p.default for n, p in signature.parameters.items() if n in own and p.default is not p.empty}
    missing = [n for n in own if n not in bound and n not in kwargs and n not in defaults]
    if missing:
        raise ArgumentError(f"{cls.__name__}: {missing[0]} is missing", value=None, hint=f"give {missing[0]}=...")
    return {**COMMON, **getattr(cls, "DEFAULTS", {}), **defaults, **bound, **kwargs}


_COUNTS = ("h", "input_size", "val_check_steps", "batch_size", "windows_batch_size", "inference_windows_batch_size",
           "step_size", "accumulate_grad_batches")


def check_count(model: str, low: int = 1, **values: Any) -> None:
    """Refuse arguments that are no whole numbers of at least ``low``: `ConfigError` (E0010)."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            kind = "a positive whole number" if low == 1 else f"a whole number of at least {low}"
            raise ConfigError(f"{model}: {name} must be {kind}, not {value!r}", value=value,
                              hint=f"give {name} >= {low}")


def check(name: str, a: dict[str, Any], supports: dict[str, bool], supporters: Any) -> None:
    """Refuse values that no model could use. ``supports`` maps futr/hist/stat to whether the model takes them."""
    from ..data.augment import augmentations
    from ..data.scalers import window_scaler

    check_count(name, **{key: a[key] for key in _COUNTS})
    check_count(name, 0, max_steps=a["max_steps"])
    if not a["learning_rate"] > 0:
        raise ConfigError(f"{name}: learning_rate must be positive, not {a['learning_rate']!r}", value=a["learning_rate"],
                          hint="1e-3 is common")
    if not 0.0 <= a["training_data_availability_threshold"] <= 1.0:
        raise ConfigError(f"{name}: training_data_availability_threshold must be in [0, 1]",
                          value=a["training_data_availability_threshold"], hint="0 keeps every window with a value")
    if a["variant"] not in ("paper", "compat"):
        raise ConfigError(f"{name}: unknown variant {a['variant']!r}", value=a["variant"],
                          hint=closest(a["variant"], ("paper", "compat")))
    window_scaler(a["scaler_type"])
    augmentations(a["augment"])
    for kind, can in supports.items():
        key = f"{kind}_exog_list"
        if a[key] is not None and (isinstance(a[key], str) or not all(isinstance(c, str) for c in a[key])):
            raise ConfigError(f"{name}: {key} must be a list of column names", value=a[key], hint=f"{key}=['column']")
        if a[key] and not can:
            raise ConfigError(f"{name} takes no {kind}_exog covariates", value=list(a[key]),
                              hint=f"models that do: {', '.join(supporters(kind))}")
    if a["exclude_insample_y"] and not any(supports.values()):
        raise ConfigError(f"{name} takes no covariates, so it cannot forecast without insample_y", value=True,
                          hint="leave exclude_insample_y=False")
    if a["exclude_insample_y"] and not any(a[f"{kind}_exog_list"] for kind in supports):
        raise ConfigError(f"{name}: exclude_insample_y=True leaves no input", value=True,
                          hint="name covariates in futr_exog_list, hist_exog_list or stat_exog_list")
    if a["memory_budget"] is not None:
        check_count(name, memory_budget=a["memory_budget"])
    if a["gradient_clip_val"] is not None and not a["gradient_clip_val"] > 0:
        raise ConfigError(f"{name}: gradient_clip_val must be positive", value=a["gradient_clip_val"], hint="1.0 is common")
