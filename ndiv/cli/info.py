"""``ndiv info``: what is installed and which backend runs, as text or JSON."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
from typing import Any

EXAMPLE = "ndiv info --json"

OPTIONAL = ("safetensors", "pandas", "polars", "pyarrow", "utilsforecast", "coreforecast", "matplotlib")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    from ndiv.backends import info

    facts: dict[str, Any] = info()
    facts["packages"] = {name: _version(name) for name in OPTIONAL}
    print(json.dumps(facts, indent=1) if args.json else _text(facts))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(facts: dict[str, Any]) -> str:
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines.append(f"{key}:")
            lines += [f"  {name:20}{'-' if item is None else item}" for name, item in value.items()]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{key:14}{'-' if shown is None else shown}")
    return "\n".join(lines)
