"""MultiSeries: heads of series, mean heads of groups, what unseen series get, and that they are saved, learned and verified."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small import same_steps, shaken, small

import ndiv
from ndiv import NeuralForecast
from ndiv.data.store import SeriesStore
from ndiv.errors import ConfigError
from ndiv.models import get_model
from ndiv.models.extensions.multiseries import GROUPS, SERIES
from ndiv.program.forward import arrays_of
from ndiv.verify.model import verify

H, L = 3, 10
GROUP = {"group": "sector", "stat_exog_list": ["x", "sector"], "cat_exog_list": ["sector"]}
CODES = [1, 2, 2, 1, 2]  # the groups of five series


def make(**options):
    return get_model("MultiSeries")(**{"h": H, "input_size": L, **small("MultiSeries"), **GROUP, **options})


def known(m, ids=("a", "b", "c", "d", "e"), groups=CODES):
    """The model as it is after a fit of these series, with weights that have moved."""
    m._categorize({**({"sector": ["n", "s"]} if m.group else {}), SERIES: list(ids), GROUPS: list(groups) if m.group else [0] * len(ids)})
    return shaken(m)


def batch(series=(1, 2, 3, 4, 5, 0, 0, 0), groups=(1, 2, 2, 1, 2, 1, 2, 0), seed=0):
    draw = np.random.default_rng(seed)
    b = len(series)
    y, mask = draw.normal(size=(b, L + H, 1)), (draw.random((b, L + H, 1)) < 0.9)
    out = {"insample_y": (y * mask)[:, :L], "insample_mask": mask[:, :L], "outsample_y": (y * mask)[:, L:], "outsample_mask": mask[:, L:],
           "stat_exog": np.stack([draw.normal(size=b), groups], axis=1), "series_code": np.array(series)}
    return {k: np.asarray(v, np.float32) for k, v in out.items()}


def by_hand(m, data, rows):
    """The forecast in float64; ``rows``: of each window the series whose heads it takes the mean of."""
    w = {n: p.numpy().astype(np.float64) for n, p in m.named_parameters()}
    out = []
    for b, some in enumerate(rows):
        y, on = data["insample_y"][b, :, 0].astype(np.float64), data["insample_mask"][b, :, 0] > 0
        level = y[on][-1]
        code = int(data["stat_exog"][b, 1]) if m.group else 0
        parts = [(y - level) * on]
        if m.group:
            parts += [[data["stat_exog"][b, 0]], w["stat_categories.tables.0.weight"][code]]
        z = np.concatenate(parts)
        for k in range(2):
            z = np.maximum(w[f"encoder.{k}.weight"] @ z + w[f"encoder.{k}.bias"], 0)
        own = w["heads"][list(some)].mean(0).reshape(len(z) + 1, H) if len(some) else np.zeros((len(z) + 1, H))
        out.append(level + w["out.weight"] @ z + w["out.bias"] + np.append(z, 1.0) @ own)
    return np.array(out)[..., None]


def test_each_series_has_its_head_and_an_unseen_one_the_mean_of_its_group():
    m, data = known(make()), batch()
    rows = [[0], [1], [2], [3], [4], [0, 3], [1, 2, 4], range(5)]
    np.testing.assert_allclose(arrays_of(m.forward(data)), by_hand(m, data, rows), rtol=2e-5, atol=2e-5)
    codes = {**data, "series_code": np.array([6, -1, 1e9, 99, 0, 0, 0, 0], np.float32)}  # none of the heads
    np.testing.assert_allclose(arrays_of(m.forward(codes)), by_hand(m, data, [[0, 3], [1, 2, 4], [1, 2, 4], [0, 3], [1, 2, 4], *rows[5:]]),
                               rtol=2e-5, atol=2e-5)
    silent = {k: v for k, v in data.items() if k != "series_code"}
    np.testing.assert_array_equal(m.forecast(silent), m.forecast({**data, "series_code": data["series_code"] * 0}))


def test_without_groups_the_mean_is_of_all_series():
    m = known(make(group=None, stat_exog_list=None, cat_exog_list=None))
    data = {k: v for k, v in batch().items() if k != "stat_exog"}
    np.testing.assert_allclose(arrays_of(m.forward(data)), by_hand(m, data, [[0], [1], [2], [3], [4], *[range(5)] * 3]), rtol=2e-5, atol=2e-5)


def test_training_takes_mean_heads_for_a_share_of_its_windows():
    """Heads that are far apart tell which one a window took."""
    m = known(make(unseen_share=0.25)).train()
    m.heads.copy_(np.repeat(np.arange(5.0)[:, None] * 100, m.heads.shape[1], axis=1) * (np.arange(m.heads.shape[1]) >= 16 * H))
    n = 4000
    data = {k: np.repeat(v[:1], n, axis=0) for k, v in batch(series=[5], groups=[2]).items()}
    with ndiv.random.fork(3), ndiv.no_grad():
        out = arrays_of(m.forward(data))[:, 0, 0]
    step = 400 - 100 * (1 + 2 + 4) / 3  # from the mean of its group's heads to its own
    own = out > out.max() - step / 2
    assert abs((~own).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / n)
    np.testing.assert_allclose(np.median(out[own]) - np.median(out[~own]), step, rtol=1e-4)
    assert np.ptp(out[own]) < 5 > np.ptp(out[~own])  # the group's own row is hidden in some windows


@pytest.mark.parametrize("options", [{"unseen_share": 0.0}, {"loss": "MSE", "dropout": 0.1}, {"loss": ndiv.losses.DistributionLoss("Normal")},
                                     {"group": None}], ids=str)
def test_gradients_are_certified(options):
    certificate = verify(known(make(**options)).train(), batch())
    assert certificate, str(certificate)
    assert certificate.unreached == []


def test_compiled_steps_are_those_op_by_op():
    fast, slow = (known(make(optimizer="SGD")) for _ in range(2))
    same_steps(fast, slow, [batch(seed=step) for step in range(3)])


def test_a_window_has_the_same_bits_alone_and_in_company():
    m, data = known(make()), batch()
    whole = m.forecast(data)
    for i in range(8):
        alone = m.forecast({k: v[i:i + 1] for k, v in data.items()})
        if ndiv.backends.current() == "native":
            np.testing.assert_array_equal(alone[0], whole[i])
        np.testing.assert_allclose(alone[0], whole[i], rtol=2e-5, atol=1e-5)


def test_one_batch_is_learned():
    """Windows that are the same but for their series: nothing but heads can tell them apart."""
    data = {k: np.repeat(v[:1], 5, axis=0) for k, v in batch().items()}
    data["series_code"], data["outsample_mask"] = np.arange(1, 6, dtype=np.float32), np.ones((5, H, 1), np.float32)
    data["outsample_y"] = np.random.default_rng(0).normal(size=(5, H, 1)).astype(np.float32)
    m = known(make(loss="MSE", learning_rate=1e-2, unseen_share=0.0, scaler_type="identity"))
    start = m.train_step(data)
    for _ in range(400):
        end = m.train_step(data)
    assert end < 0.01 * start


# -- from frames ---------------------------------------------------------------------------------------------------


def frames(ids="abcdef", rows=40):
    """Series of two sectors, one up and one down at every third row, and c a row later."""
    df = pd.concat([pd.DataFrame({"unique_id": key, "ds": np.arange(rows), "y": ((-1.0) ** k) * (np.arange(rows) % 3 == (key == "c")) + k})
                    for k, key in enumerate(ids)], ignore_index=True)
    return df, pd.DataFrame({"unique_id": list(ids), "x": 0.5, "sector": [["up", "down"][k % 2] for k in range(len(ids))]})


def test_heads_are_those_of_the_series_of_fit(tmp_path):
    df, static = frames()
    m = make(max_steps=5)
    nf = NeuralForecast([m], freq=1).fit(df[df["unique_id"] < "e"], static, verbose=False)
    assert m.categories == {"sector": ["down", "up"], SERIES: ["a", "b", "c", "d"], GROUPS: [2, 1, 2, 1]}
    assert m.heads.shape == (4, 17 * H)
    assert np.abs(m.heads.numpy()).max(axis=1).all()  # all have been trained
    found = nf.predict(df, static)
    batches = dict(zip("abcdef", found["MultiSeries"].to_numpy().reshape(6, H), strict=True))
    # e, as a, is "up" and the same but for its level: heads alone make the difference
    assert not np.allclose(batches["a"] - 0, batches["e"] - 4, atol=1e-6)
    nf.save(tmp_path / "saved")
    pd.testing.assert_frame_equal(NeuralForecast.load(tmp_path / "saved").predict(df, static), found)
    shuffled = df.sample(frac=1.0, random_state=1)
    pd.testing.assert_frame_equal(nf.predict(shuffled, static.iloc[::-1]), found)
    one = nf.predict(df[df["unique_id"] == "b"], static)["MultiSeries"]
    np.testing.assert_array_equal(one, batches["b"])  # its head goes by its id, not by its place


def test_a_second_fit_keeps_the_heads_and_a_fresh_one_makes_new_ones():
    df, static = frames()
    m = make(max_steps=2)
    nf = NeuralForecast([m], freq=1).fit(df[df["unique_id"] < "e"], static, verbose=False)
    with pytest.warns(UserWarning, match="2 series are new since the first fit .* e, f"):
        nf.fit(df, static, verbose=False)
    assert m.categories[SERIES] == list("abcd")
    nf.fit(df, static, use_init_models=True, verbose=False)
    assert m.categories[SERIES] == list("abcdef")
    assert make(max_steps=2, series_heads=False).fit(df, static_df=static, freq=1, verbose=False).n_heads == 0


def test_a_store_without_groups_and_ids_that_are_numbers():
    m = make(group=None, stat_exog_list=None, cat_exog_list=None, max_steps=3)
    store = SeriesStore.from_arrays_list([np.sin(np.arange(40.0)), np.cos(np.arange(40.0))])
    m.fit_store(store, verbose=False)
    assert m.categories == {SERIES: [0, 1], GROUPS: [0, 0]}
    again = type(m).from_config(m.config())
    again.load_state_dict(m.state_dict())
    again.fitted = True
    np.testing.assert_array_equal(m.predict_store(store), again.predict_store(store))
    assert m.reset().categories == {}
    assert m.n_heads == 0


@pytest.mark.parametrize("options, text", [
    ({"hidden_size": 0}, "hidden_size"), ({"num_layers": 0}, "num_layers"), ({"dropout": 1.0}, r"dropout must be in \[0, 1\)"),
    ({"unseen_share": -0.1}, "unseen_share"), ({"unseen_share": True}, "unseen_share"), ({"series_heads": 1}, "series_heads"),
    ({"group": "x"}, "'x' is not in both stat_exog_list and cat_exog_list"), ({"group": "y"}, "static_df"),
    ({"variant": "compat"}, "no variant='compat'"),
])
def test_bad_arguments(options, text):
    with pytest.raises(ConfigError) as error:
        make(**options)
    assert error.value.code == "E0010"
    import re

    assert re.search(text, f"{error.value.message} {error.value.hint}")


def test_a_model_with_heads_is_not_exported(tmp_path):
    with pytest.raises(ConfigError, match="which series a window is of"):
        known(make()).export(tmp_path / "m.ndiv")
    make().export(tmp_path / "m.ndiv")  # no fit has made heads
