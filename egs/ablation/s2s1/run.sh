#!/usr/bin/env bash
# Ablations on a finished run of egs/mini/s2s1, from scratch: each row of local/rows.sh trains only what differs, then RESULTS.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scale=mini_scratch  # Run of the mini recipe to build on: mini_scratch, base_scratch or tiny.
rows=  # Rows to run, with commas between; all by default.
row_file=local/rows.sh  # The rows.
dry_run=false  # Only print what each row trains: options, minutes, parameters.
record=false  # For maintainers: also write the table to RESULTS.md of this recipe.
mini=../../mini/s2s1  # Folder of the mini recipe; --mini_exp, --mini_dump and --mini_data are in it by default.
mini_exp=  # Its checkpoints; the rows are tags there, in tags/<row>.
mini_dump=  # Its prepared data.
mini_data=  # Its data directories.
llm=  # The frozen LLM of that run of the mini recipe; the mini recipe's own by default.
judge=  # Folder of the recogniser that transcribes our speech, or none; that of the mini recipe by default.
ngpu=0  # GPUs for training.
nthreads=2  # CPU threads.
seed=777  # Of training and decoding.
. "${here}/../../../utils/parse_options.sh"
cd "${here}" && . ./path.sh
. local/options.sh
local/data.sh --dump "${mini_dump}" --data "data${suffix}" --dry_run "${dry_run}"
check_rows
table="exp${suffix}/rows.tsv" failed=()
mkdir -p "exp${suffix}"; : >"${table}"
# shellcheck source=/dev/null
. "${row_file}"
"${dry_run}" || python local/table.py --rows "${table}" --exp "${mini_exp}" --output "exp${suffix}/RESULTS.md"
if "${record}"; then cp "exp${suffix}/RESULTS.md" RESULTS.md; fi
[ ${#failed[@]} -eq 0 ] || { echo "run.sh: failed: ${failed[*]}; fix the problem and rerun the same command" >&2; exit 1; }
