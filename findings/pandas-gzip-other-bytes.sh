#!/usr/bin/env bash
# pandas 3.0.0: to_csv to a .csv.gz writes the time into the gzip header, so the same table written twice has two hashes,
# and a data tool that hashes files (DVC, Git LFS) stores it twice. The mtime option mends it.
# Seen: 2 hashes; with mtime=1: 1 hash.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pandas==3.0.0
cat >script.py <<'END'
import hashlib
import time
from pathlib import Path

import pandas

table = pandas.DataFrame({"x": [1, 2, 3]})


def hashes(compression):
    found = set()
    for _ in range(2):
        table.to_csv("x.csv.gz", compression=compression)
        found.add(hashlib.md5(Path("x.csv.gz").read_bytes()).hexdigest())
        time.sleep(1.1)
    return len(found)


plain, fixed = hashes("gzip"), hashes({"method": "gzip", "mtime": 1})
print(plain, "hashes; with mtime=1:", fixed)
assert (plain, fixed) == (2, 1)
END
venv/bin/python script.py
