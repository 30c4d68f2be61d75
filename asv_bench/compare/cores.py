"""How the comparisons with several threads share the cores: each library at its best, none slowed down by another's threads.

Two things would spoil a comparison in one process. Worker threads go on waiting in loops for as long as 30 ms after their last
work, on cores that the next library needs: so each library works for a while, unmeasured, before its samples. And a system may
leave a woken worker on its caller's core for milliseconds: so callers and workers get cores of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

__all__ = ["settle", "spread"]

SECONDS = 0.05  # longer than any of the libraries waits for more work


def spread() -> None:
    """This thread onto its first core, every other thread of the process onto the others. Threads made later are not moved:
    call it again. Does nothing where the system has no such call, or there is one core."""
    if not hasattr(os, "sched_setaffinity"):
        return
    mine = int(open("/proc/thread-self/stat", encoding="ascii").read().split()[0])
    cores = sorted(set().union(*(os.sched_getaffinity(int(t)) for t in os.listdir("/proc/self/task"))))
    if len(cores) < 2:
        return
    for task in map(int, os.listdir("/proc/self/task")):
        try:
            os.sched_setaffinity(task, cores[:1] if task == mine else cores[1:])
        except ProcessLookupError:  # it has ended meanwhile
            continue


def settle(run: Callable[[], object], threads: int) -> None:
    """Run until the threads of whatever ran before are asleep; only once with one thread."""
    until = time.perf_counter() + (SECONDS if threads > 1 else 0.0)
    run()
    spread()
    while time.perf_counter() < until:
        run()
