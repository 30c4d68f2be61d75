"""The table over all ops, the lint, and the commands that print them."""

from __future__ import annotations

import numpy as np
import pytest

from ndiv.autograd import REGISTRY
from ndiv.autograd.check import ANALYTIC_TOLERANCE, RICHARDSON_TOLERANCE, check_primitive
from ndiv.verify.__main__ import main
from ndiv.verify.ops import lint, survey


@pytest.mark.parametrize("name", REGISTRY)
def test_gradient_of_the_gradient(name):
    """Every sample of every op, to the same bounds as the first order."""
    for report in check_primitive(name, order=2):
        assert report, str(report)
        bound = ANALYTIC_TOLERANCE if REGISTRY[name].analytic else RICHARDSON_TOLERANCE
        assert report.error <= bound


def test_table_has_every_op_and_sample(capsys):
    assert main(["ops", "exp", "relu", "matmul", "gt"]) == 0
    text = capsys.readouterr().out
    assert "complex step" in text
    assert "Richardson" in text
    assert "0 wrong, none skipped" in text
    rows = survey(["exp", "gt"])
    assert [r.samples for r in rows] == [len(REGISTRY[n].samples()) for n in ("exp", "gt")]
    assert rows[1].method == "no gradient"


def test_table_shows_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(REGISTRY["exp"], "vjp", (lambda g, y, x: g * y * y,))
    assert main(["ops", "exp"]) == 1
    assert "WRONG" in capsys.readouterr().out
    monkeypatch.setattr(REGISTRY["exp"], "vjp", (lambda g, y, x: np.zeros(1) / 0,))
    assert main(["ops", "exp"]) == 1
    assert "exp [contiguous] order 1" in capsys.readouterr().out


def test_lint_finds_nothing_and_counts(capsys):
    result = lint()
    assert result.missing == []
    assert result.counts["ops"] == len(REGISTRY)
    assert result.counts["samples"] == sum(len(p.samples()) for p in REGISTRY.values()) == sum(result.layouts.values())
    assert main(["lint"]) == 0
    assert "skipped or incomplete" in capsys.readouterr().out


def test_lint_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(REGISTRY["exp"], "bad", None)
    monkeypatch.setattr(REGISTRY["tanh"], "samples", lambda: [])
    missing = lint().missing
    assert "exp: no bad case" in missing
    assert "tanh: no samples" in missing


def test_unknown_op_is_refused():
    with pytest.raises(SystemExit, match="there is no op 'exq'"):
        main(["ops", "exq"])
