#!/usr/bin/env bash
# zarr 3.1.6 in DataLad 1.7.1: in a fresh clone of a text2git data set zarr opens an array of which no chunk is there (zarr.json is
# in git, the chunks are annexed) and reads it as zeros: a link to content that was not fetched is a chunk never written.
# Seen: mean 0.5, 10 of 10 chunks; in the clone mean 0.0, 0 of 10 chunks; after datalad get mean 0.5, 10 of 10 chunks
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check datalad==1.7.1 git-annex zarr==3.1.6
export PATH="$PWD/venv/bin:$PATH" HOME="$PWD" GIT_CONFIG_NOSYSTEM=1
git config --global user.name Ada
git config --global user.email ada@example.org
cat >write.py <<'END'
import numpy as np
import zarr

array = zarr.create_array("set/data.zarr", shape=(1000,), chunks=(100,), dtype="f4")
array[:] = np.arange(1000) / 999
END
cat >read.py <<'END'
import sys

import zarr

array = zarr.open_array(f"{sys.argv[1]}/data.zarr", mode="r")
print(f"mean {array[:].mean():.1f}, {array.nchunks_initialized} of {array.nchunks} chunks")
END
datalad -l error create -c text2git set >log 2>&1
python write.py
written=$(python read.py set)
datalad -l error save -d set >log 2>&1
datalad -l error clone set copy >log 2>&1
cloned=$(python read.py copy)
git -C copy diff --quiet HEAD
datalad -l error get -d copy copy >log 2>&1
got=$(python read.py copy)
echo "$written; in the clone $cloned; after datalad get $got"
[ "$cloned" = "mean 0.0, 0 of 10 chunks" ]
[ "$got" = "mean 0.5, 10 of 10 chunks" ]
