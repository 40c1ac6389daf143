"""Whether pyarrow, DuckDB and Polars read the same records from Parquet and Arrow as stand in NDJSON: every value of
every record, with the types that are promised."""

import datetime
import json
import re
import sys
from collections import defaultdict

import duckdb
import polars
import pyarrow
import pyarrow.parquet

ndjson, parquet, streams = sys.argv[1:]
NANOSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
EPOCH = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)


def plain(value):
    """A value as both sides can have it: nothing is null, and times have microseconds."""
    if isinstance(value, dict):
        return {name: plain(field) for name, field in value.items() if field is not None}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, str) and NANOSECONDS.fullmatch(value):
        return value[:26] + "Z"
    return value


def nanoseconds(text):
    whole = datetime.datetime.fromisoformat(text[:19] + "+00:00") - EPOCH
    return int(whole.total_seconds()) * 10**9 + int(text[20:29])


def ordered(rows):
    return sorted(json.dumps(plain(row), sort_keys=True) for row in rows)


expected = defaultdict(list)
for line in open(ndjson, encoding="utf-8"):
    record = json.loads(line)
    record["ts_ns"] = nanoseconds(record["ts"])
    expected[record.pop("kind")].append(record)
assert len(expected) > 5, list(expected)

database = duckdb.connect()
database.sql("SET TimeZone = 'UTC'")
for kind, records in expected.items():
    files = f"{parquet}/kind={kind}/*/*.parquet"
    table = pyarrow.parquet.read_table(f"{parquet}/kind={kind}", partitioning=None)
    frame = polars.read_parquet(files, hive_partitioning=False)
    readers = {
        "pyarrow": table.to_pylist(),
        "DuckDB": database.sql(f"FROM read_parquet('{files}', hive_partitioning = false)").to_arrow_table().to_pylist(),
        "Polars": frame.to_dicts(),
        "pyarrow, stream": pyarrow.ipc.open_stream(f"{streams}/{kind}.arrows").read_all().to_pylist(),
        "Polars, stream": polars.read_ipc_stream(f"{streams}/{kind}.arrows").to_dicts(),
    }
    for reader, rows in readers.items():
        for ours, theirs in zip(ordered(records), ordered(rows), strict=True):
            assert ours == theirs, f"{reader}, {kind}:\n{ours}\n{theirs}"

    assert table.schema.field("ts").type == pyarrow.timestamp("us", "UTC")
    assert table.schema.field("ts_ns").type == pyarrow.int64()
    assert frame.schema["ts"] == polars.Datetime("us", "UTC")
    types = database.sql(f"SELECT DISTINCT typeof(ts), typeof(ts_ns) FROM '{files}'").fetchall()
    assert types == [("TIMESTAMP WITH TIME ZONE", "BIGINT")], types
    # Hive partitions: kind and date are columns, and the date is that of the record.
    hive = f"SELECT count(*) FROM read_parquet('{files}') WHERE kind = '{kind}' AND date = ts::DATE"
    assert database.sql(hive).fetchall() == [(len(records),)]

print(sum(map(len, expected.values())), "records of", len(expected), "kinds")
