#!/usr/bin/env bash
# hydra-core 1.3.8: the folder of a run is named after the second in which it begins, and one that is there is taken without a word: of
# two runs of one second (jobs that a cluster starts) the later's config.yaml and results lie over the other's, and one log has both.
# Seen: 2 runs, 1 folder; its log is of the seeds [1, 2], config.yaml and model.txt are of one
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check hydra-core==1.3.8
cat >script.py <<'END'
import logging
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(version_base=None, config_path=None)
def main(config):
    logging.getLogger().info("seed %s", config.seed)
    Path(HydraConfig.get().runtime.output_dir, "model.txt").write_text(f"{config.seed}")


main()
END
for _ in {1..30}; do # until both begin in one second
  rm -rf outputs
  venv/bin/python script.py +seed=1 >log & one=$!
  venv/bin/python script.py +seed=2 >log & two=$!
  wait $one && wait $two
  runs=(outputs/*/*)
  [ ${#runs[@]} = 1 ] && break
done
seeds=$(grep -o 'seed [12]' "${runs[0]}/script.log" | sort | tr -dc '12\n' | paste -sd, | sed 's/,/, /')
configs=$(grep -c seed "${runs[0]}/.hydra/config.yaml") models=$(wc -c <"${runs[0]}/model.txt")
echo "2 runs, ${#runs[@]} folder; its log is of the seeds [$seeds], config.yaml and model.txt are of one"
[ "${#runs[@]} $seeds $configs $models" = "1 1, 2 1 1" ]
