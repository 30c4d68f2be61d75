"""What mkdocs calls while it builds the site: pages that are made, not kept, get their place.

Made at every build: a page for each model, the arguments of all, the API reference, and the two pages whose text is at the top
of the repository. Nothing is written into docs/.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]  # the generators, and the package of this tree

import make_model_pages  # noqa: E402  beside this file, where Python does not look by itself
import make_reference  # noqa: E402

TOP = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def top_page(name: str) -> str:
    """A file from the top of the repository, its links turned to where the site has their targets."""
    text = (HERE.parent / name).read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/", "](", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|#)(?![\w/]+\.md[)#])[^)]*\)|\[([^\]]+)\]\(((?!https?:)[^)]*/README\.md)\)",
                  lambda m: m[1] or m[2], text)


def made() -> dict[str, str]:
    """Path on the site -> Markdown, of every page that is not a file of docs/."""
    return {**make_model_pages.pages(), **make_reference.pages(), **{path: top_page(name) for path, name in TOP.items()}}


def on_config(config: Any) -> Any:
    """Put the models and the reference into the navigation."""
    for section in config.nav:
        (title, pages), = section.items()
        if title == "Models":
            pages.append({"Arguments of every model": "models/arguments.md"})
            pages.append({"Each model": [{name: f"models/{name}.md"} for name in make_model_pages.list_models()]})
        if title == "Reference":
            pages.insert(0, "reference/index.md")
            pages += [{name: make_reference.place(name)} for name in make_reference.MODULES]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    for path, text in made().items():
        files.append(File.generated(config, path, content=text))
    return files
