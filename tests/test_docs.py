"""The documentation runs: every Python block, every command of a console block, every docstring's example."""

from __future__ import annotations

import doctest
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small import WHOLE

import ndiv

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULES = ["ndiv", *sorted(m.name for m in pkgutil.walk_packages(ndiv.__path__, "ndiv.")
                           if not m.name.endswith(("__main__", "._native")))]


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(line of the first statement, text) of each fenced block of that language."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, m.start(2)) + 1, m.group(2)) for m in FENCE.finditer(text) if m.group(1) == language]


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


def label(page: Path) -> str:
    return str(page.relative_to(ROOT))


def environment(*path: str) -> dict[str, str]:
    """That of a process with the Python and the ndiv that are under test here."""
    return {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(Path(ndiv.__file__).parent.parent),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], *path])}


def run(command: list[str], cwd: Path, page: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment(str(cwd / "bin")), timeout=600, check=False)
    assert done.returncode == 0, f"{label(page)}: {shlex.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


PYTHON = [sys.executable, "-W", "error::DeprecationWarning:__main__"]
# An interpreter that has imported what pages import and is not ndiv. For each line it reads (a script, a folder, a file for
# what is printed) it becomes two: one runs the script as its main program, the other says how that ended.
FORKS = """
import atexit, gc, os, signal, sys, traceback, types
import matplotlib.pyplot, narwhals, numpy, pandas, scipy.stats
gc.freeze()
while line := sys.stdin.buffer.readline():
    script, folder, printed = os.fsdecode(line).rstrip().split("\\t")
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    for stream, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        os.dup2(os.open(printed if stream else os.devnull, mode | os.O_APPEND), stream)
    os.chdir(folder)
    signal.alarm(600)
    sys.argv, sys.modules["__main__"], status = [script], types.ModuleType("__main__"), 1
    try:
        exec(compile(open(script, encoding="utf-8").read(), script, "exec"), vars(sys.modules["__main__"]))
        status = 0
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(status)  # taking apart what was imported would cost as much as importing it
"""


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Callable[[Path, Path, Path], None]]:
    """Runs a script of a page in a folder: in an interpreter of its own, or where there is ``fork`` in a copy of one that has
    the large packages in memory already. Of ndiv, and of what else a page imports, it knows nothing."""
    if WHOLE or not sys.platform.startswith("linux"):
        yield lambda script, folder, page: print(run([*PYTHON, str(script)], folder, page))
        return
    with subprocess.Popen([*PYTHON, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
                          env=environment()) as forks:
        assert forks.stdin and forks.stdout

        def forked(script: Path, folder: Path, page: Path) -> None:
            printed = script.with_suffix(".txt")
            printed.touch()
            forks.stdin.write(f"{script}\t{folder}\t{printed}\n")
            ended = forks.stdout.readline().strip()
            assert ended == "0", f"{label(page)}: {ended}\n{printed.read_text(encoding='utf-8')}"

        yield forked
        forks.stdin.close()


@pytest.mark.parametrize("page", pages_with("python"), ids=label)
def test_python_blocks_run(page: Path, tmp_path: Path, interpreter: Callable[[Path, Path, Path], None]) -> None:
    """The blocks of a page run in order, in one fresh interpreter, as a reader would type them."""
    script = tmp_path / "blocks.py"
    lines: list[str] = []
    for number, text in blocks(page, "python"):
        lines += [""] * (number - 1 - len(lines)) + text.splitlines()  # same line numbers as the page, for tracebacks
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = tmp_path / "cwd"
    folder.mkdir()
    interpreter(script, folder, page)


@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a POSIX shell")
@pytest.mark.parametrize("page", pages_with("console"), ids=label)
def test_console_commands_run(page: Path, tmp_path: Path) -> None:
    """The lines after ``$`` of console blocks run in order, in one folder."""
    command = tmp_path / "bin" / "ndiv"  # in case ndiv runs from a source tree, where pip has made no command
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ndiv "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    for _, text in blocks(page, "console"):
        for line in text.splitlines():
            if line.startswith("$ "):
                run(["bash", "-c", line[2:]], tmp_path, page)


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [t for t in targets if not re.match(r"[a-z]+:", t)]
    assert [t for t in local if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = ndiv.random.get_state()
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    ndiv.random.set_state(state)
    assert result.failed == 0


def test_every_page_has_its_place_on_the_site() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"^ +- (?:[^:\n]+: )?([\w./-]+\.md)$", text, re.MULTILINE)
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")]
    assert sorted(named) == sorted([*pages, "contributing.md", "changelog.md"])  # these two are made of the files at the top


def test_readme_names_the_models_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^(\d+) models: ([\w,\s]+)\.", text, re.MULTILINE)
    names = ndiv.models.list_models()
    assert found and int(found[1]) == len(names)
    assert re.split(r",\s+", found[2]) == names


def test_errors_page_lists_every_code() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (E\d{4}) `(\w+)`", text, re.MULTILINE)
    classes = {c.code: c.__name__ for c in vars(ndiv.errors).values()
               if isinstance(c, type) and issubclass(c, ndiv.NdivError) and "code" in vars(c) and c.code != "E0000"}
    assert dict(sections) == classes
    assert [code for code, _ in sections] == list(ndiv.errors.CODES)
    every = [c.__name__ for c in vars(ndiv.errors).values() if isinstance(c, type) and issubclass(c, ndiv.NdivError)]
    assert [name for name in every if f"`{name}`" not in text and name != "NdivError"] == []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert "**Cause.**" in section
        assert "**Cure.**" in section
