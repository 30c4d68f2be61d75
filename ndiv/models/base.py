"""BaseModel: what all models share. A model's own file holds its architecture and nothing else.

Contract, for who writes a model: the constructor takes its own arguments and ``**common`` and calls
``super().__init__()`` first; ``self.h``, ``self.input_size`` and all arguments are then set. `forward` gets a batch and
returns [B, h, n * outputs], in the units of the (scaled) input. Scaling, loss, optimizer, training, windows and
covariate handling happen here.

A batch is a dict of arrays or Tensors: insample_y [B, L, n], insample_mask [B, L, n], hist_exog [B, L, X],
futr_exog [B, L + h, F], stat_exog [B, S]; for training also outsample_y and outsample_mask [B, h, n], and sample_weight
[B, 1, n] where windows weigh differently. Categorical covariates are codes there (see categories.py); `inputs` gives their
embeddings, so that a constructor counts ``self.hist_exog_size``, ``futr_exog_size`` and ``stat_exog_size`` columns.

A univariate model (n = 1) sees series one by one. A ``MULTIVARIATE`` one takes an argument ``n_series`` and sees all N of
them at once: its windows are aligned on the last row of each series, n = N everywhere, hist_exog is [B, X, L, N], futr_exog
[B, F, L + h, N], stat_exog [N, S]. Its constructor reads ``self.n_series``; with n_series=None that is 1 until `fit_store`
has seen the series and builds the model for them. `numbers` puts its forecasts in the order in which the loss reads them.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .. import backends, losses, optim, random
from ..autograd import Tensor, no_grad
from ..autograd.ops import FUNCTIONS
from ..autograd.tape import stopped
from ..data.augment import Augmenter, augmentations
from ..data.scalers import WindowScaler, window_scaler
from ..data.store import SeriesStore
from ..data.windows import SequentialLoader, WindowLoader, gather, stack_series
from ..errors import ConfigError, FeatureError, HorizonError, NotFittedError, ShapeError, closest
from ..nn import Module, Parameter
from ..training import Trainer
from ..training.history import history_frame
from ..training.tuning import tuned
from .arguments import bind, check
from .categories import CategoryTables, check_categories, learn, recode
from .panel import check_n_series, one_clock, ordered_as, panels

__all__ = ["Batch", "BaseModel"]

Batch = dict[str, Any]
_RUNS_BEFORE_PLAN = 3  # of batches of the same shapes, where a model is unrolled: about what making the plan costs
_KINDS = {"futr": "EXOGENOUS_FUTR", "hist": "EXOGENOUS_HIST", "stat": "EXOGENOUS_STAT"}


class BaseModel(Module):
    """Base of the forecasting models.

    Class facts: ``EXOGENOUS_FUTR/HIST/STAT`` (covariates that it takes; ``EXOGENOUS_CAT``, categorical ones, follows from
    them), ``MULTIVARIATE`` (all series at once), ``RECURRENT`` (step after step), ``PROBABILISTIC`` (takes quantile and
    distribution losses), ``LONG_HORIZON`` (published on horizons of hundreds of steps), ``VARIANTS`` (without "compat" where
    neuralforecast has no such model), ``DEFAULTS`` (common arguments whose defaults differ), ``PAPER`` ("Authors year,
    Title"), ``DIFFERENCES`` (what compat does otherwise than paper, and why; one line). `ndiv.models.capabilities` reads
    them.
    """

    EXOGENOUS_FUTR = False
    EXOGENOUS_HIST = False
    EXOGENOUS_STAT = False
    EXOGENOUS_CAT = False
    MULTIVARIATE = False
    RECURRENT = False
    PROBABILISTIC = True
    LONG_HORIZON = False
    VARIANTS: tuple[str, ...] = ("paper", "compat")
    DEFAULTS: dict[str, Any] = {}
    PAPER = ""
    DIFFERENCES = ""

    arguments: dict[str, Any]
    categories: dict[str, list[Any]]  # of each categorical column: the values behind its codes 1, 2, ..., found by fit

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        if args or kwargs:
            bound = bind(cls, args, kwargs)
            if bound["input_size"] == -1:
                bound["input_size"] = 3 * bound["h"]
            check(cls.__name__, bound, {k: getattr(cls, v) for k, v in _KINDS.items()}, _supporters)
            check_categories(cls.__name__, bound, cls.EXOGENOUS_CAT, _supporters)
            check_n_series(cls.__name__, bound.get("n_series"))
            if bound["variant"] not in cls.VARIANTS:
                raise ConfigError(f"{cls.__name__} has no variant={bound['variant']!r}: neuralforecast, whose numbers that "
                                  "stands for, has no such model", value=bound["variant"],
                                  hint=f"give variant={cls.VARIANTS[0]!r}")
            self.__dict__["arguments"] = bound
            self.__dict__["categories"] = {}
        return self

    def __init__(self) -> None:
        super().__init__()
        a = self.__dict__["arguments"]
        self.h: int = a["h"]
        self.input_size: int = a["input_size"]
        self.variant: str = a["variant"]
        self.loss = self._own(_loss(a["loss"], "loss"))
        self.valid_loss = self.loss if a["valid_loss"] is None else self._own(_loss(a["valid_loss"], "valid_loss"))
        self.alias: str | None = a["alias"]
        self.random_seed: int = a["random_seed"]
        self.futr_exog_list = list(a["futr_exog_list"] or [])
        self.hist_exog_list = list(a["hist_exog_list"] or [])
        self.stat_exog_list = list(a["stat_exog_list"] or [])
        self.cat_exog_list = list(a["cat_exog_list"] or [])
        self.hist_exog_size, self.futr_exog_size, self.stat_exog_size = map(self._embedded, ("hist", "futr", "stat"))
        self.scaler: WindowScaler = window_scaler(a["scaler_type"])
        self.n_out: int = self.loss.outputsize
        self.n_series: int = a.get("n_series") or 1
        self.series_ids: np.ndarray | None = None  # of a multivariate model, in the order of its channels
        self._sized = False  # n_series was found in the data
        self.base_lr: float = a["learning_rate"]
        self.fitted = False
        self.history: list[dict[str, float]] = []
        self.train_trajectories: list[float] = []
        self.frozen: frozenset[str] = frozenset()  # parameters that the last fit was told to leave as they are
        self._optimizer: Any = None
        self._step: Any = None  # training steps as plans
        self._plans: Any = None  # forecast and validation as plans
        if a["scaler_type"] == "revin":
            self.revin_weight = Parameter(np.ones(1, np.float32))
            self.revin_bias = Parameter(np.zeros(1, np.float32))

    def _own(self, loss: losses.Loss) -> losses.Loss:
        """The loss as this variant uses it: neuralforecast's forecasts leave quantiles that cross as they are."""
        if self.variant == "compat" and getattr(loss, "non_crossing", False):
            loss = copy.copy(loss)
            loss.__dict__["non_crossing"] = False
        return loss

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.EXOGENOUS_CAT = any(getattr(cls, fact) for fact in _KINDS.values())
        build = cls.__init__

        def seeded(self: Any, *args: Any, **kw: Any) -> None:
            # the weights follow from random_seed alone, whatever ran before
            with random.fork(self.arguments["random_seed"]):
                build(self, *args, **kw)

        seeded.__wrapped__ = build  # type: ignore[attr-defined]
        seeded.__doc__ = build.__doc__
        cls.__init__ = seeded  # type: ignore[method-assign]

    # -- categories ------------------------------------------------------------------------------------------------

    @property
    def categorical_cardinalities(self) -> dict[str, int]:
        """How many categories the table of each column in ``cat_exog_list`` is for: as told, else as fit found (1 before)."""
        given = self.arguments["categorical_cardinalities"] or {}
        return {name: given.get(name) or max(len(self.categories.get(name, ())), 1) for name in self.cat_exog_list}

    def _embedded(self, kind: str) -> int:
        """Make the tables of one kind of covariates, and count the columns that its layers see."""
        names: list[str] = getattr(self, f"{kind}_exog_list")
        sizes = {name: n for name, n in self.categorical_cardinalities.items() if name in names}
        if not sizes:
            return len(names)
        tables = CategoryTables(names, sizes, self.arguments["cat_emb_dim"], self.variant, kind == "stat")
        setattr(self, f"{kind}_categories", tables)
        return tables.size

    def adopted(self, store: SeriesStore, futr: np.ndarray | None = None, learn_from: np.ndarray | None = None,
                ) -> tuple[SeriesStore, np.ndarray | None]:
        """A store and future covariates [S, h, F] as this model's windows are cut from them: with its codes of categories,
        which it first finds in the first ``learn_from`` [S] rows of each series where that is given."""
        if not self.cat_exog_list:
            return store, futr
        if learn_from is not None:
            self._categorize(learn(self, store, learn_from))
        return recode(self, store, futr)

    def tables(self, kind: str) -> CategoryTables | None:
        """The tables of the categorical covariates "hist", "futr" or "stat"; None where there are none."""
        found: CategoryTables | None = self._modules.get(f"{kind}_categories")
        return found

    def embedded(self, kind: str, x: Any) -> Any:
        """Covariates [..., columns] of one kind as the layers see them, codes replaced by their rows: of a stream, without
        gradients."""
        tables = self.tables(kind)
        if tables is None:
            return x
        with no_grad():
            return tables(x, hide=False)

    def normalized(self, kind: str, x: Any, loc: Any, scale: Any) -> Any:
        """Covariates of one kind in units of their windows; codes of categories stay as they are."""
        z = self.scaler.transform(x, loc, scale)
        tables = self.tables(kind)
        if tables is None:
            return z
        return FUNCTIONS["where"](tables.is_code[:, None, None] if self.MULTIVARIATE else tables.is_code, x, z)

    def unknown_hist(self, windows: int, steps: int, dtype: Any) -> Any:
        """[windows, steps, hist_exog_size]: what stands for historic covariates of steps where nobody knows them."""
        tables = self.tables("hist")
        if tables is None:
            return np.zeros((windows, steps, self.hist_exog_size), dtype)
        return tables.unknown(windows, steps, dtype)

    # -- what a model's forward uses -----------------------------------------------------------------------------

    def inputs(self, batch: Batch) -> tuple[Any, Any, Any, Any, Any]:
        """(y, mask, hist, futr, stat) of a batch, checked; None for what the model was not told to use."""
        y = batch.get("insample_y")
        if y is None:
            raise ShapeError(f"{type(self).__name__}: the batch has no insample_y", hint="give insample_y [B, L, n]")
        if len(y.shape) != 3 or y.shape[1] != self.input_size:
            raise ShapeError(f"{type(self).__name__}: insample_y has shape {list(y.shape)}", value=tuple(y.shape),
                             hint=f"it must be [B, {self.input_size}, n]")
        if self.MULTIVARIATE and y.shape[2] != self.n_series:
            raise ShapeError(f"{type(self).__name__} is made for {self.n_series} series and insample_y has {y.shape[2]}",
                             value=tuple(y.shape), hint=f"make the model with n_series={y.shape[2]}")
        if self.arguments["exclude_insample_y"]:
            y = y * 0.0
        mask = batch.get("insample_mask")
        found: list[Any] = []
        for kind in ("hist", "futr", "stat"):
            names = getattr(self, f"{kind}_exog_list")
            value = batch.get(f"{kind}_exog")
            if not names:
                found.append(None)
                continue
            shape = self.exog_shape(kind, len(y))
            if value is None or tuple(value.shape) != shape:
                raise FeatureError(f"{type(self).__name__}: {kind}_exog must have shape {list(shape)} for {names}",
                                   value=None if value is None else tuple(value.shape), hint="give one column a name")
            tables = self.tables(kind)
            found.append(value if tables is None else tables(value, 1 if self.MULTIVARIATE and kind != "stat" else -1))
        return (y, mask, *found)

    def exog_shape(self, kind: str, windows: int) -> tuple[int, ...]:
        """The shape of the covariates "hist", "futr" or "stat" in a batch of that many windows, a column for each name."""
        count = len(getattr(self, f"{kind}_exog_list"))
        if kind == "stat":
            return (self.n_series if self.MULTIVARIATE else windows, count)
        length = self.input_size + (self.h if kind == "futr" else 0)
        return (windows, count, length, self.n_series) if self.MULTIVARIATE else (windows, length, count)

    def leveled(self, level: Any) -> Any:
        """A level [B, 1, 1] for each number of a step: to the location alone in ``paper``, to all in ``compat``."""
        if self.n_out == 1 or self.variant == "compat":
            return level
        return level * self.loss.level_mask().reshape(1, 1, -1).astype(level.dtype)

    def numbers(self, each: Any) -> Any:
        """[B, h, n, outputs], the numbers of each series, in the order in which the loss reads them: [B, h, n * outputs]."""
        if self.loss.is_by_parameter:
            each = FUNCTIONS["transpose"](each, 2, 3)
        return each.reshape(each.shape[0], self.h, -1)

    def forward(self, batch: Batch) -> Any:
        raise NotImplementedError

    # -- scaling ---------------------------------------------------------------------------------------------------

    def scale(self, batch: Batch) -> tuple[Batch, Any, Any]:
        """The batch in units of its windows, with (loc, scale) [B, 1, n]. Whatever stands for a missing value becomes 0 there
        (``compat``: 0 scaled). Weights of windows, sample_weight [B, 1, n], join outsample_mask, by which a loss weighs."""
        arrays = {k: v for k, v in batch.items() if v is not None}
        mask, asked = arrays.get("insample_mask"), arrays.get("outsample_mask")
        if "sample_weight" in arrays and "outsample_y" in arrays:
            ones = np.ones(tuple(arrays["outsample_y"].shape), arrays["outsample_y"].dtype)
            arrays["outsample_mask"] = (ones if asked is None else asked) * arrays["sample_weight"]
        if mask is not None:
            y = arrays["insample_y"]
            arrays["insample_y"] = FUNCTIONS["where"](stopped(mask) != 0, y, np.zeros((), y.dtype))
        if self.scaler.name == "identity":
            return arrays, None, None
        loc, scale = self.scaler.stats(arrays["insample_y"], mask, axis=1)
        out = dict(arrays)
        for key, on in (("insample_y", mask), ("outsample_y", asked)):
            if key in arrays and on is not None and self.variant == "compat":
                # neuralforecast scales the zeros that stand for what is missing like any other value
                out[key] = self.scaler.transform(arrays[key] * on, loc, scale)
            elif key in arrays:
                z = self.scaler.transform(arrays[key], loc, scale)
                out[key] = z if on is None else z * on
        for key in ("hist_exog", "futr_exog"):
            if key in arrays:
                # statistics never see the future
                if self.MULTIVARIATE:  # [B, X, L, n]
                    past, axis = arrays[key][:, :, :self.input_size], 2
                    on = None if mask is None else FUNCTIONS["expand"](mask[:, None], tuple(past.shape))
                else:
                    past, axis = arrays[key][:, :self.input_size], 1
                    on = None if mask is None else FUNCTIONS["expand"](mask[..., :1], tuple(past.shape))
                out[key] = self.normalized(key[:4], arrays[key], *self.scaler.stats(past, on, axis=axis))
        if self.scaler.name == "revin" and self.variant == "compat":
            # neuralforecast's order: the input is standardized, and the way back alone is trained
            loc, scale = loc + self.revin_bias, scale * (FUNCTIONS["relu"](self.revin_weight) + self.scaler.eps)
        elif self.scaler.name == "revin":
            out["insample_y"] = out["insample_y"] * self.revin_weight + self.revin_bias
            if mask is not None:
                out["insample_y"] = out["insample_y"] * mask
        return out, loc, scale

    def _unaffine(self, y_hat: Any) -> Any:
        """The inverse of revin's trained affine map (Kim et al. 2022, equation 2)."""
        if self.scaler.name != "revin" or self.variant == "compat":
            return y_hat
        return (y_hat - self.revin_bias) / self.revin_weight

    def forecast(self, batch: Batch) -> np.ndarray:
        """Forecast of a batch in the units of the data, without gradients: [B, h, n * columns], one column for each of
        `output_names`.

        Runs as a plan (native backend, float32): a window has the same bits alone, in any batch (``paper``) and in every
        call. The quantiles of a distribution are always made in NumPy. A model that `unrolled` says so of runs its first
        batches of any shape op by op, which agrees to rounding. A plan follows parameters that change, and a loss that is
        exchanged or told another quantile; changes to other attributes it does not see.
        """
        out = self._forecast(batch, _RUNS_BEFORE_PLAN if self.unrolled else 0)
        return out.reshape(*out.shape[:2], -1)

    @property
    def unrolled(self) -> bool:
        """Whether a forecast takes the steps of the horizon one by one, so that its plan is long and takes time to make."""
        return False

    def _forecast(self, batch: Batch, after: int) -> np.ndarray:
        """[B, h, n, columns]."""
        was = self.training
        self.eval()
        try:
            if self.loss.is_distribution_output:  # its quantiles are not made of ops
                return self.loss.forecast(*self._planned("_numbers", batch, after))
            out: np.ndarray = self._planned("_columns", batch, after)
            return out
        finally:
            self.train(was)

    def _numbers(self, batch: Batch) -> tuple[Any, Any, Any]:
        """The model's numbers [B, h, n * outputs], and loc and scale of the windows."""
        scaled, loc, scale = self.scale(batch)
        return self._unaffine(self.forward(scaled)), loc, scale

    def _columns(self, batch: Batch) -> Any:
        """The forecast [B, h, n, columns] of a loss whose forecast is made of ops."""
        y_hat, loc, scale = self._numbers(batch)
        out = self.loss.forecast(y_hat)
        return out if loc is None else self.scaler.inverse(out, loc[..., None], scale[..., None])

    def _planned(self, name: str, batch: Batch, after: int) -> Any:
        """A method's result for a batch, without gradients, as arrays: by a plan (see `ndiv.program.forward`) where the native
        backend is in force."""
        from ..program.forward import ForwardPlans, arrays_of

        with no_grad():
            if random.is_traced():  # as a part of a function that is being compiled
                return getattr(self, name)(batch)
            if backends.current() != "native":
                return arrays_of(getattr(self, name)(batch))
            if self._plans is None:
                self._plans = ForwardPlans(self)
            return self._plans(name, batch, after, fill=name in ("_numbers", "_columns") and self.variant == "paper")

    # -- training --------------------------------------------------------------------------------------------------

    @property
    def optimizer(self) -> optim.Optimizer:
        """The optimizer, made when first needed."""
        if self._optimizer is None:
            kind = self.arguments["optimizer"] or "Adam"
            if isinstance(kind, str):
                if kind not in optim.OPTIMIZERS:
                    raise ConfigError(f"unknown optimizer {kind!r}", value=kind, hint=closest(kind, optim.OPTIMIZERS))
                kind = optim.OPTIMIZERS[kind]
            options = {"lr": self.base_lr, **(self.arguments["optimizer_kwargs"] or {})}
            self._optimizer = kind([p for name, p in self.named_parameters() if name not in self.frozen], **options)
            self.base_lr = self._optimizer.lr
        return self._optimizer

    def forget_optimizer(self) -> None:
        """Begin with a fresh optimizer at the next step."""
        self._optimizer = self._step = None

    def compute_loss(self, batch: Batch) -> Tensor:
        """The training loss of a batch, recorded for backward."""
        scaled, loc, scale = self.scale(batch)
        if "outsample_y" not in scaled:
            raise ShapeError(f"{type(self).__name__}: the batch has no outsample_y", hint="give outsample_y [B, h, n]")
        y_hat = self._unaffine(self.forward(scaled))
        y, y_insample = scaled["outsample_y"], scaled["insample_y"]
        if self.loss.is_distribution_output:
            y = batch["outsample_y"]
        loss: Tensor = self.loss.objective(y, y_hat, scaled.get("outsample_mask"), y_insample, loc, scale)
        return loss

    def train_step(self, batch: Batch | list[Batch]) -> float:
        """Forward, loss, gradient, clip, update. Returns the loss before the update.

        One compiled step where the native backend is in force (see `ndiv.program.train`), op by op elsewhere; both compute the
        same. Of several batches losses and gradients are averaged. When the loss or a gradient is not finite the weights stay
        as they are, and the loss comes back as NaN or infinity.

        >>> import ndiv, numpy as np
        >>> m = ndiv.models.NLinear(h=2, input_size=4)
        >>> batch = {"insample_y": np.ones((3, 4, 1), "f4"), "outsample_y": np.ones((3, 2, 1), "f4")}
        >>> m.train_step(batch) > m.train_step(batch)
        True
        """
        optimizer = self.optimizer
        optimizer.zero_grad()
        if not self.training:
            self.train()
        done = self._compiled(batch)
        if done is not None:
            return done
        batches = batch if isinstance(batch, list) else [batch]
        value = 0.0
        for part in batches:
            loss = self.compute_loss(part)
            if len(batches) > 1:
                loss = loss * (1.0 / len(batches))
            loss.backward()
            value += float(loss.data)
        for name, p in self.named_parameters() if self.frozen else ():
            if name in self.frozen:
                p.grad = None
        norm = optim.global_norm(optimizer.params)
        if not math.isfinite(norm) and math.isfinite(value):
            value = math.nan
        if math.isfinite(value):  # a broken gradient must not reach the weights; the trainer reports it
            optimizer.step(max_norm=self.arguments["gradient_clip_val"], norm=norm)
        return value

    def _compiled(self, batch: Batch | list[Batch]) -> float | None:
        """The step as a plan, or None where this model or backend runs op by op."""
        if backends.current() != "native":
            return None
        if self._step is None:
            from ..program.train import TrainStep

            self._step = TrainStep(self)
        step = self._step
        said = step.reason
        done: float | None = step(batch)
        if step.reason and not said:
            warnings.warn(f"{type(self).__name__} trains op by op, which is slower: {step.reason}", stacklevel=3)
        return done

    def validation_loss(self, batches: Iterable[Batch]) -> float:
        """Mean validation loss over batches in the units of the data, each element counted once.

        A plan is made of the first batch of any shapes already: validation comes again and again, and a run that is resumed
        shall find the bits of one that was never stopped.
        """
        total = weight = 0.0
        was = self.training
        self.eval()
        try:
            for batch in map(_weighed, batches):
                y, mask = np.asarray(batch["outsample_y"]), batch.get("outsample_mask")
                n = float(np.sum(mask)) if mask is not None else float(np.size(y))
                if n:
                    total += float(self._valid(batch)) * n
                    weight += n
        finally:
            self.train(was)
        return total / weight if weight else math.nan

    def _valid(self, batch: Batch) -> Any:
        """The validation loss of one batch."""
        self.valid_loss.check_targets(batch["outsample_y"], batch.get("outsample_mask"))
        if self.loss.is_distribution_output and not self.valid_loss.is_distribution_output:
            with no_grad():
                found = self._judged(batch, self._forecast(batch, 0))
            return found.data if isinstance(found, Tensor) else found
        return self._planned("_objective", batch, 0)

    def _objective(self, batch: Batch) -> Any:
        """The validation loss where it is made of ops."""
        if self.valid_loss.is_distribution_output:
            y_hat, loc, scale = self._numbers(batch)
            return self.valid_loss.objective(batch["outsample_y"], y_hat, batch.get("outsample_mask"), batch["insample_y"],
                                             loc, scale)
        return self._judged(batch, self._columns(batch))

    def _judged(self, batch: Batch, columns: Any) -> Any:
        """The validation loss of a forecast [B, h, n, columns]. A loss other than the training loss sees the columns that it
        can judge: a point loss the mean or the median, a quantile loss as many as it has quantiles."""
        loss, names, wanted = self.valid_loss, self.output_names, len(self.valid_loss.output_names)
        seen = columns[..., -wanted:] if wanted > 1 else columns[..., names.index("-median") if "-median" in names else 0]
        return loss(batch["outsample_y"], seen, batch.get("outsample_mask"), batch["insample_y"])

    def schedule(self) -> Callable[[float, int], float] | None:
        """The learning-rate schedule that the arguments ask for."""
        a = self.arguments
        if a["lr_scheduler"] is not None:
            return optim.scheduler(a["lr_scheduler"], {"total_steps": a["max_steps"]}, **(a["lr_scheduler_kwargs"] or {}))
        if a["num_lr_decays"] > 0:
            return optim.StepLR(max(a["max_steps"] // a["num_lr_decays"], 1), 0.5)
        return None

    def fit_store(self, store: SeriesStore, val_size: int = 0, test_size: int = 0, *, validation: SeriesStore | None = None,
                  verbose: bool | None = None, callbacks: tuple[Callable[..., Any], ...] = (), checkpoint: Any = None,
                  resume: Any = None, max_steps: int | None = None, learning_rate: float | None = None, freeze: Any = None,
                  reset_optimizer: bool = False, on_nan: str = "raise") -> BaseModel:
        """Train on the windows of a store whose targets lie before the last ``val_size + test_size`` rows.

        ``validation`` is a store of its own to validate on, instead of ``val_size``. The last five arguments are those of
        `ndiv.NeuralForecast.fit`; a pattern in ``freeze`` that names no parameter of this model is passed over.

        Raises `HorizonError` (E0005) for series that are too short, `ConfigError` (E0010) for sizes that disagree,
        `DataError` (E0011) when a multivariate model that was trained before misses series or meets other ones,
        `NonFiniteError` (E0009) when training diverges. With ``memory_budget`` the first step raises `ConfigError` where the
        plan cannot be within that many bytes, and names the smallest number that it reached.
        """
        a = self.arguments
        if val_size and val_size < self.h:
            raise ConfigError(f"{type(self).__name__}: val_size={val_size} is less than h={self.h}", value=val_size,
                              hint=f"give val_size=0, or at least {self.h}")
        if val_size and validation is not None:
            raise ConfigError(f"{type(self).__name__}: val_size and a validation set of its own exclude one another",
                              value=val_size, hint="give one of the two")
        if a["early_stop_patience_steps"] >= 0 and not val_size and validation is None:
            raise ConfigError(f"{type(self).__name__}: early stopping needs a validation set", value=val_size,
                              hint=f"fit with val_size={self.h} or more, or leave early_stop_patience_steps negative")
        if a["memory_budget"] is not None and backends.current() != "native":
            warnings.warn(f"{type(self).__name__}: plans keep to memory_budget, and without the native backend training runs "
                          "op by op", stacklevel=2)
        if self.MULTIVARIATE:
            store = self._sized_for(store)
        ranges = store.split(val_size, test_size)
        self._long_enough(store, ranges["train"][1])
        if validation is not None and self.MULTIVARIATE:
            validation = ordered_as(self, validation, store)
        store = self.adopted(store, learn_from=ranges["train"][1])[0]
        common = {"step_size": a["step_size"], "start_padding": a["start_padding_enabled"], "panel": self.MULTIVARIATE}
        loader = WindowLoader(store, self.input_size, self.h, batch_size=a["batch_size"], seed=self.random_seed,
                              windows_batch_size=a["windows_batch_size"], hi=ranges["train"][1],
                              availability=a["training_data_availability_threshold"], drop_last=a["drop_last_loader"],
                              keep=a["accumulate_grad_batches"], **common,
                              augment=Augmenter(a["augment"], store) if a["augment"] is not None else None)
        judge = None
        if val_size or validation is not None:
            held, lo, hi = (store, *ranges["val"]) if validation is None else (self.adopted(validation)[0], None, None)
            judge = SequentialLoader(held, self.input_size, self.h, batch_size=a["inference_windows_batch_size"], lo=lo, hi=hi,
                                     **common)
            judge.index.require()
        self.before_training(loader)
        with tuned(self, max_steps=max_steps, learning_rate=learning_rate, freeze=freeze, reset_optimizer=reset_optimizer):
            self._run(loader, judge, resume, verbose=verbose, callbacks=callbacks, checkpoint=checkpoint, on_nan=on_nan)
        self.series_ids = store.ids if self.MULTIVARIATE else None
        return self

    def _run(self, loader: Any, validation: Any, resume: Any = None, **options: Any) -> None:
        """Train on what the loader gives; ``options`` are those of `Trainer` that are no arguments of the model."""
        a = self.arguments
        trainer = Trainer(a["max_steps"], val_check_steps=a["val_check_steps"], patience=a["early_stop_patience_steps"],
                          restore_best=a["restore_best"], schedule=self.schedule(), seed=self.random_seed,
                          name=self.alias or type(self).__name__, accumulate=a["accumulate_grad_batches"], **options)
        state = trainer.fit(self, loader, validation, resume=resume)
        self.history, self.train_trajectories = state.history, state.train_losses
        self.fitted = True

    @property
    def history_(self) -> Any:
        """The course of training: a pandas frame of step, train_loss, valid_loss, lr and seconds, one row a check.

        ``train_loss`` is the mean since the check before; the loss of every step is in ``train_trajectories``.
        """
        return history_frame(self.history)

    def before_training(self, loader: WindowLoader) -> None:
        """Called by fit with the windows of training; a model that learns something of them beside its weights overrides it."""

    def _sized_for(self, store: SeriesStore) -> SeriesStore:
        """The series in the order of the channels of this multivariate model, which is built for their number where it was
        told none."""
        untold = self._sized or self.arguments["n_series"] is None
        if untold and self.series_ids is None and (self.n_series != store.n_series or not self._sized):
            self._size(store.n_series)
        order = panels(self, store)[0]
        one_clock(self, store)
        return store if (order == np.arange(store.n_series)).all() else store.select(order)

    def _size(self, n_series: int | None) -> None:
        """Build the model anew for that many series."""
        self.__dict__["arguments"] = {**self.arguments, "n_series": n_series}
        type(self).__init__(self, **self.arguments)
        self._sized = True

    def name_covariates(self, lists: dict[str, list[str]]) -> None:
        """Build the model anew for these covariates, given by argument: ``{"futr_exog_list": [...]}``."""
        self.__dict__["arguments"] = {**self.arguments, **lists}
        type(self).__init__(self, **self.arguments)

    def _categorize(self, categories: dict[str, list[Any]]) -> None:
        """Build the model anew for these categories of its columns, where they are others than before."""
        if categories == self.categories:
            return
        sized = self._sized
        self.__dict__["categories"] = categories
        type(self).__init__(self, **self.arguments)
        self._sized = sized

    def partial_fit(self, data: Any, max_steps: int | None = None, **kwargs: Any) -> BaseModel:
        """Go on training on new data, from the weights and the optimizer's state of before.

        data is a `SeriesStore`, or a frame once `fit` has seen one; max_steps defaults to the model's own. The history
        goes on, its steps counted from the first fit.
        """
        history, losses = self.history, self.train_trajectories
        if isinstance(data, SeriesStore):
            self.fit_store(data, max_steps=max_steps, **kwargs)
        elif "_forecaster" in self.__dict__:
            self.__dict__["_forecaster"].fit(data, max_steps=max_steps, **kwargs)
        else:
            self.fit(data, max_steps=max_steps, **kwargs)
        done = float(len(losses))
        self.history = history + [{**r, "step": r["step"] + done} for r in self.history]
        self.train_trajectories = losses + self.train_trajectories
        return self

    def _long_enough(self, store: SeriesStore, train_rows: np.ndarray) -> None:
        need = 2 if self.arguments["start_padding_enabled"] else self.input_size + 1
        if self.MULTIVARIATE and train_rows.max() >= need:  # shorter series are padded and masked
            return
        short = np.flatnonzero(train_rows < need)
        if short.size:
            named = ", ".join(f"{store.ids[s]} ({train_rows[s]} rows)" for s in short[:3])
            raise HorizonError(f"{type(self).__name__}: {short.size} series are shorter than input_size={self.input_size} "
                               f"and one step to forecast: {named}", value=int(train_rows[short[0]]),
                               hint="lower input_size, pass short_series='pad' or 'drop', or set start_padding_enabled=True")

    def predict_store(self, store: SeriesStore, futr: np.ndarray | None = None) -> np.ndarray:
        """Forecast after the end of every series, float64 [S, h, outputs]; shorter series are padded and masked.

        futr [S, h, F] holds the future values of ``futr_exog_list``. A multivariate model forecasts the series that it was
        trained on; ids may repeat, all of them equally often, for several windows. Raises `NotFittedError` (E0001),
        `FeatureError` (E0004), `DataError` (E0011) for series that a multivariate model misses or does not know.
        """
        if not self.fitted:
            raise NotFittedError(f"{type(self).__name__} has not been trained", hint="call fit first")
        if self.futr_exog_list and (futr is None or futr.shape != (store.n_series, self.h, len(self.futr_exog_list))):
            raise FeatureError(f"{type(self).__name__} needs the future of {self.futr_exog_list}",
                               value=None if futr is None else futr.shape, hint="give futr_df")
        parts, order = [], []
        for series, batch in self.batches_ahead(store, futr):
            channels = self.n_series if self.MULTIVARIATE else 1
            values = self.forecast(batch).astype(np.float64).reshape(-1, self.h, channels, len(self.output_names))
            parts.append(values.transpose(0, 2, 1, 3).reshape(len(series), self.h, -1))
            order.append(series)
        found = np.concatenate(parts)
        out = np.empty_like(found)
        out[np.concatenate(order)] = found
        return out

    def batches_ahead(self, store: SeriesStore, futr: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, Batch]]:
        """The windows at the end of every series in the units of the data: batches, each after the series [n] that it holds."""
        store, futr = self.adopted(store if store.weight is None else replace(store, weight=None), futr)
        windows = panels(self, store) if self.MULTIVARIATE else np.arange(store.n_series)[:, None]  # [W, n] series
        size = self.arguments["inference_windows_batch_size"]
        for begin in range(0, len(windows), size):
            series = windows[begin:begin + size].reshape(-1)
            batch = gather(store, series, store.lengths[series] - self.input_size, self.input_size, self.h)
            if self.futr_exog_list:
                assert futr is not None
                batch["futr_exog"][:, self.input_size:] = futr[series]
            yield series, stack_series(batch, self.n_series) if self.MULTIVARIATE else batch

    # -- arrays ------------------------------------------------------------------------------------------------------

    def fit_arrays(self, X: Any, y: Any, **options: Any) -> BaseModel:
        """Train on windows at hand: X [N, L] or [N, L, n], y [N, h] or [N, h, n], NaN where missing; n targets at once are the
        channels of a multivariate model.

        ``options``: hist_exog, futr_exog, stat_exog, as in a batch; validation, (X, y); sample_weight [N]; max_steps,
        learning_rate, freeze, reset_optimizer, on_nan and verbose as of `ndiv.NeuralForecast.fit`. Raises `ShapeError` (E0002),
        `EmptyDataError` (E0003), `FeatureError` (E0004), `ConfigError` (E0010), `DataError` (E0011).

        >>> import ndiv, numpy as np
        >>> t = np.arange(40)[:, None] / 3 + np.arange(10) / 3
        >>> m = ndiv.models.NLinear(h=2, input_size=8, max_steps=5).fit_arrays(np.sin(t[:, :8]), np.sin(t[:, 8:]))
        >>> m.predict_arrays(np.sin(t[:3, :8])).shape
        (3, 2)
        """
        from .arrays import fit_arrays

        return fit_arrays(self, X, y, **options)

    def predict_arrays(self, X: Any, **exog: Any) -> np.ndarray:
        """Forecasts of windows X [N, L] or [N, L, n], in their units: [N, h, n * columns], or [N, h] where X is [N, L] and
        there is one column. Covariates as of `fit_arrays`. Raises `NotFittedError` (E0001), `ShapeError` (E0002)."""
        from .arrays import predict_arrays

        return predict_arrays(self, X, **exog)

    # -- frames ----------------------------------------------------------------------------------------------------

    def fit(self, df: Any, freq: Any = None, **kwargs: Any) -> BaseModel:
        """Train on a frame (unique_id, ds, y); see `ndiv.NeuralForecast.fit` for the arguments."""
        from ..forecast import NeuralForecast

        forecaster = NeuralForecast(models=[self], freq=freq).fit(df, **kwargs)
        self.__dict__["_forecaster"] = forecaster
        return self

    def predict(self, df: Any = None, **kwargs: Any) -> Any:
        """Forecast after the end of the frame given to `fit` (or of ``df``), in the same type of frame."""
        if "_forecaster" not in self.__dict__:
            raise NotFittedError(f"{type(self).__name__} has not been trained on a frame", hint="call fit(df) first")
        return self.__dict__["_forecaster"].predict(df, **kwargs)

    # -- deployment ------------------------------------------------------------------------------------------------

    def export(self, path: Any, batch_size: int = 1) -> None:
        """Write program, plan and weights to one safetensors file, which `ndiv.load` runs without any of this.

        The file holds the whole way from a window in the units of the data to its forecast, scaling included, for
        ``batch_size`` windows at a time. Raises `TraceBreak` (E0012) for a loss whose forecast is not made of ops (a
        distribution's quantiles) or that writes buffers, `FileError` (E0006) when the file cannot be written.

        >>> import ndiv, numpy as np, tempfile, os
        >>> m = ndiv.models.NLinear(h=2, input_size=4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     m.export(os.path.join(folder, "m.ndiv"))
        ...     f = ndiv.load(os.path.join(folder, "m.ndiv"))
        >>> y = np.arange(4, dtype=np.float32)
        >>> bool(np.allclose(f(y), m.forecast({"insample_y": y.reshape(1, 4, 1)})[0, :, 0], atol=1e-5))
        True
        """
        from ..program.file import export

        export(self, path, batch_size)

    # -- configuration ---------------------------------------------------------------------------------------------

    @property
    def output_names(self) -> list[str]:
        """Suffix of each output's column; [""] for a point loss."""
        return list(self.loss.output_names)

    def config(self) -> dict[str, Any]:
        """The constructor's arguments and the class's name, JSON-able; `from_config` makes the model again."""
        out: dict[str, Any] = {"model": type(self).__name__}
        for key, value in self.arguments.items():
            if key in ("loss", "valid_loss") and value is not None:
                value = _loss(value, key).config()
            elif key == "augment" and value is not None:
                value = [step.config() for step in augmentations(value)]
            elif callable(value):
                raise ConfigError(f"{type(self).__name__}: {key}={value!r} cannot be written to a file", value=value,
                                  hint="name it as a string, or leave it out before saving")
            out[key] = list(value) if isinstance(value, tuple) else value
        if self.categories:
            out["categories"] = {name: list(values) for name, values in self.categories.items()}
        return out

    @staticmethod
    def from_config(config: dict[str, Any]) -> Any:
        """The untrained model that `config` describes."""
        from . import get_model

        if "auto" in config:
            from ..auto.base import restored

            return restored(config)
        options = dict(config)
        cls, categories = get_model(options.pop("model")), options.pop("categories", {})
        for key in ("loss", "valid_loss"):
            if isinstance(options.get(key), dict):
                options[key] = losses.from_config(options[key])
        model: BaseModel = cls(**options)
        model._categorize(categories)
        return model

    def reset(self) -> BaseModel:
        """Fresh weights from random_seed, and a fresh optimizer. What was found in the data is forgotten: the number of series
        and the categories."""
        self._categorize({})
        if self._sized:
            self._size(None)
            return self
        fresh = type(self)(**self.arguments)
        self.load_state_dict(fresh.state_dict())
        self._optimizer = self._step = self._plans = None
        self.frozen = frozenset()
        self.fitted, self.series_ids = False, None
        self.history, self.train_trajectories = [], []
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles take over: all but plans, which are made anew where they are needed."""
        return {**self.__dict__, "_step": None, "_plans": None}

    def __repr__(self) -> str:
        return self.alias or type(self).__name__


def _weighed(batch: Batch) -> Batch:
    """The batch of arrays with the weights of its windows, if it has some, in its mask."""
    if batch.get("sample_weight") is None:
        return batch
    found = dict(batch)
    weight, mask = np.asarray(found.pop("sample_weight")), found.get("outsample_mask")
    found["outsample_mask"] = (np.ones_like(batch["outsample_y"]) if mask is None else np.asarray(mask)) * weight
    return found


def _loss(loss: Any, key: str) -> losses.Loss:
    if loss is None:
        return losses.MAE()
    if isinstance(loss, str):
        if loss not in losses.LOSSES:
            raise ConfigError(f"unknown {key} {loss!r}", value=loss, hint=closest(loss, losses.LOSSES))
        return _made(losses.LOSSES[loss], key)
    if isinstance(loss, type) and issubclass(loss, losses.Loss):
        return _made(loss, key)
    if callable(loss) and not isinstance(loss, (losses.Loss, type)):
        return losses.FunctionLoss(loss)
    if not isinstance(loss, losses.Loss):
        raise ConfigError(f"{key} must be a loss, not {loss!r}", value=loss, hint=closest(str(loss), losses.LOSSES))
    return loss


def _made(cls: type[losses.Loss], key: str) -> losses.Loss:
    try:
        return cls()
    except TypeError as cause:
        raise ConfigError(f"{key}: {cls.__name__} needs arguments ({cause})", value=cls.__name__,
                          hint=f"give an instance, for example {key}=ndiv.losses.{cls.__name__}(...)") from None


def _supporters(kind: str) -> list[str]:
    from . import capabilities, list_models

    return [n for n in list_models() if capabilities(n)[f"{kind}_exog"]]


def last_observed(y: Any, mask: Any) -> Any:
    """The last value of each window that is not missing, [B, 1, n]; 0 where none is."""
    if mask is None:
        return y[:, -1:]
    back = FUNCTIONS["argmax"](stopped(mask)[:, ::-1], 1, True)  # steps from the end to the last that is there
    return FUNCTIONS["gather"](y[:, ::-1], 1, back)
