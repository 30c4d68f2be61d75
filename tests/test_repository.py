"""Rules of the repository that a reader relies on: contracts, sizes, words, licence, version, configuration."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import ndiv
from ndiv.backends import ENVIRONMENT, native

try:
    import tomllib
except ImportError:  # Python 3.10; the "test" extra brings it
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = {".git", ".venv", "build", "dist", "node_modules", "__pycache__", ".asv"}
TEXT = {".py", ".md", ".toml", ".c", ".h", ".def", ".yaml", ".yml", ".json", ".txt", ".in", ".sh", ".cfg", ""}


def files(*suffixes: str) -> list[Path]:
    """The repository's own files with one of these suffixes."""
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(p in SKIPPED or p.endswith((".egg-info", "_cache")) or p.startswith((".venv", ".hypothesis"))
                     for p in parts)
        if not hidden and path.is_file() and path.suffix in suffixes:
            found.append(path)
    return sorted(found)


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


PACKAGE = [p for p in files(".py") if p.is_relative_to(ROOT / "ndiv")]
C_SOURCES = [p for p in files(".c", ".h") if p.is_relative_to(ROOT / "csrc")]


@pytest.mark.parametrize("path", PACKAGE, ids=label)
def test_python_file_starts_with_its_contract(path: Path) -> None:
    """A docstring, before anything else, whose first line is a sentence."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert doc
    assert len(doc.splitlines()[0]) >= 15


@pytest.mark.parametrize("path", C_SOURCES, ids=label)
def test_c_file_starts_with_its_contract(path: Path) -> None:
    assert path.read_text(encoding="utf-8").lstrip().startswith("/*")


def test_engine_stays_small() -> None:
    """The engine without its op declarations can be read in an afternoon."""
    lines = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in (ROOT / "ndiv" / "autograd").glob("*.py"))
    assert lines < 2000


def test_functions_stay_short() -> None:
    """No function over 60 lines of code (its docstring not counted)."""
    long = []
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
                length = (node.end_lineno or 0) - first.lineno + 1
                if length > 60:
                    long.append(f"{label(path)}:{node.lineno} {node.name} {length}")
    assert long == []


def test_public_functions_have_docstrings() -> None:
    """Everything in a module's ``__all__`` that is a class or function defined there says what it does."""
    silent = []
    for path in PACKAGE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        exported: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
                exported = {c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant) and isinstance(c.value, str)}
        silent += [f"{label(path)}:{node.lineno} {node.name}" for node in tree.body
                   if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in exported
                   and not ast.get_docstring(node)]
    assert silent == []


WORDS = ("TODO", "FIXME", "XXX", "HACK", "blazing", "seamless", "cutting-edge", "best-in-class",
         "state-of-the-art", "world-class", "revolutionary", "supercharge")
# An absolute path with two or more parts that is not one of the system's.
MACHINE_PATH = re.compile(r"(?<![\w.:/<>*)\]}~-])/(?!usr/|bin/|proc/|dev/|etc/|path/)[a-z]+/[a-zA-Z_]+")


@pytest.mark.parametrize("path", [p for p in files(*TEXT) if p != Path(__file__).resolve()], ids=label)
def test_no_unfinished_marks_boasts_or_private_paths(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert [w for w in WORDS if re.search(rf"\b{w}\b", text)] == []
    if path.suffix in {".py", ".md", ".toml", ".yaml", ".json"}:
        assert MACHINE_PATH.findall(text) == []


def test_no_test_is_switched_off() -> None:
    """A test may depend on the platform (skipif); none is skipped or expected to fail outright."""
    off = [f"{label(p)}: {m}" for p in files(".py") if p.is_relative_to(ROOT / "tests")
           for m in re.findall(r"@pytest\.mark\.(?:skip|xfail)\b(?!if)", p.read_text(encoding="utf-8"))]
    assert off == []


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_changelog_has_the_version() -> None:
    headings = re.findall(r"^## \[([^\]]+)\](.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert ndiv.__version__ in dict(headings)


def test_environment_variables_are_the_documented_ones() -> None:
    """At most five, all listed by `ndiv.info()`; the build has one of its own."""
    used = {name for p in PACKAGE for name in re.findall(r"\bNDIV_[A-Z]+(?:_[A-Z]+)*\b", p.read_text(encoding="utf-8"))}
    assert used - {"NDIV_WERROR"} == set(ENVIRONMENT)
    assert len(ENVIRONMENT) <= 5


def test_readme_begins_with_the_demo_and_the_tests() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    demo, tests = blocks[:2]
    for block in (demo, tests):
        assert len(block.strip().splitlines()) == 1
    assert demo.strip().endswith("ndiv demo")
    assert "pytest" in tests


def test_core_dependencies_are_few() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.split(r"[<>=!~ ]", d)[0] for d in project["dependencies"]} == {"numpy", "cffi", "safetensors"}


BENCHMARKS = sorted((ROOT / "asv_bench" / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=label)
def test_benchmarks_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each benchmark's setup and timed method once, on a small model, so that none of them goes stale."""
    monkeypatch.syspath_prepend(str(path.parents[1]))
    module = importlib.import_module(f"benchmarks.{path.stem}")
    ran = 0
    for cls in [c for c in vars(module).values() if isinstance(c, type) and c.__module__ == module.__name__]:
        params = getattr(cls, "params", [])
        lists = params if params and isinstance(params[0], (list, tuple)) else [params] if params else []
        # "numpy" comes after "native": it is there without a compiler too
        first = ["NLinear" if "NLinear" in values else values[-1] for values in lists]
        for name in dir(cls):
            if name.startswith(("time_", "peakmem_")):
                benchmark = cls()
                try:
                    getattr(benchmark, "setup", lambda *_: None)(*first)
                except NotImplementedError:  # what asv takes for "not here": without the extension there is nothing to time
                    assert not native.available()
                    ran += 1
                    continue
                getattr(benchmark, name)(*first)
                ran += 1
    assert ran or path.stem in ("importing", "plan_call")  # the one starts interpreters, the other holds none
