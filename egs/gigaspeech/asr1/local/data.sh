#!/usr/bin/env bash
# Stage 1: GigaSpeech as Kaldi directories with segments; lower case, without marks of punctuation.
set -euo pipefail
. ./path.sh
. ./db.sh
corpus=${GIGASPEECH}  # Folder of the corpus; GIGASPEECH in db.sh or in the environment.
data=data  # Where the directories go.
nj=2  # Parallel processes.
sets=train_xl,dev,test  # Sets to prepare, with commas between; "all": those that are there.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus gigaspeech, as "--most_skipped=0.2"; commas between.
. parse_options.sh
: "${corpus:?set GIGASPEECH in db.sh to the folder of the corpus}"
if [ "${sets}" = all ]; then sets=; fi
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus gigaspeech --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } --case lower ${prepare_opts//,/ }
