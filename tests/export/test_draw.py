"""Drawings of tapes: well-formed, complete, without overlaps, modules as frames or as single boxes."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from small import small

import ndiv
from ndiv.autograd import Tape
from ndiv.export.draw import draw
from ndiv.export.layout import Box, Group, place
from ndiv.models import get_model, list_models

SVG = "{http://www.w3.org/2000/svg}"
BATCH = {"insample_y": np.ones((3, 12, 1), np.float32), "outsample_y": np.zeros((3, 4, 1), np.float32)}


def recorded(name):
    model = get_model(name)(h=4, input_size=12, **small(name, 8))
    return model, Tape.of(model.compute_loss(BATCH))


def boxes(text):
    """(x, y, width, height) of the nodes, and the text of the whole."""
    root = ET.fromstring(text)
    rects = [r for g in root.iter(f"{SVG}g") if g.find(f"{SVG}title") is not None for r in g.findall(f"{SVG}rect")]
    return [tuple(float(r.get(k)) for k in ("x", "y", "width", "height")) for r in rects], root


@pytest.mark.parametrize("name", list_models())
def test_every_model_is_drawn_without_overlaps(name):
    model, tape = recorded(name)
    found, root = boxes(draw(tape, names=model))
    assert len(found) >= len(tape) + len(list(model.parameters())) + 1
    for (x, y, w, h), (a, b, c, d) in itertools.combinations(found, 2):
        assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    width, height = (float(v) for v in root.get("viewBox").split()[2:])
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in found)


def test_lines_end_at_boxes_and_go_down():
    _, root = boxes(draw(recorded("DLinear")[1]))
    arrows = [p.get("d") for p in root.iter(f"{SVG}path") if p.get("marker-end")]
    assert len(arrows) >= 10
    for way in arrows:
        start, end = way[1:].replace("V", " x ").replace("C", " ").split(" ")[1], way.replace("V", " ").split(" ")[-1]
        assert float(end) > float(start)


def test_names_frames_and_tooltips():
    model, tape = recorded("NHITS")
    text = draw(tape, names=model)
    for title in ("module blocks.0", "module blocks.2.layers.0", "parameter blocks.1.theta.weight"):
        assert f"<title>{title}" in text
    assert text == draw(tape, names=dict(model.named_parameters()))
    assert "nhits.py:" in text
    assert "<title>module blocks<" not in text  # a list of modules is not one


def test_a_collapsed_module_is_one_box():
    model, tape = recorded("NHITS")
    text = draw(tape, names=model, collapse=("blocks.0", "blocks.1"))
    assert "module blocks.0.layers.0<" not in text
    weights = sum(p.numel() for n, p in model.named_parameters() if n.startswith("blocks.0."))
    assert f"ops, {weights:,} parameters" in text
    assert len(boxes(text)[0]) < len(boxes(draw(tape, names=model))[0]) - 20


def test_without_names_there_are_no_frames():
    model, tape = recorded("MLP")
    text = draw(tape)
    assert "module" not in text
    assert text.count("<title>parameter") == len(list(model.parameters()))


def test_written_file_title_and_outputs(tmp_path):
    x = ndiv.tensor(np.ones((2, 3)), requires_grad=True)
    x.name = "x & y"
    y, z = (x * 2).tanh(), x.sum()
    z.name = "total"
    text = draw(Tape.of(y, z), tmp_path / "tape.svg", title="two <outputs>")
    assert (tmp_path / "tape.svg").read_text(encoding="utf-8") == text
    root = ET.fromstring(text)
    words = [t.text for t in root.iter(f"{SVG}text")]
    assert {"two <outputs>", "x & y", "total", "output 0", "mul 2", "scalar", "2 × 3"} <= set(words)
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_a_leaf_alone():
    assert len(boxes(draw(Tape.of(ndiv.tensor(np.ones(2), requires_grad=True))))[0]) == 1


def test_long_lines_keep_clear_of_boxes():
    """a feeds b, c and d in turn; its line to d passes beside b and c."""
    g = Group(None, boxes=[Box(k, 40, 20) for k in "abcd"])
    place(g, [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")], framed=False)
    b, c = g.boxes[1:3]
    passing = [line for line in g.lines if line[2]]
    assert len(passing) == 2
    for (x, top), (_, bottom), _, _ in passing:
        box = b if top < c.y else c
        assert bottom > top
        assert not box.x < x < box.x + box.width


def test_wide_graphs_have_few_crossings():
    """Three chains from one source stay three chains: no line crosses another."""
    keys = [f"{c}{i}" for c in "pqr" for i in range(3)]
    g = Group(None, boxes=[Box(k, 40, 20) for k in ["s", *keys[::-1], "t"]])
    place(g, [*(("s", f"{c}0") for c in "pqr"), *((f"{c}{i}", f"{c}{i + 1}") for c in "pqr" for i in range(2)),
              *((f"{c}2", "t") for c in "pqr")], framed=False)
    at = {b.key: b.x for b in g.boxes}
    assert all(abs(at[f"{c}0"] - at[f"{c}2"]) < 1 for c in "pqr")
