#!/usr/bin/env bash
# Stage 1: AISHELL-3, many Mandarin voices as Kaldi directories.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${AISHELL3}  # Folder of the corpus; AISHELL3 in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=train_no_dev,dev,test  # Sets to prepare, with commas between; "all": those that are there.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus aishell3, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set AISHELL3 in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus aishell3 --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } ${prepare_opts//,/ }
