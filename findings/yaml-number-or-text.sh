#!/usr/bin/env bash
# PyYAML 6.0.4, ruamel.yaml 0.19.1 (DVC's reader) and omegaconf 2.3.1 (Hydra's): one params file, other values.
# PyYAML follows YAML 1.1 (1e-3 is text, on is true, 012 is ten), ruamel.yaml YAML 1.2, omegaconf a mixture.
# Seen: {'lr': '1e-3', 'mode': True, 'seed': 10}
#       {'lr': 0.001, 'mode': 'on', 'seed': 12}
#       {'lr': 0.001, 'mode': True, 'seed': 10}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check PyYAML==6.0.4 ruamel.yaml==0.19.1 omegaconf==2.3.1
cat >script.py <<'END'
import yaml
from omegaconf import OmegaConf
from ruamel.yaml import YAML

text = "lr: 1e-3\nmode: on\nseed: 012\n"
read = [
    yaml.safe_load(text),
    dict(YAML(typ="safe", pure=True).load(text)),
    OmegaConf.to_container(OmegaConf.create(text)),
]
print(*read, sep="\n")
assert read[0] == {"lr": "1e-3", "mode": True, "seed": 10}
assert read[1] == {"lr": 0.001, "mode": "on", "seed": 12}
assert read[2] == {"lr": 0.001, "mode": True, "seed": 10}
END
venv/bin/python script.py
