"""`plot_learning`: the loss of training and of validation, step by step.

Contract: one panel a model, since losses of different models need not be of one kind.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ndiv.errors import ConfigError, EmptyDataError

from .style import begin, caption, dress, finish, new_figure

__all__ = ["histories_of", "plot_learning"]

POINTS = 60  # of a curve; a mean of neighbouring steps is easier to read than every step


def histories_of(models: Any) -> dict[str, list[dict[str, float]]]:
    """Name -> records of training, of a model, a list of models, a `NeuralForecast`, or such a dict itself."""
    if isinstance(models, dict):
        return dict(models)
    found = getattr(models, "models", models)
    found = list(found) if isinstance(found, (list, tuple)) else [found]
    wrong = [m for m in found if not hasattr(m, "history")]
    if wrong:
        raise ConfigError(f"{wrong[0]!r} is no model and has no history", value=repr(wrong[0]),
                          hint="Pass trained models, a NeuralForecast, or {name: model.history}.")
    out: dict[str, list[dict[str, float]]] = {}
    for model in found:
        name, count = str(model), 0
        while name in out:
            count += 1
            name = f"{model}{count}"
        out[name] = _records(list(model.history), [float(loss) for loss in getattr(model, "train_trajectories", ())])
    return out


def _records(history: list[dict[str, float]], losses: list[float]) -> list[dict[str, float]]:
    """Records of validation as they are; those of training from the loss of every step, in `POINTS` means at most."""
    if len(losses) < 2:
        return history
    size = -(-len(losses) // POINTS)
    found = [{"step": float(min(k + size, len(losses))), "train_loss": float(np.mean(losses[k:k + size]))}
             for k in range(0, len(losses), size)]
    found += [{"step": r["step"], "valid_loss": r["valid_loss"]} for r in history if "valid_loss" in r]
    return sorted(found, key=lambda r: r["step"])


def plot_learning(models: Any, path: Any = None, *, title: str | None = None, theme: str = "light") -> Any:
    """Draw learning curves.

    models  trained models, one or several, a `NeuralForecast`, or {name: records} with "step", "train_loss" and, where there
            was a validation, "valid_loss"; its best step is marked

    Returns the matplotlib ``Figure``. Raises `EmptyDataError` (E0003) where no model has a record,
    `ConfigError` (E0010), `FileError` (E0006).

    >>> len(plot_learning({"m": [{"step": 100.0, "train_loss": 2.0}, {"step": 200.0, "train_loss": 1.0}]}).axes)
    1
    """
    look = begin(theme, path)
    found = {name: records for name, records in histories_of(models).items() if records}
    if not found:
        raise EmptyDataError("no model has a record of its training", value=0,
                             hint="Records are kept while a model trains.")
    columns = min(len(found), 2)
    rows = -(-len(found) // columns)
    figure = new_figure(9.0 if columns == 1 else 12.0, 3.4 * rows + 0.7, look)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for k, (ax, (name, records)) in enumerate(zip(axes, found.items(), strict=False)):
        mark = "o" if len(records) <= 30 else None
        trained = [r for r in records if "train_loss" in r]
        ax.plot([r["step"] for r in trained], [r["train_loss"] for r in trained], color=look.colours[0], linewidth=1.6,
                marker=mark, markersize=3.5, label="training loss")
        checked = [r for r in records if "valid_loss" in r]
        steps, valid = (np.array([r[key] for r in checked], float) for key in ("step", "valid_loss"))
        if np.isfinite(valid).any():
            ax.plot(steps, valid, color=look.colours[1], linewidth=1.6, linestyle="--",
                    marker="s" if len(checked) <= 30 else None, markersize=3.5, label="validation loss")
            best = int(np.nanargmin(valid))
            ax.plot(steps[best], valid[best], marker="o", markersize=11, markerfacecolor="none", markeredgecolor=look.ink,
                    linestyle="none", clip_on=False, label="best validation")
        dress(ax, look, False, "training step" if k + columns >= len(found) else "", "loss" if k % columns == 0 else "", name)
    for ax in axes[len(found):]:
        ax.set_visible(False)
    caption(figure, look, title, axes[:len(found)])
    return finish(figure, path)
