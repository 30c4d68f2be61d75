"""The site's API reference, from the docstrings of the public names.

`pages` is called at every build (docs/site_hooks.py) and by tests/test_site.py. A package's public names are those of its
``__all__``; each is looked up as a user would, since most are imported when they are first used.
"""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

from docstrings import default_text, escaped, linked, markdown, signature, table

import ndiv
from ndiv.models import MODELS

# module -> what the page says before the names; the order is that of the navigation
MODULES = {
    "ndiv": "Tensors and the functions that make programs of them. The ops (`ndiv.exp`, `ndiv.softmax`, ...) are on the page "
            "[Ops](../ops.md), forecasting is on [ndiv.forecast](forecast.md).",
    "ndiv.forecast": "`NeuralForecast` and `evaluate` are names of `ndiv` too.",
    "ndiv.models": "Each model has a page of its own: [The models](../models.md). What they have in common is `BaseModel`.",
    "ndiv.auto": "There is one for each model: `AutoNHITS`, `AutoTFT` ... All are this class, with another `MODEL`.",
    "ndiv.losses": "What training minimizes, and which columns a forecast has.",
    "ndiv.data": "",
    "ndiv.features": "",
    "ndiv.tuning": "",
    "ndiv.ensemble": "",
    "ndiv.hierarchy": "",
    "ndiv.explain": "",
    "ndiv.plot": "",
    "ndiv.utils": "",
    "ndiv.interop": "",
    "ndiv.errors": "Each code with cause and cure is on the page [Errors](../errors.md).",
    "ndiv.nn": "",
    "ndiv.optim": "",
    "ndiv.training": "",
}


def place(module: str) -> str:
    """Where a module's page is on the site."""
    return f"reference/{module.removeprefix('ndiv.')}.md"


def public(module: ModuleType) -> list[str]:
    """The names that a page describes, sorted; ops, models and submodules have pages of their own."""
    found = []
    for name in sorted(set(module.__all__), key=str.lower):
        value = getattr(module, name)
        op = module is ndiv and ndiv._HOME.get(name) == "ndiv.autograd.ops"
        if not (op or inspect.ismodule(value) or name.removeprefix("Auto") in MODELS or name.startswith("__")):
            found.append(name)
    extra = {"ndiv.models": "BaseModel", "ndiv.auto": "AutoModel"}.get(module.__name__)
    return found if extra is None or extra in found else [*found, extra]


def members(cls: type) -> list[tuple[str, Any]]:
    """(name, method or property) of what a class documents, or one of ndiv that it derives from and that has no place on a page
    of its own; not tensors' methods that are ops, which have their page."""
    told = {key for base in cls.__mro__[1:] if base.__name__ in ("Module", "Loss", "Optimizer") for key in vars(base)}
    out = []
    for key in set(dir(cls)) - told:
        home = next((c for c in cls.__mro__ if key in vars(c)), object)
        value = inspect.getattr_static(cls, key)
        value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        function = value.fget if isinstance(value, property) else value
        if key.startswith("_") or not home.__module__.startswith("ndiv") or not inspect.isfunction(function):
            continue
        if function.__doc__ and not function.__module__.startswith("ndiv.autograd.ops"):
            out.append((key, value))
    return sorted(out)


def described(name: str, value: Any) -> str:
    """One public name: heading, signature, docstring; of a class also what it documents of its own."""
    parts = [f"## `{name}`"]
    if not callable(value):
        text = default_text(value)
        short = f", `{text}`" if len(text) < 80 and "\n" not in text else ""
        return "\n\n".join([*parts, f"`{type(value).__name__}`{short}"])
    parts += [f"```text\n{signature(name, value)}\n```", markdown(inspect.getdoc(value) or "")]
    if inspect.isclass(value) and not issubclass(value, Exception):
        for key, member in members(value):
            head = key if isinstance(member, property) else signature(key, member)
            doc = (member.fget if isinstance(member, property) else member).__doc__
            parts += [f"### `{name}.{key}`", f"```text\n{head}\n```", markdown(doc)]
    return "\n\n".join(parts)


def page(name: str) -> str:
    """The page of a module."""
    module = importlib.import_module(name)
    parts = [f"# {name}", markdown(module.__doc__ or ""), MODULES[name]]
    return linked("\n\n".join(p for p in [*parts, *(described(n, getattr(module, n)) for n in public(module))] if p)) + "\n"


def index() -> str:
    """The page that lists the others."""
    rows = [[f"[{name}]({place(name).partition('/')[2]})",
             escaped((importlib.import_module(name).__doc__ or "").partition("\n")[0])] for name in MODULES]
    return "# Reference\n\nFrom the docstrings, whose examples run as tests.\n\n" + table(("module", ""), rows) + "\n"


def pages() -> dict[str, str]:
    """Path on the site -> Markdown."""
    return {"reference/index.md": index(), **{place(name): page(name) for name in MODULES}}
