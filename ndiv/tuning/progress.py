"""The progress of a search: one line on a terminal, with the best loss and the time left.

Contract: nothing is written where standard error is no terminal, unless ``verbose`` is True: then one line a trial.
"""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["SearchProgress"]


class SearchProgress:
    """One line: name, bar, trials, best loss, time left at the pace so far and within the budget."""

    def __init__(self, name: str, options: Any, verbose: bool | None) -> None:
        self.name, self.total, self.budget = name, options.num_samples, options.time_budget
        self.terminal = sys.stderr.isatty() and verbose is not False
        self.lines = bool(verbose) and not self.terminal
        self.begun = time.monotonic()
        self.first: int | None = None  # trials that were there before

    def update(self, study: Any, done: int) -> None:
        """Draw the line for a study of which ``done`` trials are over."""
        if self.first is None:
            self.first = done
            if self.lines:
                return
        if not (self.terminal or self.lines):
            return
        losses = [t.value for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE" and t.value is not None]
        text = f"{done}/{self.total} trials{f', best loss {min(losses):.4g}' if losses else ''}, {self._left(done)}"
        if self.lines:
            sys.stderr.write(f"{self.name} {text}\n")
            return
        full = int(24 * done / max(self.total, 1))
        sys.stderr.write(f"\r{self.name} [{'=' * full}{' ' * (24 - full)}] {text} \x1b[K")
        sys.stderr.flush()

    def _left(self, done: int) -> str:
        """What is left: of the time that the trials need at their pace, and of the budget."""
        spent, new = time.monotonic() - self.begun, done - (self.first or 0)
        left = [spent / new * (self.total - done)] if new else []
        left += [max(self.budget - spent, 0.0)] if self.budget is not None else []
        if not left:
            return "time left unknown"
        seconds = int(min(left))
        return f"{seconds // 60:d}:{seconds % 60:02d} left"

    def close(self) -> None:
        if self.terminal:
            sys.stderr.write("\n")
