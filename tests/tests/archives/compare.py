"""Compares two folders of records row for row, each row as often as it is there.

Not compared are the times in `stats`, and the hashes of people's names, whose key is another in every run.
"""

import os
import sys

import duckdb

ours, expected = sys.argv[1:]
database = duckdb.connect()
assert sorted(os.listdir(ours)) == sorted(os.listdir(expected)), (os.listdir(ours), os.listdir(expected))
for kind in sorted(set(os.listdir(ours)) - {"kind=stats"}):
    row = "regexp_replace(to_json(record)::VARCHAR, '~[0-9a-f]{16}', '~', 'g')"
    one, other = (f"SELECT {row} FROM '{folder}/{kind}/**/*.parquet' AS record" for folder in (ours, expected))
    for left, right in ((one, other), (other, one)):
        odd = database.sql(f"({left}) EXCEPT ALL ({right})").fetchall()
        assert not odd, (kind, odd)
query = f"SELECT count(*), sum(ledger.seen)::BIGINT FROM '{ours}/kind=stats/**/*.parquet'"
[(inputs, frames)] = database.sql(query).fetchall()
print(f"{inputs} inputs with {frames} frames")
