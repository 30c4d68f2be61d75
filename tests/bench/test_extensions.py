"""`ndiv bench extensions`: the generated data are what they are said to be, the scores come out, MultiSeries beats NLinear."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ndiv.bench import cli, extensions
from ndiv.errors import FileError


def test_planted_events_do_what_the_page_says():
    df, events, effect = extensions.planted(3, 400)
    pd.testing.assert_frame_equal(extensions.planted(3, 400)[0], df)
    assert not np.array_equal(extensions.planted(4, 400)[2], effect)
    assert (len(df), len(events)) == (400, 40)
    hours = (events["ds"] - df["ds"][0]).dt.total_seconds().to_numpy() / 3600
    wanted = np.zeros(400)
    for at, impact, kind in zip(hours, events["impact"], events["kind"], strict=True):
        for t in range(400):
            if t > at:
                wanted[t] += {"sale": 1, "fault": -1, "talk": 0}[kind] * impact * (t - at) / 4 * np.exp(1 - (t - at) / 4)
    np.testing.assert_allclose(effect, wanted, atol=2e-3)  # times are rounded up to seconds
    assert extensions.after(np.array([-1.0, 0.0, 4.0])).tolist() == [0.0, 0.0, 1.0]
    noise = df["y"] - effect - np.sin(np.arange(400) * 2 * np.pi / 24)
    assert noise.autocorr(1) == pytest.approx(0.6, abs=0.15)
    assert noise.std() == pytest.approx(0.25, abs=0.06)


def test_the_rule_is_exact_without_noise_and_events_ahead():
    df, events, effect = extensions.planted(3, 400)
    wave = np.sin(np.arange(400) * 2 * np.pi / 24)
    clean = df.assign(y=wave + effect)
    rows = np.array([200, 201, 205])
    found = pd.DataFrame({"ds": df["ds"][rows].to_numpy(), "cutoff": df["ds"][[199] * 3].to_numpy()})
    ahead = (events["ds"] > df["ds"][199]) & (events["ds"] < df["ds"][205])
    kept = events[~ahead]
    hours = (kept["ds"] - df["ds"][0]).dt.total_seconds().to_numpy() / 3600
    part = extensions.after(np.arange(400)[:, None] - hours) @ (kept["impact"] * kept["kind"].map(extensions.KINDS)).to_numpy()

    def error(y):  # of three rows alone
        return extensions.rule_error(clean.assign(y=y), kept, part, found)

    assert error(wave + part) == pytest.approx(0.0, abs=1e-12)
    bumped = wave + part
    bumped[[199, 201]] += 0.3  # at the cutoff, of which 0.6, 0.6^2 and 0.6^6 are remembered, and after it
    wanted = np.abs(0.3 * np.array([0.6, 0.36 - 1, 0.6**6])).mean()
    assert error(bumped) == pytest.approx(wanted)


def test_sectors():
    df, static = extensions.sectors(1, series=20, groups=4, rows=60)
    assert df.shape == (1200, 3)
    assert static["sector"].nunique() == 4
    values = df.pivot(index="unique_id", columns="ds", values="y").to_numpy()
    assert np.isfinite(values).all()
    season = np.stack([values[:, m::12].mean(1) for m in range(12)], axis=1)
    like = np.corrcoef(season)
    same = static["sector"].to_numpy()[:, None] == static["sector"].to_numpy()
    assert like[same & ~np.eye(20, dtype=bool)].mean() > like[~same].mean() + 0.3


def test_multiseries_beats_nlinear_on_series_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shorter run than the benchmark's."""
    monkeypatch.setattr(extensions, "HELD_OUT", 15)
    found = extensions.series_scores(1, max_steps=200, settings=[(24, 1e-3, 300)])
    assert found["MultiSeries"] < 0.85 * found["NLinear a series"]
    assert found["MultiSeries"] < found["seasonal naive"]


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(extensions, "TEST", 48)
    events, series = extensions.event_scores, extensions.series_scores
    monkeypatch.setattr(extensions, "event_scores", lambda seed: events(seed, max_steps=3, rows=300))
    monkeypatch.setattr(extensions, "HELD_OUT", 3)
    monkeypatch.setattr(extensions, "series_scores", lambda seed: series(seed, max_steps=3, settings=[(12, 1e-3, 2), (12, 1e-3, 4)]))
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    out = tmp_path / "out.json"
    assert cli.run(parser.parse_args(["extensions", "--seeds", "5", "--json", str(out)])) == 0
    text, report = capsys.readouterr().out, json.loads(out.read_text(encoding="utf-8"))
    record = {**report["events"][0], **report["series"][0]}
    assert record["difference"] == 0.0
    assert record["seed"] == 5
    for name in ("NHITS", "EventNHITS", "the rule itself", "seasonal naive", "NLinear a series", "MultiSeries"):
        assert name in text
        assert f"{record[name]:.4f}" in text
    assert record["the rule itself"] < record["NHITS"]
    assert record["settings"] in ("12, 0.001, 2", "12, 0.001, 4")
    assert "without events, EventNHITS less NHITS of the same weights: 0 at most" in text


def test_what_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        extensions.extensions(argparse.Namespace(seeds=[1], json=str(tmp_path / "none" / "out.json")))
