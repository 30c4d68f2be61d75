"""`ndiv bench language` on data of the right shape: three rows, the errors of repeat-last among them, and its refusals."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

import ndiv.language
from ndiv.bench import cli, etth, language
from ndiv.errors import ConfigError


def arguments(*more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["language", "--data", "any", "--llm", "any", "--h", "4", "--input-size", "24", "--steps", "2",
                              "--batch", "4", "--every", "900", *more])


def test_it_prints_all_three(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    t = np.arange(14400)[:, None]
    values = np.sin(2 * np.pi * t / 24) * np.arange(1, 3) + np.random.default_rng(0).normal(0, 0.1, (14400, 2))
    data = etth.Panel(etth.DATASETS["ETTh1"], ("a", "b"), values)
    monkeypatch.setattr(etth, "load", lambda *_: data)
    bytewise = ndiv.language.Backbone.from_config("gpt2", width=16, num_layers=1, inner=8, vocabulary_size=128, max_positions=512)
    monkeypatch.setattr(ndiv.language, "load", lambda *_: bytewise)
    language.language(arguments())
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [r[0] for r in rows] == ["repeat last", "TimeLLM without a language model", "TimeLLM"]
    counted = [(x[::900], y[::900]) for x, y in data.windows("test", 24, 4)]
    errors = np.concatenate([(np.repeat(x[:, -1:], 4, 1) - y) ** 2 for x, y in counted])
    assert rows[0][1] == f"{errors.mean():.4f}"
    assert {r[3] for r in rows} == {str(len(errors))}
    assert [r[4] for r in rows] == ["0", "2", "2"]
    assert rows[1][1] != rows[2][1]


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ConfigError, match="--batch must be at least 1"):
        language.language(arguments("--batch", "0"))
