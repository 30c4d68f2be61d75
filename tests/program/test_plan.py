"""Plan bytes and model files: what is written is read again, and what was changed is refused."""

import numpy as np
import pytest
from small import LIGHT, sampled

import ndiv
from ndiv.errors import FeatureError, FileError, HorizonError, ShapeError, TraceBreak
from ndiv.models import get_model, list_models
from ndiv.models.base import BaseModel
from ndiv.program.executable import Executable
from ndiv.program.interpret import Interpreter
from ndiv.program.plan import assemble, parse
from ndiv.program.trace import trace
from ndiv.verify import files

F = np.float32
ENGINES = ["numpy", *(["native"] if ndiv.info()["backend"] == "native" else [])]


def plan_of(f, *arrays):
    return Executable(trace(f, arrays, "f").program, engine="numpy").plan


def test_what_is_assembled_is_parsed_again():
    plan = plan_of(lambda x: ndiv.softmax(x.swapaxes(0, 1) @ x, 1).sum(), np.ones((3, 4), F))
    again = parse(plan.raw)
    assert again.instructions == plan.instructions and again.values == plan.values and again.arena == plan.arena
    assert assemble(again) == plan.raw


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"", lambda b: b[:60], lambda b: b"x" + b[1:],
                                    lambda b: b[:8] + b"\x02" + b[9:], lambda b: b[:70] + bytes([b[70] ^ 1]) + b[71:]])
def test_changed_bytes_are_refused(change):
    raw = plan_of(lambda x: x + 1, np.ones(3, F)).raw
    with pytest.raises(FileError, match="no plan"):
        Interpreter(change(raw))


@pytest.mark.parametrize("name, options, engine", sampled(list_models(), [
    {}, {"scaler_type": "standard"}, {"scaler_type": "revin"}, {"loss": "MAE", "alias": "mine"}], ENGINES, every=6))
def test_an_exported_model_forecasts_what_the_model_does(name, options, engine, tmp_path):
    m = get_model(name)(h=4, input_size=16, **{"loss": "MAE", **LIGHT.get(name, {}), **options})
    m.export(tmp_path / "m.ndiv", batch_size=2)
    f = ndiv.load(tmp_path / "m.ndiv") if engine == ndiv.info()["backend"] else files.read(tmp_path / "m.ndiv", engine)
    y = np.random.default_rng(0).normal(5, 2, (5, 16, 1)).astype(F)
    expected = m.forecast({"insample_y": y})[..., 0]
    np.testing.assert_allclose(f(y), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(f(y[0, :, 0]), expected[0], rtol=1e-5, atol=1e-5)
    longer = np.concatenate([np.zeros(3, F), y[1, :, 0]])
    np.testing.assert_allclose(f(longer), expected[1], rtol=1e-5, atol=1e-5)
    assert f.engine == engine and f.name == (options.get("alias") or name) and f.h == 4


class Counts(BaseModel):
    """A model that counts its forecasts in a buffer."""

    def __init__(self, h, input_size=-1, **common):
        super().__init__()
        self.out = ndiv.nn.Linear(self.input_size, self.h)
        self.register_buffer("calls", np.zeros((), F))

    def forward(self, batch):
        self.calls = self.calls + 1.0
        return self.out(self.inputs(batch)[0].reshape(-1, self.input_size)).reshape(-1, self.h, 1)


def test_a_forecast_that_writes_buffers_is_not_exported(tmp_path):
    m = Counts(h=4, input_size=16)
    with pytest.raises(TraceBreak, match="the forecast of Counts writes calls, and a model file keeps no state") as error:
        m.export(tmp_path / "m.ndiv")
    assert error.value.code == "E0012" and error.value.value == ["calls"] and "self.training" in error.value.hint
    assert not (tmp_path / "m.ndiv").exists() and float(m.calls) == 0


def test_a_forecast_at_an_implicit_quantile_is_exported(tmp_path):
    m = get_model("NLinear")(h=4, input_size=16, loss="IQLoss")
    m.loss.update_quantile([0.9])
    m.export(tmp_path / "m.ndiv")
    f, y = ndiv.load(tmp_path / "m.ndiv"), np.random.default_rng(0).normal(5, 2, (1, 16, 1)).astype(F)
    assert f.columns == ["_ql0.9"]
    np.testing.assert_allclose(f(y)[0], m.forecast({"insample_y": y})[0, :, 0], rtol=1e-5, atol=1e-5)


def test_the_quantiles_of_a_distribution_are_not_exported(tmp_path):
    with pytest.raises(TraceBreak):
        get_model("NLinear")(h=4, input_size=16, loss=ndiv.losses.DistributionLoss("Normal")).export(tmp_path / "m.ndiv")


def test_the_file_opens_in_any_safetensors_tool(tmp_path):
    from safetensors.numpy import load_file

    m = get_model("NLinear")(h=4, input_size=16)
    m.export(tmp_path / "m.ndiv")
    tensors = load_file(str(tmp_path / "m.ndiv"))
    np.testing.assert_array_equal(tensors["linear.weight"], m.linear.weight.numpy())


def test_covariates_and_quantiles(tmp_path):
    m = get_model("MLP")(h=4, input_size=16, hidden_size=8, futr_exog_list=["a"], hist_exog_list=["b", "c"], stat_exog_list=["d"],
                         loss=ndiv.losses.MQLoss(level=[80]))
    m.export(tmp_path / "m.ndiv")
    f = ndiv.load(tmp_path / "m.ndiv")
    rng = np.random.default_rng(0)
    batch = {"insample_y": rng.normal(size=(3, 16, 1)), "futr_exog": rng.normal(size=(3, 20, 1)),
             "hist_exog": rng.normal(size=(3, 16, 2)), "stat_exog": rng.normal(size=(3, 1))}
    batch = {k: v.astype(F) for k, v in batch.items()}
    rest = {k: v for k, v in batch.items() if k != "insample_y"}
    np.testing.assert_allclose(f(batch["insample_y"], **rest), m.forecast(batch), rtol=1e-5, atol=1e-5)
    assert f.columns == m.output_names
    with pytest.raises(FeatureError, match="futr_exog"):
        f(batch["insample_y"])


def test_bad_input_is_refused(tmp_path):
    get_model("NLinear")(h=4, input_size=16).export(tmp_path / "m.ndiv")
    f = ndiv.load(tmp_path / "m.ndiv")
    with pytest.raises(HorizonError, match="15 steps"):
        f(np.zeros(15, F))
    with pytest.raises(ShapeError, match="2 series"):
        f(np.zeros((16, 2), F))
    with pytest.raises(FileError, match="could not read"):
        ndiv.load(tmp_path / "nothing.ndiv")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(FileError, match="could not read"):
        ndiv.load(tmp_path / "text")
    with pytest.raises(FileError, match="could not write"):
        get_model("NLinear")(h=4, input_size=16).export(tmp_path / "no" / "folder.ndiv")


def test_mutated_files_are_refused_or_harmless():
    """A sample; ``python -m ndiv.verify files`` makes 10,000."""
    ends, findings = files.run(300)
    assert not findings, findings
    assert ends["refused"] > ends["loaded"]
