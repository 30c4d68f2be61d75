"""The pages that the site makes of the package (docs/make_*.py): every model has one, whole, and its example runs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ndiv
from ndiv.models import get_model, list_models

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def generators() -> Iterator[tuple[Any, Any]]:
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module("make_model_pages"), importlib.import_module("make_reference")
    sys.path.remove(str(DOCS))


@pytest.mark.parametrize("name", list_models())
def test_a_models_page_is_whole_and_its_example_runs(name: str, generators: Any, capsys: pytest.CaptureFixture[str]) -> None:
    models, _ = generators
    page = models.page(name)
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    state = ndiv.random.get_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exec(compile(code, f"{name}.md", "exec"), {})
    ndiv.random.set_state(state)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6  # a head and five rows
    assert f"{name}-lo-80" in printed[0] and "NaN" not in "".join(printed)
    for heading in ("What it computes", "Arguments", "Example"):
        assert page.count(f"\n## {heading}\n") == 1
    silent = [p.name for p in models.own_arguments(name) if not models.meanings(name).get(p.name)]
    assert silent == []
    facts = ndiv.models.capabilities(name)
    assert ("known in the future" in models.facts_table(name)) == facts["futr_exog"]
    assert ("\n## Variants" in page) == ("compat" in get_model(name).VARIANTS)


def test_every_common_argument_is_explained(generators: Any) -> None:
    assert re.findall(r"^\| `(\w+)` \|.*\|  \|$", generators[0].arguments_page(), re.MULTILINE) == []


def test_reference_describes_every_public_name(generators: Any) -> None:
    _, reference = generators
    for module, page in ((m, reference.page(m)) for m in reference.MODULES):
        names = re.findall(r"^## `(\w+)`$", page, re.MULTILINE)
        assert names == reference.public(importlib.import_module(module))
        assert names
        silent = [n for n in names if callable(getattr(importlib.import_module(module), n))
                  and not inspect.getdoc(getattr(importlib.import_module(module), n))]
        assert silent == []


def test_rows_lines_and_examples_of_a_docstring(generators: Any) -> None:
    text = "Adds x_i * 2.\n\nfirst   what it is,\n        and more | or less\nlast    the end\n    y = x_i * 2\n\n>>> 1 + 1\n2\n"
    assert importlib.import_module("docstrings").markdown(text).split("\n\n") == [
        "Adds x\\_i \\* 2.",
        "|  |  |\n| --- | --- |\n| `first` | what it is, and more \\| or less |\n| `last` | the end y = x\\_i \\* 2 |",
        "```pycon\n>>> 1 + 1\n2\n```"]


def test_generators_are_the_sites_own(generators: Any) -> None:
    """What nav names and is no file of docs/ is made by the hooks: the same names in both."""
    hooks = ast.parse((DOCS / "site_hooks.py").read_text(encoding="utf-8"))
    (top,) = [ast.literal_eval(n.value) for n in hooks.body
              if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "TOP"]
    nav = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    assert all(f": {path}\n" in nav for path in top)
    made = {*generators[0].pages(), *generators[1].pages()}
    assert not [path for path in made if (DOCS / path).exists()]
