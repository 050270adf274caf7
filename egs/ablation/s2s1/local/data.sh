#!/usr/bin/env bash
# The data are those of the mini recipe; only the reference answers of its dialogues are written here.
set -euo pipefail
. ./path.sh
data=data  # Where the directories go.
nj=2  # For compatibility with other recipes; this needs one process.
dump=../../mini/s2s1/dump_mini_scratch  # Prepared data of the recipe that the rows build on.
dry_run=false  # Only report what is missing.
. parse_options.sh
: "${nj}"
for set in train dev; do
    if [ ! -s "${dump}/dialogue/${set}/questions.jsonl" ]; then
        echo "local/data.sh: ${dump}/dialogue/${set} is missing: run egs/mini/s2s1/run.sh --scale mini_scratch --stop_stage 10 first" >&2
        "${dry_run}" || exit 1
    elif ! "${dry_run}"; then
        python local/reference_answers.py "${dump}/dialogue/${set}" "${data}/reference/${set}"
    fi
done
