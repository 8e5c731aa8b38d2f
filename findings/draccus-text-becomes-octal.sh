#!/usr/bin/env bash
# draccus 0.11.6: an argument is read as YAML 1.1 before it is made text of, also where the field says str: the commit 0123456 becomes
# '42798' (what the octal number is), the time 12:30:00 '45000'. The configuration that draccus dumps has these values too.
# Seen: {'commit': '42798', 'start': '45000'} of --commit 0123456 --start 12:30:00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check draccus==0.11.6
cat >script.py <<'END'
import dataclasses

import draccus


@dataclasses.dataclass
class Config:
    commit: str = ""
    start: str = ""


given = ["--commit", "0123456", "--start", "12:30:00"]
config = draccus.parse(Config, args=given)
read = dataclasses.asdict(config)
print(f"{read} of {' '.join(given)}")
assert read == {"commit": "42798", "start": "45000"}, read
assert "42798" in draccus.dump(config)
END
venv/bin/python script.py
