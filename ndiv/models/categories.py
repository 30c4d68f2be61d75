"""Categorical covariates in models: codes in, rows of trained tables out.

A batch holds a code in each column that ``cat_exog_list`` names: 1 ... n for the categories that training has seen, 0 (or
anything else) for a value that it has not seen or that is missing. `CategoryTables` replaces each such column by a row of its
table, after the window's scaler, which leaves codes alone; so a model's layers see numbers only, just more of them
(``hist_exog_size``, ``futr_exog_size``, ``stat_exog_size``). Numbers come first, in the order of their list, then the rows
of each table in the order of ``cat_exog_list``.

Row 0 stands for unseen values.
paper:  it starts as the mean of the others and is trained: in training each column of a window is unseen as a whole with
        probability `HIDDEN`, and so is each value of the others, as language models train the unknown word (docs/design.md).
compat: the mean of the other rows, which is what neuralforecast takes; its own row 0 is never used.

Contract: a model's ``categories`` maps a column to the values behind its codes, value k - 1 for code k; `learn` finds them in
the training rows, `recode` brings the codes of a store to those of the model.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd.ops import FUNCTIONS
from ..data.categories import ordered, whole_numbers
from ..data.store import SeriesStore
from ..errors import ConfigError, closest
from ..nn import Module, ModuleList
from ..nn.embedding import Embedding

if TYPE_CHECKING:
    from .base import BaseModel

__all__ = ["HIDDEN", "CategoryTables", "check_categories", "learn", "moved", "recode", "table_width"]

KINDS = ("hist", "futr", "stat")
HIDDEN = 0.02  # share of windows, and of single values, that training hides, so that the row of unseen values is trained
WIDTHS = ("fastai", "sqrt", "half")
_WIDEST = 50


def table_width(rule: str | int, n: int) -> int:
    """Columns that stand for a category of n values: the number itself, or "fastai" (1.6 n^0.56, rounded up), "sqrt" or "half"
    of n, at most 50.

    >>> [table_width(rule, 7) for rule in ("fastai", "sqrt", "half", 3)]
    [5, 3, 4, 3]
    """
    if isinstance(rule, int):
        return rule
    found = {"fastai": math.ceil(1.6 * n ** 0.56), "sqrt": math.ceil(n ** 0.5), "half": (n + 1) // 2}[rule]
    return min(_WIDEST, found)


def check_categories(name: str, a: dict[str, Any], can: bool, supporters: Any) -> None:
    """Refuse arguments on categories that no model could use: `ConfigError` (E0010)."""
    columns, sizes, rule = a["cat_exog_list"], a["categorical_cardinalities"], a["cat_emb_dim"]
    if columns is not None and (isinstance(columns, str) or not all(isinstance(c, str) for c in columns)):
        raise ConfigError(f"{name}: cat_exog_list must be a list of column names", value=columns,
                          hint="cat_exog_list=['column']")
    columns = list(columns or ())
    if columns and not can:
        raise ConfigError(f"{name} takes no covariates, categorical ones neither", value=columns,
                          hint=f"models that do: {', '.join(supporters('cat'))}")
    known = {c for kind in KINDS for c in a[f"{kind}_exog_list"] or ()}
    for column in columns:
        if column not in known:
            raise ConfigError(f"{name}: {column!r} of cat_exog_list is in none of futr_exog_list, hist_exog_list and "
                              "stat_exog_list", value=column, hint="name it in one of them too, which says when its values are "
                              "known" + (f". {closest(column, sorted(known))}" if known else ""))
        if columns.count(column) > 1:
            raise ConfigError(f"{name}: {column!r} is in cat_exog_list twice", value=column, hint="name it once")
    if sizes is not None and not isinstance(sizes, dict):
        raise ConfigError(f"{name}: categorical_cardinalities must be a dict, not {sizes!r}", value=sizes,
                          hint="{'column': number of categories}, or None, which counts them in the data")
    for column, size in (sizes or {}).items():
        if column not in columns:
            raise ConfigError(f"{name}: categorical_cardinalities names {column!r}, which is not in cat_exog_list",
                              value=column, hint=closest(str(column), columns) if columns else "name it in cat_exog_list")
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigError(f"{name}: categorical_cardinalities[{column!r}] must be a positive whole number, not {size!r}",
                              value=size, hint="leave it out, and fit counts the categories")
    if isinstance(rule, str) and rule not in WIDTHS:
        raise ConfigError(f"{name}: unknown cat_emb_dim {rule!r}", value=rule,
                          hint=f"{closest(rule, WIDTHS)} A whole number is one, too.")
    if not isinstance(rule, str) and (isinstance(rule, bool) or not isinstance(rule, int) or rule < 1):
        raise ConfigError(f"{name}: cat_emb_dim must be a positive whole number or one of {', '.join(WIDTHS)}, not {rule!r}",
                          value=rule, hint="cat_emb_dim='fastai'")


class CategoryTables(Module):
    """Covariates of one kind with codes in some columns -> numbers, then rows of tables.

    names: all columns; sizes: columns of categories and how many values each has; rule: cat_emb_dim; static: no axis of time.

    >>> tables = CategoryTables(["price", "day"], {"day": 7}, 3, "paper", static=False)
    >>> tables.size, tables(np.zeros((2, 5, 2), np.float32)).shape
    (4, (2, 5, 4))
    """

    def __init__(self, names: Sequence[str], sizes: dict[str, int], rule: str | int, variant: str, static: bool) -> None:
        super().__init__()
        numbers = [k for k, name in enumerate(names) if name not in sizes]
        together = numbers == list(range(len(numbers)))
        self.n_numbers, self.numbers = len(numbers), slice(0, len(numbers)) if together else np.array(numbers)
        self.places = [list(names).index(name) for name in sizes]
        self.is_code = np.array([name in sizes for name in names])
        self.trains_unseen, self.static = variant == "paper", static
        self.tables = ModuleList(Embedding(n + 1, table_width(rule, n)) for n in sizes.values())
        self.size = self.n_numbers + sum(t.embedding_dim for t in self.tables)
        if self.trains_unseen:
            for table in self.tables:
                table.weight.data[0] = table.weight.data[1:].mean(0)

    def forward(self, x: Any, axis: int = -1, hide: bool = True) -> Any:
        """x with its columns along ``axis`` (the last one, or 1) replaced. hide: in training, let some of it be unseen."""
        before = (slice(None),) * (axis % x.ndim)
        parts = [x[before + (self.numbers,)]] if self.n_numbers else []
        for place, table in zip(self.places, self.tables, strict=True):
            codes = self._codes(x[before + (place,)], table.num_embeddings - 1, hide)
            rows = FUNCTIONS["embedding"](codes, self._weight(table))
            if axis % x.ndim != x.ndim - 1:  # [B, L, N, d] -> [B, d, L, N]
                rows = FUNCTIONS["permute"](rows, 0, 3, 1, 2)
            parts.append(rows)
        return parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=axis % x.ndim)

    def _codes(self, code: Any, n: int, hide: bool) -> Any:
        """Whole numbers from 0 to n: what is none of 1 ... n is 0, and in training so are some windows and single values."""
        where = FUNCTIONS["where"]
        code = where(code >= 1, where(code < n + 1, code, 0.0), 0.0)
        if hide and self.training and self.trains_unseen:
            one = np.ones((), code.dtype)
            for part in ([code] if self.static else [code[:, :1], code]):  # the windows, then their steps
                shown = FUNCTIONS["dropout"](where(part > 0, one, one), HIDDEN, True)  # of ones that belong to the batch
                code = where(shown > 0, code, 0.0)
        return code.astype(np.int64)

    def _weight(self, table: Embedding) -> Any:
        """[n + 1, d], row 0 for unseen values."""
        if self.trains_unseen:
            return table.weight
        seen = table.weight[1:]
        return FUNCTIONS["cat"]([seen.mean(axis=0, keepdims=True), seen], dim=0)

    def unknown(self, windows: int, steps: int, dtype: Any) -> Any:
        """[windows, steps, size]: covariates that nobody knows, numbers 0 and categories unseen."""
        rows = [FUNCTIONS["expand"](self._weight(t)[:1].reshape(1, 1, -1), (windows, steps, t.embedding_dim))
                for t in self.tables]
        zeros = [np.zeros((windows, steps, self.n_numbers), dtype)] if self.n_numbers else []
        parts = [*zeros, *rows]
        return parts[0] if len(parts) == 1 else FUNCTIONS["cat"](parts, dim=2)


# -- vocabularies --------------------------------------------------------------------------------------------------


def _columns(model: BaseModel, store: SeriesStore) -> list[tuple[str, str, np.ndarray]]:
    """(kind, name, values [T] or [S]) of each column of categories."""
    return [(kind, name, getattr(store, kind)[:, k]) for kind in KINDS
            for k, name in enumerate(getattr(store, f"{kind}_names")) if name in model.cat_exog_list]


def _present(model: BaseModel, store: SeriesStore, last: np.ndarray) -> dict[str, list[Any]]:
    """The categories of the first ``last`` [S] rows of each series (static ones: of all series), by column, rising."""
    seen = np.arange(len(store.y)) < np.repeat(store.offsets[:-1] + last, store.lengths)
    found: dict[str, list[Any]] = {name: [] for name in model.cat_exog_list}
    for kind, name, column in _columns(model, store):
        rows = column if kind == "stat" or seen.all() else column[seen]
        if name in store.categories:
            values = store.categories[name]
            counts = np.bincount(rows.astype(np.int64), minlength=1)
            found[name] += [values[code - 1] for code in np.flatnonzero(counts[1:]) + 1]
        else:
            found[name] += whole_numbers(rows, f"column {name!r} ({kind}_exog)")
    return {name: ordered(values, f"column {name!r}") for name, values in found.items()}


def learn(model: BaseModel, store: SeriesStore, last: np.ndarray) -> dict[str, list[Any]]:
    """The categories of the first ``last`` [S] rows of each series (static ones: of all series), by column, rising.

    Those of a model that has been trained stay as they are, and a warning tells of new ones. Raises `ConfigError` (E0010) where
    there are more than ``categorical_cardinalities`` says, `DataError` (E0011) for numbers that are not whole.
    """
    found = _present(model, store, last)
    if model.fitted:
        for name, values in found.items():
            known = model.categories.get(name)
            new = [v for v in values if v not in known] if known is not None else []
            if new:
                warnings.warn(f"{type(model).__name__}: {len(new)} categories of {name!r} are new since the first fit and "
                              f"count as unseen: {', '.join(map(repr, new[:3]))}; use_init_models=True learns them",
                              stacklevel=6)
        return model.categories
    given = model.arguments["categorical_cardinalities"] or {}
    for name, values in found.items():
        if len(values) > given.get(name, len(values)):
            raise ConfigError(f"{type(model).__name__}: categorical_cardinalities[{name!r}] is {given[name]}, and the training "
                              f"data have {len(values)} categories", value=given[name],
                              hint=f"give {len(values)} or more, or leave it out")
    return found


def recode(model: BaseModel, store: SeriesStore, futr: np.ndarray | None = None) -> tuple[SeriesStore, np.ndarray | None]:
    """The store and future covariates [S, h, F] with codes of the model in the place of their own; nothing is copied where they
    agree. Columns without a vocabulary in the store hold the values themselves; a model without one takes numbers as codes."""
    changed: dict[str, Any] = {}
    for kind, name, column in _columns(model, store):
        k = getattr(store, f"{kind}_names").index(name)
        own, theirs = model.categories.get(name), store.categories.get(name)
        if own is None and theirs is None:
            continue
        if own is None and any(isinstance(v, str) for v in theirs or ()):
            raise ConfigError(f"{type(model).__name__} does not know which value of {name!r} each of its codes stands for",
                              value=name, hint="it was trained without a vocabulary: give the codes themselves, or import the "
                              "whole NeuralForecast object")
        if kind == "futr" and futr is not None:
            new = moved(futr[..., k], own, theirs)
            if new is not None:
                futr = futr.copy()
                futr[..., k] = new
        new = moved(column, own, theirs)
        if new is not None:
            if kind not in changed:
                changed[kind] = np.array(getattr(store, kind))
            changed[kind][:, k] = new
    return (replace(store, **changed) if changed else store), futr


def moved(column: np.ndarray, own: list[Any] | None, theirs: list[Any] | None) -> np.ndarray | None:
    """Codes by ``own`` of a column of codes by ``theirs`` (None: of values); None where they are the same."""
    if theirs is None:
        assert own is not None
        values = np.array([v for v in own if not isinstance(v, str)], np.float32)
        if not len(values):
            return np.zeros_like(column)
        at = np.minimum(np.searchsorted(values, column), len(values) - 1)
        return np.where(values[at] == column, at + 1, 0).astype(np.float32)
    code = {value: k for k, value in enumerate(own, 1)} if own is not None else None
    moves = np.array([0, *(code.get(v, 0) if code is not None else max(v, 0) for v in theirs)], np.float32)
    return None if (moves == np.arange(len(moves))).all() else moves[column.astype(np.int64)]
