#!/usr/bin/env bash
# Ablations on a finished run of egs/mini/s2s1: each row of conf/rows.yaml trains only what differs, then RESULTS.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scale=mini  # Run of the mini recipe to build on: mini, base or tiny.
rows=  # Rows to run, with commas between; all by default.
dry_run=false  # Only print the commands of each row.
mini=../../mini/s2s1  # Folder of that recipe; --mini_exp, --mini_dump and --mini_data are in it by default.
mini_exp=  # Its checkpoints.
mini_dump=  # Its prepared data.
mini_data=  # Its data directories.
judge=  # Folder of the recogniser that transcribes our speech, or none; fetched by default.
ngpu=0  # GPUs for training.
nthreads=2  # CPU threads.
seed=777  # Of training and decoding.
. "${here}/../../../utils/parse_options.sh"
cd "${here}"
. ./path.sh
. local/options.sh
local/data.sh --dump "${mini_dump}" --data "data${suffix}" --dry_run "${dry_run}"
python -m freeze_omni.bin.ablate --table conf/rows.yaml --rows "${rows}" \
    --exp "${mini_exp}" --dump "${mini_dump}" --data "${mini_data}" --conf "${mini}/conf/${scale}" \
    --reference "data${suffix}/reference" --out "exp${suffix}" --results "${results}" --decode "${decode}" \
    --asr_train "${asr_train}" --asr_tests "${asr_tests[@]}" --ngpu "${ngpu}" --threads "${nthreads}" \
    --seed "${seed}" "${more[@]}"
