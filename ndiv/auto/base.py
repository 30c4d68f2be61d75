"""AutoModel: a model whose settings are searched when it is fitted.

Contract: before `fit_store` an AutoModel knows its horizon, its loss and the covariates that its space names; afterwards it is
the model that the search found, trained, to which everything that is not said here goes. Nothing after the rows that training
may see is looked at: each fit searches anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..data.store import SeriesStore
from ..errors import ConfigError, NotFittedError, closest
from ..models import capabilities, get_model
from ..models.arguments import bind
from ..models.base import BaseModel, _loss
from ..tuning.ranges import FirstTrial, Range, Space, label
from ..tuning.search import Options, Search, best_trial
from ..tuning.spaces import SPACES, default_space
from ..tuning.storage import records, table

__all__ = ["AutoModel", "made", "restored"]

_ROLES = ("futr_exog_list", "hist_exog_list", "stat_exog_list", "cat_exog_list")
_OWN = ("h", "loss", "valid_loss", "alias")


class AutoModel:
    """Search the settings of a model by validation loss, then train it with the best ones.

    h                steps to forecast
    loss, valid_loss what training minimizes, and what the search does (None: the loss); as of the model itself
    config           what is tried: a dict of ranges (`ndiv.tuning.choice`, ``uniform``, ``loguniform``, ``quniform``,
                     ``randint``; a list is a choice of its items) and fixed arguments, or a function of an Optuna trial that
                     returns a dict. None: `get_default_config`. Covariates are named here, such as ``futr_exog_list``
    search_alg       "tpe" (default), "random", or a sampler of Optuna; ``sampler`` is another name for it
    num_samples      trials
    time_budget      seconds for the search (the training at its end not counted); None: no limit
    refit_with_val   train the best settings with the validation rows left out, which then choose the weights, as in the
                     trials. False: on all rows, for all of max_steps; trials are then judged by their last weights. True
                     wherever the settings stop early
    verbose, alias   as of the models
    backend          "optuna"; the ranges are those of Ray Tune in name, but Ray is not used
    callbacks        functions (study, trial), called after each trial
    pruner           "median" (default), "hyperband", a pruner of Optuna, or None: what stops trials that fall behind
    storage, study_name, seed, n_jobs   see `ndiv.tune`
    cpus, gpus       for familiarity: Ray's, without effect, and a warning says so

    After fit: ``model``, the trained model; ``results``, a frame with one row a trial; ``best_config``; ``best_loss``;
    ``study``, of Optuna. Raises `ConfigError` (E0010) for arguments that cannot be, `ArgumentError` for settings that the
    model does not have.
    """

    MODEL = ""

    def __init__(self, h: int, loss: Any = None, valid_loss: Any = None,
                 config: Mapping[str, Any] | Callable[[Any], dict[str, Any]] | None = None, search_alg: Any = None,
                 num_samples: int = 10, time_budget: float | None = None, refit_with_val: bool = False, *,
                 verbose: bool | None = None, alias: str | None = None, backend: str = "optuna",
                 callbacks: Sequence[Callable[[Any, Any], Any]] | None = None, sampler: Any = None, pruner: Any = "median",
                 storage: Any = None, study_name: str | None = None, seed: int = 1, n_jobs: int = 1,
                 n_series: int | None = None, cpus: Any = None, gpus: Any = None) -> None:
        if cpus is not None or gpus is not None:
            warnings.warn(f"{type(self).__name__}: cpus and gpus are Ray's and have no effect", stacklevel=2)
        if backend != "optuna":
            raise ConfigError(f"unknown backend {backend!r}", value=backend,
                              hint="Searches run on Optuna: leave backend out. A dict of ranges works as it is.")
        if search_alg is not None and sampler is not None:
            raise ConfigError("search_alg and sampler are two names for one argument", value=sampler, hint="Pass one of them.")
        self.h, self.loss, self.valid_loss, self.alias = h, _loss(loss, "loss"), valid_loss, alias
        if valid_loss is not None:
            self.valid_loss = _loss(valid_loss, "valid_loss")
        self.verbose = verbose or None
        self._fixed: dict[str, Any] = {} if n_series is None else {"n_series": n_series}
        self.options = Options(num_samples, time_budget, sampler if search_alg is None else search_alg, pruner, storage,
                               study_name, seed, n_jobs, tuple(callbacks or ()))
        self.space = self._space(config)
        self._first = self._bound()
        self.refit_with_val = bool(refit_with_val or self._first["early_stop_patience_steps"] >= 0)
        self.model: Any = None
        self.study: Any = None
        self.best_config: dict[str, Any] = {}
        self.best_loss = float("nan")
        self._records: list[dict[str, Any]] = []
        self._library = "pandas"

    # -- the space -------------------------------------------------------------------------------------------------

    @classmethod
    def get_default_config(cls, h: int, backend: str = "optuna", n_series: int | None = None) -> Space:
        """What is tried without ``config``: a dict to change, which is also a function of an Optuna trial.

        >>> from ndiv.auto import AutoNLinear
        >>> AutoNLinear.get_default_config(h=12)["input_size"].values
        (12, 24, 36, 48, 60)
        """
        return Space.of(default_space(cls.MODEL), h)

    def _space(self, config: Any) -> Any:
        if config is None:
            return self.get_default_config(self.h)
        if isinstance(config, Mapping):
            return Space.of(config, self.h)
        if not callable(config):
            raise ConfigError(f"config must be a dict of ranges or a function of a trial, not {config!r}", value=config,
                              hint=f"For example Auto{self.MODEL}.get_default_config(h={self.h}).")
        # A function has drawn already: what it returns are values, lists too.
        return lambda trial: {name: value.draw(trial, name) if isinstance(value, Range) else value
                              for name, value in Space.of(config(trial), self.h).items()}

    def _bound(self) -> dict[str, Any]:
        """All arguments of the model with the first value of each range; refuses unknown names before anything runs."""
        first = self.space(FirstTrial())
        given = [name for name in _OWN if first.get(name) is not None]
        if given:
            raise ConfigError(f"config must not hold {given[0]!r}", value=first[given[0]],
                              hint=f"Pass {given[0]}= to Auto{self.MODEL} itself.")
        for name in _OWN:
            if isinstance(self.space, Space):
                self.space.pop(name, None)
        arguments = {k: v for k, v in first.items() if k not in _OWN}
        return bind(get_model(self.MODEL), (), {**arguments, "h": self.h, **self._fixed})

    def _named(self, role: str) -> list[str]:
        """The covariates of a role: of the model, before fit those that any setting of the space names."""
        if self.model is not None:
            return list(getattr(self.model, role))
        entry = self.space.ranges().get(role) if isinstance(self.space, Space) else None
        lists = entry.values if isinstance(entry, Range) else [self._first[role]]
        return list(dict.fromkeys(name for names in lists for name in names or ()))

    @property
    def futr_exog_list(self) -> list[str]:
        return self._named("futr_exog_list")

    @property
    def hist_exog_list(self) -> list[str]:
        return self._named("hist_exog_list")

    @property
    def stat_exog_list(self) -> list[str]:
        return self._named("stat_exog_list")

    @property
    def cat_exog_list(self) -> list[str]:
        return self._named("cat_exog_list")

    @property
    def output_names(self) -> list[str]:
        """Suffix of each output's column."""
        return list(self.loss.output_names if self.model is None else self.model.output_names)

    def name_covariates(self, lists: dict[str, list[str]]) -> None:
        """Give every setting of the space these covariates: ``{"futr_exog_list": [...]}``."""
        self._fixed.update(lists)
        self._first = self._bound()

    # -- training and forecasting ----------------------------------------------------------------------------------

    def fit_store(self, store: SeriesStore, val_size: int = 0, test_size: int = 0, *, verbose: bool | None = None,
                  **training: Any) -> AutoModel:
        """Search on the windows of a store, then train with the best settings. ``val_size`` 0 means ``h``; the rest is as of
        `BaseModel.fit_store`."""
        verbose = self.verbose if verbose is None else verbose
        cls, size = get_model(self.MODEL), val_size or self.h
        fixed = {"h": self.h, "loss": self.loss, "valid_loss": self.valid_loss,
                 "alias": self.alias or type(self).__name__, **self._fixed}
        whole = {"restore_best": True} if self.refit_with_val else {"restore_best": False}
        search = Search(cls, self.space, {**fixed, **whole}, self.options, keep_best=self.refit_with_val)
        study = search.run(store, size, test_size, verbose=verbose, **training)
        best = best_trial(study)
        settings = search.again(best)

        from ..forecast.columns import view

        model = cls(**{**settings, **fixed, **whole})
        model.fit_store(view(store, model), size if self.refit_with_val else 0, test_size, verbose=verbose, **training)
        self.model, self.study, self.best_config, self.best_loss = model, study, settings, float(best.value)
        self._records, self._library = records(study), store.origin.get("library") or "pandas"
        return self

    def predict_store(self, store: SeriesStore, futr: np.ndarray | None = None) -> np.ndarray:
        """As of `BaseModel.predict_store`. Raises `NotFittedError` (E0001) before fit."""
        if self.model is None:
            raise NotFittedError(f"{type(self).__name__} has not been trained", hint="call fit first")
        values: np.ndarray = self.model.predict_store(store, futr)
        return values

    fit = BaseModel.fit
    predict = BaseModel.predict

    @property
    def results(self) -> Any:
        """One row a trial: trial, state ("complete", "pruned", "failed"), loss, steps, seconds, reason, its settings; in the
        kind of frame that was fitted. Raises `NotFittedError` (E0001) before fit."""
        if not self._records:
            raise NotFittedError(f"{type(self).__name__} has not been trained", hint="call fit first")
        return table(self._records, self._library)

    def reset(self) -> AutoModel:
        """Forget what was found; the next fit searches anew."""
        self.model = self.study = None
        self.best_config, self.best_loss, self._records = {}, float("nan"), []
        return self

    # -- the model that was found ----------------------------------------------------------------------------------

    @property
    def fitted(self) -> bool:
        return self.model is not None and bool(self.model.fitted)

    @fitted.setter
    def fitted(self, value: bool) -> None:
        self.model.fitted = value

    @property
    def series_ids(self) -> Any:
        return None if self.model is None else self.model.series_ids

    @series_ids.setter
    def series_ids(self, value: Any) -> None:
        self.model.series_ids = value

    def __getattr__(self, name: str) -> Any:
        # Only what is not found above comes here: the model answers, before fit its class and its arguments.
        if name.startswith("__") or "_first" not in self.__dict__:
            raise AttributeError(name)
        if self.__dict__.get("model") is not None:
            return getattr(self.model, name)
        if name == "arguments":  # those of the first trial
            return dict(self._first)
        if name in self._first:
            value = self._first[name]
            return [] if value is None and name.endswith("_list") else value
        if name.isupper():
            return getattr(get_model(self.MODEL), name)
        raise AttributeError(f"{type(self).__name__} has no {name!r} before fit: its model is not chosen yet")

    def config(self) -> dict[str, Any]:
        """The settings of the model that was found, with those of the search: JSON-able, for saving."""
        space = self.space.record() if isinstance(self.space, Space) and _plain(self.space) else None
        return {**self.model.config(), "auto": {
            "alias": self.alias, "space": space, "num_samples": self.options.num_samples, "seed": self.options.seed,
            "refit_with_val": self.refit_with_val, "best_config": _readable(self.best_config), "best_loss": self.best_loss,
            "trials": [{k: None if v != v else v for k, v in r.items()} for r in self._records], "library": self._library}}

    def __repr__(self) -> str:
        return self.alias or type(self).__name__


class MultivariateAutoModel(AutoModel):
    """An `AutoModel` whose second argument is the number of series (None: found by fit), as in neuralforecast."""

    def __init__(self, h: int, n_series: int | None = None, *args: Any, **options: Any) -> None:
        super().__init__(h, *args, n_series=n_series, **options)


def _readable(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in settings.items() if _plain({k: v})}


def _plain(settings: Mapping[str, Any]) -> bool:
    """Whether JSON can hold them, so that they can be saved."""
    import json

    try:
        json.dumps(Space(settings).record())
    except (TypeError, ValueError):
        return False
    return True


def made(name: str) -> type[AutoModel]:
    """The class ``Auto<name>`` of a model of the registry."""
    facts = capabilities(name)
    base = MultivariateAutoModel if facts["multivariate"] else AutoModel
    ranges = "\n".join(f"    {key:24} {_text(value)}" for key, value in sorted(SPACES[name].items()))
    doc = (f"{name} whose settings are searched by validation loss ({facts['paper'] or 'see the model'}).\n\n"
           f"The arguments are those of `ndiv.auto.AutoModel`{', with n_series after h' if facts['multivariate'] else ''}.\n"
           f"Its own ranges, where ``config`` gives none:\n\n{ranges}\n")
    return type(f"Auto{name}", (base,), {"MODEL": name, "__doc__": doc, "__module__": "ndiv.auto"})


def _text(value: Any) -> str:
    if not isinstance(value, Range):
        return label(value)
    if value.kind == "choice":
        return "one of " + ", ".join(map(label, value.values))
    ends = f"{value.low:g} to {value.high:g}"
    return f"{'a whole number from ' if value.kind == 'int' else ''}{ends}{', logarithmic' if value.log else ''}" + (
        f", in steps of {value.step:g}" if value.step else "")


def restored(config: dict[str, Any]) -> AutoModel:
    """The automatic model that `AutoModel.config` describes, holding the model that it found, untrained."""
    import ndiv.auto

    options = dict(config)
    facts = options.pop("auto")
    model = BaseModel.from_config(options)
    name = f"Auto{type(model).__name__}"
    space = None if facts["space"] is None else Space.from_record(facts["space"])
    if space is not None and not set(space) <= set(model.arguments):
        unknown = sorted(set(space) - set(model.arguments))[0]
        raise ConfigError(f"{name}: unknown argument {unknown!r}", value=unknown, hint=closest(unknown, model.arguments))
    auto: AutoModel = getattr(ndiv.auto, name)(
        h=model.h, loss=model.loss, valid_loss=model.arguments["valid_loss"], config=space, alias=facts["alias"],
        num_samples=facts["num_samples"], seed=facts["seed"], refit_with_val=facts["refit_with_val"])
    auto.model, auto.best_config, auto.best_loss = model, facts["best_config"], facts["best_loss"]
    auto._records = [{**r, "loss": float("nan") if r["loss"] is None else r["loss"]} for r in facts["trials"]]
    auto._library = facts["library"]
    return auto
