"""Memory and time of reading a table whole and of streaming it to disk, then of training on each: one process a case.

    python asv_bench/compare/streaming.py [--rows 20000000] [--series 2000] [--kind parquet]

Rows of one hour each, in the order of time, so that the series are mixed as they are in a log. Printed: seconds, and the peak
of resident memory beyond what the imports take (pages of mapped files count while they are resident).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

CHILD = """
import json, resource, sys, time
import pandas, pyarrow.parquet, pyarrow.dataset, narwhals, ndiv
from ndiv.data import from_frame, read_table, stream_table
from ndiv.models import NLinear
import ndiv.data.stream, ndiv.training
path, folder, case = sys.argv[1:]
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.perf_counter()
store = from_frame(read_table(path), "h") if case == "whole" else stream_table(path, folder, "h", rows_at_once=1_000_000)
read = time.perf_counter() - start, peak() - before
NLinear(h=24, input_size=96, max_steps=20).fit_store(store, verbose=False)
print(json.dumps([*read, time.perf_counter() - start - read[0], peak() - before, float(store.y[::1009].sum())]))
"""


def write(path: Path, rows: int, series: int) -> None:
    """The table, written by pieces."""
    import pandas as pd

    per, begin = rows // series, np.datetime64("2000-01-01", "us")
    writer = None
    for first in range(0, per, max(1_000_000 // series, 1)):
        steps = np.arange(first, min(first + max(1_000_000 // series, 1), per))
        time = np.repeat(steps, series)
        frame = pd.DataFrame({"unique_id": np.tile([f"id{k:06d}" for k in range(series)], len(steps)),
                              "ds": begin + time * np.timedelta64(1, "h"),
                              "y": np.sin(time / 24 + np.tile(np.arange(series), len(steps)))})
        if path.suffix == ".csv":
            frame.to_csv(path, index=False, mode="a", header=not first)
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            batch = pa.Table.from_pandas(frame)
            writer = writer or pq.ParquetWriter(path, batch.schema)
            writer.write_table(batch)
    if writer is not None:
        writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--series", type=int, default=2_000)
    parser.add_argument("--kind", choices=["parquet", "csv"], default="parquet")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table.{args.kind}"
        write(path, args.rows, args.series)
        print(f"{args.rows:,} rows, {args.series:,} series, {path.stat().st_size / 1e6:,.0f} MB of {args.kind}")
        print(f"{'':8}{'read s':>10}{'peak MB':>10}{'train s':>10}{'peak MB':>10}")
        sums = []
        for case in ("whole", "stream"):
            done = subprocess.run([sys.executable, "-c", CHILD, str(path), str(Path(folder) / "store"), case],
                                  capture_output=True, text=True, check=True)
            *facts, total = json.loads(done.stdout)
            sums.append(total)
            print(f"{case:8}" + "".join(f"{fact:10.1f}" for fact in facts))
        assert sums[0] == sums[1], "the two stores differ"


if __name__ == "__main__":
    main()
