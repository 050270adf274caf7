#!/usr/bin/env bash
# Stage 1: Common Voice as Kaldi directories, for the language --lang.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${COMMONVOICE}  # Folder of the corpus; COMMONVOICE in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=all  # Sets to prepare, with commas between; "all": all that the corpus has here.
lang=en  # Language code, as its folder is called.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus commonvoice, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set COMMONVOICE in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
IFS=, read -ra more <<<"${prepare_opts}"  # a blank may be part of a word
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus commonvoice --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } --language "${lang}" "${more[@]}"
