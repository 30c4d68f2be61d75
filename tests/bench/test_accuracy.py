"""Training by the protocol: what it gets to see, what it chooses, and that it repeats itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ndiv.autograd.ops import FUNCTIONS
from ndiv.bench import accuracy, etth, settings
from ndiv.bench.shared import digest
from ndiv.errors import HorizonError
from ndiv.models import list_models
from ndiv.models.base import BaseModel
from ndiv.nn import Linear

ETTH1 = etth.DATASETS["ETTh1"]
TINY = settings.Setting(24, 5e-3, "for this test", batch_size=512, epochs=3, patience=1)
SMALL_NHITS = settings.Setting(24, 1e-2, "for this test", batch_size=512, epochs=2,
                               model={"mlp_units": [[8, 8]], "scaler_type": "standard", "dropout_prob_theta": 0.1})


@pytest.fixture(scope="module")
def data(raw: np.ndarray) -> etth.Panel:
    return etth.panel(raw, ETTH1)


@pytest.mark.parametrize(("name", "how"), [("NLinear", TINY), ("NHITS", SMALL_NHITS)])
@pytest.mark.parametrize("ruin", [np.nan, 1e30, 0.0])
def test_training_never_looks_at_the_test_rows(raw: np.ndarray, data: etth.Panel, name: str, how: settings.Setting,
                                               ruin: float) -> None:
    spoiled = raw.copy()
    spoiled[11520:] = ruin
    clean = accuracy.fit(name, how, data, 12, 1)
    other = accuracy.fit(name, how, etth.panel(spoiled, ETTH1), 12, 1)
    assert other.valid_mse == clean.valid_mse
    assert digest(other.model) == digest(clean.model)
    assert [r["valid_loss"] for r in other.history] == [r["valid_loss"] for r in clean.history]


def test_the_validation_rows_do_matter(raw: np.ndarray, data: etth.Panel) -> None:
    """The guard of the test above: the same change one row earlier is noticed."""
    spoiled = raw.copy()
    spoiled[11519] += 1.0
    assert accuracy.fit("NLinear", TINY, etth.panel(spoiled, ETTH1), 12, 1).valid_mse != \
        accuracy.fit("NLinear", TINY, data, 12, 1).valid_mse


def test_the_best_epoch_is_the_one_that_is_kept(data: etth.Panel) -> None:
    found = accuracy.fit("DLinear", TINY, data, 12, 3)
    losses = [r["valid_loss"] for r in found.history]
    assert found.valid_mse == min(losses)
    assert found.best_epoch == int(np.argmin(losses)) + 1
    assert found.epochs == len(losses) <= 3
    again = etth.score(accuracy.forecaster(found.model), data, "valid", 24, 12)
    assert again.mse == pytest.approx(found.valid_mse, rel=1e-5)  # by another path: `Panel.windows`, float64
    assert again.windows == 2880 - 12 + 1


def test_the_rate_is_halved_every_epoch(data: etth.Panel) -> None:
    found = accuracy.fit("NLinear", settings.replace(TINY, patience=9), data, 12, 1)
    assert [r["lr"] for r in found.history] == [5e-3, 2.5e-3, 1.25e-3]
    assert found.steps_per_epoch == -(-(8640 - 24 - 12 + 1) // 512)
    assert [r["step"] for r in found.history] == [found.steps_per_epoch * k for k in (1, 2, 3)]


def test_without_a_decay_the_rate_falls_along_a_cosine_over_all_epochs(data: etth.Panel) -> None:
    how = settings.replace(TINY, decay=None, patience=9)
    found = accuracy.fit("NLinear", how, data, 12, 1, max_epochs=2)  # stops early on the way of three epochs
    last = found.steps_per_epoch * np.arange(1, 3) - 1  # the step before each validation
    assert [r["lr"] for r in found.history] == pytest.approx(5e-3 * (1 + np.cos(np.pi * last / (3 * found.steps_per_epoch))) / 2)
    assert "cosine over 3 epochs" in how.text()


def test_a_shorter_epoch_goes_on_where_the_last_one_ended(data: etth.Panel) -> None:
    how = settings.replace(TINY, steps=6, decay=1.0)
    short, long = (accuracy.fit("NLinear", settings.replace(how, steps=n), data, 12, 1, max_epochs=12 // n) for n in (6, 12))
    assert (short.steps_per_epoch, long.steps_per_epoch) == (6, 12)
    assert [r["step"] for r in short.history] == [6, 12]
    assert np.mean([r["train_loss"] for r in short.history]) == pytest.approx(long.history[0]["train_loss"], rel=1e-6)
    assert accuracy.fit("NLinear", settings.replace(how, steps=99), data, 12, 1, max_epochs=1).steps_per_epoch == 17
    assert "6 steps/epoch" in how.text()


def test_every_kth_validation_window(data: etth.Panel) -> None:
    how = settings.replace(TINY, valid_every=7)
    found = accuracy.fit("NLinear", how, data, 12, 1, max_epochs=1)
    inputs, targets = (np.concatenate(parts)[::7] for parts in zip(*data.windows("valid", 24, 12), strict=True))
    assert len(inputs) == 410
    assert found.valid_mse == pytest.approx(np.mean((accuracy.forecaster(found.model)(inputs) - targets) ** 2), rel=1e-5)
    assert "every 7th validation window" in how.text()


@pytest.mark.parametrize(("name", "loss", "model"), [
    ("DeepAR", "Normal", {"lstm_hidden_size": 4, "lstm_n_layers": 1, "trajectory_samples": 3, "scaler_type": "standard"}),
    ("DeepNPTS", "RPS", {"hidden_size": 4}),
])
def test_of_a_distribution_the_mean_is_scored(data: etth.Panel, name: str, loss: str, model: dict[str, Any]) -> None:
    how = settings.Setting(24, 1e-3, "for this test", loss=loss, model=model)
    made = accuracy.build(name, how, 7, 12, 1)
    inputs, _ = next(data.windows("valid", 24, 12, size=40))
    found = accuracy.forecaster(made)(inputs)
    assert found.shape == (40, 12, 7)
    window = inputs[37:38, :, 2:3].astype(np.float32)
    assert np.allclose(found[37, :, 2], made.forecast({"insample_y": window})[0, :, 0], atol=1e-5)


def test_a_run_repeats_itself_and_seeds_differ(data: etth.Panel) -> None:
    a, b, c = (accuracy.run("NHITS", SMALL_NHITS, data, 12, seed, max_epochs=1) for seed in (1, 1, 2))
    assert (a["weights"], a["mse"], a["valid_mse"]) == (b["weights"], b["mse"], b["valid_mse"])
    assert a["weights"] != c["weights"]


def test_one_column_alone(data: etth.Panel) -> None:
    r = accuracy.run("NLinear", TINY, data.only("OT"), 12, 1, max_epochs=1)
    assert r["columns"] == ["OT"]
    assert r["windows"] == 2869


def test_a_lookback_that_leaves_no_window_is_refused(data: etth.Panel) -> None:
    with pytest.raises(HorizonError):
        accuracy.fit("NLinear", settings.replace(TINY, input_size=8600), data, 96, 1)


class Mixing(BaseModel):
    """A multivariate model: each column's last value, then a map over columns."""

    MULTIVARIATE = True

    def __init__(self, h: int, input_size: int = -1, n_series: int = 1, **common: Any) -> None:
        super().__init__()
        self.mix = Linear(n_series, n_series)

    def forward(self, batch: Any) -> Any:
        last = self.mix(batch["insample_y"][:, -1:])
        return FUNCTIONS["cat"]([last] * self.h, dim=1)


def test_multivariate_models_see_all_columns_at_once(data: etth.Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "get_model", lambda name: Mixing)
    found = accuracy.fit("Mixing", TINY, data, 12, 1)
    assert found.model.mix.weight.shape == (7, 7)
    again = etth.score(accuracy.forecaster(found.model), data, "valid", 24, 12)
    assert again.mse == pytest.approx(found.valid_mse, rel=1e-5)


@pytest.mark.parametrize("name", sorted(settings.SETTINGS))
def test_every_setting_and_candidate_builds(name: str) -> None:
    for h in settings.SETTINGS[name]:
        for how in (settings.setting(name, h), *settings.candidates(name, h)):
            assert how.source
            assert how.text()
            assert accuracy.build(name, how, 7, h or 96, 1).input_size == how.input_size


def test_a_model_without_a_setting_says_so() -> None:
    assert settings.setting("Unheard", 96).source.startswith("untuned")
    assert settings.candidates("Unheard", 96) == [settings.setting("Unheard", 96)]


def test_settings_name_models_that_exist() -> None:
    assert set(settings.SETTINGS) <= set(list_models())
    assert set(settings.CANDIDATES) <= set(list_models())


def test_a_run_writes_no_files(data: etth.Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    accuracy.run("NLinear", TINY, data, 12, 1, max_epochs=1)
    assert list(tmp_path.iterdir()) == []
