"""Categorical covariates in models: tables, the row of unseen values, vocabularies, and every model that takes covariates."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
from small import small

import ndiv
from ndiv.autograd import no_grad
from ndiv.data.store import SeriesStore
from ndiv.data.windows import stack_series
from ndiv.errors import ConfigError, DataError, FeatureError, ShapeError
from ndiv.models import capabilities, categories, get_model, list_models
from ndiv.models.base import BaseModel
from ndiv.models.categories import CategoryTables, table_width
from ndiv.program.forward import arrays_of
from ndiv.verify.model import verify

H, L = 3, 8
LISTS = {"futr_exog_list": ["f", "kind"], "hist_exog_list": ["day", "p"], "stat_exog_list": ["region"],
         "cat_exog_list": ["kind", "region", "day"]}
SIZES = {"kind": 3, "day": 7, "region": 2}
TAKERS = [n for n in list_models() if capabilities(n)["cat_exog"]]


def taken(name):
    """What of `LISTS` a model takes."""
    kinds = [kind for kind in ("futr", "hist", "stat") if capabilities(name)[f"{kind}_exog"]]
    lists = {f"{kind}_exog_list": LISTS[f"{kind}_exog_list"] for kind in kinds}
    return {**lists, "cat_exog_list": [c for c in LISTS["cat_exog_list"] if any(c in columns for columns in lists.values())]}


def make(name, **options):
    if options.get("categorical_cardinalities") is SIZES:
        options["categorical_cardinalities"] = {c: SIZES[c] for c in taken(name)["cat_exog_list"]}
    return get_model(name)(**{"h": H, "input_size": L, **small(name, 8), **taken(name), **options})


def batch(b=8, seed=0):
    """Windows with codes, those of unseen values among them."""
    draw = np.random.default_rng(seed)
    out = {"insample_y": draw.normal(size=(b, L, 1)), "insample_mask": np.ones((b, L, 1)), "outsample_y": draw.normal(size=(b, H, 1)),
           "outsample_mask": np.ones((b, H, 1)), "hist_exog": draw.normal(size=(b, L, 2)), "futr_exog": draw.normal(size=(b, L + H, 2)),
           "stat_exog": draw.integers(0, 3, (b, 1))}
    out["hist_exog"][..., 0], out["futr_exog"][..., 1] = draw.integers(0, 8, (b, L)), draw.integers(0, 4, (b, L + H))
    return {k: v.astype(np.float32) for k, v in out.items()}


def store(series=4, rows=30, seed=0):
    """Series whose values follow ``kind``; categories as codes of a vocabulary (kind, region) and as numbers (day)."""
    draw = np.random.default_rng(seed)
    n = series * rows
    kind = draw.integers(1, 4, n)
    y = np.array([0.0, -3.0, 0.0, 3.0])[kind] + 0.1 * draw.normal(size=n)
    return SeriesStore(np.arange(series), np.arange(series + 1) * rows, np.tile(np.arange(rows), series), y.astype(np.float32),
                       np.ones(n, bool), np.stack([np.arange(n) % 7, draw.normal(size=n)], 1), np.stack([draw.normal(size=n), kind], 1),
                       np.arange(series)[:, None] % 2 + 1, ["day", "p"], ["f", "kind"], ["region"],
                       categories={"kind": ["fair", "none", "sale"], "region": ["n", "s"]})


# -- tables --------------------------------------------------------------------------------------------------------


def test_widths():
    """fastai's rule is 1.6 n^0.56; all are at most 50, and the numbers are neuralforecast's."""
    assert [table_width("fastai", n) for n in (1, 2, 7, 100, 10_000)] == [2, 3, 5, 22, 50]
    assert [table_width("sqrt", n) for n in (1, 2, 7, 100, 10_000)] == [1, 2, 3, 10, 50]
    assert [table_width("half", n) for n in (1, 2, 7, 100, 10_000)] == [1, 1, 4, 50, 50]
    assert table_width(9, 10_000) == 9


@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_a_code_is_a_row_of_its_table(variant):
    tables = CategoryTables(["a", "kind", "b", "day"], {"day": 3, "kind": 2}, 2, variant, static=False).eval()
    day, kind = (t.weight.numpy() for t in tables.tables)
    assert (day.shape, kind.shape, tables.size) == ((4, 2), (3, 2), 6)
    unseen = {"paper": (day[0], kind[0]), "compat": (day[1:].mean(0), kind[1:].mean(0))}[variant]
    x = np.array([[[5, 1, 6, 3], [7, 2, 8, 1], [0, 0, 0, 0], [1, -4, 2, 4], [3, np.nan, 4, 1e9]]], np.float32)
    known = [[5, 6, *day[3], *kind[1]], [7, 8, *day[1], *kind[2]]]
    numbers = [[0, 0], [1, 2], [3, 4]]
    expected = np.array([*known, *([*two, *unseen[0], *unseen[1]] for two in numbers)], np.float32)
    np.testing.assert_allclose(tables(x)[0].numpy(), expected, rtol=1e-6)
    many = np.stack([x[0].T, x[0].T[:, ::-1]], axis=-1)[None]  # [1, 4, L, N]
    np.testing.assert_allclose(tables(many, axis=1)[0, :, :, 0].numpy(), expected.T, rtol=1e-6)
    np.testing.assert_allclose(tables(many, axis=1)[0, :, :, 1].numpy(), expected.T[:, ::-1], rtol=1e-6)
    np.testing.assert_allclose(tables(x[0]).numpy(), expected, rtol=1e-6)  # static ones
    tables(x).sum().backward()
    assert bool(tables.tables[0].weight.grad.numpy()[0].any()) is (variant == "paper")


def test_unseen_values_start_as_the_mean():
    tables = CategoryTables(["kind"], {"kind": 5}, 3, "paper", static=True)
    w = tables.tables[0].weight.numpy()
    np.testing.assert_allclose(w[0], w[1:].mean(0), rtol=1e-6)


@pytest.mark.parametrize("static", [True, False])
def test_training_hides_a_share_of_windows_and_values(static):
    tables = CategoryTables(["kind"], {"kind": 1}, 1, "paper", static)
    tables.tables[0].weight.copy_(np.array([[0.0], [1.0]]))
    b, p = 20_000, categories.HIDDEN
    x = np.ones((b, 1) if static else (b, 6, 1), np.float32)
    with ndiv.random.fork(5):
        seen = tables(x).numpy().reshape(b, -1)
    assert abs((seen == 0).all(axis=1).mean() - p) < 4 * np.sqrt(p / b)  # windows
    values = seen[seen.any(axis=1)]
    assert abs(values.mean() - (1 if static else 1 - p)) < 4 * np.sqrt(p / values.size)
    with ndiv.random.fork(5):
        np.testing.assert_array_equal(tables(x).numpy().reshape(b, -1), seen)
    assert tables(x, hide=False).numpy().all()
    assert tables.eval()(x).numpy().all()
    assert CategoryTables(["kind"], {"kind": 1}, 1, "compat", static)(x).numpy().std() < 1e-6


# -- models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TAKERS)
def test_every_model_that_takes_covariates(name, monkeypatch):
    """Steps and forecasts are plans and agree with steps op by op; the row of unseen values is trained; codes are not scaled."""
    monkeypatch.setattr(categories, "HIDDEN", 0.3)
    many = get_model(name).MULTIVARIATE
    options = {"categorical_cardinalities": SIZES, "scaler_type": "standard", "learning_rate": 0.01, **({"n_series": 2} if many else {})}
    a, data = make(name, **options), stack_series(batch(), 2) if many else batch()
    b, start = make(name, **options), a.state_dict()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ndiv.random.fork(3):
            losses = [a.train_step(data) for _ in range(3)]
        found = [a.forecast(data) for _ in range(5)]
    monkeypatch.setattr(type(b), "_compiled", lambda self, batch: None)  # op by op
    with ndiv.random.fork(3):
        assert [b.train_step(data) for _ in range(3)] == pytest.approx(losses, rel=1e-3)
    tables = [k for k in start if "categories" in k]
    assert len(tables) == len(a.cat_exog_list)
    for key in tables:
        assert (start[key][0] != a.state_dict()[key][0]).any(), key
    np.testing.assert_allclose(found[-1], found[0], rtol=1e-4, atol=1e-5)
    for kind in ("hist", "futr"):
        if not getattr(a, f"{kind}_exog_list"):
            continue
        key, k = f"{kind}_exog", 0 if kind == "hist" else 1
        scaled = a.scale(data)[0][key]
        codes = (lambda x: x[:, k]) if many else (lambda x: x[..., k])  # noqa: B023
        np.testing.assert_array_equal(codes(np.asarray(scaled)), codes(data[key]))
        assert not np.allclose(np.asarray(scaled), data[key])


@pytest.mark.parametrize("name", ["NHITS", "MLPMultivariate", "LSTM"])
@pytest.mark.parametrize("variant", ["paper", "compat"])
def test_verified(name, variant):
    many = get_model(name).MULTIVARIATE
    m = make(name, categorical_cardinalities=SIZES, variant=variant, **({"n_series": 2} if many else {}))
    certificate = verify(m, stack_series(batch(), 2) if many else batch())
    assert certificate, str(certificate)
    assert certificate.unreached == []


def test_more_categories_make_more_columns_and_nothing_else():
    plain = {key: value for key, value in LISTS.items() if key != "cat_exog_list"}
    assert get_model("MLP")(h=H, input_size=L, **plain).hist_exog_size == 2
    m = make("MLP", categorical_cardinalities=SIZES, cat_emb_dim=4)
    assert (m.hist_exog_size, m.futr_exog_size, m.stat_exog_size) == (5, 5, 4)
    assert m.mlp[0].weight.shape == (8, L * (1 + 5) + (L + H) * 5 + 4)
    assert m.exog_shape("hist", 6) == (6, L, 2)


@pytest.mark.parametrize("recurrent", [True, False])
def test_a_stream_sees_categories(recurrent):
    m = make("LSTM", categorical_cardinalities=SIZES, scaler_type="identity", recurrent=recurrent)
    data = batch(2)
    live, whole = m.stream(data), m.forecast(data)
    np.testing.assert_allclose(live.forecast(data["futr_exog"][:, L:]), whole, rtol=1e-4, atol=1e-5)
    live.push([1.0, 2.0], hist=data["hist_exog"][:, -1], futr=data["futr_exog"][:, L])
    moved = {**data, "insample_mask": np.ones((2, L + 1, 1), np.float32), "futr_exog": np.concatenate(
        [data["futr_exog"], data["futr_exog"][:, -1:]], axis=1)}
    for key, value in (("insample_y", [[[1.0]], [[2.0]]]), ("hist_exog", data["hist_exog"][:, -1:])):
        moved[key] = np.concatenate([data[key], value], axis=1).astype(np.float32)
    longer = make("LSTM", categorical_cardinalities=SIZES, scaler_type="identity", recurrent=recurrent, input_size=L + 1)
    longer.load_state_dict(m.state_dict())
    np.testing.assert_allclose(live.forecast(moved["futr_exog"][:, L + 1:]), longer.forecast(moved), rtol=1e-4, atol=1e-5)
    t = make("TCN", categorical_cardinalities=SIZES, scaler_type="standard")
    start = batch(2, 1)
    live = t.stream(start)
    np.testing.assert_allclose(live.forecast(start["futr_exog"][:, L:]), t.forecast(start), rtol=1e-4, atol=1e-5)
    live.push([1.0, 2.0], hist_exog=[[3, 0.5], [9, 0.1]], futr_exog=start["futr_exog"][:, L])
    assert np.isfinite(live.forecast(start["futr_exog"][:, L:])).all()


# -- vocabularies --------------------------------------------------------------------------------------------------


def test_cardinalities_are_found_in_the_training_rows():
    m = make("MLP", max_steps=2)
    data = store()
    data.futr[29::30, 1] = 0  # missing
    data.hist[28, 0] = 77  # in the rows that validate
    m.fit_store(data, val_size=H, verbose=False)
    assert m.categories == {"kind": ["fair", "none", "sale"], "region": ["n", "s"], "day": [0, 1, 2, 3, 4, 5, 6]}
    assert m.categorical_cardinalities == {"kind": 3, "region": 2, "day": 7}
    assert m.arguments["categorical_cardinalities"] is None
    assert m.hist_categories.tables[0].weight.shape == (8, 5)
    found = m.predict_store(data, data.futr.reshape(4, 30, 2)[:, -H:])
    data.hist[28, 0] = -5  # as unseen as the other
    np.testing.assert_array_equal(m.predict_store(data, data.futr.reshape(4, 30, 2)[:, -H:]), found)


def test_what_a_code_stands_for_is_what_counts():
    """Stores may number the same values in any way, and have values that training has not seen."""
    m = make("MLP", max_steps=3).fit_store(store(), verbose=False)
    data, other = store(seed=1), store(seed=1)
    futr = data.futr.reshape(4, 30, 2)[:, :H]
    expected = m.predict_store(data, futr)
    other.categories = {"kind": ["new", "sale", "fair", "none"], "region": ["s", "n"]}
    moves, turned = np.array([0, 3, 4, 2], np.float32), futr.copy()
    other.futr[:, 1] = moves[data.futr[:, 1].astype(int)]
    turned[..., 1] = moves[futr[..., 1].astype(int)]
    other.stat[:, 0] = 3 - data.stat[:, 0]
    np.testing.assert_array_equal(m.predict_store(other, turned), expected)
    missing, unseen = turned.copy(), turned.copy()
    missing[:, 1, 1], unseen[:, 1, 1] = 0, 1
    np.testing.assert_allclose(m.predict_store(other, missing), m.predict_store(other, unseen), atol=1e-6)
    assert not np.allclose(m.predict_store(other, missing), expected)


def test_a_model_keeps_its_categories_until_it_is_reset():
    m = make("MLP", max_steps=2)
    few = store()
    few.futr[few.futr[:, 1] == 3, 1] = 1
    few.categories = {"kind": ["fair", "none"], "region": ["n", "s"]}
    m.fit_store(few, verbose=False)
    with pytest.warns(UserWarning, match=r"1 categories of 'kind' are new .*'sale'; use_init_models"):
        m.partial_fit(store(), verbose=False)
    assert m.categories["kind"] == ["fair", "none"]
    fresh = make("MLP").state_dict()
    m.reset()
    assert m.categories == {}
    for key, value in m.state_dict().items():
        np.testing.assert_array_equal(value, fresh[key])
    assert m.fit_store(store(), verbose=False).categories["kind"] == ["fair", "none", "sale"]


@pytest.mark.parametrize("name", ["NHITS", "MLPMultivariate"])
def test_settings_copies_and_files(name, tmp_path):
    m = make(name, max_steps=2).fit_store(store(), verbose=False)
    again = BaseModel.from_config(m.config())
    assert (again.categories, again.config()) == (m.categories, m.config())
    again.load_state_dict(m.state_dict())
    again.fitted = True
    futr = store().futr.reshape(4, 30, 2)[:, :H]
    expected = m.predict_store(store(), futr)
    np.testing.assert_array_equal(again.predict_store(store(), futr), expected)
    np.testing.assert_array_equal(copy.deepcopy(m).predict_store(store(), futr), expected)
    # the file takes the values themselves
    many = name == "MLPMultivariate"
    m.export(tmp_path / "m.ndiv")
    f, data = ndiv.load(tmp_path / "m.ndiv"), store()
    words = np.array([None, "fair", "none", "sale"], object)
    past, ahead = data.futr.reshape(4, 30, 2)[:, -L:], futr
    known = np.concatenate([past, ahead], axis=1).astype(object)
    known[..., 1] = words[known[..., 1].astype(int)]
    hist, region = data.hist.reshape(4, 30, 2)[:, -L:].astype(object), np.array([["n"], ["s"], ["n"], ["s"]], object)
    y = data.y.reshape(4, 30)[:, -L:]
    if many:
        found = f(y.T, hist_exog=hist.transpose(2, 1, 0), futr_exog=known.transpose(2, 1, 0), stat_exog=region)
        np.testing.assert_allclose(found, expected[..., 0].T, rtol=1e-4, atol=1e-5)
        return
    np.testing.assert_allclose(f(y[0], hist_exog=hist[0], futr_exog=known[0], stat_exog=region[0]), expected[0, :, 0], rtol=1e-4, atol=1e-5)
    whole = f(y[..., None], hist_exog=hist, futr_exog=known, stat_exog=region)
    np.testing.assert_allclose(whole, expected[..., 0], rtol=1e-4, atol=1e-5)
    unseen, missing = known.copy(), known.copy()
    unseen[..., 1], missing[..., 1] = "new", None
    np.testing.assert_array_equal(f(y[..., None], hist_exog=hist, futr_exog=unseen, stat_exog=region),
                                  f(y[..., None], hist_exog=hist, futr_exog=missing, stat_exog=region))


def test_a_file_says_what_it_does_not_take(tmp_path):
    make("MLP", max_steps=1).fit_store(store(), verbose=False).export(tmp_path / "m.ndiv")
    f, good = ndiv.load(tmp_path / "m.ndiv"), {"futr_exog": [[0.5, "sale"]] * (L + H), "hist_exog": [[3, 0.5]] * L, "stat_exog": ["n"]}
    good = {k: np.array(v, object) for k, v in good.items()}
    assert f(np.zeros(L), **good).shape == (H,)
    for key, value in (("futr_exog", np.array([["sale", 0.5]] * (L + H), object)), ("hist_exog", np.array([[[], 0.5]] * L, object))):
        with pytest.raises(FeatureError, match=f"E0004.*column 0 of {key}"):
            f(np.zeros(L), **{**good, key: value})
    with pytest.raises(ShapeError, match=r"futr_exog has shape \[2\]"):
        f(np.zeros(L), **{**good, "futr_exog": ["sale", "none"]})


def test_two_runs_give_the_same_bits():
    """What training hides follows from the seed."""
    runs = [make("MLP", max_steps=4, random_seed=seed).fit_store(store(), verbose=False).state_dict() for seed in (1, 1, 2)]
    assert all((runs[0][key] == runs[1][key]).all() for key in runs[0])
    assert any((runs[0][key] != runs[2][key]).any() for key in runs[0])


def test_categories_are_learned():
    """The series follows ``kind`` alone: the forecast of each step is that of its category, of an unseen one something between."""
    m = make("MLP", max_steps=400, learning_rate=5e-3, hidden_size=32, windows_batch_size=64, **{
        "futr_exog_list": ["kind"], "hist_exog_list": None, "stat_exog_list": None, "cat_exog_list": ["kind"]})
    data = store(rows=60)
    data.futr, data.futr_names, data.hist, data.hist_names, data.stat, data.stat_names = (
        data.futr[:, 1:], ["kind"], data.hist[:, :0], [], data.stat[:, :0], [])
    m.fit_store(data, verbose=False)
    ahead = np.tile(np.array([1, 2, 3], np.float32).reshape(1, 3, 1), (4, 1, 1))
    np.testing.assert_allclose(m.predict_store(data, ahead)[..., 0], np.tile([-3.0, 0.0, 3.0], (4, 1)), atol=1.0)
    assert np.abs(m.predict_store(data, ahead * 0)).max() < 2.5


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "words", "value"), [
    ({"cat_exog_list": ["kinf"]}, "none of futr_exog_list.*Did you mean 'kind'", "kinf"),
    ({"cat_exog_list": "kind"}, "must be a list", "kind"),
    ({"cat_exog_list": ["kind", "kind"]}, "twice", "kind"),
    ({"categorical_cardinalities": ["kind"]}, "must be a dict", ["kind"]),
    ({"categorical_cardinalities": {"price": 3}}, "'price', which is not in cat_exog_list", "price"),
    ({"categorical_cardinalities": {"kind": 0}}, r"categorical_cardinalities\['kind'\] must be a positive whole", 0),
    ({"categorical_cardinalities": {"kind": True}}, "positive whole", True),
    ({"cat_emb_dim": "fastia"}, "Did you mean 'fastai'", "fastia"),
    ({"cat_emb_dim": 0}, "cat_emb_dim must be a positive whole number or one of fastai, sqrt, half", 0),
    ({"cat_emb_dim": 1.5}, "cat_emb_dim must be", 1.5),
])
def test_arguments_that_cannot_be(options, words, value):
    with pytest.raises(ConfigError, match=f"E0010.*{words}") as caught:
        make("MLP", **options)
    assert caught.value.value == value
    assert caught.value.hint


@pytest.mark.parametrize("name", [n for n in list_models() if n not in TAKERS])
def test_models_without_covariates_name_those_with(name):
    with pytest.raises(ConfigError, match="takes no covariates, categorical ones neither") as caught:
        get_model(name)(h=H, input_size=L, cat_exog_list=["kind"])
    assert caught.value.hint == f"models that do: {', '.join(TAKERS)}"


def test_data_that_do_not_fit():
    with pytest.raises(ConfigError, match=r"categorical_cardinalities\['kind'\] is 2, and the training data have 3") as caught:
        make("MLP", categorical_cardinalities={"kind": 2}).fit_store(store(), verbose=False)
    assert caught.value.hint == "give 3 or more, or leave it out"
    m = make("MLP", max_steps=1, categorical_cardinalities={"kind": 9}).fit_store(store(), verbose=False)
    assert m.futr_categories.tables[0].weight.shape[0] == 10
    data = store()
    data.hist[3, 0] = 1.5
    with pytest.raises(DataError, match=r"column 'day' \(hist_exog\) holds 1.5, which is no category"):
        make("MLP").fit_store(data, verbose=False)


def test_eager_forward_is_the_plan():
    m = make("NHITS", categorical_cardinalities=SIZES).eval()
    data = batch(5)
    with no_grad():
        plain = m.forward(data).numpy()
    compiled = ndiv.compile(lambda b: m.forward(b))
    np.testing.assert_allclose(arrays_of(compiled(data)), plain, rtol=1e-5, atol=1e-6)
