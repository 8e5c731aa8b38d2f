#!/usr/bin/env bash
# simple-parsing 0.1.9: what Serializable saves it does not load: of a union the first type that can be made of the value is taken, not
# the one that the value has. A field Union[int, float] with 0.5 is saved as 0.5 and loaded as 0, "no" of Union[bool, str] as False.
# Seen: saved {"subsample": 0.5, "early": "no", "seed": "007"}, loaded Config(subsample=0, early=False, seed=7)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check simple-parsing==0.1.9
cat >script.py <<'END'
from dataclasses import dataclass
from typing import Union

from simple_parsing import Serializable


@dataclass
class Config(Serializable):
    subsample: Union[int, float] = 1
    early: Union[bool, str] = True
    seed: Union[int, str] = 0


config = Config(0.5, "no", "007")
saved = config.dumps_json()
loaded = Config.loads_json(saved)
print(f"saved {saved}, loaded {loaded}")
assert loaded == Config(0, False, 7), loaded
END
venv/bin/python script.py 2>warnings
