#!/usr/bin/env bash
# dask-jobqueue 0.9.0: `walltime: 12:00:00` in jobqueue.yaml is the number 43200 to PyYAML (base 60: seconds), and the job script has it
# as it is. PBS takes a number for seconds, SLURM (-t) and LSF (-W) for minutes: 30 days instead of 12 hours. 00:30:00 stays text.
# Seen: ['#PBS -l walltime=43200', '#SBATCH -t 43200', '#BSUB -W 43200'], for 00:30:00 ['#SBATCH -t 00:30:00']
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dask-jobqueue==0.9.0
cat >script.py <<'END'
import sys

from dask_jobqueue import LSFCluster, PBSCluster, SLURMCluster


def limits(*kinds):
    for kind in kinds:
        cluster = kind(n_workers=0, scheduler_options={"dashboard_address": ":0"})
        script = cluster.job_script()
        cluster.close()
        yield next(line for line in script.splitlines() if sys.argv[1] in line)


print([*limits(*([SLURMCluster] if ":" in sys.argv[1] else [PBSCluster, SLURMCluster, LSFCluster]))])
END
look() {
  for kind in pbs slurm lsf; do
    printf '%s\n' "  $kind:" '    cores: 1' '    memory: 4GB' "    walltime: $1"
  done | sed '1i jobqueue:' >jobqueue.yaml
  DASK_CONFIG="$folder/jobqueue.yaml" venv/bin/python script.py "$2"
}
hours=$(look 12:00:00 43200)
half=$(look 00:30:00 00:30:00)
echo "$hours, for 00:30:00 $half"
[ "$hours" = "['#PBS -l walltime=43200', '#SBATCH -t 43200', '#BSUB -W 43200']" ]
[ "$half" = "['#SBATCH -t 00:30:00']" ]
