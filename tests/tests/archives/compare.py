"""Compares two folders of records row for row, each row as often as it is there; `stats` (times) by their counts."""

import os
import sys

import duckdb

ours, expected = sys.argv[1:]
database = duckdb.connect()
assert sorted(os.listdir(ours)) == sorted(os.listdir(expected)), (os.listdir(ours), os.listdir(expected))
for kind in sorted(set(os.listdir(ours)) - {"kind=stats"}):
    one, other = (f"SELECT * FROM '{folder}/{kind}/**/*.parquet'" for folder in (ours, expected))
    for left, right in ((one, other), (other, one)):
        odd = database.sql(f"({left}) EXCEPT ALL ({right})").fetchall()
        assert not odd, (kind, odd)
inputs, frames = database.sql(f"SELECT count(*), sum(ledger.seen)::BIGINT FROM '{ours}/kind=stats/**/*.parquet'").fetchone()
print(f"{inputs} inputs with {frames} frames")
