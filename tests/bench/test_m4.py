"""M4's hourly series: the competition's errors on numbers worked by hand, the command, the anchors where the data are."""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ndiv.bench import cli, m4, m4_settings, m4_train
from ndiv.errors import FileError, ShapeError
from ndiv.models import list_models

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
FOUND = all((REAL / f"M4-Hourly-{part}.csv.gz").is_file() for part in ("train", "test"))


def series(n: int = 414) -> tuple[list[np.ndarray], np.ndarray]:
    """Training values of 700 or 960 steps and the 48 after them: a daily wave, noise, scales that differ by 10^4."""
    rng = np.random.default_rng(3)
    scale = 10.0 ** rng.uniform(0, 4, n)
    lengths = np.where(rng.random(n) < 0.5, 700, 960)
    whole = [np.round(s * (10 + np.sin(2 * np.pi * np.arange(k + 48) / 24) + rng.normal(0, 0.2, k + 48)), 2)
             for s, k in zip(scale, lengths, strict=True)]
    return [w[:-48] for w in whole], np.stack([w[-48:] for w in whole])


def write(path: Path, rows: list[np.ndarray], first: str = "H") -> None:
    width = max(map(len, rows))
    lines = [",".join(f'"V{k + 1}"' for k in range(width + 1))]
    lines += [",".join([f'"{first}{i + 1}"', *map(repr, r.tolist()), *[""] * (width - len(r))]) for i, r in enumerate(rows)]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 1))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files in the shape of the real ones."""
    folder = tmp_path_factory.mktemp("m4")
    train, test = series()
    write(folder / "M4-Hourly-train.csv.gz", train)
    write(folder / "M4-Hourly-test.csv.gz", list(test))
    return folder


def small(n: int = 6) -> m4.Task:
    train, test = series(n)
    return m4.Task(tuple(f"H{i + 1}" for i in range(n)), tuple(train), test)


# -- errors, by hand ---------------------------------------------------------------------------------------------------

def test_smape_by_hand() -> None:
    # |100 - 110| / 210, |50 - 40| / 90, 0 where both are 0, 1 where one is
    found = m4.smape([[100.0, 50.0], [0.0, 5.0]], [[110.0, 40.0], [0.0, 0.0]])
    assert found == pytest.approx([200 / 2 * (10 / 210 + 10 / 90), 100.0])


def test_mase_by_hand() -> None:
    # differences two steps apart: 3, 5, 1; errors 2 and 4
    found = m4.mase([[10.0, 10.0]], [[8.0, 14.0]], [np.array([1.0, 2.0, 4.0, 7.0, 5.0])], season=2)
    assert found == pytest.approx([3 / 3])


def test_owa_is_the_mean_of_two_ratios_of_means() -> None:
    task = small()
    twice = task.test + 2 * (np.stack([m4.naive2(t) for t in task.train]) - task.test)
    found = m4.score(task, twice)
    s, m = task.reference
    assert found.mase == pytest.approx(2 * m)
    assert found.owa == pytest.approx((found.smape / s + 2) / 2)
    assert m4.score(task, np.stack([m4.naive2(t) for t in task.train])).owa == pytest.approx(1.0)


def test_intervals_by_hand() -> None:
    # scale 2 (differences of 24 steps), widths 4; one of four values is 3 above the upper bound
    train = (np.repeat([1.0, 3.0], 24),)
    task = m4.Task(("a",), train, np.array([[5.0, 6.0, 9.0, 12.0]]))
    low, high = np.full((1, 4), 5.0), np.full((1, 4), 9.0)
    found = m4.intervals(task, {90.0: (low, high), 80.0: (low, high)})
    assert [(i.level, i.coverage, i.width) for i in found] == [(80.0, 75.0, 2.0), (90.0, 75.0, 2.0)]
    assert [i.msis for i in found] == pytest.approx([2 + 2 / 0.2 * 3 / 4 / 2, 2 + 2 / 0.1 * 3 / 4 / 2])


def test_forecasts_of_another_shape_are_refused() -> None:
    for guess in (np.zeros((6, 47)), np.zeros(6)):
        with pytest.raises(ShapeError):
            m4.score(small(), guess)
    with pytest.raises(ShapeError, match="5 training series"):
        m4.mase(np.zeros((6, 2)), np.zeros((6, 2)), [np.arange(30.0)] * 5)


# -- forecasts without learning ----------------------------------------------------------------------------------------

def test_naive2_takes_the_season_out_and_puts_it_back() -> None:
    # a constant 10 times the indices 0.5, 1.5, 1, 1: the last value, deseasonalized, is 10
    index = np.array([0.5, 1.5, 1.0, 1.0])
    train = 10 * np.tile(index, 6)
    assert m4.is_seasonal(train, 4)
    assert m4.naive2(train, 6, 4) == pytest.approx(10 * index[[0, 1, 2, 3, 0, 1]])
    # one more value: the phases move on
    assert m4.naive2(np.append(train, 5.0), 5, 4) == pytest.approx(10 * index[[1, 2, 3, 0, 1]])


@pytest.mark.parametrize("season", [3, 4])
def test_the_indices_are_those_of_the_definition(season: int) -> None:
    train = np.random.default_rng(0).uniform(1, 9, 5 * season + 1)
    half = season // 2
    ratios: dict[int, list[float]] = {}
    for t in range(half, len(train) - half):
        around = train[t - half:t + half + 1].copy()
        if season % 2 == 0:
            around[[0, -1]] /= 2
        ratios.setdefault(t % season, []).append(train[t] / (around.sum() / season))
    mean = np.array([np.mean(ratios[p]) for p in range(season)])
    assert m4._indices(train, season) == pytest.approx(mean / mean.mean())


def test_the_seasonality_test_by_its_formula() -> None:
    rng = np.random.default_rng(1)
    flags = []
    for strength in np.linspace(0, 1.5, 300):  # so fine that some lie close to the limit, on both sides
        train = 10 + strength * np.tile([1.0, -1.0, 0.0], 20) + rng.normal(0, 1, 60)
        d = train - train.mean()
        r = [float((d[k:] * d[:-k]).sum() / (d * d).sum()) for k in (1, 2, 3)]
        limit = 1.645 * np.sqrt((1 + 2 * (r[0] ** 2 + r[1] ** 2)) / 60)
        flags.append(m4.is_seasonal(train, 3))
        assert flags[-1] == (abs(r[2]) > limit)
    assert 30 < sum(flags) < 270


def test_without_a_season_naive2_is_naive() -> None:
    peaks = np.where(np.arange(72) % 24 == 5, 9.0, 1.0)
    assert m4.is_seasonal(peaks)
    for train in (peaks[:71], np.full(100, 7.0)):  # less than three seasons, constant
        assert not m4.is_seasonal(train)
        assert m4.naive2(train, 3).tolist() == m4.naive(train, 3).tolist() == [train[-1]] * 3


@pytest.mark.parametrize("name", m4.BASELINES if FOUND else [])
def test_baselines_on_the_real_data_agree_to_the_last_digit(name: str) -> None:
    task = m4.load(REAL)
    r = next(r for r in m4.baseline_scores(task) if r["baseline"] == name)
    assert (round(r["smape"], 3), round(r["mase"], 3)) == m4.ANCHORS[name][:2]
    assert r["agrees"] is True
    assert abs(r["owa"] - m4.ANCHORS[name][2]) < 0.0006  # that of three digits, see `m4.ANCHORS`
    assert sum(m4.is_seasonal(t) for t in task.train) == m4.SEASONAL


# -- the task ----------------------------------------------------------------------------------------------------------

def test_load_reads_series_in_order(generated: Path) -> None:
    train, test = series()
    task = m4.load(generated)
    assert task.ids[:2] == ("H1", "H2")
    assert all(np.array_equal(a, b) for a, b in zip(task.train, train, strict=True))
    assert np.array_equal(task.test, test)
    assert task.store().lengths.tolist() == [len(t) for t in train]


def test_the_held_out_task_ends_before_the_test_values() -> None:
    task = small()
    known = task.held_out()
    for whole, part, target in zip(task.train, known.train, known.test, strict=True):
        assert np.array_equal(np.concatenate([part, target]), whole)
        assert len(target) == 48


def test_load_refuses_what_is_not_the_data_set(tmp_path: Path, generated: Path) -> None:
    train, test = series()

    def folder(name: str, rows: list[np.ndarray] | None, after: list[np.ndarray], first: str = "H") -> Path:
        path = tmp_path / name
        path.mkdir()
        if rows is None:
            shutil.copy(generated / "M4-Hourly-train.csv.gz", path)
        else:
            write(path / "M4-Hourly-train.csv.gz", rows)
        write(path / "M4-Hourly-test.csv.gz", after, first)
        return path

    short = [*train[:-1], train[-1][:300]]
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "M4-Hourly-train.csv").write_text("a,b,c\nx,y,z\n", encoding="utf-8")
    (tmp_path / "text" / "M4-Hourly-test.csv").write_text("a,b,c\nx,y,z\n", encoding="utf-8")
    (tmp_path / "bare").mkdir()
    for part in ("train", "test"):
        (tmp_path / "bare" / f"Hourly-{part}.csv").write_text('"V1","V2"\n', encoding="utf-8")
    cases = {"is not a folder": tmp_path / "absent", "holds none of": tmp_path / "empty",
             "it has 9 series, not 414": folder("few", train[:9], list(test)),
             "H414 has neither 700 nor 960": folder("short", short, list(test)),
             "are not those of the training file": folder("other", None, list(test), "D"),
             "H1 has not 48 values": folder("long", None, [np.ones(49), *test[1:]]),
             "is not a file of M4's hourly series: layout='rows' needs numbers": tmp_path / "text",
             "is not a file of M4's hourly series: .* has no rows": tmp_path / "bare"}
    for message, path in cases.items():
        with pytest.raises(FileError, match=message) as error:
            m4.load(path)
        assert error.value.code == "E0006"


# -- training ----------------------------------------------------------------------------------------------------------

TINY = m4_settings.Setting({"input_size": 48, "scaler_type": "standard", "max_steps": 3, "windows_batch_size": 32},
                           "for this test")
NORMAL = m4_settings.Setting({**TINY.arguments, "loss": {"loss": "DistributionLoss", "distribution": "Normal", "level": [80, 90]}},
                             "for this test")


def test_training_sees_the_training_values_alone() -> None:
    task = small()
    ruined = m4.Task(task.ids, task.train, np.full_like(task.test, 1e9))
    a, b, c = (m4_train.run("NLinear", TINY, *how) for how in ((task, 1), (ruined, 1), (task, 2)))
    assert a["weights"] == b["weights"]
    assert a["smape"] != b["smape"]
    assert a["weights"] != c["weights"]
    assert a["steps"] == 3
    assert a["intervals"] == []


def test_scores_are_those_of_the_forecast_at_the_end() -> None:
    task = small()
    r = m4_train.run("NLinear", TINY, task, 1)
    model = m4_train.build("NLinear", TINY, 48, 1).fit_store(task.store())
    assert r["owa"] == m4.score(task, model.predict_store(task.store())[..., 0]).owa


def test_a_distribution_is_judged_by_median_and_intervals() -> None:
    task = small()
    r = m4_train.run("MLP", NORMAL, task, 1)
    model = m4_train.build("MLP", NORMAL, 48, 1).fit_store(task.store())
    at = dict(zip(model.output_names, np.moveaxis(model.predict_store(task.store()), 2, 0), strict=True))
    assert r["smape"] == m4.score(task, at["-median"]).smape
    inside = (at["-lo-90"] <= task.test) & (task.test <= at["-hi-90"])
    assert [i["level"] for i in r["intervals"]] == [80.0, 90.0]
    assert r["intervals"][1]["coverage"] == pytest.approx(100 * inside.mean())


@pytest.mark.parametrize("name", sorted(m4_settings.SETTINGS))
def test_every_setting_and_candidate_builds(name: str) -> None:
    for how in m4_settings.candidates(name):
        assert how.source
        assert m4_train.build(name, how, 48, 1).arguments["max_steps"] == how.arguments["max_steps"]
        assert m4_train.build(name, how, 48, 1, 7).arguments["max_steps"] == 7


def test_settings_name_models_that_exist() -> None:
    assert set(m4_settings.SETTINGS) <= set(list_models())
    assert set(m4_settings.CANDIDATES) <= set(m4_settings.SETTINGS)
    assert m4_settings.setting("Unheard").source.startswith("untuned")
    assert m4_settings.candidates("Unheard") == [m4_settings.setting("Unheard")]


# -- the command -------------------------------------------------------------------------------------------------------

def bench(*words: object) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.run(parser.parse_args(["m4", *map(str, words)]))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps for NLinear, and for an MLP that gives a distribution."""
    monkeypatch.setattr(m4_settings, "SETTINGS", {"NLinear": TINY, "MLP": NORMAL})
    monkeypatch.setattr(m4_settings, "CANDIDATES", {"NLinear": [{"input_size": 24}]})


def test_a_run_prints_and_writes_the_same_figures(quick: None, generated: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    assert bench("--data", generated, "--models", "nlinear,MLP", "--seeds", 1, 2, "--max-steps", 2, "--json", out) == 0
    text = capsys.readouterr()
    report = json.loads(out.read_text(encoding="utf-8"))
    assert [(r["model"], r["seed"]) for r in report["runs"]] == [("NLinear", 1), ("NLinear", 2), ("MLP", 1), ("MLP", 2)]
    for r in report["runs"]:
        assert r["steps"] == 2
        cells = [c.strip() for c in next(line for line in text.out.splitlines() if f"{r['smape']:.3f} " in line).split("|")]
        assert cells[3:6] == [f"{r['smape']:.3f}", f"{r['mase']:.3f}", f"{r['owa']:.4f}"]
        assert (cells[6] == "-") == (r["model"] == "NLinear")
    assert text.out.count("0.921 (M4 benchmark)") == 1
    first, last = report["summary"]
    assert first["owa"] == pytest.approx((report["runs"][0]["owa"] + report["runs"][1]["owa"]) / 2)
    assert last["seeds"] == [1, 2]
    assert last["coverage"] in text.out
    assert [b["baseline"] for b in report["baselines"]] == list(m4.BASELINES)
    assert "differ from the known figures" in text.err  # the series are generated ones, and the command notices


def test_select_does_not_look_at_the_test_values(quick: None, generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    task, found = m4.load(generated), []
    for ruin in (1.0, np.nan):
        monkeypatch.setattr(m4, "load", lambda folder, ruin=ruin: m4.Task(task.ids, task.train, task.test * ruin))
        assert bench("--data", generated, "--models", "NLinear", "--select", "--json", tmp_path / "out.json") == 0
        found.append(json.loads((tmp_path / "out.json").read_text(encoding="utf-8")))
    a, b = found
    assert [s["owa"] for s in a["selection"]] == [s["owa"] for s in b["selection"]]
    assert [s["settings"].split(",")[0] for s in a["selection"]] == ["input_size=48", "input_size=24"]
    assert a["runs"] == a["baselines"] == []
    assert "naive2" not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "code", "said"), [
    (["--data", "absent"], "E0006", "absent is not a folder"),
    (["--data", "."], "E0006", "holds none of M4-Hourly-train.csv.gz"),
    (["--data", "DATA", "--models", "NHIST"], "E0010", "Did you mean 'NHITS'"),
    (["--data", "DATA", "--models", ","], "E0010", "no model"),
    (["--data", "DATA", "--max-steps", "0"], "E0010", "--max-steps"),
    (["--data", "DATA", "--json", "absent/out.json"], "E0006", "absent/out.json"),
])
def test_bad_input_is_one_line_and_status_two(generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                              monkeypatch: pytest.MonkeyPatch, words: list[str], code: str, said: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert bench(*[str(generated) if w == "DATA" else w for w in words]) == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1
    assert code in message
    assert said in message
