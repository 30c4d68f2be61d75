"""A progress bar that costs nothing: one line on a terminal, nothing anywhere else.

Contract: ``update`` may be called every step; it draws at most five times a second. verbose None: draw when standard
error is a terminal; True: also print a line for each validation elsewhere; False: silent.
"""

from __future__ import annotations

import sys
import time

__all__ = ["Progress"]


class Progress:
    """One line: name, bar, step, loss, validation loss, time left."""

    def __init__(self, name: str, total: int, verbose: bool | None = None) -> None:
        self.name, self.total = name, total
        self.terminal = sys.stderr.isatty() and verbose is not False
        self.lines = bool(verbose) and not self.terminal
        self.begun = time.perf_counter()
        self._next = self.begun + 0.2
        self._valid = ""
        self._first = 0

    def start(self, step: int) -> None:
        self._first = step

    def update(self, step: int, loss: float) -> None:
        if not self.terminal:
            return
        now = time.perf_counter()
        if now < self._next and step != self.total:
            return
        self._next = now + 0.2
        done = max(step - self._first, 1)
        left = (now - self.begun) / done * (self.total - step)
        full = int(24 * step / max(self.total, 1))
        sys.stderr.write(f"\r{self.name} [{'=' * full}{' ' * (24 - full)}] {step}/{self.total} loss {loss:.4g}{self._valid} "
                         f"{int(left) // 60:d}:{int(left) % 60:02d} left \x1b[K")
        sys.stderr.flush()

    def validated(self, step: int, loss: float, valid: float) -> None:
        self._valid = f" valid {valid:.4g}"
        if self.lines:
            sys.stderr.write(f"{self.name} step {step}/{self.total} loss {loss:.4g} valid {valid:.4g}\n")

    def close(self) -> None:
        if self.terminal:
            sys.stderr.write("\n")
