"""A queue for tests: sbatch, srun and scancel that do on this machine what slurm's do, and note what was asked."""

from __future__ import annotations

import os
from pathlib import Path

SBATCH = """#!/bin/bash
# Tasks of an array run at once, or as many as % says; the worst code is that of all.
echo "$@" >>"${FAKE_SLURM}/asked"
first='' last='' most=99 SLURM_NNODES=1
for word in "$@"; do
    case ${word} in
        --array=*) range=${word#*=}; first=${range%%-*} last=${range#*-}; last=${last%%%*}
            if [[ "${range}" = *%* ]]; then most=${range#*%}; fi ;;
        --nodes=*) SLURM_NNODES=${word#*=} ;;
    esac
done
export SLURM_NNODES
script=$(cat) code=0
echo 17
if [ -z "${first}" ]; then bash -c "${script}"; exit; fi
for ((task = first; task <= last; task++)); do
    while (($(jobs -rp | wc -l) >= most)); do wait -n || code=1; done
    SLURM_ARRAY_TASK_ID=${task} bash -c "${script}" &
done
while [ -n "$(jobs -p)" ]; do wait -n || code=1; done
exit "${code}"
"""

SRUN = """#!/bin/bash
# A process on each node; nodes are processes of this machine.
code=0
while [[ "$1" = -* ]]; do shift; done
export SLURM_NTASKS=${SLURM_NNODES} SLURM_STEP_NUM_NODES=${SLURM_NNODES} SLURM_STEP_NODELIST=localhost SLURM_LOCALID=0
for ((rank = 0; rank < SLURM_NNODES; rank++)); do SLURM_PROCID=${rank} SLURM_NODEID=${rank} "$@" & done
for ((rank = 0; rank < SLURM_NNODES; rank++)); do wait -n || code=1; done
exit "${code}"
"""


def fake_slurm(folder: Path) -> Path:
    """Write them to folder/bin, which the caller puts on PATH; what sbatch was asked: a line each in folder/asked."""
    for name, script in {"sbatch": SBATCH, "srun": SRUN, "scancel": "#!/bin/sh\n"}.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script.replace("${FAKE_SLURM}", str(folder)), encoding="utf-8")
        path.chmod(0o755)
    return folder / "asked"


def asked(folder: Path) -> list[str]:
    """What sbatch was asked for, one text for each call."""
    return (folder / "asked").read_text(encoding="utf-8").splitlines() if os.path.exists(folder / "asked") else []
