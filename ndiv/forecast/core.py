"""`NeuralForecast`: the object that users hold; names and defaults are neuralforecast's.

Contract: data are checked when they come in, models see a `SeriesStore` and answer arrays, and what goes out is the
kind of frame that came in. A failed call leaves the object as it was, apart from the weights of models that trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ndiv.data.frequency import Frequency
from ndiv.data.maps import TargetMap, refuse_quantiles
from ndiv.data.output import to_frame
from ndiv.data.rules import DataRules
from ndiv.data.scalers import SERIES_SCALERS, series_scaler
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError, NotFittedError, closest
from ndiv.utils import PredictionIntervals

from . import ahead, calibrating, fitting, future, persistence
from .asked import Asked, ask
from .columns import check_clip, exog_names, output_columns
from .conformal import Calibration
from .events import with_events
from .reading import ColumnNames, as_frame, read_store, read_with_target
from .scaling import LocalScaler
from .short import ahead_of, long_enough_with
from .unseen import warn_unseen

if TYPE_CHECKING:
    from ndiv.features import FeatureSet

    from .explaining import Explanations

__all__ = ["NeuralForecast"]


class NeuralForecast:
    """Train models on a frame of series and forecast them.

    models             one or more models of `ndiv.models`, all with the same ``h``
    freq               step between times: pandas alias ("h", "MS"), polars duration ("1h"), whole number, or None to
                       infer it from the data
    local_scaler_type  scale each series before training: "standard", "robust", "robust-iqr", "minmax", "boxcox", "log1p", or
                       "diff" ("diff-12"): train on differences to the step before (12 before)
    local_static_scaler_type
                       scale each static covariate over all series: one of the first five
    target_transform   train on a rising function of the target: a pair of functions of arrays (forward, inverse), or a name:
                       "log", "log1p", "sqrt", "asinh", "cbrt". It comes before ``local_scaler_type``
    duplicates, fill_gaps, short_series, exog_nan
                       what to do with data that break a rule (`ndiv.data.DataRules`): refuse them, "raise", or repair them
    features           columns to make of times and target, for past and future: features of `ndiv.features`, such as
                       ``[Calendar(), Lags([1, 24])]``, their text ("lags:1,24"), or "auto" for the calendar. A model uses those
                       in its ``futr_exog_list`` and ``hist_exog_list``; where a list is None it gets all that it takes

    Raises `ConfigError` (E0010) for no models, different horizons, an unknown freq, scaler or feature.

    >>> from ndiv import NeuralForecast
    >>> from ndiv.models import NLinear
    >>> from ndiv.utils import AirPassengersDF
    >>> nf = NeuralForecast([NLinear(h=12, input_size=24, max_steps=5)], freq="ME")
    >>> nf.fit(AirPassengersDF).predict().columns.tolist()
    ['unique_id', 'ds', 'NLinear']
    """

    def __init__(self, models: Any, freq: Any = None, local_scaler_type: str | None = None,
                 local_static_scaler_type: str | None = None, *, target_transform: Any = None, duplicates: str = "raise",
                 fill_gaps: str = "raise", short_series: str = "raise", exog_nan: str = "raise",
                 features: Any = None) -> None:
        self.rules = DataRules(duplicates, fill_gaps, short_series, exog_nan)
        self.models: list[Any] = _checked_models(models)
        self.h: int = self.models[0].h
        if freq is not None:
            Frequency(freq)  # a misspelt one is refused here, not after the data are read
        if series_scaler(local_scaler_type)[0] == "diff":
            refuse_quantiles(self.models)
        if local_static_scaler_type is not None and local_static_scaler_type not in SERIES_SCALERS[:5]:
            raise ConfigError(f"unknown local_static_scaler_type {local_static_scaler_type!r}", value=local_static_scaler_type,
                              hint=closest(local_static_scaler_type, SERIES_SCALERS[:5]))
        self.freq = freq
        self.local_scaler_type, self.local_static_scaler_type = local_scaler_type, local_static_scaler_type
        self.target_transform = None if target_transform is None else TargetMap(target_transform)
        self.columns = ColumnNames()
        self.dataset: SeriesStore | None = None  # the series of fit, in their own units
        self.fitted_freq: Any = None  # freq, or what was inferred
        self.scaler: LocalScaler | None = None
        self.calibration: Calibration | None = None  # what intervals of point forecasts come from
        self.held_out = 0  # rows at the end of each series in ``dataset`` that were not trained on
        self.features: FeatureSet | None = None
        if features is not None:
            from ndiv.features.sets import FeatureSet

            self.features = FeatureSet(features, freq)
            self.features.give(self.models)
        output_columns(self.models)

    def __repr__(self) -> str:
        names = ", ".join(str(m.alias or type(m).__name__) for m in self.models)
        return f"NeuralForecast([{names}], h={self.h}, freq={self.freq!r})"

    # -- training --------------------------------------------------------------------------------------------------

    def fit(self, df: Any = None, static_df: Any = None, val_size: int = 0, *, events_df: Any = None, val_df: Any = None,
            sample_weight: str | None = None, use_init_models: bool = False, warm_start: bool = True, freeze: Any = None,
            max_steps: int | None = None, learning_rate: float | None = None, reset_optimizer: bool = False,
            on_nan: str = "raise", prediction_intervals: PredictionIntervals | None = None, verbose: bool | None = None,
            id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y", duplicates: str | None = None,
            fill_gaps: str | None = None, short_series: str | None = None, exog_nan: str | None = None) -> NeuralForecast:
        """Train every model; a second call goes on from the weights of the first.

        df               long frame (pandas, polars) or path of a CSV or Parquet file; None: the series of the last fit.
                         NaN in the target means missing
        static_df        one row a series, for models with ``stat_exog_list``
        val_size         steps at the end of each series that validate and are not trained on
        events_df        one row an event (id, time, the columns in ``event_list``) for models that read events; it may be
                         empty, and without ids the events concern every series. None: those of the last fit, if ``df`` is None
        val_df           a frame to validate on instead of ``val_size``, with the same columns; every window in it counts
        sample_weight    what rows count: a column of weights (by default "sample_weight", where df has it), "linear" or
                         "exponential:0.99", which fall with age. A window weighs the mean of its horizon
        use_init_models  start again from fresh weights; so does ``warm_start=False``
        freeze           parameters that keep their values, by name patterns such as "encoder*"; until the next fit
        max_steps, learning_rate
                         of this fit alone, instead of the models' own
        reset_optimizer  begin with fresh averages of gradients; it always does where other parameters are frozen than before
        on_nan           where a loss is not finite: "raise", or "rollback" to the last check and halve the learning rate
        prediction_intervals  calibrate conformal intervals for ``predict(level=...)``: copies of the models are trained on what
                         precedes the calibration windows, which takes as long again (`calibrate` takes no training)
        verbose          None: a progress bar on a terminal; True: also lines elsewhere; False: silent
        duplicates, fill_gaps, short_series, exog_nan
                         as of the constructor, whose choices they replace

        Raises `EmptyDataError` (E0003), `FeatureError` (E0004), `HorizonError` (E0005, a series too short),
        `ConfigError` (E0010), `DataError` (E0011: duplicates, gaps, text, infinities ...), `NonFiniteError` (E0009).
        """
        rules = self.rules.changed(duplicates=duplicates, fill_gaps=fill_gaps, short_series=short_series, exog_nan=exog_nan)
        columns = self.columns if df is None else ColumnNames(id_col, time_col, target_col)
        store, validation = fitting.stores(self, df, static_df, events_df, sample_weight, val_df, columns, val_size, rules)
        scores = None
        if prediction_intervals is not None:
            told = calibrating.checked(prediction_intervals)
            scores = calibrating.calibrated_in_training(self, store, told, val_size, verbose, rules, validation, freeze,
                                                        max_steps=max_steps, learning_rate=learning_rate, on_nan=on_nan)
        scaler = self.train(store, val_size, use_init_models=use_init_models or not warm_start, validation=validation,
                            freeze=freeze, max_steps=max_steps, learning_rate=learning_rate, reset_optimizer=reset_optimizer,
                            on_nan=on_nan, verbose=verbose, rules=rules)
        self.calibration, self.held_out = scores, val_size
        self.dataset, self.columns, self.scaler, self.fitted_freq, self.rules = store, columns, scaler, store.freq, rules
        return self

    def train(self, store: SeriesStore, val_size: int = 0, *, use_init_models: bool = False,
              validation: SeriesStore | None = None, rules: DataRules | None = None, **options: Any) -> LocalScaler | None:
        """Train the models on a store, and return the scaler of its series; ``dataset`` stays as it is.

        ``options``: freeze, max_steps, learning_rate, reset_optimizer, on_nan and verbose, as of `fit`.
        """
        return fitting.train(self, store, val_size, rules or self.rules, fresh=use_init_models, validation=validation,
                             **options)

    @property
    def history_(self) -> Any:
        """The course of training: a frame of model, step, train_loss, valid_loss, lr and seconds, one row a check.

        The training loss is that of scaled windows, the mean since the check before; the validation loss is in the units of
        the data (of `local_scaler_type`, where there is one).
        """
        return fitting.history(self)

    # -- forecasting -----------------------------------------------------------------------------------------------

    def predict(self, df: Any = None, static_df: Any = None, futr_df: Any = None, *, level: Any = None, quantiles: Any = None,
                h: int | None = None, events_df: Any = None, verbose: bool = False, clip: Any = None) -> Any:
        """Forecasts of the ``h`` steps after the end of each series: id, time, one column for each model output.

        df        None: the series of fit. Else a frame or path with the history to forecast from; its series may be new
                  and may be shorter than the models' input
        futr_df   future values of the covariates in ``futr_exog_list``, for each series and step; where ``h`` is more than
                  the models', of those in ``hist_exog_list`` too, if they are known (else their last row is repeated)
        level     central intervals in per cent: columns ``NAME-lo-90``, ``NAME-hi-90``. In closed form from a distribution,
                  between the trained ones from losses of several quantiles, from calibration for point losses
        quantiles the quantiles themselves, in place of level: columns ``NAME_ql0.1``
        h         steps to return; default: the models' ``h``. More are forecast block after block, each fed with paths drawn
                  from the one before (docs/howto/intervals.md)
        events_df events up to the end of the history, and announced ones after it for models with ``events_known_ahead``;
                  None: those given to fit, where the series are
        verbose   for familiarity: a forecast prints nothing
        clip      (low, high) that forecasts are kept within; None for no bound on a side

        Raises `NotFittedError` (E0001), `FeatureError` (E0004: futr_df, one of its columns or rows is missing),
        `HorizonError` (E0005), `ConfigError` (E0010: quantiles that a model does not have), and for ``df`` what `fit` raises.
        Warns of categories that training has not seen.
        """
        self._check_fitted()
        steps, asked, bounds = ahead.whole_steps(h, self.h), ask(level, quantiles), check_clip(clip)
        history = self._history(df, static_df)
        history = with_events(history if df is None else ahead_of(history, self.models, self.rules), events_df, self.models,
                              self.columns)
        store, values, hist = ahead.covariates(self, history, as_frame(futr_df, self.columns), steps)
        warn_unseen(self.models, store, values)
        columns = self.forecast(store, values, self.scaler, steps=steps, asked=asked, hist=hist, calibration=self.calibration)
        columns = {name: bounds(values) for name, values in columns.items()}
        return to_frame(store.ids, future.future_index(store, steps), columns, like=store.origin)

    def forecast(self, store: SeriesStore, futr: np.ndarray | None, scaler: LocalScaler | None, *, steps: int | None = None,
                 asked: Asked | None = None, hist: np.ndarray | None = None,
                 calibration: Calibration | None = None) -> dict[str, np.ndarray]:
        """Forecasts after the end of a store's series: output column -> float64 [S, steps], in the units of the data.

        ``futr``: float32 [S, h, F], covariates in the order of ``store.futr_names``; see `ndiv.forecast.ahead.forecast`.
        """
        return ahead.forecast(self, store, futr, scaler, steps=steps, asked=asked, hist=hist, calibration=calibration)

    # -- intervals -------------------------------------------------------------------------------------------------

    def calibrate(self, df: Any = None, prediction_intervals: PredictionIntervals | None = None, *, static_df: Any = None,
                  h: int | None = None, events_df: Any = None) -> NeuralForecast:
        """Calibrate conformal intervals by the models as they are, without training: forecast the last windows of each series,
        keep how far off they were.

        df     later data than fit had, with the history before it; None: the series of fit, of which the windows should
               be validation rows (``fit(val_size=...)``): a warning says where models were trained on them
        h      steps that are calibrated; default: the models' ``h``

        Raises `NotFittedError` (E0001), `HorizonError` (E0005, a series is too short), `ConfigError` (E0010), and for
        ``df`` what `fit` raises.
        """
        self._check_fitted()
        settings = calibrating.checked(PredictionIntervals() if prediction_intervals is None else prediction_intervals)
        steps = ahead.whole_steps(h, self.h)
        store = with_events(self._history(df, static_df), events_df, self.models, self.columns)
        self.calibration = calibrating.calibrate(self, store, settings, self.scaler, steps)
        calibrating.warn_if_seen(self, store, steps + settings.step_size * (settings.n_windows - 1))
        return self

    def coverage(self, df: Any = None, level: Any = (80, 90), n_windows: int = 1, step_size: int | None = None, *,
                 static_df: Any = None, h: int | None = None, events_df: Any = None, by_step: bool = False) -> Any:
        """How many of the last values of each series lie in the intervals that the models, as they are, forecast for them: a
        frame of model, level, coverage, width, Winkler score (`coverage_report`).

        Arguments as of `calibrate` and `cross_validation`; warns as `calibrate` does of rows that were trained on.
        """
        from .coverage import coverage_report, windows_ahead

        self._check_fitted()
        asked, steps = ask(level), ahead.whole_steps(h, self.h)
        assert asked is not None
        if df is None:
            store, target = self._stored(), None
        else:
            store, target = read_with_target(df, self.fitted_freq, self.columns, exog_names(self.models), static_df,
                                             rules=self.rules)
        store = with_events(store, events_df, self.models, self.columns)
        calibrating.warn_if_seen(self, store, steps + (steps if step_size is None else step_size) * (n_windows - 1))
        cv = windows_ahead(self, store, self.columns, target, asked, self.scaler, n_windows=n_windows, step_size=step_size,
                           steps=steps)
        return coverage_report(cv, by_step=by_step, **asdict(self.columns))

    def cross_validation(self, df: Any = None, static_df: Any = None, n_windows: int | None = 1,
                         step_size: int | None = 1, val_size: int = 0, test_size: int | None = None,
                         refit: bool | int = False, *, level: Any = None, quantiles: Any = None, h: int | None = None,
                         prediction_intervals: PredictionIntervals | None = None, events_df: Any = None,
                         sample_weight: str | None = None, clip: Any = None, verbose: bool | None = None,
                         id_col: str = "unique_id", time_col: str = "ds", target_col: str = "y",
                         duplicates: str | None = None, fill_gaps: str | None = None, short_series: str | None = None,
                         exog_nan: str | None = None, use_fitted: bool = False, use_init_models: bool = True) -> Any:
        """Forecast the last ``n_windows`` windows of each series from the data before each: rolling-origin evaluation.

        step_size  steps from one cutoff to the next; None: ``h``, so that windows do not overlap
        val_size   validation steps just before each cutoff that models are trained for
        test_size  rows at the end of each series that the windows cover, instead of ``n_windows=None``
        refit      False: train once, before the first cutoff; True: before each; a number k: before each k-th
        level, quantiles, h   as of `predict`
        prediction_intervals  as of `fit`: each training is calibrated on what precedes it; None: as fit was told to
        events_df  as of `fit`; a forecast sees those that are not after its cutoff, and announced ones
        use_fitted  forecast with the models as they are, and train nothing: what they are worth on series or rows that they
                   were not trained on. The forecaster stays as it is
        use_init_models  for familiarity: without use_fitted, models always start from fresh weights
        sample_weight, clip   as of `fit` and of `predict`

        So nothing after a cutoff can have been seen, but with use_fitted. Returns id, time, cutoff
        (the last time known to the forecast), the target, one column for each model output. Raises what `fit` raises.
        """
        from .backtest import backtest, of_fitted, plan

        rules = self.rules.changed(duplicates=duplicates, fill_gaps=fill_gaps, short_series=short_series, exog_nan=exog_nan)
        steps, asked, bounds = ahead.whole_steps(h, self.h), ask(level, quantiles), check_clip(clip)
        cutoffs = plan(steps, n_windows, step_size, test_size)
        if df is None:
            store, columns, target = self._stored(), self.columns, None
        else:
            columns = ColumnNames(id_col, time_col, target_col)
            output_columns(self.models, (id_col, time_col, target_col, "cutoff"))
            store, target = read_with_target(df, self.freq, columns, exog_names(self.models), static_df, tell_unused=True,
                                             rules=rules, features=self.features, weight=sample_weight)
        store, target = long_enough_with(target, store, self.models, val_size + int(cutoffs[0]), rules)
        store = with_events(store, events_df, self.models, columns)
        if use_fitted:
            return of_fitted(self, store, columns, target, cutoffs, steps, asked, refit, prediction_intervals, bounds)
        told = prediction_intervals
        if told is None and self.calibration is not None:
            told = self.calibration.settings
        frame, scaler, scores = backtest(self, store, columns, target, cutoffs, val_size=val_size, refit=refit, verbose=verbose,
                                         rules=rules, steps=steps, asked=asked, bounds=bounds,
                                         intervals=None if asked is None or told is None
                                         else calibrating.checked(told))
        self.calibration, self.held_out = scores, val_size + int(cutoffs[0])
        self.dataset, self.columns, self.scaler, self.fitted_freq, self.rules = store, columns, scaler, store.freq, rules
        return frame

    def predict_insample(self, step_size: int = 1, level: Any = None, quantiles: Any = None) -> Any:
        """What the models, as they are, forecast from each cutoff of the series of fit: id, time, cutoff (the last time known
        to the forecast), one column for each model output, the target.

        step_size  rows from one cutoff to the next; the last window of a series ends with it
        level, quantiles   as of `predict`

        A window that begins before its series is padded, as by `predict`. The models have seen these targets in training.
        Raises `NotFittedError` (E0001), `ConfigError` (E0010), `HorizonError` (E0005) where all series are too short.
        """
        from .insample import insample

        self._check_fitted()
        return insample(self, self._stored(), step_size, asked=ask(level, quantiles), calibration=self.calibration)

    def simulate(self, df: Any = None, static_df: Any = None, futr_df: Any = None, n_paths: int = 100, quantiles: Any = None,
                 seed: int | None = None, method: str | None = None, *, events_df: Any = None) -> Any:
        """Sample paths of the ``h`` steps after the end of each series: id, time, sample_id, one column for each model.

        n_paths    paths of each series and model
        quantiles  of models that have all: those that stand for the distribution of a step; None: enough of them
        seed       the same seed gives the same paths, of a series alone and among others; None: each model's random_seed
        method     None: each value is drawn given those before it, where a model goes step after step (DeepAR; RNN, LSTM, GRU
                   with recurrent=True; LSTMAttention; Transformer with decoding="autoregressive") and has a distribution, and
                   "gaussian_copula" elsewhere. "gaussian_copula": the quantiles of each step, put together with the
                   correlations of earlier errors. "schaake_shuffle": in the ranks of past trajectories

        df, static_df, futr_df and events_df are as in `predict`. Paths of different series are independent of each other. A
        model with a point loss must have been calibrated. Raises what `predict` raises, `ConfigError` (E0010) for a model that
        says nothing of its uncertainty, `HorizonError` (E0005) for a series without any past trajectory.
        """
        from .simulation import simulate

        return simulate(self, *self._windows_ahead(df, static_df, futr_df, events_df), n_paths, method, seed, quantiles)

    # -- what forecasts are made of ------------------------------------------------------------------------------------

    def decompose(self, df: Any = None, static_df: Any = None, futr_df: Any = None, *, by: str = "stack",
                  events_df: Any = None) -> Any:
        """The parts of the forecasts of models that are sums (NBEATS, NBEATSx, NHITS, DLinear, Autoformer, FEDformer): id,
        time, output (the forecast's column), part, value. The values of all parts add up to `predict`.

        by   of models with stacks: "stack", or "block" for each block of them; the rest is as in `predict`

        "level" is the forecast without any part; each other part is the difference that it makes to those before it. Models
        that cannot be taken apart are left out with a warning. Raises `ConfigError` (E0010) where none can, and what
        `predict` raises.
        """
        from .decomposition import decompose

        return decompose(self, *self._windows_ahead(df, static_df, futr_df, events_df), by)

    def explain(self, horizons: Any = None, outputs: Any = None, series: Any = None, explainer: str | None = None,
                df: Any = None, static_df: Any = None, futr_df: Any = None, *, method: str = "integrated_gradients",
                baseline: str = "mean", n_steps: int = 50, n_samples: int = 25, seed: int = 0,
                events_df: Any = None) -> Explanations:
        """How much of each step of the forecasts is owed to each lag of the target and to each covariate, for any model and
        loss.

        horizons   positions of the steps, from 0; None: all
        outputs    positions of the forecast's columns: the first; of distributions 0 is the mean
        series     ids (or positions); None: all
        method     "integrated_gradients" (``n_steps`` points; they add up), "input_x_gradient", "occlusion", "shapley"
                   (``n_samples`` orders drawn with ``seed``; they add up, each with its standard error). ``explainer`` takes
                   neuralforecast's names of them
        baseline   what forecasts are compared with: that of a window which is at its "mean", its "last" value, or "zero"

        The level and scale that ``scaler_type`` finds in a window are held: what is shared out is what the model makes of the
        rest. df, static_df, futr_df and events_df are as in `predict`. Returns `ndiv.forecast.Explanations`; its ``gap`` says
        how far the numbers are from adding up. Raises what `predict` raises, and `ConfigError` (E0010) for unknown names and
        positions and for the gradient of a quantile of a discrete distribution.
        """
        from .explaining import explain

        return explain(self, *self._windows_ahead(df, static_df, futr_df, events_df), method=explainer or method,
                       horizons=horizons, outputs=outputs, series=series, baseline=baseline, n_steps=n_steps,
                       n_samples=n_samples, seed=seed)

    def feature_importances(self, df: Any = None, static_df: Any = None, futr_df: Any = None) -> Any:
        """How a TFT weighs its variables for the forecast of each series: id, model, kind ("past", "future", "static"), step
        (0 is the last of the window, 1 the first of the forecast, null for static ones), feature, weight.

        At each step the weights of a kind add up to 1. Arguments and errors as of `predict`, and `ConfigError` (E0010) where no
        model has such weights.
        """
        from .decomposition import importances

        return importances(self, *self._windows_ahead(df, static_df, futr_df, None))

    def attention_weights(self, df: Any = None, static_df: Any = None, futr_df: Any = None) -> Any:
        """To which steps a TFT attends, for each step of the forecast of each series: id, model, step, attends_to, weight.

        Steps are counted as in `feature_importances`; the weights of a step add up to 1. Arguments and errors as there.
        """
        from .decomposition import attention

        return attention(self, *self._windows_ahead(df, static_df, futr_df, None))

    def _windows_ahead(self, df: Any, static_df: Any, futr_df: Any, events_df: Any) -> tuple[SeriesStore, np.ndarray | None]:
        """The series that `predict` would forecast, and the covariates of the steps after them."""
        self._check_fitted()
        history = self._history(df, static_df)
        history = with_events(history if df is None else ahead_of(history, self.models, self.rules), events_df, self.models,
                              self.columns)
        store, values, _ = ahead.covariates(self, history, as_frame(futr_df, self.columns), self.h)
        warn_unseen(self.models, store, values)
        return store, values

    # -- future covariates -----------------------------------------------------------------------------------------

    def make_future_dataframe(self, df: Any = None, h: int | None = None) -> Any:
        """The (id, time) rows of a forecast of ``h`` steps: what ``futr_df`` must cover. Raises `NotFittedError` (E0001)."""
        self._check_fitted()
        return future.future_frame(self._history(df, None, covariates=False), ahead.whole_steps(h, self.h), self.features)

    def get_missing_future(self, futr_df: Any, df: Any = None, h: int | None = None) -> Any:
        """The rows of `make_future_dataframe` that ``futr_df`` lacks. Raises `NotFittedError` (E0001)."""
        self._check_fitted()
        store = self._history(df, None, covariates=False)
        return future.missing_rows(store, ahead.whole_steps(h, self.h), as_frame(futr_df, self.columns), self.columns.id_col,
                                   self.columns.time_col)

    # -- saving ----------------------------------------------------------------------------------------------------

    def save(self, path: Any, overwrite: bool = False, save_dataset: bool = True, *,
             model_index: Sequence[int] | None = None) -> None:
        """Write a folder of JSON and safetensors that `load` reads; no pickle.

        ``save_dataset=False`` leaves the series out: `predict` then needs ``df``. ``model_index``: which of the models, by
        their places in ``models``; None: all. Raises `NotFittedError` (E0001), `ConfigError` (E0010) for a model that is
        not there, `FileExists` (E0006) for a folder that is not empty, `FileError` (E0006).
        """
        self._check_fitted()
        persistence.save(persistence.picked(self, model_index), path, overwrite, save_dataset)

    @staticmethod
    def load(path: Any, llm: Any = None, target_transform: Any = None, *, verbose: bool = False) -> NeuralForecast:
        """What `save` wrote, with forecasts equal to the bit; `FileError` (E0006) for anything else.

        llm   where the language model is that a model in it was trained with, a folder or an `ndiv.language.Backbone`: its
              weights are not saved. Not needed where it is still in use or in its place; another one is refused
        target_transform
              the functions that it was made with, where they are no named pair: a file does not hold functions

        ``verbose`` is for familiarity: loading prints nothing.
        """
        return persistence.load(path, llm, target_transform)

    # -- state -----------------------------------------------------------------------------------------------------

    def _check_fitted(self) -> None:
        if self.fitted_freq is None or not all(m.fitted for m in self.models):
            raise NotFittedError("the models are not trained", hint="Call fit(df) first, or NeuralForecast.load(path).")

    def _stored(self) -> SeriesStore:
        if self.dataset is None:
            if self.fitted_freq is None:
                raise NotFittedError("there is no data", hint="Pass df.")
            raise ConfigError("the series were not saved with the models", value=None, hint="Pass df.")
        return self.dataset

    def _history(self, df: Any, static_df: Any, covariates: bool = True) -> SeriesStore:
        if df is None:
            return self._stored()
        none: dict[str, list[str]] = {"hist": [], "futr": [], "stat": [], "cat": []}
        return read_store(df, self.fitted_freq, self.columns, exog_names(self.models) if covariates else none, static_df,
                          rules=self.rules, features=self.features)



def _checked_models(models: Any) -> list[Any]:
    found = list(models) if isinstance(models, Sequence) and not isinstance(models, str) else [models]
    if not found:
        raise ConfigError("there are no models", value=[], hint="Pass at least one, such as NHITS(h=12, input_size=24).")
    for model in found:
        if isinstance(model, type) or not hasattr(model, "fit_store"):
            what = f"the class {model.__name__}" if isinstance(model, type) else repr(model)
            raise ConfigError(f"models must be models of ndiv.models, got {what}", value=what,
                              hint="Pass objects, such as NHITS(h=12, input_size=24).")
    if len({id(m) for m in found}) < len(found):
        raise ConfigError("the same model object is given twice", value=len(found), hint="Make one object for each.")
    horizons = sorted({m.h for m in found})
    if len(horizons) > 1:
        raise ConfigError(f"the models have different horizons: h = {', '.join(map(str, horizons))}", value=horizons,
                          hint="Give every model the same h.")
    return found
