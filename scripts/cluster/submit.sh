#!/usr/bin/env bash
# Submit a grid to SLURM as a job array, and after it the report:
#   GRID=grid.yaml RESULTS=results scripts/cluster/submit.sh 8 --partition=gpu --gpus-per-task=1
# The first word is the number of parts; all others go to sbatch, for the parts.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
shards=${1:-}
if ! [[ "$shards" =~ ^[1-9][0-9]*$ ]]; then
    echo "error: '$shards' is no number of parts: write, for example, $0 8" >&2
    exit 2
fi
shift

last=$((shards - 1))
job=$(sbatch --parsable --array="0-$last" --export="ALL,SHARDS=$shards" "$@" "$here/grid.sbatch")
job=${job%%;*} # with several clusters it says JOB;CLUSTER
# afterany: the report also lists the cells of parts that failed.
report=$(sbatch --parsable --dependency="afterany:$job" --export=ALL "$here/report.sbatch")
echo "grid: job $job, parts 0 to $last; report: job ${report%%;*}"
