"""Sums a recording's rows by statement, table and blocker, and says what that took.

usage: engine.py FOLDER
prints a line of what, rows, groups, seconds and MiB for each sum; the last is the most so far
"""

import os
import resource
import sys
import time

import duckdb

SUMS = {
    # What the attribution is about; of the samples only sessions have a row for each.
    "charges": "statement, table_name, blocker_system, sum(spent_us)",
    "sessions": "statement, application_name, wait_event, count(*)",
}

engine = duckdb.connect()
engine.execute("SET threads = 2")
for table, wanted in SUMS.items():
    files = os.path.join(sys.argv[1], table, "*", "*", "*", "*.parquet")
    source = f"FROM read_parquet('{files}', hive_partitioning = false)"
    began = time.monotonic()
    groups = engine.execute(f"SELECT {wanted} {source} GROUP BY ALL").fetchall()
    took = time.monotonic() - began
    rows = engine.execute(f"SELECT count(*) {source}").fetchone()[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"SQL {table}", rows, len(groups), f"{took:.3f}", f"{peak:.0f}", sep="\t")
