"""A described neuralforecast model as an ndiv model: its arguments, its losses, its weights.

Contract: an argument that forecasts depend on and ndiv does not have is a `ConfigError` (E0010). One that only training
depends on is left out, and one warning names all of them. Where a run is computed and shown (devices, loggers, progress bars)
is not spoken of.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import Any

import numpy as np

from .. import losses, optim
from ..errors import ConfigError, NdivError, closest
from ..models import MODELS, get_model
from ..models.arguments import COMMON
from ..nn import Parameter
from .description import Model, Named, Opaque

__all__ = ["build"]

# of Lightning's trainer and neuralforecast's loaders: where and how a run is computed and shown, not what it computes
_RUNTIME = frozenset(
    "accelerator barebones benchmark callbacks check_val_every_n_epoch default_root_dir detect_anomaly deterministic devices "
    "enable_autolog enable_checkpointing enable_model_summary enable_progress_bar inference_mode log_every_n_steps logger "
    "num_nodes num_sanity_val_steps plugins profiler strategy sync_batchnorm use_distributed_sampler val_check_interval "
    "enable_lr_finder reload_dataloaders_every_n_epochs limit_predict_batches model_registry".split())
# training alone depends on these: what they are when they change nothing
_TRAINING: dict[str, tuple[Any, ...]] = {
    "val_monitor": ("ptl/val_loss", "val_loss", "valid_loss"), "dataloader_kwargs": (None, {}), "h_train": (1, None),
    "gradient_clip_algorithm": (None, "norm"), "precision": (None, 32, "32", "32-true"), "max_epochs": (None, -1),
    "min_epochs": (None,), "min_steps": (None,), "max_time": (None,), "overfit_batches": (0, 0.0, None),
    "limit_train_batches": (None, 1.0), "limit_val_batches": (None, 1.0), "fast_dev_run": (None, False)}
# forecasts depend on these where a model uses them: what they are when it does not
_UNUSED: dict[str, tuple[Any, ...]] = {"n_series": (None, 1)}
_TABLES = {f"{kind}_cat_embeddings.": f"{kind}_categories.tables." for kind in ("hist", "futr", "stat")}  # of categories
_RENAMED = {"vanillatransformer": "Transformer"}  # models by neuralforecast's names, where ndiv has others
# common arguments that neuralforecast does not have
_OWN_ONLY = frozenset(("variant", "memory_budget", "augment", "restore_best"))


def build(described: Model, replace: dict[str, Any]) -> Any:
    """The fitted ndiv model of a description, ``variant="compat"``; arguments in ``replace`` win over translated ones."""
    name, module = _counterpart(described.name)
    cls = get_model(name)
    own = [n for n, p in inspect.signature(cls).parameters.items() if p.kind is not p.VAR_KEYWORD]
    accepted = {*own, *COMMON} - _OWN_ONLY
    left_out: list[str] = []
    options: dict[str, Any] = {}
    given = getattr(module, "arguments", dict)(described.arguments)
    for key, value in given.items():
        if key in replace or key in _RUNTIME or key in getattr(module, "UNUSED_ARGUMENTS", ()):
            continue
        if key in accepted:
            options[key] = value
        else:
            _without(name, key, value, given, left_out)
    _translate(name, options, replace, left_out)
    if described.alias is not None:
        options["alias"] = described.alias
    elif described.name.lower() in _RENAMED:
        options["alias"] = options.get("alias") or described.name  # the column keeps its name
    model = cls(**{**options, "variant": "compat", "restore_best": False, **replace})
    if left_out:
        warnings.warn(f"{name}: ndiv has no counterpart for {', '.join(left_out)}; forecasts do not depend on "
                      f"{'them' if len(left_out) > 1 else 'it'}, further training does", stacklevel=4)
    _load(model, module, described.state)
    model.fitted = True
    return model


def _counterpart(name: str) -> tuple[str, Any]:
    known = {n.lower(): n for n in MODELS} | _RENAMED
    if name.lower() not in known:
        raise ConfigError(f"ndiv has no model {name!r}", value=name, hint=closest(name, MODELS))
    own = known[name.lower()]
    try:
        return own, importlib.import_module(f".peers.{own.lower()}", __package__)
    except ModuleNotFoundError:
        raise ConfigError(f"weights of neuralforecast's {own} cannot be read yet", value=own,
                          hint="train the model with ndiv") from None


# -- arguments -----------------------------------------------------------------------------------------------------


def _without(name: str, key: str, value: Any, given: dict[str, Any], left_out: list[str]) -> None:
    """An argument that ndiv's model does not take: nothing where it changes nothing, else a warning or an error."""
    if key in _TRAINING:
        if not any(value == plain and type(value) is not Opaque for plain in _TRAINING[key]):
            left_out.append(f"{key}={_shown(value)}")
        return
    if key in _UNUSED and any(value == plain for plain in _UNUSED[key]):
        return
    if key == "inference_input_size" and (value is None or value < 1 or value == _window(given)):
        return
    if key == "n_samples" and not (isinstance(given.get("loss"), Named) and "num_samples" in given["loss"].arguments):
        return  # paths that are drawn, where there is no distribution to draw from
    if key == "n_samples" and value in (100, None):
        return
    if value is None:
        return
    raise ConfigError(f"{name}: ndiv has no counterpart for {key}={_shown(value)}, which forecasts depend on", value=key,
                      hint="train the model with ndiv without it")


def _window(given: dict[str, Any]) -> int:
    """The length of the window that these arguments ask for."""
    size = int(given.get("input_size") or -1)
    return size if size >= 1 else 3 * int(given["h"])


def _translate(name: str, options: dict[str, Any], replace: dict[str, Any], left_out: list[str]) -> None:
    """Values of neuralforecast in place as values of ndiv."""
    if (options.get("input_size") or -1) < 1:
        options["input_size"] = -1
    for key in ("inference_windows_batch_size", "windows_batch_size"):
        if key in options and (options[key] is None or options[key] < 1):
            # all windows at once: in training that many are drawn, for forecasts the number does not matter
            options[key] = 1 << 40 if key == "windows_batch_size" else COMMON[key]
    if options.get("random_seed") is None:
        options.pop("random_seed", None)
    threshold = options.get("training_data_availability_threshold")
    if isinstance(threshold, list):
        left_out.append(f"training_data_availability_threshold={threshold!r}")
        del options["training_data_availability_threshold"]
    sizes, columns = options.get("categorical_cardinalities"), options.get("cat_exog_list") or []
    if isinstance(sizes, dict):  # neuralforecast takes those of other columns, too
        options["categorical_cardinalities"] = {key: n for key, n in sizes.items() if key in columns}
    options["loss"] = None if "loss" in replace else _loss(name, options.get("loss"))
    if "valid_loss" in options:
        try:
            options["valid_loss"] = _loss(name, options["valid_loss"]) if options["valid_loss"] is not None else None
        except ConfigError:
            left_out.append(f"valid_loss={_shown(options.pop('valid_loss'))}")
    _named_class(options, "optimizer", optim.OPTIMIZERS, left_out)
    _named_class(options, "lr_scheduler", optim.SCHEDULERS, left_out)
    kwargs = options.get("optimizer_kwargs")
    if kwargs:
        kind = optim.OPTIMIZERS[options.get("optimizer") or "Adam"]
        try:
            kind([Parameter(np.zeros(1, np.float32))], **{"lr": 1e-3, **kwargs})
        except (NdivError, TypeError, ValueError):
            left_out.append(f"optimizer_kwargs={kwargs!r}")
            del options["optimizer_kwargs"]


def _named_class(options: dict[str, Any], key: str, known: dict[str, Any], left_out: list[str]) -> None:
    value = options.get(key)
    if value is None:
        if key == "lr_scheduler":
            options.pop("lr_scheduler_kwargs", None)  # neuralforecast ignores them as well
        return
    if isinstance(value, Named) and value.name in known:
        options[key] = value.name
        return
    left_out.append(f"{key}={_shown(value)}")
    options.pop(key)
    options.pop(f"{key}_kwargs", None)


def _loss(name: str, value: Any) -> Any:
    hint = "give from_neuralforecast(..., loss=...) a loss of ndiv.losses with the same number of outputs"
    if value is None:
        return losses.MAE()
    if not isinstance(value, Named) or value.kind != "loss":
        raise ConfigError(f"{name}: the loss {_shown(value)} is none of neuralforecast 3.3", value=_shown(value), hint=hint)
    named = {"sMAPE": "SMAPE"}.get(value.name, value.name)
    if named not in losses.LOSSES:
        raise ConfigError(f"{name}: ndiv has no loss {value.name!r}", value=value.name, hint=hint)
    cls = losses.LOSSES[named]
    arguments = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in value.arguments.items()}
    known = inspect.signature(cls).parameters
    extra = [k for k, v in arguments.items() if k not in known and v is not None]
    if extra:
        raise ConfigError(f"{name}: {named} has no argument {extra[0]!r} in ndiv", value=extra[0], hint=hint)
    return cls(**{k: v for k, v in arguments.items() if k in known})


def _shown(value: Any) -> str:
    if isinstance(value, Named):
        return value.name
    return value.text if isinstance(value, Opaque) else repr(value)


# -- weights -------------------------------------------------------------------------------------------------------


def _load(model: Any, module: Any, state: dict[str, np.ndarray]) -> None:
    """The weights of a state into the model; `ConfigError` (E0010) where names or shapes are not those of its arguments."""
    name = type(model).__name__
    own = model.state_dict()
    shared = {k: v for k, v in state.items() if k.startswith(("loss.", "valid_loss.", "scaler.", *_TABLES))}
    try:
        found = dict(module.convert({k: v for k, v in state.items() if k not in shared}, model))
    except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{name}: the weights are not those of its arguments ({type(error).__name__}: {error})", value=name,
                          hint="give a model that neuralforecast 3.3 made", damaged=True) from error
    for theirs, ours in _TABLES.items():
        shared = {k.replace(theirs, ours, 1) if k.startswith(theirs) else k: v for k, v in shared.items()}
    found.update((k, v) for k, v in shared.items() if k in own)  # a loss's weights have the same names
    for key in ("revin_weight", "revin_bias"):
        if key in own and f"scaler.{key}" in shared:
            # [features], the target first; neuralforecast does not use those of the covariates
            found[key] = shared[f"scaler.{key}"].reshape(-1)[:1]
    try:
        model.load_state_dict({k: np.ascontiguousarray(v, own[k].dtype if k in own else v.dtype) for k, v in found.items()})
    except ConfigError as error:
        raise ConfigError(f"{name}: the weights are not those of its arguments ({error.message})", value=name,
                          hint="give a model that neuralforecast 3.3 made", damaged=True) from error
