"""`ndiv check FILE`: status 0, 1 or 2, a table, JSON and a page."""

from __future__ import annotations

import argparse
import json
import sys

import pytest

from ndiv.cli import check
from ndiv.errors import ConfigError, FileError

MODEL = """
import numpy as np
from ndiv.models import NLinear
model = NLinear(h=2, input_size=4)
batch = {"insample_y": np.random.default_rng(0).normal(size=(3, 4, 1)), "outsample_y": np.ones((3, 2, 1))}
"""
FUNCTION = "import numpy as np\ndef f(x):\n    return (x.tanh() * x).sum()\ninputs = np.array([0.3, -1.2])\n"
RETURNED = "import helper\ndef check():\n    return helper.f, (helper.x,)\n"
WRONG = """
import numpy as np
import ndiv
def check():
    return lambda x: (x * x.detach()).sum(), np.array([0.3, -1.2])
"""


def run(path, *options):
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    return check.run(parser.parse_args([str(path), *options]))


@pytest.mark.parametrize(("text", "status"), [(MODEL, 0), (FUNCTION, 0), (RETURNED, 0), (WRONG, 1)])
def test_status_and_table(text, status, tmp_path, capsys):
    (tmp_path / "helper.py").write_text("import numpy as np\nx = np.ones(2)\ndef f(x):\n    return x.exp().sum()\n")
    (tmp_path / "mine.py").write_text(text)
    before = list(sys.path)
    assert run(tmp_path / "mine.py") == status
    assert sys.path == before
    shown = capsys.readouterr().out
    assert ("NOT CERTIFIED" in shown) == bool(status)
    assert "Taylor slope" in shown


def test_json_and_page(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(FUNCTION)
    assert run(tmp_path / "mine.py", "--json", "--html", str(tmp_path / "page.html"), "--seed", "3") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["ok"], data["seed"]) == (True, 3)
    assert "Certified" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "kind", "match"), [
    ("x = 1\n", ConfigError, "does not define"), ("x = 1\n1 / 0\n", ConfigError, "failed in line 2: ZeroDivisionError"),
    ("def (:\n", ConfigError, "failed in line 1: SyntaxError"), ("raise SystemExit(3)\n", ConfigError, "SystemExit"),
    ("def check():\n    return 1\n", ConfigError, "does not define"), ("model = 3\nbatch = 4\n", ConfigError, "Module or a function"),
    (None, FileError, "is not a file")])
def test_bad_input(text, kind, match, tmp_path):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(kind, match=match):
        run(tmp_path / "mine.py")


def test_the_folder_of_the_page_must_exist(tmp_path):
    (tmp_path / "mine.py").write_text(FUNCTION)
    with pytest.raises(FileError, match="does not exist"):
        run(tmp_path / "mine.py", "--html", str(tmp_path / "no" / "page.html"))
