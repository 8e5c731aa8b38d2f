#!/usr/bin/env bash
# torch 2.13.0: SummaryWriter.add_hparams writes True and False as the numbers 1 and 0, though TensorBoard's format has truth
# values and torch has the code for them: it asks first whether the value is an int, which a bool is.
# Seen: shuffle=True was written as number_value 1.0, declared as DATA_TYPE_BOOL: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 tensorboard==2.21.0
cat >script.py <<'END'
from torch.utils.tensorboard.summary import hparams

_, start, _ = hparams({"shuffle": True}, {"loss": 0.5})
experiment, *_ = hparams({"shuffle": True}, {"loss": 0.5})


def content(summary):
    from tensorboard.plugins.hparams import plugin_data_pb2

    data = plugin_data_pb2.HParamsPluginData()
    data.ParseFromString(summary.value[0].metadata.plugin_data.content)
    return data


value = content(start).session_start_info.hparams["shuffle"]
kind = value.WhichOneof("kind")
declared = [info.type for info in content(experiment).experiment.hparam_infos]
print(
    f"shuffle=True was written as {kind} {getattr(value, kind)},"
    f" declared as DATA_TYPE_BOOL: {2 in declared}"
)
assert (kind, value.number_value, declared) == ("number_value", 1.0, [3])
END
venv/bin/python script.py
