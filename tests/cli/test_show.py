"""``ndiv show``: every view of every model says something that can be acted on; bad input is one line and status 2."""

import json
import re

import pytest
from small import LIGHT, sampled

from ndiv.cli import main
from ndiv.models import list_models

VIEWS = {"tape": r"matmul", "program": r"^program '", "plan": r"gemm", "memory": r"lower bound .* ratio 1\.0", "profile": r"us in \d+"}


def show(capsys, *args):
    status = main(["show", *args])
    return status, capsys.readouterr()


@pytest.mark.parametrize("name, view, train", sampled(list_models(), VIEWS, [False, True], every=6))
def test_each_view_of_each_model(name, view, train, capsys):
    small = ["--h", "4", "--input-size", "16", *(["--train", "--batch", "3"] if train else [])]
    status, out = show(capsys, name, f"--{view}", *small, "--set", json.dumps(LIGHT.get(name, {})))
    assert status == 0 and re.search(VIEWS[view], out.out, re.MULTILINE), out
    assert re.search(r"\w+\.py:\d+", out.out), "no source line"


def test_without_a_choice_a_summary(capsys):
    status, out = show(capsys, "NLinear", "--train")
    assert status == 0 and all(word in out.out for word in ("equations", "instructions", "arena", "--profile"))


def test_arguments_of_the_model(capsys):
    assert show(capsys, "NHITS", "--set", '{"dropout_prob_theta": 0.5}', "--train", "--plan")[0] == 0


@pytest.mark.parametrize("args", [["Nlinaer"], ["NLinear", "--h", "0"], ["NLinear", "--set", "{"], ["NLinear", "--set", "[]"],
                                  ["NLinear", "--input-size", "many"], ["NLinear", "--set", '{"nothing": 1}']])
def test_bad_input_is_one_line_and_status_2(args, capsys):
    status, out = show(capsys, *args)
    assert status == 2 and out.err.startswith("ndiv: [E") and out.err.count("\n") == 1
