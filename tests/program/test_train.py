"""Three compiled training steps are three op-by-op steps: every loss, optimizer, scaler, variant and kind of batch.

Losses and weights agree to 1e-6 of the largest element (`EXACTNESS` names what needs more) with SGD, whose update is
proportional to the gradient. Adam and RMSprop divide each element's update by the size of its gradient: where a gradient
is nothing but rounding, so is the direction of a full step, and no bound relative to the weight can hold. They are compared
on a loss whose gradients are all far from 0, after which they meet 1e-6 too.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from small import IN_VARIANTS, UNSCALED, every_loss, sampled, small

import ndiv
from ndiv.autograd.ops import FUNCTIONS
from ndiv.data.scalers import WINDOW_SCALERS
from ndiv.errors import DataError
from ndiv.models import get_model, list_models
from ndiv.models.base import BaseModel
from ndiv.optim import OPTIMIZERS
from ndiv.program.train import TrainStep

ENGINE = "native" if ndiv.backends.current() == "native" else "numpy"
H, L, B, STEPS = 3, 10, 16, 3
COUNTS = np.random.default_rng(0).poisson(20, (B, L + H, 1)).astype(np.float32)

LOSSES = every_loss()
# (loss, weights), and why
EXACTNESS = {
    "Weibull": (4e-6, 1e-5, "(y / scale)^shape and the logarithms of it cancel; the steps are as large as the weights"),
}

# models with attention, whose gradient of the scores is what is left of a difference: see tests/program/test_conformance.py
ATTENTION = dict.fromkeys(("PatchTST", "iTransformer", "Transformer", "Informer"), 3e-6)
# and through nine normalizations: op by op, steps of the embeddings' biases, which start at 0, are 3e-6 off float64
ATTENTION["TFT"] = 5e-6

FED = "its matrices start at 1 / hidden^2, and a step is up to a quarter of them: both ways are up to 4e-6 off float64"
ATTENTION["FEDformer"] = 3e-6  # for that reason

# (model, loss) of windows with gaps, and why
GAPS = {("TiDE", "Normal"): (1e-6, 3e-6, "on counts of 20, unscaled, the steps are several times as large as the weights"),
        **{(name, "Normal"): (1e-6, 1e-4, "on counts of 20, unscaled, scores are in the hundreds and softmax makes their rounding "
                              "that of probabilities: both ways are up to 2e-5 off float64") for name in ("Transformer", "Informer")},
        ("FEDformer", "Normal"): (2e-6, 5e-6, FED)}
# (model, loss) of variant="compat", and why
COMPAT = {("TiDE", "Normal"): (2e-6, 1e-5, "two numbers are normalized: their difference is divided by itself"),
          **{("FEDformer", loss): (1e-6, 5e-6, FED) for loss in ("MSE", "Normal", "MQLoss")}}


def batch(case="", **changes):
    y = np.clip(COUNTS / 60, 0.01, 0.99) if case == "Beta" else (COUNTS > 20).astype(np.float32) if case == "Bernoulli" else COUNTS
    ones = np.ones_like(y)
    return {"insample_y": y[:, :L], "insample_mask": ones[:, :L], "outsample_y": y[:, L:], "outsample_mask": ones[:, L:], **changes}


def pair(build, seed=1):
    """The same model twice: compiled (by the interpreter where the native backend is not in force), and op by op."""
    models = []
    for _ in range(2):
        ndiv.manual_seed(seed)  # a loss with weights of its own is made outside of the model
        models.append(build())
    if ENGINE != "native":
        models[0]._step = models[0].__dict__["_compiled"] = TrainStep(models[0])
    models[1].__dict__["_compiled"] = lambda batch: None
    return models


def relative(got, wanted):
    return float(np.max(np.abs(got.astype(np.float64) - wanted), initial=0.0) / max(np.max(np.abs(wanted), initial=0.0), 1e-30))


def same(models, data, steps=STEPS, bounds=(1e-6, 1e-6)):
    """Steps of both on the same data and random numbers; the losses."""
    fast, slow = models
    before = {n: p.data.copy() for n, p in slow.named_parameters()}
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # "trains op by op" is a failure here
        for s in range(steps):
            values, states = [], []
            for m in models:
                ndiv.manual_seed(10 + s)
                values.append(m.train_step(data[s] if isinstance(data, list) else data))
                states.append(ndiv.random.get_state())
            assert states[0] == states[1], "compiled steps use other random streams"
            assert abs(values[0] - values[1]) <= bounds[0] * abs(values[1]), f"step {s}: {values}"
            found.append(values[0])
    assert fast._step is not None and not fast._step.reason
    assert all(s.executable.engine == ENGINE for s in fast._step.cache.values())
    moved = False
    # a bias that starts at 0 holds nothing but its steps, sums whose terms may cancel: the largest step of all is its measure
    largest = max(np.abs(q.data - before[n]).max() for n, q in slow.named_parameters())
    for (name, p), (_, q) in zip(fast.named_parameters(), slow.named_parameters(), strict=True):
        share = 1.0 if before[name].any() else min(np.abs(q.data).max() / largest, 1.0)
        assert relative(p.data, q.data) * share <= bounds[1], f"{name}: {relative(p.data, q.data):.1e}"
        moved = moved or (q.data != before[name]).any()
    for (name, p), (_, q) in zip(fast.named_buffers(), slow.named_buffers(), strict=True):
        assert relative(p, q) <= bounds[1], name
    assert moved and fast.optimizer.counts == slow.optimizer.counts
    return found


def model(name="NLinear", loss="MSE", **options):
    options = {"scaler_type": "identity" if loss in UNSCALED else "standard", "learning_rate": 1e-2, "optimizer": "SGD", **options}
    return get_model(name)(h=H, input_size=L, loss=LOSSES[loss](), **{**small(name), **options})


@pytest.mark.parametrize("name, loss", sampled(list_models(), LOSSES, every=12))
def test_every_loss(name, loss):
    # a step at the usual rate leads this pair out of float32's range, compiled or not
    rate = {"learning_rate": 1e-5} if (name, loss) == ("PatchTST", "Weibull") else {}
    value, weights = EXACTNESS.get(loss, (1e-6, 1e-6))[:2]
    same(pair(lambda: model(name, loss, **rate)), batch(loss), bounds=(value, max(weights, ATTENTION.get(name, 0.0))))


@pytest.mark.parametrize("name, loss, scaler", sampled(list_models(), ["MAE", "Normal"], WINDOW_SCALERS, every=6))
def test_every_scaler_with_gaps_and_weights(name, loss, scaler):
    masks = np.random.default_rng(0).random((B, L + H, 1)) < 0.8
    masks[0, :L] = False  # a window without any value
    masks[1, L:] = False  # and one without a future
    masks = masks.astype(np.float32)
    weight = np.random.default_rng(1).choice(np.array([0, 0.5, 1, 3], np.float32), (B, 1, 1))  # of windows
    data = batch(insample_mask=masks[:, :L], outsample_mask=masks[:, L:], sample_weight=weight)
    rate = 1e-5 if (loss, scaler) == ("Normal", "identity") else 1e-3  # at 1e-3 likelihoods of unscaled counts diverge
    same(pair(lambda: model(name, loss, scaler_type=scaler, learning_rate=rate)), data,
         bounds=GAPS.get((name, loss), (1e-6, 1e-6))[:2])


@pytest.mark.parametrize("loss", ["MSE", "MQLoss", "GMM"])
def test_without_masks(loss):
    data = {k: v for k, v in batch().items() if not k.endswith("mask")}
    same(pair(lambda: model("MLP", loss)), data)


OPTIONS = {"Adam": [{}, {"weight_decay": 0.1}, {"amsgrad": True}, {"betas": (0.5, 0.9)}], "AdamW": [{}, {"weight_decay": 0.3}],
           "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {"momentum": 0.5, "dampening": 0.3}],
           "RMSprop": [{}, {"momentum": 0.5}, {"centered": True}]}


@pytest.mark.parametrize("name, options", [(n, o) for n, all_ in OPTIONS.items() for o in all_], ids=str)
@pytest.mark.parametrize("clip", [None, 0.05])
def test_every_optimizer(name, options, clip):
    assert set(OPTIONS) == set(OPTIMIZERS)
    rising = batch()
    rising["outsample_y"] = rising["outsample_y"] + 200  # every gradient is far from 0
    build = lambda: model("NLinear", "MSE", scaler_type="identity", learning_rate=1e-3, optimizer=name,  # noqa: E731
                          optimizer_kwargs=options, gradient_clip_val=clip)
    if name == "SGD" and clip is None:
        rising = {k: v / 50 if k.endswith("_y") else v for k, v in rising.items()}
    same(pair(build), rising, bounds=(1e-6, 2e-6))  # weights near 0 after a step are differences of two larger numbers


def test_the_learning_rate_is_an_input_of_the_step():
    models = pair(lambda: model("MLP", "MSE", optimizer="AdamW"))
    for lr in (1e-2, 1e-3, 0.0):
        for m in models:
            m.optimizer.lr = lr
        ndiv.manual_seed(0)
        a, b = (m.train_step(batch()) for m in models)
        assert a == pytest.approx(b, rel=1e-6)
    assert len(models[0]._step.cache) == 1
    kept = {n: p.data.copy() for n, p in models[0].named_parameters()}
    models[0].train_step(batch())
    assert all((kept[n] == p.data).all() for n, p in models[0].named_parameters()), "a step of length 0 moved the weights"


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_dropout_draws_the_same_numbers(dropout):
    losses_ = same(pair(lambda: model("NHITS", "MAE", dropout_prob_theta=dropout)), batch())
    assert len(set(losses_)) == STEPS


EXOG = {"hist_exog_list": ["a", "b"], "futr_exog_list": ["c"], "stat_exog_list": ["d"]}


@pytest.mark.parametrize("kinds", [("hist",), ("futr",), ("stat",), ("hist", "futr", "stat")], ids="-".join)
@pytest.mark.parametrize("scaler", ["identity", "robust"])
@pytest.mark.parametrize("name", ["MLP", "NHITS", "TiDE", "DeepNPTS"])
def test_covariates(name, kinds, scaler):
    options = {f"{k}_exog_list": EXOG[f"{k}_exog_list"] for k in kinds}
    lengths = {"hist": (L,), "futr": (L + H,), "stat": ()}
    draw = np.random.default_rng(0)
    found = {f"{k}_exog": draw.standard_normal((B, *lengths[k], len(options[f"{k}_exog_list"]))).astype(np.float32) for k in kinds}
    same(pair(lambda: model(name, "MAE", scaler_type=scaler, learning_rate=1e-3, **options)), batch(**found))


@pytest.mark.parametrize("name, loss", sampled([n for n, variant in IN_VARIANTS if variant == "compat"], ["MSE", "Normal", "MQLoss"]))
def test_variant_compat(name, loss):
    same(pair(lambda: model(name, loss, variant="compat")), batch(), bounds=COMPAT.get((name, loss), (1e-6, 1e-6))[:2])


@pytest.mark.parametrize("name", ["MLP", "NHITS", "TiDE"])
def test_without_the_series_itself(name):
    found = {"futr_exog": np.random.default_rng(0).standard_normal((B, L + H, 1)).astype(np.float32)}
    same(pair(lambda: model(name, "MSE", futr_exog_list=["c"], exclude_insample_y=True)), batch(**found))


def test_steps_on_other_data_and_shapes():
    data = [batch(), {k: v[:5] for k, v in batch().items()}, {k: v[::-1].copy() for k, v in batch().items()},
            {k: v[::2] for k, v in batch().items()}]
    models = pair(lambda: model("MLP", "MAE", optimizer="SGD"))
    same(models, data, steps=4)
    assert len(models[0]._step.cache) == 3


def test_compiled_and_op_by_op_steps_follow_one_another():
    """Weights, moments and counts are shared, with steps of several batches too."""
    models = pair(lambda: model("MLP", "MSE", optimizer="SGD", optimizer_kwargs={"momentum": 0.9}))
    same(models, [batch(), [batch(), batch()], batch()])
    models[0].__dict__["_compiled"], held = lambda batch: None, models[0].__dict__.get("_compiled")
    models[0].train_step(batch()), models[1].train_step(batch())
    models[0].__dict__.pop("_compiled") if held is None else models[0].__dict__.update(_compiled=held)
    same(models, [[batch(), batch()], batch()], steps=2)


# several batches in a step ------------------------------------------------------------------------------------------------

def rows(size, seed, up=0.0):
    """A batch of so many windows."""
    data = batch()
    at = np.random.default_rng(seed).integers(0, B, size)
    return {k: v[at] + (np.float32(up) if k == "outsample_y" else 0) for k, v in data.items()}


@pytest.mark.parametrize("name, options", [("SGD", {}), ("SGD", {"momentum": 0.9}), ("AdamW", {"weight_decay": 0.3}), ("Adam", {}),
                                           ("RMSprop", {})], ids=str)
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("sizes", [(16, 16), (16, 16, 5), (7,) * 9], ids=str)
def test_steps_of_several_batches(sizes, clip, name, options):
    data = [[rows(n, 10 * s + k, up=200.0) for k, n in enumerate(sizes)] for s in range(STEPS)]  # every gradient is far from 0
    if name == "SGD" and clip is None:
        data = [[{k: v / 50 if k.endswith("_y") else v for k, v in b.items()} for b in bs] for bs in data]
    models = pair(lambda: model("NLinear", "MSE", scaler_type="identity", learning_rate=1e-3, optimizer=name, optimizer_kwargs=options,
                                gradient_clip_val=clip))
    same(models, data, bounds=(1e-6, 2e-6))  # weights near 0 after a step are differences of two larger numbers
    step = models[0]._step
    assert len(step.parts) == len(set(sizes)) and len(step.cache) == 1
    assert all(p.executable.engine == ENGINE for p in step.parts.values())


@pytest.mark.parametrize("loss", LOSSES)
def test_several_batches_and_every_loss(loss):
    data = batch(loss)
    same(pair(lambda: model("NHITS", loss, gradient_clip_val=1.0)), [[data, {k: v[:9] for k, v in data.items()}]] * STEPS,
         bounds=EXACTNESS.get(loss, (1e-6, 1e-6))[:2])


def test_several_batches_draw_and_keep_state_as_op_by_op():
    losses_ = same(pair(lambda: model("NHITS", "MAE", dropout_prob_theta=0.3)), [[batch(), batch()]] * STEPS)
    assert len(set(losses_)) == STEPS
    models = pair(lambda: Mixed(h=H, input_size=L, loss=LOSSES["MAE"](), scaler_type="standard", learning_rate=1e-2, optimizer="SGD"))
    same(models, [[batch(), batch()]] * STEPS, bounds=(1e-6, 3e-6))
    assert int(models[0].norm.num_batches_tracked) == 2 * STEPS


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("where", ["insample_y", "outsample_y"])
@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_several_batches_of_which_one_is_not_finite_move_nothing(optimizer, where, which):
    broken = [batch(), batch()]
    broken[which][where] = broken[which][where].copy()
    broken[which][where][2, 1, 0] = np.nan
    models = pair(lambda: model("MLP", "MSE", scaler_type="identity", optimizer=optimizer))
    for m in models:
        m.train_step([batch(), batch()])
        kept = {n: p.data.copy() for n, p in m.named_parameters()}
        assert not math.isfinite(m.train_step(broken))
        assert all((kept[n] == p.data).all() for n, p in m.named_parameters())
        assert math.isfinite(m.train_step([batch(), batch()]))
    assert models[0].optimizer.counts == models[1].optimizer.counts
    assert not models[0]._step.reason


def test_several_batches_whose_gradient_alone_is_not_finite_move_nothing():
    def build():
        return get_model("NLinear")(h=H, input_size=L, scaler_type="identity", optimizer="SGD",
                                    loss=lambda y_hat, y: ndiv.sqrt(ndiv.abs(y_hat * 0.0)) + ndiv.abs(y - y_hat))

    for m in pair(build):
        kept = {n: p.data.copy() for n, p in m.named_parameters()}
        with np.errstate(divide="ignore", invalid="ignore"):
            assert math.isnan(m.train_step([batch(), batch()]))
        assert all((kept[n] == p.data).all() for n, p in m.named_parameters())


def test_several_batches_take_the_memory_of_one():
    m = pair(lambda: model("NHITS", "MAE"))[0]
    m.train_step(batch())
    m.train_step([batch()] * 8)
    (one,), (part,) = [s for s in m._step.cache.values() if len(s.executable.inputs) > 2], m._step.parts.values()
    assert part.executable.plan.arena <= 1.1 * one.executable.plan.arena
    values = [m.train_step([batch()] * 8) for _ in range(2)]
    assert values[1] < values[0] and len(m._step.parts) == 1


def test_a_list_of_one_batch_is_that_batch():
    models = [pair(lambda: model("MLP", "MSE"))[0] for _ in range(2)]
    assert [models[0].train_step(batch()) for _ in range(STEPS)] == [models[1].train_step([batch()]) for _ in range(STEPS)]


# targets that a distribution does not allow -----------------------------------------------------------------------------------

@pytest.mark.parametrize("loss", ["Gamma", "LogNormal", "Weibull", "Beta"])
def test_what_is_masked_may_lie_outside_of_a_support(loss):
    """Data made up for a trace has other masks; that must not count as a target outside."""
    data = batch(loss)
    mask = data["outsample_mask"].copy()
    mask[::2, 1:] = 0
    data = {**data, "outsample_y": data["outsample_y"] * mask, "outsample_mask": mask}
    same(pair(lambda: model("MLP", loss)), data, bounds=EXACTNESS.get(loss, (1e-6, 1e-6))[:2])


@pytest.mark.parametrize("loss, bad", [("Gamma", 0.0), ("Beta", 1.0), ("Poisson", -0.5), ("NegativeBinomial", -1.0), ("PMM", -0.5),
                                       ("Bernoulli", 2.0)])
def test_targets_outside_of_a_support_are_refused_at_any_step(loss, bad):
    good = batch(loss)
    broken = {**good, "outsample_y": good["outsample_y"].copy()}
    broken["outsample_y"][3, 1, 0] = bad
    for m in pair(lambda: model("MLP", loss)):
        m.train_step(good)
        m.validation_loss([good])
        kept = {n: p.data.copy() for n, p in m.named_parameters()}
        for run in (m.train_step, lambda b, m=m: m.train_step([good, b]), lambda b, m=m: m.validation_loss([b])):
            with pytest.raises(DataError, match=f"and a target is {bad:g}") as error:
                run(broken)
            assert error.value.code == "E0011"
        assert all((kept[n] == p.data).all() for n, p in m.named_parameters())


@pytest.mark.parametrize("scaler", WINDOW_SCALERS)
@pytest.mark.parametrize("length", [7, 13, 50])
def test_constant_windows(scaler, length):
    """Their scale is 1, though the mean in float32 is not always the constant."""
    y = np.broadcast_to(np.random.default_rng(length).uniform(0.01, 100, (B, 1, 1)), (B, length, 1)).astype(np.float32)
    mask = np.ones_like(y)
    mask[::2, 2:4] = 0
    data = {"insample_y": y * mask, "insample_mask": mask, "outsample_y": y[:, :H] + 1}
    build = lambda: get_model("MLP")(h=H, input_size=length, hidden_size=16, scaler_type=scaler, optimizer="SGD")  # noqa: E731
    same(pair(build), data)


@pytest.mark.parametrize("where", ["insample_y", "outsample_y"])
@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_what_is_not_finite_moves_nothing(where, optimizer):
    broken = batch()
    broken[where] = broken[where].copy()
    broken[where][2, 1, 0] = np.nan
    models = pair(lambda: model("MLP", "MSE", scaler_type="identity", optimizer=optimizer))
    for m in models:
        m.train_step(batch())
        kept = {n: p.data.copy() for n, p in m.named_parameters()}
        assert not math.isfinite(m.train_step(broken))
        assert all((kept[n] == p.data).all() for n, p in m.named_parameters())
        assert math.isfinite(m.train_step(batch()))
    assert models[0].optimizer.counts == models[1].optimizer.counts


def test_a_gradient_that_is_not_finite_under_a_finite_loss_moves_nothing():
    def build():
        return get_model("NLinear")(h=H, input_size=L, scaler_type="identity", optimizer="SGD",
                                    loss=lambda y_hat, y: ndiv.sqrt(ndiv.abs(y_hat * 0.0)) + ndiv.abs(y - y_hat))

    for m in pair(build):
        kept = {n: p.data.copy() for n, p in m.named_parameters()}
        with np.errstate(divide="ignore", invalid="ignore"):
            assert math.isnan(m.train_step(batch()))
        assert all((kept[n] == p.data).all() for n, p in m.named_parameters())


def test_a_float64_batch_is_a_float32_batch_to_a_float32_model():
    models = [pair(lambda: model("MLP", "MSE"))[0] for _ in range(2)]
    values = [[m.train_step({k: v.astype(d) for k, v in batch().items()}) for _ in range(STEPS)]
              for m, d in zip(models, (np.float32, np.float64), strict=True)]
    assert values[0] == values[1]
    assert all((p.data == q.data).all() for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True))


@pytest.mark.parametrize("loss", [k for k in LOSSES if k != "IQLoss"])
def test_float64_in_the_interpreter(loss):
    """The plan of a float64 model, which the interpreter runs, to 1e-12."""
    models = pair(lambda: model("MLP", loss, gradient_clip_val=1.0))
    data = {k: v.astype(np.float64) for k, v in batch(loss).items()}
    for m in models:
        m.optimizer  # noqa: B018  (made here, of the parameters that become float64)
        for p in m.parameters():
            p.data = p.data.astype(np.float64)
    fast, slow = models
    fast.train()
    assert TrainStep(fast)(data) is None, "a float64 model trains op by op"
    compiled = TrainStep(fast)
    step = compiled.make(data)
    assert step.executable.engine == "numpy"
    for _ in range(STEPS):
        a, b = compiled.run(step, list(data.values())), slow.train_step(data)
        assert a == pytest.approx(b, rel=1e-12 if loss not in EXACTNESS else 1e-11)
    for p, q in zip(fast.parameters(), slow.parameters(), strict=True):
        assert p.data.dtype == np.float64 and relative(p.data, q.data) <= (1e-12 if loss not in EXACTNESS else 1e-11)


# what models are made of beyond those of today ---------------------------------------------------------------------------

class Mixed(BaseModel):
    """Convolution, batch normalization, a recurrent layer, dropout, attention: one model."""

    RECURRENT = True

    def __init__(self, h: int, input_size: int = -1, **common: Any) -> None:
        super().__init__()
        self.conv = ndiv.nn.Conv1d(1, 6, 3, padding=1)
        self.norm = ndiv.nn.BatchNorm1d(6)
        self.rnn = ndiv.nn.LSTM(6, 5, num_layers=2, batch_first=True, dropout=0.2, bidirectional=True)
        self.attend = ndiv.nn.MultiheadAttention(10, 2, dropout=0.1, batch_first=True)
        self.ln = ndiv.nn.LayerNorm(10)
        self.out = ndiv.nn.Linear(10, self.h * self.n_out)

    def forward(self, batch: Any) -> Any:
        y = self.inputs(batch)[0]
        z = FUNCTIONS["gelu"](self.norm(self.conv(FUNCTIONS["transpose"](y, 1, 2))))
        z, _ = self.rnn(FUNCTIONS["transpose"](z, 1, 2))
        z = self.ln(z + self.attend(z, z, z)[0])
        return self.out(z[:, -1]).reshape(-1, self.h, self.n_out)


@pytest.mark.parametrize("loss", ["MAE", "Normal"])
def test_a_model_of_many_layers_with_state(loss):
    models = pair(lambda: Mixed(h=H, input_size=L, loss=LOSSES[loss](), scaler_type="standard", learning_rate=1e-2, optimizer="SGD"))
    same(models, batch(), bounds=(1e-6, 3e-6))  # chains of two recurrent layers, see tests/program/test_conformance.py
    assert int(models[0].norm.num_batches_tracked) == STEPS
