#!/usr/bin/env bash
# hydra-core 1.3.8: an override is read as a number first and made text of after that, also where the config says str: of commit=12e4567
# (1.9 % of git's short ids are digits around an e) the field, and config.yaml, have 'inf'; of version=1.10 '1.1', of tag=1_000 '1000'.
# Seen: {'commit': 'inf', 'version': '1.1', 'tag': '1000'} of commit=12e4567 version=1.10 tag=1_000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hydra-core==1.3.8
cat >script.py <<'END'
import dataclasses

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf


@dataclasses.dataclass
class Config:
    commit: str = ""
    version: str = ""
    tag: str = ""


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(config):
    print(OmegaConf.to_container(config))


main()
END
given="commit=12e4567 version=1.10 tag=1_000"
read=$(venv/bin/python script.py $given)
echo "$read of $given"
[ "$read" = "{'commit': 'inf', 'version': '1.1', 'tag': '1000'}" ]
grep -q "commit: 'inf'" outputs/*/*/.hydra/config.yaml
