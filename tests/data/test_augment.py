"""Augmented windows: what each change keeps, the same batches from the same seed and step, nothing of it in validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ndiv.data import SeriesStore, WindowLoader
from ndiv.data.augment import AUGMENTATIONS, Augmenter, Jitter, MagnitudeWarp, Scaling, TimeWarp, augmentations
from ndiv.errors import ConfigError
from ndiv.models import MLP, NLinear, TSMixer
from ndiv.models.base import BaseModel

L, H = 12, 4
STRONG = [Jitter(0.5), Scaling(0.3), MagnitudeWarp(0.3), TimeWarp(0.5)]


def store(series: int = 3, rows: int = 40) -> SeriesStore:
    """Series with missing values, a historic and a future covariate, and a category that changes with the step."""
    draw = np.random.default_rng(0)
    y = draw.normal(20, 3, (series, rows))
    y[:, ::11] = np.nan
    made = SeriesStore.from_arrays_list(list(y))
    place = np.tile(np.arange(rows), series)
    futr = np.stack([place * 1.0, 1.0 + place % 5], axis=1)
    return SeriesStore(made.ids, made.offsets, made.times, made.y, made.mask, place[:, None] * 2.0, futr, None, ["x"], ["step", "day"],
                       [], 1, {}, {"day": [0, 1, 2, 3, 4]})


def batches(data: SeriesStore, *augment: Any, panel: bool = False, step: int = 3, seed: int = 1, **options: Any) -> Any:
    """(a batch as it is, the same batch changed)."""
    made = [WindowLoader(data, L, H, windows_batch_size=20, panel=panel, seed=seed, augment=a, **options).batch(step)
            for a in (None, Augmenter(list(augment), data))]
    return [{k: v.astype(np.float64) for k, v in b.items()} for b in made]


@pytest.mark.parametrize("panel", [False, True])
@pytest.mark.parametrize("change", STRONG, ids=lambda c: type(c).__name__)
def test_the_same_seed_and_step_give_the_same_batch(change: Any, panel: bool) -> None:
    data = store()
    plain, one = batches(data, change, panel=panel)
    _, two = batches(data, change, panel=panel)
    _, other = batches(data, change, panel=panel, step=4)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])
        assert np.isfinite(one[name]).all()
    assert (one["insample_y"] != plain["insample_y"]).any()
    assert one["insample_y"].shape != other["insample_y"].shape or (one["insample_y"] != other["insample_y"]).any()
    assert not one["insample_y"][one["insample_mask"] == 0].any() and not one["outsample_y"][one["outsample_mask"] == 0].any()
    loader = WindowLoader(data, L, H, windows_batch_size=20, panel=panel, keep=1, augment=Augmenter(change, data))
    for step in (0, 1, 3):  # arrays that are used again hold nothing of the batch before
        again = loader.batch(step)
    np.testing.assert_array_equal(again["insample_y"], one["insample_y"].astype(np.float32))


@pytest.mark.parametrize("panel", [False, True])
def test_what_each_keeps(panel: bool) -> None:
    data = store()
    plain, jittered = batches(data, Jitter(0.5), panel=panel)
    np.testing.assert_array_equal(jittered["outsample_y"], plain["outsample_y"])
    on = plain["insample_mask"] > 0
    centred = (jittered["insample_y"] - plain["insample_y"])[on]
    assert 0.35 < centred.std() / plain["insample_y"][on].std() < 0.65

    plain, scaled = batches(data, Scaling(0.3), panel=panel)
    with np.errstate(invalid="ignore"):
        ratio = np.concatenate([scaled[f"{part}_y"] / plain[f"{part}_y"] for part in ("insample", "outsample")], axis=1)
    assert np.nanmax(np.nanmax(ratio, axis=1) - np.nanmin(ratio, axis=1)) < 1e-5  # one factor for each window and series
    assert 0.15 < np.nanmean(ratio, axis=1).std() < 0.45

    plain, bent = batches(data, MagnitudeWarp(0.3, knots=2), panel=panel)
    with np.errstate(invalid="ignore"):
        curve = np.concatenate([bent[f"{part}_y"] / plain[f"{part}_y"] for part in ("insample", "outsample")], axis=1)
    assert np.nanmax(np.abs(np.diff(curve, axis=1))) < 0.4 and 0.1 < np.nanstd(curve) < 0.6
    for name in plain:
        if name not in ("insample_y", "outsample_y"):
            np.testing.assert_array_equal(bent[name], plain[name])


@pytest.mark.parametrize("panel", [False, True])
def test_warped_time_takes_covariates_along_and_does_not_mix_inputs_and_targets(panel: bool) -> None:
    data = store()
    plain, warped = batches(data, TimeWarp(0.6), panel=panel)
    steps = warped["futr_exog"][:, 0] if panel else warped["futr_exog"][..., :1]  # the place in the series that is read
    first = plain["futr_exog"][:, 0] if panel else plain["futr_exog"][..., :1]
    rows = np.flatnonzero((first[:, -1] - first[:, 0] == L + H - 1).all(axis=1))  # windows that lie inside the series
    steps, first = steps[rows], first[rows]
    assert (np.diff(steps, axis=1) > 0).all()
    np.testing.assert_allclose(steps[:, [0, L - 1, -1]], first[:, [0, L - 1, -1]], atol=1e-4)
    assert np.abs(steps - first).max() > 0.5
    hist = warped["hist_exog"][rows, 0] if panel else warped["hist_exog"][rows]
    np.testing.assert_allclose(hist, 2 * steps[:, :L], atol=1e-3)
    day = warped["futr_exog"][rows, 1] if panel else warped["futr_exog"][rows][..., 1:]
    near = np.abs(steps - np.floor(steps) - 0.5) > 1e-3
    np.testing.assert_array_equal(day[near], 1 + np.rint(steps)[near] % 5)
    assert warped["insample_mask"].mean() <= plain["insample_mask"].mean()


def test_share_is_how_many_windows_change() -> None:
    for change in (Jitter(0.5, share=0.3), Scaling(0.3, share=0.3), MagnitudeWarp(0.3, share=0.3), TimeWarp(0.5, share=0.3)):
        data = SeriesStore.from_arrays_list([np.random.default_rng(k).normal(20, 3, 500) for k in range(2)])
        loaders = [WindowLoader(data, L, H, windows_batch_size=600, augment=a).batch(0) for a in (None, Augmenter(change, data))]
        moved = (np.abs(loaders[0]["insample_y"] - loaders[1]["insample_y"]) > 1e-4).any(axis=(1, 2)).mean()
        assert 0.22 < moved < 0.38


def test_splines_are_exact_on_lines_and_interpolate() -> None:
    from ndiv.data.augment import _spline

    matrix = _spline(6, 51)
    np.testing.assert_allclose(matrix @ np.arange(6.0), np.linspace(0, 5, 51), atol=1e-5)
    np.testing.assert_allclose(matrix[::10], np.eye(6), atol=1e-6)
    heights = np.random.default_rng(0).normal(size=6)
    curve = _spline(6, 5001).astype(np.float64) @ heights
    slopes = np.diff(curve) * 1000
    for knot in (1000, 2000, 3000, 4000):  # no kink at a knot
        assert abs(slopes[knot] - slopes[knot - 1]) < 0.05 * np.abs(slopes).max()


@pytest.mark.parametrize("cls", [NLinear, MLP, TSMixer])
def test_models_train_on_them_and_validate_without(cls: Any) -> None:
    data = SeriesStore.from_arrays_list(list(np.random.default_rng(0).normal(20, 3, (2, 60))))
    own = {"MLP": {"hidden_size": 8, "num_layers": 1}, "TSMixer": {"n_series": 2, "ff_dim": 4, "n_block": 1}}.get(cls.__name__, {})

    def trained(augment: Any, steps: int = 4) -> Any:
        model = cls(h=H, input_size=L, max_steps=steps, windows_batch_size=16, val_check_steps=2, augment=augment, **own)
        return model.fit_store(data, val_size=8, verbose=False)

    plain, changed = trained(None), trained(STRONG)
    assert plain.train_trajectories[0] != changed.train_trajectories[0]
    if cls is TSMixer:  # whose layout of batches is the other one
        return
    again = trained([c.config() for c in STRONG])
    assert changed.train_trajectories == again.train_trajectories
    assert BaseModel.from_config(changed.config()).arguments["augment"] == [c.config() for c in STRONG]
    untrained = trained(STRONG, steps=0), trained(None, steps=0)
    np.testing.assert_array_equal(*(m.predict_store(data) for m in untrained))


def test_training_that_resumes_sees_the_same_batches(tmp_path: Any) -> None:
    data = SeriesStore.from_arrays_list(list(np.random.default_rng(0).normal(20, 3, (2, 60))))

    def model(steps: int) -> Any:
        return NLinear(h=H, input_size=L, max_steps=steps, windows_batch_size=16, augment=STRONG)

    whole = model(6).fit_store(data, verbose=False)
    model(3).fit_store(data, verbose=False, checkpoint=tmp_path / "c.ndiv")
    rest = model(6).fit_store(data, verbose=False, resume=tmp_path / "c.ndiv")
    assert rest.train_trajectories[-3:] == whole.train_trajectories[-3:]


@pytest.mark.parametrize(("given", "says"), [
    ("Jiter", "Did you mean 'Jitter'"), (3, "unknown augmentation"), ({"name": "Scaling", "knots": 3}, "does not take"),
    ({"name": "Jitter", "sigma": -1.0}, "must be a positive number"), ({"name": "TimeWarp", "knots": 0}, "knots must be"),
    ({"name": "Scaling", "share": 0.0}, r"share must lie in \(0, 1\]")])
def test_refused(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        NLinear(h=H, input_size=L, augment=given)
    assert [type(a) for a in augmentations(list(AUGMENTATIONS))] == list(AUGMENTATIONS.values())
