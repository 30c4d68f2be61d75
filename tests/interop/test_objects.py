"""Models as objects: read by their attributes, whatever made them. The real ones are in tests/peers."""

from __future__ import annotations

import numpy as np
import pytest

import ndiv
from ndiv.errors import ArgumentError, ConfigError, FileError
from ndiv.interop import from_neuralforecast


class Tensor:
    """What of a tensor is looked at."""

    dtype = "torch.float32"

    def __init__(self, values):
        self.values = np.asarray(values, np.float32)

    def detach(self):
        return self

    cpu = float = detach

    def numpy(self):
        return self.values


class Half(Tensor):
    dtype = "torch.bfloat16"

    def float(self):
        return Tensor(self.values)

    def numpy(self):
        raise TypeError("bfloat16")


class MAE:
    def __init__(self, weight=None):
        self._nf_init_kwargs = {"horizon_weight": weight}


class Softmax:  # no loss of neuralforecast
    pass


H, L = 2, 4
ARGUMENTS = {"h": H, "input_size": L, "loss": MAE(), "valid_loss": None, "max_steps": 3, "accelerator": "cpu", "n_series": 1,
             "inference_windows_batch_size": -1, "h_train": 1, "inference_input_size": L, "val_monitor": "ptl/val_loss"}


class NLinear:
    def __init__(self, tensor=Tensor, state=None, **arguments):
        self.hparams = {**ARGUMENTS, **arguments}
        self.loss = self.hparams["loss"]
        self.weights = {"linear.weight": tensor(np.arange(H * L).reshape(H, L)), "linear.bias": tensor([1, 2])}
        self.weights |= state or {}

    def state_dict(self):
        return self.weights


class Unheard(NLinear):
    pass


class AutoNLinear:
    alias = None

    def __init__(self):
        self.model = NLinear()

    def __repr__(self):
        return "AutoNLinear"


@pytest.mark.parametrize("tensor", [Tensor, Half])
def test_weights_and_arguments(tensor):
    model = from_neuralforecast(NLinear(tensor, loss=MAE(Tensor([1, 2]))))
    assert (type(model), model.h, model.input_size, model.variant, model.fitted) == (ndiv.models.NLinear, H, L, "compat", True)
    assert model.loss.config() == {"loss": "MAE", "horizon_weight": [1.0, 2.0]}
    assert model.arguments["max_steps"] == 3
    np.testing.assert_array_equal(model.linear.weight.numpy(), np.arange(H * L).reshape(H, L))
    y = np.float32([1, 2, 3, 4])
    expected = np.arange(H * L).reshape(H, L) @ (y - 4) + [1, 2] + 4
    np.testing.assert_allclose(model.forecast({"insample_y": y.reshape(1, L, 1)})[0, :, 0], expected)


def test_a_search_gives_the_model_that_it_found():
    assert from_neuralforecast(AutoNLinear()).alias == "AutoNLinear"
    assert from_neuralforecast(AutoNLinear(), alias="best").alias == "best"


def test_the_model_owns_its_weights():
    source = NLinear()
    model = from_neuralforecast(source)
    source.weights["linear.bias"].values[:] = 9
    np.testing.assert_array_equal(model.linear.bias.numpy(), [1, 2])


@pytest.mark.parametrize(("source", "words"), [
    (NLinear, "is a class"), (3, "int is no model"), (Unheard(), "no model 'Unheard'"), (None, "NoneType is no model"),
    (NLinear(state={"linear.bias": Tensor([1, 2, 3])}), "weights are not those"), (NLinear(loss=Softmax()), "the loss <"),
    (NLinear(h="many"), "h must be"), (NLinear(futr_exog_list=["x"]), "takes no futr_exog"),
], ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_no_model_or_does_not_fit_is_refused(source, words):
    with pytest.raises(ConfigError, match="E0010") as caught:
        from_neuralforecast(source)
    assert words in str(caught.value)
    assert not isinstance(caught.value, FileError)


def test_callables_are_named_in_the_warning():
    with pytest.warns(UserWarning, match=r"dataloader_kwargs=.*max_epochs=5"):
        from_neuralforecast(NLinear(dataloader_kwargs={"collate_fn": print}, max_epochs=5))


def test_unknown_replacements_are_refused():
    with pytest.raises(ArgumentError, match="unknown argument 'lss'"):
        from_neuralforecast(NLinear(), lss="MAE")


def test_the_name_is_public():
    assert ndiv.interop.from_neuralforecast is from_neuralforecast
    assert dir(ndiv.interop) == ["from_neuralforecast"]
    with pytest.raises(AttributeError):
        _ = ndiv.interop.from_elsewhere
