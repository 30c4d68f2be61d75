"""Forecasts and validation losses by plans are those op by op: every model, variant, loss, scaler; when a plan is made, and when not.

They agree to 1e-6 of the largest element; `EXACTNESS` names what needs more, and why.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from small import IN_VARIANTS, UNSCALED, every_loss, sampled, small

import ndiv
from ndiv import losses
from ndiv.autograd import no_grad
from ndiv.data.scalers import WINDOW_SCALERS
from ndiv.data.store import SeriesStore
from ndiv.errors import FeatureError
from ndiv.models import base, get_model, list_models
from ndiv.models.base import BaseModel
from ndiv.program.compiled import CACHE
from ndiv.program.forward import ForwardPlans, arrays_of, full_size

ENGINE = "native" if ndiv.backends.current() == "native" else "numpy"
EARLY = base._RUNS_BEFORE_PLAN
H, L, B = 3, 10, 16
LOSSES = every_loss(return_params=True)
EXACTNESS = {"Weibull": 1e-5}  # (y / scale)^shape and the logarithms of it cancel
COMPAT = {("TiDE", "Normal"): 5e-5}  # two numbers are normalized: float32 is up to 1e-5 off either way, compiled or not

# on counts of 20, unscaled, scores are in the hundreds and softmax makes their rounding that of probabilities: either way is
# up to 4e-6 off float64
SCORES = {("Transformer", "identity"): 5e-6, ("Informer", "identity"): 5e-6,
          ("PatchTST", "invariant"): 2e-6}  # the way back is sinh, which multiplies rounding: both are up to 1.4e-6 off float64


def model(name="NLinear", loss="MSE", **options):
    options = {"scaler_type": "identity" if loss in UNSCALED else "standard", **options}
    return get_model(name)(h=H, input_size=L, loss=LOSSES[loss](), **{**small(name), **options})


def batch(case="", seed=0, rows=B, missing=True):
    rng = np.random.default_rng(seed)
    y = rng.poisson(20, (rows, L + H, 1)).astype(np.float32)
    y = np.clip(y / 60, 0.01, 0.99) if case == "Beta" else (y > 20).astype(np.float32) if case == "Bernoulli" else y
    mask = (rng.random(y.shape) < 0.8).astype(np.float32) if missing else np.ones_like(y)
    mask[0, :L] = 0  # a window without any value
    mask[1:2, L:] = 0  # and one without a future
    y = y * mask
    return {"insample_y": y[:, :L], "insample_mask": mask[:, :L], "outsample_y": y[:, L:], "outsample_mask": mask[:, L:]}


def planned(m):
    """The model with plans: by the interpreter where the native backend is not in force."""
    if ENGINE != "native":
        plans = m._plans = ForwardPlans(m)

        def run(name, batch, after):
            with no_grad():
                return plans(name, batch, after, fill=name in ("_numbers", "_columns"))

        m.__dict__["_planned"] = run
    return m


def op_by_op(m):
    def run(name, batch, after):
        with no_grad():
            return arrays_of(getattr(m, name)(batch))

    m.__dict__["_planned"] = run
    return m


def plans(m, name):
    """The executables made of a method."""
    return [] if m._plans is None else [e for (n, _), c in m._plans.functions.items() if n == name for e in c.plans]


def near(got, wanted, bound=1e-6):
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape and got.dtype == wanted.dtype
    off = np.max(np.abs(got.astype(np.float64) - wanted), initial=0.0) / max(np.max(np.abs(wanted), initial=0.0), 1e-30)
    assert off <= bound, f"{off:.1e}"


def same(build, case="", exactness=1e-6, **changes):
    """Forecasts of each call and validation losses, of the model compiled and op by op."""
    bound = max(EXACTNESS.get(case, 1e-6), exactness)
    models = []
    for wrap in (planned, op_by_op):
        ndiv.manual_seed(1)
        models.append(wrap(build()))
    fast, slow = models
    method = "_numbers" if fast.loss.is_distribution_output else "_columns"
    early = EARLY if fast.unrolled else 0
    if getattr(fast, "sampled", False):  # each forecast takes many steps of one plan, so it is made at once
        method, early = "_cell", 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "runs op by op" is a failure here
        for call in range(early + 3):
            data = {**batch(case, seed=call), **changes}
            if call == early + 2:  # trained on: plans read the parameters as they are
                rng = np.random.default_rng(5)
                for p, q in zip(fast.parameters(), slow.parameters(), strict=True):
                    p.data = q.data = p.data + 0.01 * rng.standard_normal(p.shape).astype(np.float32)
            # two recurrent layers in turn, whose rounding grows from step to step; see tests/program/test_conformance.py
            near(fast.forecast(data), slow.forecast(data), 3e-6 if fast.RECURRENT else exactness)
            assert len(plans(fast, method)) == (call >= early)
            near(fast.validation_loss([data, data]), slow.validation_loss([data, data]), bound)
            assert np.isfinite(slow.validation_loss([data]))
    assert fast.training is slow.training is True
    assert plans(fast, "_objective") and all(e.engine == ENGINE for n in (method, "_objective") for e in plans(fast, n))


@pytest.mark.parametrize("name, loss", sampled(list_models(), LOSSES, every=12))
def test_every_loss(name, loss):
    same(lambda: model(name, loss), loss)


@pytest.mark.parametrize("name, variant, loss, scaler", [
    row for row in sampled(list_models(), ["paper", "compat"], ["MAE", "MQLoss", "Normal"], WINDOW_SCALERS, every=15) if row[:2] in IN_VARIANTS])
def test_every_scaler_and_variant(name, variant, loss, scaler):
    exactness = max(COMPAT.get((name, loss), 1e-6) if variant == "compat" else 1e-6, SCORES.get((name, scaler), 1e-6))
    same(lambda: model(name, loss, scaler_type=scaler, variant=variant), exactness=exactness)


EXOG = {"hist_exog_list": ["a", "b"], "futr_exog_list": ["c"], "stat_exog_list": ["d"]}


@pytest.mark.parametrize("options", [{}, {"exclude_insample_y": True}], ids=str)
@pytest.mark.parametrize("scaler", ["identity", "robust"])
@pytest.mark.parametrize("name", ["MLP", "NBEATSx", "NHITS", "TiDE"])
def test_covariates(name, scaler, options):
    rng = np.random.default_rng(3)
    found = {"hist_exog": (B, L, 2), "futr_exog": (B, L + H, 1), "stat_exog": (B, 1)}
    found = {k: rng.standard_normal(shape).astype(np.float32) for k, shape in found.items()}
    same(lambda: model(name, "MAE", scaler_type=scaler, **EXOG, **options), **found)


def test_without_masks():
    same(lambda: model("MLP"), insample_mask=None, outsample_mask=None)


VALID = [("MSE", "MAE"), ("MQLoss", "MAE"), ("MQLoss", "MQLoss"), ("GMM", "GMM")]


@pytest.mark.parametrize("loss, valid", VALID, ids="-".join)
def test_a_validation_loss_of_its_own(loss, valid):
    same(lambda: model("MLP", loss, valid_loss=LOSSES[valid]()))


@pytest.mark.parametrize("valid", ["MAE", "MQLoss"])
def test_points_and_quantiles_of_a_distribution_are_judged(valid):
    """Quantiles are not ops: the parameters come from a plan, the loss is worked out op by op."""
    fast, slow = planned(model("MLP", "Normal", valid_loss=valid)), op_by_op(model("MLP", "Normal", valid_loss=valid))
    if valid == "MQLoss":  # as many quantiles as it has
        fast, slow = (w(get_model("MLP")(h=H, input_size=L, loss=losses.DistributionLoss("Normal"), valid_loss=valid))
                      for w in (planned, op_by_op))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        near(fast.validation_loss([batch(seed=1)]), slow.validation_loss([batch(seed=1)]))
    assert len(plans(fast, "_numbers")) == 1 and not plans(fast, "_objective")


def test_constant_windows_have_scale_1_in_plans_too():
    rng = np.random.default_rng(0)
    for scaler in WINDOW_SCALERS:
        for length in (7, 13, 50):
            y = np.broadcast_to(rng.uniform(0.01, 100, (32, 1, 1)), (32, length, 1)).astype(np.float32)
            mask = np.ones_like(y)
            mask[:16, 2:4] = 0
            data = {"insample_y": y * mask, "insample_mask": mask, "outsample_y": y[:, :H] + 1}
            fast, slow = (w(get_model("NLinear")(h=H, input_size=length, scaler_type=scaler)) for w in (planned, op_by_op))
            near(fast.validation_loss([data]), slow.validation_loss([data]))
            for _ in range(EARLY + 1):
                near(fast.forecast(data), slow.forecast(data))


# when a plan is made ---------------------------------------------------------------------------------------------------------

def test_batches_that_come_seldom_run_op_by_op_where_a_model_is_unrolled():
    m = planned(model("LSTM", recurrent=True))
    for rows in range(5, 9):
        m.forecast(batch(rows=rows))
    assert not plans(m, "_columns")
    for _ in range(EARLY):
        m.forecast(batch(rows=5))
    assert len(plans(m, "_columns")) == 1


@pytest.mark.parametrize("name", list_models())
def test_a_window_has_the_same_bits_alone_in_any_batch_and_in_every_call(name):
    m = planned(model(name))
    whole = batch(rows=21)
    held = m.forecast(whole)
    for begin, end in ((7, 8), (0, 3), (2, 21), (0, 21), (7, 8)):
        found = m.forecast({k: v[begin:end] for k, v in whole.items()})
        if ENGINE == "native":
            np.testing.assert_array_equal(found, held[begin:end])
        else:  # NumPy's products of another size may round otherwise
            near(found, held[begin:end])


def test_batches_are_filled_up_to_few_sizes():
    m, slow = planned(model(inference_windows_batch_size=10)), op_by_op(model(inference_windows_batch_size=10))
    store = SeriesStore.from_arrays_list([np.arange(20.0) + s for s in range(39)])
    m.fitted = slow.fitted = True
    near(m.predict_store(store), slow.predict_store(store))
    assert [e.outputs[0][1][0] for e in plans(m, "_columns")] == [10]  # batches of 10, 10, 10 and 9
    assert full_size(1) == 2 and all(n <= full_size(n) <= 1.25 * n for n in range(2, 3000))
    assert len({full_size(n) for n in range(1, 1025)}) == 35


def test_rows_that_compat_may_mix_are_not_filled_up():
    m = get_model("NLinear")(h=H, input_size=L, variant="compat")
    m.forecast({k: v for k, v in batch(rows=9).items() if k[0] == "i"})
    assert ENGINE != "native" or [e.outputs[0][1][0] for e in plans(m, "_columns")] == [9]


def test_validation_is_compiled_at_once_and_kept():
    m = planned(model("MLP"))
    data = [batch(), batch(seed=1), batch(rows=5)]
    first = m.validation_loss(data)
    made = plans(m, "_objective")
    assert len(made) == 2
    assert m.validation_loss(data) == first and plans(m, "_objective") == made
    assert planned(model("MLP")).validation_loss(data) == first, "another run, resumed, finds other bits"


def test_the_plans_kept_are_few():
    m = planned(model())
    for rows in range(1, CACHE + 4):
        m.validation_loss([batch(rows=rows + 2)])
    assert len(plans(m, "_objective")) == CACHE


def test_what_is_not_float32_runs_op_by_op():
    m = planned(model("MLP"))
    wide = {k: v.astype(np.float64) for k, v in batch().items()}
    out = [m.forecast(wide) for _ in range(EARLY + 2)]
    assert out[0].dtype == np.float64 and not plans(m, "_columns")
    m.astype(np.float64)
    assert m.forecast(wide).dtype == np.float64
    for _ in range(EARLY + 2):
        m.forecast(batch())
    assert not plans(m, "_columns")


def test_parameters_and_losses_that_are_exchanged_are_seen():
    m, slow = planned(model("NLinear", "IQLoss")), op_by_op(model("NLinear", "IQLoss"))
    data = batch()
    slow.load_state_dict(m.state_dict())
    for change in (lambda m: None, lambda m: m.loss.update_quantile([0.9]), lambda m: setattr(m, "linear", ndiv.nn.Linear(L, H)),
                   lambda m: setattr(m, "loss", losses.MAE())):
        for one in (m, slow):
            ndiv.manual_seed(3)
            change(one)
        for _ in range(EARLY + 2):
            near(m.forecast(data), slow.forecast(data))
    assert len(plans(m, "_columns")) == 4


def test_hooks_are_called():
    m, seen = planned(model("NLinear")), []
    for _ in range(EARLY + 2):
        m.forecast(batch())
    remove = m.linear.register_forward_hook(lambda layer, args, out: seen.append(out.shape))
    m.forecast(batch())
    assert len(seen) == 1
    remove()
    m.forecast(batch())
    assert len(seen) == 1


def test_errors_of_a_batch_are_the_models_own():
    m = planned(model("MLP", futr_exog_list=["c"]))
    for _ in range(EARLY + 2):
        with pytest.raises(FeatureError, match="futr_exog"):
            m.forecast(batch())
    with pytest.raises(FeatureError, match="futr_exog"):
        m.validation_loss([batch()])
    assert not m._plans.reasons


class Reads(BaseModel):
    """A model whose forward follows a value, which no plan can."""

    def __init__(self, h: int, input_size: int = -1, **common: Any) -> None:
        super().__init__()
        self.out = ndiv.nn.Linear(self.input_size, self.h)

    def forward(self, batch: Any) -> Any:
        y = self.inputs(batch)[0]
        y = y if isinstance(y, np.ndarray) else y.numpy()
        return self.out(y.reshape(-1, self.input_size)).reshape(-1, self.h, 1) * float(y.mean() > 0)


def test_what_cannot_be_traced_runs_op_by_op_and_says_so_once():
    m = planned(Reads(h=H, input_size=L))
    slow = op_by_op(Reads(h=H, input_size=L))
    with pytest.warns(UserWarning, match=r"Reads\._columns runs op by op, which is slower: .*reads the value") as said:
        for k in range(EARLY + 3):
            near(m.forecast(batch(seed=k)), slow.forecast(batch(seed=k)))
    assert len(said) == 1
    with pytest.warns(UserWarning, match=r"Reads\._objective"):
        near(m.validation_loss([batch()]), slow.validation_loss([batch()]))


class Counts(BaseModel):
    """A model that counts its forecasts in a buffer."""

    def __init__(self, h: int, input_size: int = -1, **common: Any) -> None:
        super().__init__()
        self.out = ndiv.nn.Linear(self.input_size, self.h)
        self.register_buffer("calls", np.zeros((), np.float32))

    def forward(self, batch: Any) -> Any:
        self.calls = self.calls + 1.0
        return self.out(self.inputs(batch)[0].reshape(-1, self.input_size)).reshape(-1, self.h, 1)


def test_buffers_that_a_forecast_writes():
    m = planned(Counts(h=H, input_size=L))
    for k in range(EARLY + 4):
        m.forecast(batch())
        assert float(m.calls) == k + 1
    assert len(plans(m, "_columns")) == 1


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles_make_plans_of_their_own(how):
    m = planned(model("MLP")) if ENGINE == "native" else model("MLP")
    for _ in range(EARLY + 2):
        m.train_step(batch())
        m.forecast(batch())
        m.validation_loss([batch()])
    twin = how(m)
    assert twin._plans is None and twin._step is None
    near(twin.forecast(batch()), m.forecast(batch()))
    held = m.forecast(batch())
    assert twin.train_step(batch()) == m.train_step(batch())
    near(twin.forecast(batch()), m.forecast(batch()))
    assert (m.forecast(batch()) != held).any()


def test_a_forecast_is_a_part_of_a_compiled_function():
    m, data = model("MLP"), batch()
    fast = ndiv.compile(lambda b: ndiv.tensor(1.0) * m.forecast(b))
    near(fast(data).numpy(), m.forecast(data))
