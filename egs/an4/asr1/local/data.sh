#!/usr/bin/env bash
# Stage 1: AN4 as Kaldi directories. Without AN4 in db.sh: the small part of it that comes with ESPnet.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${AN4}  # Folder of the corpus; AN4 in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=train_nodev,train_dev,test  # Sets to prepare, with commas between; "all": all that the corpus has here.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus an4, as "--most_skipped=0.2"; commas between.
. parse_options.sh
if [ -z "${corpus}" ]; then
    corpus=$("${MAIN_ROOT}/tools/installers/get_an4_mini.sh")
    prepare_opts="--dev=2,${prepare_opts}"
fi
if [ "${sets}" = all ]; then sets=; fi
IFS=, read -ra more <<<"${prepare_opts}"  # a blank may be part of a word
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus an4 --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } --case lower "${more[@]}"
