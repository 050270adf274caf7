#!/usr/bin/env bash
# Stage 1: VCTK, many English accents as Kaldi directories.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${VCTK}  # Folder of the corpus; VCTK in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=tr_no_dev,dev,eval1  # Sets to prepare, with commas between; "all": those that are there.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus vctk, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set VCTK in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus vctk --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } ${prepare_opts//,/ }
