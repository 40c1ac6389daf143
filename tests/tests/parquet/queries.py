"""Runs the SQL of a document, in a directory that has what it reads, and prints the answers as JSON."""

import json
import re
import sys

import duckdb

database = duckdb.connect()
database.sql("SET TimeZone = 'UTC'")
for query in re.findall(r"```sql\n(.*?)```", open(sys.argv[1], encoding="utf-8").read(), re.DOTALL):
    print(json.dumps(database.sql(query).to_arrow_table().to_pylist(), default=str))
