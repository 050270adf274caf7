#!/usr/bin/env bash
# Stage 1: LibriTTS, many English voices as Kaldi directories.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${LIBRITTS}  # Folder of the corpus; LIBRITTS in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=train_clean_100,dev_clean,test_clean  # Sets to prepare, with commas between; "all": those that are there.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus libritts, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set LIBRITTS in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus libritts --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } ${prepare_opts//,/ }
