"""Puts the rows of a recording into DuckDB and SQLite, and prints how large each is.

usage: storage.py FOLDER
"""

import os
import sqlite3
import sys
import tempfile

import duckdb

folder = sys.argv[1]
tables = sorted(
    name
    for name in os.listdir(folder)
    if os.path.isdir(os.path.join(folder, name)) and not name.startswith(".")
)
with tempfile.TemporaryDirectory() as made:
    duck = os.path.join(made, "rows.duckdb")
    lite = os.path.join(made, "rows.sqlite")
    engine = duckdb.connect(duck)
    store = sqlite3.connect(lite)
    for table in tables:
        files = os.path.join(folder, table, "*", "*", "*", "*.parquet")
        order = "" if table in ("statements", "names") else ' ORDER BY "at"'
        engine.execute(
            f"CREATE TABLE {table} AS SELECT * FROM "
            f"read_parquet('{files}', hive_partitioning = false){order}"
        )
        # Times as microseconds and lists as text, which is the least that SQLite takes for them.
        columns = engine.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
        taken = {
            "TIMESTAMP WITH TIME ZONE": 'epoch_us("{}")',
            "VARCHAR[]": 'CAST("{}" AS VARCHAR)',
            "UBIGINT": 'CAST("{}"::HUGEINT - 9223372036854775808 AS BIGINT)',
        }
        chosen = ", ".join(taken.get(kind, '"{}"').format(name) for name, kind, *_ in columns)
        names = ", ".join(f'"{name}"' for name, *_ in columns)
        store.execute(f"CREATE TABLE {table} ({names})")
        marks = ", ".join("?" for _ in columns)
        rows = engine.execute(f"SELECT {chosen} FROM {table}")
        while batch := rows.fetchmany(10_000):
            store.executemany(f"INSERT INTO {table} VALUES ({marks})", batch)
    store.commit()
    store.close()
    engine.execute("CHECKPOINT")
    engine.close()
    print("the same in DuckDB", os.path.getsize(duck))
    print("the same in SQLite", os.path.getsize(lite))
