"""How the comparisons with several threads share the cores: each library at its best, none slowed down by another's threads.

Two things would spoil a comparison in one process. Worker threads go on waiting in loops for as long as 100 ms after their last
work, on cores that the next library needs: so each library works for a while, unmeasured, before its samples. And a system may
leave a woken worker on its caller's core for milliseconds: so callers and workers get cores of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["block", "settled"]

SECONDS = 0.2  # longer than any of the libraries waits for more work
BLOCK = 0.15  # seconds of a block of samples
ALL = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def spread() -> None:
    """This thread onto its first core, every other thread of the process onto the others. Threads made later are not moved:
    call it again. Does nothing where the system has no such call, or there is one core."""
    if len(ALL) < 2:
        return
    mine, first = int(Path("/proc/thread-self/stat").read_text(encoding="ascii").split()[0]), min(ALL)
    for task in map(int, os.listdir("/proc/self/task")):
        try:
            os.sched_setaffinity(task, {first} if task == mine else ALL - {first})
        except ProcessLookupError:  # it has ended meanwhile
            continue


@contextmanager
def settled(run: Callable[[], object], threads: int) -> Iterator[None]:
    """Inside, the threads of whatever ran before are asleep, and those of ``run`` at work on cores of their own. With one
    thread, ``run`` has run once."""
    until = time.perf_counter() + (SECONDS if threads > 1 else 0.0)
    run()
    spread()
    try:
        while time.perf_counter() < until:
            run()
        yield
    finally:
        if ALL:
            os.sched_setaffinity(0, ALL)  # new threads inherit this, and libraries count it


def block(run: Callable[[], object], threads: int) -> list[float]:
    """Seconds of each of the runs of a block, 3 to 100 of them, settled."""
    times: list[float] = []
    with settled(run, threads):
        until = time.perf_counter() + BLOCK
        while len(times) < 3 or (len(times) < 100 and time.perf_counter() < until):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return times
