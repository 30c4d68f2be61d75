"""Docstrings as Markdown: what the site's generators share.

The package's docstrings are plain text, aligned to be read in a terminal. `markdown` keeps their words and turns rows of names
and meanings into tables, indented lines into code, examples into code, and all else into paragraphs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ndiv import errors

ROW = re.compile(r"(?P<names>[A-Za-z_*][\w.*]*(?:, [A-Za-z_*][\w.*]*)*|\S+) {2,}(?P<text>\S.*)")
NAMES = re.compile(r"[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*")
VARIANT = re.compile(r'variant="(\w+)":')
SPANS = re.compile(r"(``?[^`]+``?)")


def escaped(text: str) -> str:
    """Text with Markdown's signs as they are; code between backticks stays code."""
    parts = SPANS.split(text)
    plain = [re.sub(r"([\\*_<>\[\]|])", r"\\\1", part) for part in parts[::2]]
    code = [part.replace("``", "`") for part in parts[1::2]]
    return "".join(a + b for a, b in zip(plain, [*code, ""], strict=True))


def cell(text: str) -> str:
    """Text of a table's cell: one line, no bar that would end it."""
    return re.sub(r"(?<!\\)\|", "\\|", " ".join(text.split()))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [[cell(c) for c in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rows(text: str) -> Iterator[tuple[list[str], str]]:
    """(names, meaning) of each row of a docstring, continued lines joined."""
    lines = text.splitlines()
    for k, line in enumerate(lines):
        found = ROW.match(line)
        if found and NAMES.fullmatch(found["names"]):
            more = []
            for following in lines[k + 1:]:
                if not following.startswith("    "):
                    break
                more.append(following.strip())
            yield found["names"].split(", "), " ".join([found["text"], *more])


def linked(text: str) -> str:
    """Markdown of a page in a folder of the site, the codes of errors turned to links."""
    classes = {c.code: c.__name__.lower() for c in vars(errors).values() if inspect.isclass(c) and "code" in vars(c)}
    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    for k in range(0, len(parts), 2):
        parts[k] = re.sub(r"(?<![\[`#])\bE00\d\d\b", lambda m: f"[{m[0]}](../errors.md#{m[0].lower()}-{classes[m[0]]})",
                          parts[k])
    return "".join(parts)


def _taken(lines: list[str], k: int, test: Any) -> int:
    """The first place from k on whose line is not as `test` says."""
    while k < len(lines) and test(lines[k]):
        k += 1
    return k


def _example(lines: list[str]) -> str:
    return "\n".join(["```pycon", *lines, "```"])


def _table(lines: list[str]) -> str:
    found: list[list[str]] = []
    for line in lines:
        row = ROW.match(line)
        if row and not line.startswith(" "):
            found.append([f"`{row['names']}`" if "`" not in row["names"] else row["names"], row["text"]])
        else:
            found[-1][1] += " " + line.strip()
    return table(("", ""), [[name, escaped(text)] for name, text in found])


def markdown(text: str) -> str:
    """A docstring as Markdown."""
    lines, k, out = inspect.cleandoc(text).splitlines(), 0, []
    while k < len(lines):
        line = lines[k]
        if not line.strip():
            k += 1
            continue
        if line.startswith(">>>"):
            end = _taken(lines, k, lambda s: s.strip())
            out.append(_example(lines[k:end]))
        elif line.startswith("    "):
            end = _taken(lines, k, lambda s: s.startswith("    ") or not s.strip())
            block = "\n".join(lines[k:end]).rstrip()
            out.append("\n".join(["```text", inspect.cleandoc("\n" + block), "```"]))
        elif VARIANT.match(line):
            end = _taken(lines, k + 1, lambda s: s.startswith(" "))
            words = escaped(" ".join(s.strip() for s in lines[k:end]))
            out.append(re.sub(r'^variant="(\w+)":', r'**`variant="\1"`**:', words))
        elif ROW.match(line):
            end = _taken(lines, k + 1, lambda s: s.startswith(" ") or bool(ROW.match(s)))
            out.append(_table(lines[k:end]))
        else:
            end = _taken(lines, k + 1, lambda s: bool(s.strip()) and not s.startswith(("    ", ">>>"))
                         and not ROW.match(s) and not VARIANT.match(s))
            out.append(escaped(" ".join(s.strip() for s in lines[k:end])))
        k = end
    return "\n\n".join(out)


def signature(name: str, thing: Any, skip: Iterable[str] = ("self", "cls")) -> str:
    """``name(arguments)``, an argument a line where they do not fit into one; annotations left out."""
    try:
        known = inspect.signature(thing)
    except (TypeError, ValueError):  # a class of C's, or one without a constructor of its own
        return name
    parts, star = [], False
    for argument in known.parameters.values():
        if argument.name in skip:
            continue
        if argument.kind is argument.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        star = star or argument.kind is argument.VAR_POSITIONAL
        mark = {argument.VAR_POSITIONAL: "*", argument.VAR_KEYWORD: "**"}.get(argument.kind, "")
        default = "" if argument.default is argument.empty else f"={default_text(argument.default)}"
        parts.append(f"{mark}{argument.name}{default}")
    line = f"{name}({', '.join(parts)})"
    return line if len(line) <= 96 else "\n".join([f"{name}(", *(f"    {part}," for part in parts), ")"])


def default_text(value: Any) -> str:
    """A default value as one would type it."""
    if inspect.isclass(value) or inspect.isfunction(value):
        return str(value.__name__)
    text = repr(value)
    return f"{type(value).__name__}(...)" if " at 0x" in text else text.replace("'", '"')
